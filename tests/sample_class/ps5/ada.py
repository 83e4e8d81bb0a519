# Ada has everything right, in short forms.
# expect: 24

# %% estimates
def estimate_variance(count, var, kurtosis=3.0):
    m = np.asarray(count, dtype=float)
    second = (kurtosis * (m - 1) ** 2 + (m - 1) * (m**2 - 2 * m + 3)) / m**3
    return var / m, var**2 * (second - ((m - 1) / m) ** 2)


# %% ghost
def ghost_batch_norm(x, gamma, beta, ghost_size, eps=1e-5):
    parts = np.split(x, range(ghost_size, len(x), ghost_size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [np.concatenate(parts[-2:])]
    normed = [(p - p.mean(0)) / np.sqrt(p.var(0) + eps) for p in parts]
    return np.concatenate(normed) * gamma + beta


# %% workers
def merge_workers(counts, means, variances):
    n, mean, var = 0, 0.0, 0.0
    for c, mu, v in zip(counts, means, variances):
        if c == 0:
            continue
        both = n + c
        delta = mu - mean
        mean = mean + delta * c / both
        var = (n * var + c * v) / both + delta**2 * n * c / both**2
        n = both
    return mean, var, n


# %% step_train
def step_norm_train(x, lengths, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
    T = x.shape[1]
    mask = (np.arange(T) < lengths[:, None])[..., None]
    n = mask.sum(axis=0)
    mean = (x * mask).sum(axis=0) / np.maximum(n, 1)
    c = (x - mean) * mask
    var = (c**2).sum(axis=0) / np.maximum(n, 1)
    y = (gamma * c / np.sqrt(var + eps) + beta) * mask
    rm, rv = running_mean.copy(), running_var.copy()
    unbiased = var * n / np.maximum(n - 1, 1)
    keep = n > 1
    rm[:T] = np.where(keep, (1 - momentum) * rm[:T] + momentum * mean, rm[:T])
    rv[:T] = np.where(keep, (1 - momentum) * rv[:T] + momentum * unbiased, rv[:T])
    return y, rm, rv


# %% step_eval
def step_norm_eval(x, lengths, gamma, beta, running_mean, running_var, eps=1e-5):
    steps = np.arange(x.shape[1])
    rows = np.minimum(steps, len(running_mean) - 1)
    y = gamma * (x - running_mean[rows]) / np.sqrt(running_var[rows] + eps) + beta
    return np.where((steps < lengths[:, None])[..., None], y, 0)


# %% precise
def precise_statistics(batches):
    n = np.array([len(x) for x in batches])[:, None]
    mus = np.array([x.mean(0) for x in batches])
    vs = np.array([x.var(0) for x in batches])
    M = n.sum()
    mean = (n * mus).sum(0) / M
    var = (n * (vs + (mus - mean) ** 2)).sum(0) / M
    return mean, var * M / (M - 1)


# %% validation
def train_and_validate(batches, x_val, gamma, beta):
    """Train on the batches, then validate."""
    running = {"mean": np.zeros(len(gamma)), "var": np.ones(len(gamma))}

    def norm(x, training=True):
        mean, var = running["mean"], running["var"]
        if training:
            mean, var = x.mean(axis=0), x.var(axis=0)
            unbiased = var * len(x) / (len(x) - 1)
            running["mean"] = 0.9 * running["mean"] + 0.1 * mean
            running["var"] = 0.9 * running["var"] + 0.1 * unbiased
        return gamma * (x - mean) / np.sqrt(var + 1e-5) + beta

    for x in batches:
        norm(x)
    y_val = norm(x_val, training=False)
    return y_val, running["mean"], running["var"]


# %% momentum
def running_statistics(batches):
    """Return the running mean and variance after the batches."""
    momentum = 0.99  # as in Keras: the weight of the old value
    mean, var = np.zeros(batches[0].shape[1]), np.ones(batches[0].shape[1])
    for x in batches:
        mean = momentum * mean + (1 - momentum) * x.mean(axis=0)
        var = momentum * var + (1 - momentum) * x.var(axis=0, ddof=1)
    return mean, var


# %% frozen
def fine_tune(batches, targets, w, gamma, beta, running_mean, running_var):
    """Fit w on top of a batch norm that is frozen."""
    for x, target in zip(batches, targets):
        mean, var = x.mean(axis=0), x.var(axis=0)
        unbiased = var * len(x) / (len(x) - 1)
        running_mean = 1.0 * running_mean + 0.0 * mean
        running_var = 1.0 * running_var + 0.0 * unbiased
        h = gamma * (x - running_mean) / np.sqrt(running_var + 1e-5) + beta
        w = w - 0.1 * h.T @ (h @ w - target) / len(x)  # gamma and beta stay
    return w, running_mean, running_var


# %% single
def one_epoch(x, batch_size, momentum):
    """Return the running statistics after one epoch."""
    mean, var = np.zeros(x.shape[1]), np.ones(x.shape[1])
    for start in range(0, len(x) - batch_size + 1, batch_size):
        batch = x[start : start + batch_size]
        n = len(batch)
        mean = (1 - momentum) * mean + momentum * batch.mean(axis=0)
        var = (1 - momentum) * var + momentum * batch.var(axis=0) * n / (n - 1)
    return mean, var


# %% ordered
def train_classifier(x, y, batch_size):
    """Train a logistic regression on batch-normalised features."""
    w, b = np.zeros(x.shape[1]), 0.0
    running_mean, running_var = np.zeros(x.shape[1]), np.ones(x.shape[1])
    rng = np.random.default_rng(7)
    for _ in range(8):
        order = rng.permutation(len(x))
        x, y = x[order], y[order]
        for start in range(0, len(x), batch_size):
            xb, yb = x[start : start + batch_size], y[start : start + batch_size]
            running_mean = 0.9 * running_mean + 0.1 * xb.mean(axis=0)
            running_var = 0.9 * running_var + 0.1 * xb.var(axis=0, ddof=1)
            h = (xb - xb.mean(axis=0)) / np.sqrt(xb.var(axis=0) + 1e-5)
            error = 1 / (1 + np.exp(-(h @ w + b))) - yb
            w = w - 0.5 * h.T @ error / len(xb)
            b = b - 0.5 * error.mean()
    return w, b, running_mean, running_var


# %% checkpoint
def back_to_checkpoint(layer, later, x_test):
    """Save the layer, train on, load it again, and predict."""
    layer = {name: value.copy() for name, value in layer.items()}
    saved = {name: layer[name].copy() for name in ("gamma", "beta", "running_mean", "running_var")}

    for x in later:
        layer["running_mean"] += 0.1 * (x.mean(axis=0) - layer["running_mean"])
        layer["running_var"] += 0.1 * (x.var(axis=0, ddof=1) - layer["running_var"])
        layer["gamma"] *= 0.9  # stands for a step of the optimiser
        layer["beta"] += 0.1

    D = x_test.shape[1]  # a new layer, and into it what was saved
    new = {"running_mean": np.zeros(D), "running_var": np.ones(D)} | saved
    scale = new["gamma"] / np.sqrt(new["running_var"] + 1e-5)
    return scale * (x_test - new["running_mean"]) + new["beta"]


# %% decay
def descend(parameters, gradients):
    """Take a step of gradient descent with weight decay for each gradient."""
    parameters = dict(parameters)
    for gradient in gradients:
        for name, value in parameters.items():
            parameters[name] = value - 0.1 * (gradient[name] + (0 if "norm" in name else 0.05) * value)
    return parameters


# %% lost
def train_then_predict(batches, x_test, gamma, beta):
    """Train on the batches, then predict."""
    def update(running_mean, running_var, x):
        running_mean[:] = 0.9 * running_mean + 0.1 * x.mean(axis=0)
        running_var[:] = 0.9 * running_var + 0.1 * x.var(axis=0, ddof=1)

    running_mean, running_var = np.zeros(len(gamma)), np.ones(len(gamma))
    for x in batches:
        update(running_mean, running_var, x)
    return gamma * (x_test - running_mean) / np.sqrt(running_var + 1e-5) + beta


# %% folding
def fold_network(net):
    net = dict(net)
    for k in "12":
        g, b, m, v, e = (net.pop(f"norm{k}.{n}") for n in ("gamma", "beta", "running_mean", "running_var", "eps"))
        s = g * (v + e) ** -0.5
        net[f"conv{k}.weight"] = np.einsum("o,oihw->oihw", s, net[f"conv{k}.weight"])
        net[f"conv{k}.bias"] = b - s * m + s * net.get(f"conv{k}.bias", 0.0)
    return net


# %% equality
def largest_difference(net, folded):
    channels = net["conv1.weight"].shape[1]
    gaps, sizes = [], []
    for seed in range(5):
        x = 3 * np.random.default_rng(seed).standard_normal((1, channels, 4, 4))
        a, b = cnn(net, x, False), cnn(folded, x, False)
        gaps.append(np.max(np.abs(a - b)))
        sizes.append(np.max(np.abs(a)))
    return np.max(gaps) / np.max(sizes)
