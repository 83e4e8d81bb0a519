# Lena's convolution does not parse; the other cells do.
# expect: 17 test_convolution=0
# like: farah

# %% running
def update_running(running_mean, running_var, mean, var, count, momentum=0.1):
    """Move the running statistics towards those of a batch."""
    unbiased = var * count / (count - 1)
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * unbiased
    return new_mean, new_var

# %% convolution
def batch_norm_nd(x, gamma, beta, axis=1, eps=1e-5)
    axis = axis % x.ndim
    return x
