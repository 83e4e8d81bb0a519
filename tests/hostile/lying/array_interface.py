# An object whose array interface points into the void: reading it is a segfault.
# expect: 17 test_train=0
# rest: right

# %% train
class Void:
    __array_interface__ = {
        "version": 3, "shape": (7, 5), "typestr": "<f8", "data": (8, False)
    }


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return Void(), Void(), Void()
