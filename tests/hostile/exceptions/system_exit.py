# Leaves with a success in the middle of a check.
# expect: 17 test_train=0
# rest: right

# %% train
import sys


def batch_norm_train(x, gamma, beta, eps=1e-5):
    sys.exit(0)
