# Chen is right, in float64 throughout, with einsum and a class built another way.
# expect: 20

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    x = np.asarray(x, dtype=np.float64)
    weights = np.full(len(x), 1 / len(x))
    mean = np.einsum("n,nd->d", weights, x)
    centred = x - mean
    var = np.einsum("n,nd,nd->d", weights, centred, centred)
    scale = gamma / np.sqrt(var + eps)
    return np.einsum("d,nd->nd", scale, centred) + beta, mean, var

# %% running
def update_running(running_mean, running_var, mean, var, count, momentum=0.1):
    weights = np.array([1 - momentum, momentum])
    bessel = count / (count - 1)
    new_mean = np.einsum("k,kd->d", weights, np.stack([running_mean, mean]))
    new_var = np.einsum("k,kd->d", weights, np.stack([running_var, bessel * var]))
    return new_mean, new_var

# %% evaluate
def batch_norm_eval(x, gamma, beta, running_mean, running_var, eps=1e-5):
    scale = gamma.astype(np.float64) / np.sqrt(running_var + eps)
    return np.einsum("nd,d->nd", x - running_mean, scale) + beta

# %% layer
class BatchNorm:
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self._options = (eps, momentum)
        self.gamma, self.running_var = np.ones((2, num_features))
        self.beta, self.running_mean = np.zeros((2, num_features))
        self.training = True

    def _statistics(self, x):
        if not self.training:
            return self.running_mean, self.running_var
        _, momentum = self._options
        mean, var = x.mean(axis=0), x.var(axis=0)
        self.running_mean, self.running_var = update_running(
            self.running_mean, self.running_var, mean, var, x.shape[0], momentum
        )
        return mean, var

    def __call__(self, x):
        mean, var = self._statistics(x)
        xhat = (x - mean) / np.sqrt(var + self._options[0])
        return self.gamma * xhat + self.beta

# %% convolution
def batch_norm_nd(x, gamma, beta, axis=1, eps=1e-5):
    front = np.swapaxes(x, 0, axis)
    rows = front.reshape(len(front), -1).astype(np.float64)
    mean = np.einsum("cm->c", rows) / rows.shape[1]
    rows = rows - mean[:, None]
    var = np.einsum("cm,cm->c", rows, rows) / rows.shape[1]
    y = np.einsum("c,cm->cm", gamma / np.sqrt(var + eps), rows) + beta[:, None]
    return np.swapaxes(y.reshape(front.shape), 0, axis), mean, var

# %% moments
def batch_moments(x):
    x = x.astype(np.float64)
    mean = np.einsum("nd->d", x) / len(x)
    return mean, np.einsum("nd,nd->d", x - mean, x - mean) / len(x)

# %% welford
def welford(rows):
    """Return the mean, the biased variance and the number of rows, in one pass."""
    count, mean, m2 = 0, 0.0, 0.0
    for row in rows:
        row = row.astype(np.float64)
        count += 1
        delta = row - mean
        mean = mean + delta / count
        m2 = m2 + delta * (row - mean)
    return mean, m2 / count, count

# %% merge
def merge_moments(a, b):
    sets = [s for s in (a, b) if s[2] > 0]
    n = sum(s[2] for s in sets)
    means = np.stack([s[0] for s in sets])
    variances = np.stack([s[1] for s in sets])
    weights = np.array([s[2] for s in sets]) / n
    mean = np.einsum("k,kd->d", weights, means)
    var = np.einsum("k,kd->d", weights, variances + (means - mean) ** 2)
    return mean, var, n

# %% fold
def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    scale = gamma / np.sqrt(running_var + eps)
    bias = 0 if b is None else b
    return np.einsum("o,o...->o...", scale, w), scale * (bias - running_mean) + beta
