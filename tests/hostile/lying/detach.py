# Passes for a torch tensor, with a `detach` that never comes to an end.
# expect: 17 test_train=0
# rest: right

# %% train
class Tensor:
    shape, dtype = (7, 5), np.dtype(float)

    def __getattr__(self, name):
        return self

    def __call__(self, *arguments, **options):
        return self


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return Tensor(), Tensor(), Tensor()
