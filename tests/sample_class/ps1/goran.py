# Goran normalises each sample: layer norm, in both places. The layer, built on it, fails.
# expect: 11 test_train=0 test_layer=0 test_convolution=0
# like: farah

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta, mean, var

# %% running
def update_running(running_mean, running_var, mean, var, count, momentum=0.1):
    """Move the running statistics towards those of a batch."""
    unbiased = var * count / (count - 1)
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * unbiased
    return new_mean, new_var

# %% convolution
def batch_norm_nd(x, gamma, beta, axis=1, eps=1e-5):
    """Normalise each channel of x over everything but the channel axis."""
    axis = axis % x.ndim
    others = tuple(range(1, x.ndim))
    along = [1] * x.ndim
    along[axis] = -1
    mean = x.mean(axis=others, keepdims=True)
    centred = x - mean
    var = (centred**2).mean(axis=others, keepdims=True)
    xhat = centred / np.sqrt(var + eps)
    y = gamma.reshape(along) * xhat + beta.reshape(along)
    return y, mean.reshape(-1), var.reshape(-1)
