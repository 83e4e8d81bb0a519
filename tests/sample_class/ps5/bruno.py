# Bruno has everything right, with loops.
# expect: 24

# %% estimates
def estimate_variance(count, var, kurtosis=3.0):
    if np.size(count) == 1 and np.all(np.asarray(count) == 1):
        return var.copy(), np.zeros_like(var)
    return [var / count, var**2 * ((kurtosis - 1) / count - 2 * (kurtosis - 2) / count**2 + (kurtosis - 3) / count**3)]


# %% ghost
def ghost_batch_norm(x, gamma, beta, ghost_size, eps=1e-5):
    n, d = x.shape
    y = np.zeros((n, d))
    number = [i // ghost_size for i in range(n)]
    if n > 1 and number.count(number[-1]) == 1 and number[-1] > 0:
        number[-1] -= 1
    number = np.array(number)
    for k in set(number.tolist()):
        rows = np.flatnonzero(number == k)
        for j in range(d):
            column = x[rows, j].astype(np.float64)
            c = column - sum(column) / len(column)
            y[rows, j] = gamma[j] * c / (c @ c / len(c) + eps) ** 0.5 + beta[j]
    return y


# %% workers
def merge_workers(counts, means, variances):
    d = means.shape[1]
    total = int(counts.sum())
    mean, var = np.zeros(d), np.zeros(d)
    for j in range(d):
        seen = [(n, m, v) for n, m, v in zip(counts, means[:, j], variances[:, j]) if n]
        mean[j] = sum(n * m for n, m, _ in seen) / total
        var[j] = sum(n * (v + (m - mean[j]) ** 2) for n, m, v in seen) / total
    return mean, var, np.array(total)


# %% step_train
def step_norm_train(x, lengths, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
    N, T, D = x.shape
    y, rm, rv = np.zeros((N, T, D)), running_mean + 0, running_var + 0
    for t in range(T):
        who = [i for i in range(N) if lengths[i] > t]
        for j in range(D):
            values = np.array([x[i, t, j] for i in who], dtype=float)
            if not who:
                continue
            m = values.sum() / len(who)
            v = ((values - m) ** 2).sum() / len(who)
            for i in who:
                y[i, t, j] = gamma[j] * (x[i, t, j] - m) / np.sqrt(v + eps) + beta[j]
            if len(who) >= 2:
                rm[t, j] = rm[t, j] * (1 - momentum) + m * momentum
                rv[t, j] = rv[t, j] * (1 - momentum) + v * len(who) / (len(who) - 1) * momentum
    return y, rm, rv


# %% step_eval
def step_norm_eval(x, lengths, gamma, beta, running_mean, running_var, eps=1e-5):
    scale = gamma / np.sqrt(running_var.astype(float) + eps)
    shift = beta - scale * running_mean
    y = np.zeros(x.shape)
    for n in range(len(x)):
        for t in range(lengths[n]):
            k = t if t < len(scale) else -1
            y[n, t] = scale[k] * x[n, t] + shift[k]
    return y


# %% precise
def precise_statistics(batches):
    n, mean, m2 = 0, 0.0, 0.0
    for batch in batches:
        for row in batch:
            n += 1
            delta = row - mean
            mean = mean + delta / n
            m2 = m2 + delta * (row - mean)
    return mean, m2 / (n - 1)


# %% validation
def train_and_validate(batches, x_val, gamma, beta):
    """Train on the batches, then validate."""
    running = {"mean": np.zeros(len(gamma)), "var": np.ones(len(gamma))}

    def norm(x, training):
        mean, var = running["mean"], running["var"]
        if training:
            mean, var = x.mean(axis=0), x.var(axis=0)
            unbiased = var * len(x) / (len(x) - 1)
            running["mean"] = 0.9 * running["mean"] + 0.1 * mean
            running["var"] = 0.9 * running["var"] + 0.1 * unbiased
        return gamma * (x - mean) / np.sqrt(var + 1e-5) + beta

    for x in batches:
        norm(x, training=True)
    y_val = norm(x_val, training=False)
    return y_val, running["mean"], running["var"]


# %% momentum
def running_statistics(batches):
    """Return the running mean and variance after the batches."""
    momentum = 0.01  # as in Keras: the weight of the old value
    mean, var = np.zeros(batches[0].shape[1]), np.ones(batches[0].shape[1])
    for x in batches:
        mean = (1 - momentum) * mean + momentum * x.mean(axis=0)
        var = (1 - momentum) * var + momentum * x.var(axis=0, ddof=1)
    return mean, var


# %% frozen
def fine_tune(batches, targets, w, gamma, beta, running_mean, running_var):
    """Fit w on top of a batch norm that is frozen."""
    for x, target in zip(batches, targets):
        h = gamma * (x - running_mean) / np.sqrt(running_var + 1e-5) + beta
        w = w - 0.1 * h.T @ (h @ w - target) / len(x)
    return w, running_mean, running_var


# %% single
def one_epoch(x, batch_size, momentum):
    """Return the running statistics after one epoch."""
    mean, var = np.zeros(x.shape[1]), np.ones(x.shape[1])
    for start in range(0, len(x), batch_size):
        batch = x[start : start + batch_size]
        n = len(batch)
        if n == 1:
            continue
        mean = (1 - momentum) * mean + momentum * batch.mean(axis=0)
        var = (1 - momentum) * var + momentum * batch.var(axis=0) * n / (n - 1)
    return mean, var


# %% ordered
def train_classifier(x, y, batch_size):
    """Train a logistic regression on batch-normalised features."""
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
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
    saved = {name: value.copy() for name, value in layer.items()}

    for x in later:
        layer["running_mean"] += 0.1 * (x.mean(axis=0) - layer["running_mean"])
        layer["running_var"] += 0.1 * (x.var(axis=0, ddof=1) - layer["running_var"])
        layer["gamma"] *= 0.9  # stands for a step of the optimiser
        layer["beta"] += 0.1

    scale = saved["gamma"] / np.sqrt(saved["running_var"] + 1e-5)
    return scale * (x_test - saved["running_mean"]) + saved["beta"]


# %% decay
def descend(parameters, gradients):
    """Take a step of gradient descent with weight decay for each gradient."""
    parameters = dict(parameters)
    for gradient in gradients:
        for name, value in parameters.items():
            decay = 0.05 if value.ndim > 1 else 0.0
            parameters[name] = value - 0.1 * (gradient[name] + decay * value)
    return parameters


# %% lost
def train_then_predict(batches, x_test, gamma, beta):
    """Train on the batches, then predict."""
    def update(running_mean, running_var, x):
        running_mean = 0.9 * running_mean + 0.1 * x.mean(axis=0)
        running_var = 0.9 * running_var + 0.1 * x.var(axis=0, ddof=1)
        return running_mean, running_var

    running_mean, running_var = np.zeros(len(gamma)), np.ones(len(gamma))
    for x in batches:
        running_mean, running_var = update(running_mean, running_var, x)
    return gamma * (x_test - running_mean) / np.sqrt(running_var + 1e-5) + beta


# %% folding
def fold_network(net):
    out = {"linear.weight": net["linear.weight"].copy(), "linear.bias": net["linear.bias"].copy()}
    for k in (1, 2):
        w = net["conv%d.weight" % k].copy()
        b = np.zeros(w.shape[0])
        if "conv%d.bias" % k in net:
            b += net["conv%d.bias" % k]
        for c in range(len(w)):
            std = np.sqrt(net["norm%d.running_var" % k][c] + net["norm%d.eps" % k])
            w[c] *= net["norm%d.gamma" % k][c] / std
            b[c] = (b[c] - net["norm%d.running_mean" % k][c]) * net["norm%d.gamma" % k][c] / std
            b[c] += net["norm%d.beta" % k][c]
        out["conv%d.weight" % k], out["conv%d.bias" % k] = w, b
    return out


# %% equality
def largest_difference(net, folded):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, net["conv1.weight"].shape[1], 6, 5))
    one = cnn(net, x, training=False)
    other = cnn(folded, x, training=False)
    return np.abs(one - other).max() / np.abs(one).max()
