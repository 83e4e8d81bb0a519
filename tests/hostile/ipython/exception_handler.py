# Swallows every exception of later cells.
# expect: 17 test_train=0
# rest: right

# %% train
import sys


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return x, x[0], x[0]


def swallow(*arguments, **options):
    return []


sys.excepthook = sys.unraisablehook = swallow
shell = get_ipython()
shell.set_custom_exc((BaseException,), swallow)
shell.showtraceback = shell._showtraceback = swallow
