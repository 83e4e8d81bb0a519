# Dana hands in the scripts as they were found, but for the last one.
# expect: 17 test_lost=1 test_validation=0
# like: emil

# %% step_train
def step_norm_train(x, lengths, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
    N, T, D = x.shape
    running_mean, running_var = running_mean.copy(), running_var.copy()
    y = np.zeros_like(x)
    for t in range(T):
        alive = t < lengths
        n = alive.sum()
        if n == 0:
            continue
        z = x[alive, t]
        mean = z.mean(axis=0)
        var = ((z - mean) ** 2).mean(axis=0)
        xhat = (z - mean) / np.sqrt(var + eps)
        y[alive, t] = gamma * xhat + beta
        if n > 1:
            unbiased = var * n / (n - 1)
            running_mean[t] = (1 - momentum) * running_mean[t] + momentum * mean
            running_var[t] = (1 - momentum) * running_var[t] + momentum * unbiased
    return y, running_mean, running_var


# %% step_eval
def step_norm_eval(x, lengths, gamma, beta, running_mean, running_var, eps=1e-5):
    N, T, D = x.shape
    last = len(running_mean) - 1
    y = np.zeros_like(x)
    for t in range(T):
        alive = t < lengths
        k = min(t, last)
        mean, var = running_mean[k], running_var[k]
        xhat = (x[alive, t] - mean) / np.sqrt(var + eps)
        y[alive, t] = gamma * xhat + beta
    return y


# %% equality
def largest_difference(net, folded):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, net["conv1.weight"].shape[1], 6, 5))
    one = cnn(net, x, training=False)
    other = cnn(folded, x, training=False)
    return np.abs(one - other).max() / np.abs(one).max()


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
    y_val = norm(x_val)
    return y_val, running["mean"], running["var"]


# %% momentum
def running_statistics(batches):
    """Return the running mean and variance after the batches."""
    momentum = 0.99  # as in Keras: the weight of the old value
    mean, var = np.zeros(batches[0].shape[1]), np.ones(batches[0].shape[1])
    for x in batches:
        mean = (1 - momentum) * mean + momentum * x.mean(axis=0)
        var = (1 - momentum) * var + momentum * x.var(axis=0, ddof=1)
    return mean, var


# %% frozen
def fine_tune(batches, targets, w, gamma, beta, running_mean, running_var):
    """Fit w on top of a batch norm that is frozen."""
    for x, target in zip(batches, targets):
        mean, var = x.mean(axis=0), x.var(axis=0)
        unbiased = var * len(x) / (len(x) - 1)
        running_mean = 0.9 * running_mean + 0.1 * mean
        running_var = 0.9 * running_var + 0.1 * unbiased
        h = gamma * (x - mean) / np.sqrt(var + 1e-5) + beta
        w = w - 0.1 * h.T @ (h @ w - target) / len(x)  # gamma and beta stay
    return w, running_mean, running_var


# %% single
def one_epoch(x, batch_size, momentum):
    """Return the running statistics after one epoch."""
    mean, var = np.zeros(x.shape[1]), np.ones(x.shape[1])
    for start in range(0, len(x), batch_size):
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
    for _ in range(8):
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
    saved = {name: layer[name].copy() for name in ("gamma", "beta")}

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
            parameters[name] = value - 0.1 * (gradient[name] + 0.05 * value)
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
