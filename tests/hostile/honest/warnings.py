# Warns, and divides by zero on the way: right all the same.
# expect: 20
# rest: right

# %% train
import warnings


def batch_norm_train(x, gamma, beta, eps=1e-5):
    warnings.warn("this is slow")
    np.ones(3) / np.zeros(3)
    np.log(np.zeros(1))
    mean, var = x.mean(axis=0), x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta, mean, var


warnings.warn("and this as well", DeprecationWarning)
