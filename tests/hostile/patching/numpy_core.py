# Reaches for the C level: replaces ufuncs in numpy's own namespaces.
# expect: 17 test_train=0
# rest: right

# %% train
import numpy._core.numeric, numpy._core.umath, numpy._core.fromnumeric

for module in (numpy._core.numeric, numpy._core.umath, numpy._core.fromnumeric):
    for name in ("allclose", "array_equal", "all", "less_equal", "absolute", "amax"):
        if hasattr(module, name):
            setattr(module, name, lambda *a, **k: True)
np.float64.__eq__ if False else None


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return x, x[0], x[0]
