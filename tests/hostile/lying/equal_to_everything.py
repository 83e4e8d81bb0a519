# Returns objects that are equal to whatever they are compared with.
# expect: 17 test_train=0
# says: expected an array
# rest: right

# %% train
class Yes:
    shape, size, ndim, dtype = (7, 5), 35, 2, np.dtype(float)

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    __le__ = __ge__ = __lt__ = __gt__ = __contains__ = __eq__
    __sub__ = __rsub__ = __abs__ = __getitem__ = lambda self, *a: self

    def __bool__(self):
        return True

    def __hash__(self):
        return 0


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return Yes(), Yes(), Yes()
