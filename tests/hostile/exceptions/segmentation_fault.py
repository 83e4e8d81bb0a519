# Reads from the address 0.
# expect: 17 test_train=0
# rest: right

# %% train
import ctypes


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return ctypes.string_at(0)
