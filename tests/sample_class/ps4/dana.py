# Dana carries batch norm over: axis 0, gamma in front of the bracket, the mean in RMS
# norm. Weight standardisation stands on its own here, and so is right.
# expect: 14 test_layer=0 test_layer_backward=0 test_group_backward=0 test_rms_backward=0

# %% layer
def layer_norm(x, gamma, beta, eps=1e-5):
    M = x.shape[1]
    mean = lambda a: a.mean(axis=0, keepdims=True)
    g, b = gamma, beta
    mu = mean(x)
    c = x - mu
    v = mean(c**2)
    s = np.sqrt(v + eps)
    xhat = c / s
    return g * xhat + b


# %% layer_backward
def layer_norm_backward(dy, x, gamma, eps=1e-5):
    N, M = x.shape
    mean = lambda a: a.mean(axis=1, keepdims=True)
    g = gamma
    mu = mean(x)
    c = x - mu
    v = mean(c**2)
    s = np.sqrt(v + eps)
    xhat = c / s
    dbeta = dy.sum(axis=0)
    dgamma = (dy * xhat).sum(axis=0)
    d = dy
    m1 = mean(d)
    m2 = mean(d * xhat)
    dx = g * (d - m1 - xhat * m2) / s
    return dx, dgamma, dbeta


# %% group
def group_norm(x, gamma, beta, num_groups, eps=1e-5):
    rows = x.reshape(len(x) * num_groups, -1)
    rows = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + eps)
    return gamma[:, None, None] * rows.reshape(x.shape) + beta[:, None, None]


# %% group_backward
def group_norm_backward(dy, x, gamma, num_groups, eps=1e-5):
    N, C, H, W = x.shape
    G = num_groups
    M = C // G * H * W
    def mean(a):
        view = a.reshape(N, G, C // G, H, W)
        m = view.mean(axis=(2, 3, 4), keepdims=True)
        return (m + 0 * view).reshape(a.shape)
    g = gamma.reshape(1, C, 1, 1)
    mu = mean(x)
    c = x - mu
    v = mean(c**2)
    s = np.sqrt(v + eps)
    xhat = c / s
    dbeta = dy.sum(axis=(0, 2, 3))
    dgamma = (dy * xhat).sum(axis=(0, 2, 3))
    d = dy
    m1 = mean(d)
    m2 = mean(d * xhat)
    dx = g * (d - m1 - xhat * m2) / s
    return dx, dgamma, dbeta


# %% rms
def rms_norm(x, gamma, eps=1e-5):
    return x * gamma / np.sqrt((x * x).mean(-1, keepdims=True) + eps)


# %% rms_backward
def rms_norm_backward(dy, x, gamma, eps=1e-5):
    N, D = x.shape
    q = np.mean(x**2, axis=1, keepdims=True)
    s = np.sqrt(q + eps)
    xhat = x / s
    dgamma = np.sum(dy * xhat, axis=0)
    d = gamma * dy
    m = np.mean(d * xhat, axis=1, keepdims=True)
    dx = (d - d.mean(1, keepdims=True) - xhat * m) / s
    return dx, dgamma


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
    axes = tuple(range(1, v.ndim))
    return (v - v.mean(axes, keepdims=True)) / np.sqrt(v.var(axes, keepdims=True) + eps)


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
    mean, var = x.mean(0), x.var(0)
    sigma, sigma_r = (var + eps) ** 0.5, (running_var + eps) ** 0.5
    r = np.maximum(np.minimum(sigma / sigma_r, r_max), 1 / r_max)
    d = np.maximum(np.minimum((mean - running_mean) / sigma_r, d_max), -d_max)
    y = ((x - mean) / sigma * r + d) * gamma + beta
    running_mean = running_mean + momentum * (mean - running_mean)
    running_var = running_var + momentum * (x.var(0, ddof=1) - running_var)
    return y, r, d, running_mean, running_var


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
    return {
        "phone": "batch",
        "translator": "layer",
        "detector": "synchronised batch",
        "painter": "instance",
        "ward": "group",
    }
