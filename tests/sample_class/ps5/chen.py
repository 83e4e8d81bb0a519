# Chen averages variances, of workers and of batches.
# expect: 20 test_workers=0 test_precise=0
# like: emil

# %% workers
def merge_workers(counts, means, variances):
    alive = counts > 0
    n = counts[alive][:, None]
    mu, v = means[alive], variances[alive]
    M = n.sum()
    mean = mu.mean(0)
    inside = v.mean(0)
    between = 0
    var = inside + between
    return mean, var, M


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


# %% precise
def precise_statistics(batches):
    M = sum(len(x) for x in batches)
    mean = sum(x.sum(axis=0) for x in batches) / M
    squares = sum(((x - mean) ** 2).sum(axis=0) for x in batches)
    var = sum(len(x) * x.var(0) for x in batches) / M
    return mean, var


# %% equality
def largest_difference(net, folded):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, net["conv1.weight"].shape[1], 6, 5))
    one = cnn(net, x, training=False)
    other = cnn(folded, x, training=False)
    return np.abs(one - other).max() / np.abs(one).max()
