# Emil makes groups of every G-th channel, treats norms as constants going back (weight
# norm, renormalisation), and chooses by the size of the batch. A person adds 1 point.
# expect: 15 test_group=0 test_weight_backward=0 test_renorm_backward=0 test_choose=0

# %% layer
def layer_norm(x, gamma, beta, eps=1e-5):
    y = np.empty_like(x)
    for i, row in enumerate(x):
        mu = sum(row) / len(row)
        v = sum((a - mu) ** 2 for a in row) / len(row)
        for j in range(len(row)):
            y[i, j] = gamma[j] * (row[j] - mu) / (v + eps) ** 0.5 + beta[j]
    return y


# %% layer_backward
def layer_norm_backward(dy, x, gamma, eps=1e-5):
    D = x.shape[1]
    P = np.eye(D) - 1 / D
    dx, dgamma = np.empty_like(x), np.zeros_like(gamma)
    for t in range(len(x)):
        c = P @ x[t].astype(float)
        s = np.sqrt(c @ c / D + eps)
        xhat = c / s
        dx[t] = (P - np.outer(xhat, xhat) / D) @ (gamma * dy[t]) / s
        dgamma += dy[t] * xhat
    return dx, dgamma, dy.sum(axis=0)


# %% group
def group_norm(x, gamma, beta, num_groups, eps=1e-5):
    N, C, H, W = x.shape
    G = num_groups
    M = C // G * H * W
    shape = x.shape
    g, b = gamma.reshape(1, C, 1, 1), beta.reshape(1, C, 1, 1)
    x = x.reshape(N, C // G, G, H, W)
    mean = lambda a: a.mean(axis=(1, 3, 4), keepdims=True)
    mu = mean(x)
    c = x - mu
    v = mean(c**2)
    s = np.sqrt(v + eps)
    xhat = (c / s).reshape(shape)
    return g * xhat + b


# %% group_backward
def group_norm_backward(dy, x, gamma, num_groups, eps=1e-5):
    N, C, H, W = x.shape
    size = C // num_groups
    dx, dgamma, dbeta = np.zeros_like(x), np.zeros_like(gamma), np.zeros_like(gamma)
    for n in range(N):
        for k in range(num_groups):
            own = slice(k * size, (k + 1) * size)
            s = np.sqrt(x[n, own].var() + eps)
            xhat = (x[n, own] - x[n, own].mean()) / s
            d = gamma[own, None, None] * dy[n, own]
            dx[n, own] = (d - d.mean() - xhat * (d * xhat).mean()) / s
            dgamma[own] += (dy[n, own] * xhat).sum((1, 2))
            dbeta[own] += dy[n, own].sum((1, 2))
    return dx, dgamma, dbeta


# %% rms
def rms_norm(x, gamma, eps=1e-5):
    y = np.zeros(x.shape)
    for i, row in enumerate(x):
        y[i] = gamma * row * (row @ row / row.size + eps) ** -0.5
    return y


# %% rms_backward
def rms_norm_backward(dy, x, gamma, eps=1e-5):
    N, D = x.shape
    dx, dgamma = np.zeros((N, D)), np.zeros(D)
    for i in range(N):
        s = (sum(a * a for a in x[i]) / D + eps) ** 0.5
        along = sum(gamma[j] * dy[i, j] * x[i, j] / s for j in range(D)) / D
        for j in range(D):
            dx[i, j] = (gamma[j] * dy[i, j] - x[i, j] / s * along) / s
            dgamma[j] += dy[i, j] * x[i, j] / s
    return dx, dgamma


# %% weight
def weight_norm(v, g):
    return np.stack([b * a / np.linalg.norm(a.ravel()) for a, b in zip(v, g)])


# %% weight_backward
def weight_norm_backward(dw, v, g):
    axes = tuple(range(1, v.ndim))
    length = g.reshape(-1, *[1] * (v.ndim - 1))
    norm = np.sqrt(np.sum(v**2, axis=axes, keepdims=True))
    vhat = v / norm
    along = np.sum(dw * vhat, axis=axes, keepdims=True)
    dg = np.sum(dw * vhat, axis=tuple(range(1, v.ndim)))
    dv = length / norm * dw
    return dv, dg


# %% standardisation
def weight_standardisation(v, eps=1e-5):
    w = np.zeros_like(v)
    for k, row in enumerate(v):
        w[k] = (row - row.mean()) / (row.var() + eps) ** 0.5
    return w


# %% standardisation_backward
def weight_standardisation_backward(dw, v, eps=1e-5):
    dv = np.empty_like(v)
    for k in range(len(v)):
        n = v[k].size
        P = np.eye(n) - np.full((n, n), 1 / n)
        c = P @ v[k].ravel()
        s = np.sqrt(c @ c / n + eps)
        J = (P - np.outer(c, c) / (n * s * s)) / s
        dv[k] = (J @ dw[k].ravel()).reshape(v[k].shape)
    return dv


# %% renorm
def batch_renorm(x, gamma, beta, running_mean, running_var, r_max, d_max, momentum=0.1, eps=1e-5):
    n, count = x.shape
    y, r, d, m, v = np.empty_like(x), *(np.empty_like(gamma) for _ in range(4))
    for j in range(count):
        mu = x[:, j].mean()
        var = ((x[:, j] - mu) ** 2).mean()
        s_r = np.sqrt(running_var[j] + eps)
        r[j] = min(max(np.sqrt(var + eps) / s_r, 1 / r_max), r_max)
        d[j] = min(max((mu - running_mean[j]) / s_r, -d_max), d_max)
        y[:, j] = gamma[j] * ((x[:, j] - mu) / np.sqrt(var + eps) * r[j] + d[j]) + beta[j]
        m[j] = (1 - momentum) * running_mean[j] + momentum * mu
        v[j] = (1 - momentum) * running_var[j] + momentum * var * n / (n - 1)
    return y, r, d, m, v


# %% renorm_backward
def batch_renorm_backward(dy, x, gamma, r, d, eps=1e-5):
    N = M = x.shape[0]
    mean = lambda a: a.mean(axis=0)
    mu = mean(x)
    c = x - mu
    v = mean(c**2)
    s = np.sqrt(v + eps)
    xhat = c / s
    dbeta = dy.sum(axis=0)
    dgamma = (dy * (xhat * r + d)).sum(axis=0)
    e = gamma * r * dy
    m1 = mean(e)
    m2 = mean(e * xhat)
    dx = e / s
    return dx, dgamma, dbeta


# %% choose
def choose():
    return {
        "phone": "batch",
        "translator": "layer",
        "detector": "synchronised batch",
        "painter": "instance",
        "ward": "batch",
    }


# %% why
# With batch norm the ward would be fine in training and worse in use, because the
# running statistics are not accurate enough. A large batch makes them better.
#
# The phone: if its last maps had one position and the batch were 2, M would be 2, and
# group norm would be needed.
