# Hana turns r upside down, standardises weights as published code does, and takes layer
# norm for everything, which is right for two of the five.
# expect: 17 test_renorm=0 test_standardisation=0 test_choose_three=0 test_choose=0

# %% layer
def layer_norm(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * gamma + beta


# %% layer_backward
def layer_norm_backward(dy, x, gamma, eps=1e-5):
    D = x.shape[1]
    s = np.sqrt(x.var(axis=1, keepdims=True) + eps)
    xhat = (x - x.mean(axis=1, keepdims=True)) / s
    d = dy * gamma
    dx = D * d - d.sum(1, keepdims=True) - xhat * (d * xhat).sum(1, keepdims=True)
    return dx / (D * s), (dy * xhat).sum(0), dy.sum(0)


# %% group
def group_norm(x, gamma, beta, num_groups, eps=1e-5):
    rows = x.reshape(len(x) * num_groups, -1)
    rows = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + eps)
    return gamma[:, None, None] * rows.reshape(x.shape) + beta[:, None, None]


# %% group_backward
def group_norm_backward(dy, x, gamma, num_groups, eps=1e-5):
    N, C, H, W = x.shape
    view, axes = (N, num_groups, C // num_groups, H, W), (2, 3, 4)
    z = x.reshape(view)
    c = z - z.mean(axes, keepdims=True)
    s = np.sqrt((c**2).mean(axes, keepdims=True) + eps)
    xhat = c / s
    d = (dy * gamma.reshape(1, C, 1, 1)).reshape(view)
    dx = (d - d.mean(axes, keepdims=True) - xhat * (d * xhat).mean(axes, keepdims=True)) / s
    dgamma = (dy * xhat.reshape(x.shape)).sum((0, 2, 3))
    return dx.reshape(x.shape), dgamma, dy.sum((0, 2, 3))


# %% rms
def rms_norm(x, gamma, eps=1e-5):
    return x * gamma / np.sqrt((x * x).mean(-1, keepdims=True) + eps)


# %% rms_backward
def rms_norm_backward(dy, x, gamma, eps=1e-5):
    D = x.shape[1]
    r = 1 / np.sqrt((x * x).mean(1, keepdims=True) + eps)
    d = gamma * dy
    dx = r * d - x * r**3 * (d * x).sum(1, keepdims=True) / D
    return dx, (dy * x * r).sum(0)


# %% weight
def weight_norm(v, g):
    rows = v.reshape(len(v), -1)
    return (rows * (g / np.linalg.norm(rows, axis=1))[:, None]).reshape(v.shape)


# %% weight_backward
def weight_norm_backward(dw, v, g):
    axes = tuple(range(1, v.ndim))
    norm = np.sqrt((v * v).sum(axes, keepdims=True))
    dg = (dw * v).sum(axes, keepdims=True) / norm
    g = np.expand_dims(g, axes)
    dv = g / norm * dw - g * dg / norm**2 * v
    return dv, dg.ravel()


# %% standardisation
def weight_standardisation(v, eps=1e-5):
    rows = v.reshape(len(v), -1)
    mean = lambda a: a.mean(axis=1, keepdims=True)
    mu = mean(rows)
    c = rows - mu
    var = mean(c**2)
    s = np.sqrt(rows.var(axis=1, ddof=1, keepdims=True)) + eps
    w = c / s
    return w.reshape(v.shape)


# %% standardisation_backward
def weight_standardisation_backward(dw, v, eps=1e-5):
    x, dy = v.reshape(len(v), -1).T, dw.reshape(len(v), -1).T
    n = len(x)
    r = 1 / np.sqrt(x.var(0) + eps)
    xhat = (x - x.mean(0)) * r
    dx = r / n * (n * dy - dy.sum(0) - xhat * (dy * xhat).sum(0))
    return dx.T.reshape(v.shape)


# %% renorm
def batch_renorm(x, gamma, beta, running_mean, running_var, r_max, d_max, momentum=0.1, eps=1e-5):
    N, D = x.shape
    mu = x.mean(axis=0)
    var = x.var(axis=0)
    s = np.sqrt(var + eps)
    s_r = np.sqrt(running_var + eps)
    r = np.clip(s_r / s, 1 / r_max, r_max)
    d = np.clip((mu - running_mean) / s_r, -d_max, d_max)
    xhat = (x - mu) / s
    y = gamma * (xhat * r + d) + beta
    new_mean = (1 - momentum) * running_mean + momentum * mu
    new_var = (1 - momentum) * running_var + momentum * var * N / (N - 1)
    return y, r, d, new_mean, new_var


# %% renorm_backward
def batch_renorm_backward(dy, x, gamma, r, d, eps=1e-5):
    n = len(x)
    inv = 1 / np.sqrt(x.var(0) + eps)
    xhat = (x - x.mean(0)) * inv
    dbeta = dy.sum(0)
    dxhat_sum = (dy * xhat).sum(0)
    dx = gamma * r * inv * (dy - dbeta / n - xhat * dxhat_sum / n)
    return dx, r * dxhat_sum + d * dbeta, dbeta


# %% choose
def choose():
    return dict.fromkeys(("phone", "translator", "detector", "painter", "ward"), "layer")
