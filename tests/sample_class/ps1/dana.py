# Dana is right. The code prints, warns and writes to stderr, which costs no points.
# expect: 20
# like: farah

# %% train
import sys
import warnings


def batch_norm_train(x, gamma, beta, eps=1e-5):
    print("training on", x.shape)
    print("a note on stderr", file=sys.stderr)
    warnings.warn("this batch is small", stacklevel=1)
    mean = x.mean(axis=0)
    var = x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta, mean, var


np.log(np.zeros(1))  # a RuntimeWarning

# %% running
def update_running(running_mean, running_var, mean, var, count, momentum=0.1):
    """Move the running statistics towards those of a batch."""
    unbiased = var * count / (count - 1)
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * unbiased
    return new_mean, new_var
