# Hana normalises over (2, 3): instance norm, and forgets the variance of the means
# when merging, and the layer's own bias when folding.
# expect: 13 test_convolution=0 test_merge=0 test_fold=0

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    """Normalise the columns of x by their own statistics."""
    mean = x.mean(axis=0)
    centred = x - mean
    var = (centred**2).mean(axis=0)
    y = gamma * centred / np.sqrt(var + eps) + beta
    return y, mean, var

# %% running
def update_running(running_mean, running_var, mean, var, count, momentum=0.1):
    """Move the running statistics towards those of a batch."""
    unbiased = var * count / (count - 1)
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * unbiased
    return new_mean, new_var

# %% evaluate
def batch_norm_eval(x, gamma, beta, running_mean, running_var, eps=1e-5):
    """Normalise the columns of x by running statistics."""
    return gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta

# %% layer
class BatchNorm:
    """Batch norm with state, for x of shape (N, D)."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.eps = eps
        self.momentum = momentum
        self.gamma = np.ones(num_features)
        self.beta = np.zeros(num_features)
        self.running_mean = np.zeros(num_features)
        self.running_var = np.ones(num_features)
        self.training = True

    def __call__(self, x):
        if not self.training:
            return batch_norm_eval(
                x,
                self.gamma,
                self.beta,
                self.running_mean,
                self.running_var,
                self.eps,
            )
        y, mean, var = batch_norm_train(x, self.gamma, self.beta, self.eps)
        self.running_mean, self.running_var = update_running(
            self.running_mean, self.running_var, mean, var, len(x), self.momentum
        )
        return y

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

# %% moments
def batch_moments(x):
    """Return the mean and the biased variance of each column."""
    if x.dtype == np.float16:
        x = x.astype(np.float32)
    mean = x.mean(axis=0)
    var = ((x - mean) ** 2).mean(axis=0)
    return mean, var

# %% welford
def welford(rows):
    """Return the mean, the biased variance and the number of rows, in one pass."""
    count, mean, m2 = 0, 0.0, 0.0
    for row in rows:
        if row.dtype == np.float16:
            row = row.astype(np.float32)
        count += 1
        delta = row - mean
        mean = mean + delta / count
        m2 = m2 + delta * (row - mean)
    return mean, m2 / count, count

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
