# Bruno has everything right, with loops.
# expect: 24
# like: emil

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
