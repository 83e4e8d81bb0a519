# A regular expression that backtracks for ever.
# expect: 17 test_train=0
# says: still running
# rest: right

# %% train
import re


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return re.match(r"(a+)+$", "a" * 60 + "b")
