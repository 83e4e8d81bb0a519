# An array whose shape and bytes disagree with one another, and change when read.
# expect: 17 test_train=0
# rest: right

# %% train
class Moving(np.ndarray):
    reads = 0

    @property
    def shape(self):
        Moving.reads += 1
        return (10**6, 10**6) if Moving.reads % 2 else (7, 5)

    @property
    def nbytes(self):
        return 8

    size = itemsize = nbytes

    @property
    def dtype(self):
        return np.dtype("f4") if Moving.reads % 3 else np.dtype("O")

    def tobytes(self, order=None):
        return b"\0" * (Moving.reads % 1000)


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return x.copy().view(Moving), x[0].copy().view(Moving), x[0].copy().view(Moving)
