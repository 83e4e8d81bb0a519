# Returns a function, a class, a module, an open file and a generator.
# expect: 17 test_train=0
# rest: right

# %% train
import os
import sys


def batch_norm_train(x, gamma, beta, eps=1e-5):
    if len(x) == 7:
        return sys, os.system, open("/dev/null")
    return batch_norm_train, type, (n for n in range(3))
