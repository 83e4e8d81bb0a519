# Hana normalises over (2, 3): instance norm, and forgets the variance of the means
# when merging, and the layer's own bias when folding.
# expect: 13 test_convolution=0 test_merge=0 test_fold=0
# like: farah

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
    others = (2, 3)
    along = [1] * x.ndim
    along[axis] = -1
    mean = x.mean(axis=others, keepdims=True)
    centred = x - mean
    var = (centred**2).mean(axis=others, keepdims=True)
    xhat = centred / np.sqrt(var + eps)
    y = gamma.reshape(along) * xhat + beta.reshape(along)
    return y, mean.reshape(-1), var.reshape(-1)

# %% merge
def merge_moments(a, b):
    """Merge the moments of two sets into those of their union."""
    (mean_a, var_a, n_a), (mean_b, var_b, n_b) = a, b
    if n_a == 0:
        return b
    if n_b == 0:
        return a
    n = n_a + n_b
    delta = mean_b - mean_a
    mean = mean_a + delta * (n_b / n)
    var = (n_a * var_a + n_b * var_b) / n
    return mean, var, n

# %% fold
def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """Return weights and bias of the layer that includes the batch norm."""
    s = gamma / np.sqrt(running_var + eps)
    w2 = w * s.reshape(-1, *[1] * (w.ndim - 1))
    if b is None:
        b = 0.0
    b2 = beta - s * running_mean
    return w2, b2
