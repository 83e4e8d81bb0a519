# Emil divides by N - 1 wherever a variance comes from a batch, also inside the layer.
# expect: 13 test_train=0 test_layer=0 test_moments=0
# like: farah

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    """Normalise the columns of x by their own statistics."""
    mean = x.mean(axis=0)
    centred = x - mean
    var = x.var(axis=0, ddof=1)
    y = gamma * centred / np.sqrt(var + eps) + beta
    return y, mean, var

# %% running
def update_running(running_mean, running_var, mean, var, count, momentum=0.1):
    """Move the running statistics towards those of a batch."""
    unbiased = var * count / (count - 1)
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * unbiased
    return new_mean, new_var

# %% moments
def batch_moments(x):
    """Return the mean and the biased variance of each column."""
    if x.dtype == np.float16:
        x = x.astype(np.float32)
    mean = x.mean(axis=0)
    var = x.var(axis=0, ddof=1)
    return mean, var
