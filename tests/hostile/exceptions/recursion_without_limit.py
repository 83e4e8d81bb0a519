# Calls itself for ever after it has lifted Python's limit.
# expect: 17 test_train=0
# rest: right

# %% train
import sys


class Deep:
    def __getattr__(self, name):
        return getattr(self, name + "a")


def batch_norm_train(x, gamma, beta, eps=1e-5):
    sys.setrecursionlimit(2**31 - 1)
    return Deep().shape
