# Ada has everything right, in short forms. For the reasons a person adds 2 points.
# expect: 22

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


# %% why
# In the ward, batch norm would be right almost always in training: all 64 images have
# one label, so the statistics of the batch give it away. In use there is one image
# and the running statistics, so the network falls to chance. A larger batch is more
# of the same patient.
#
# The detector with 32 images on each GPU would have M = 32 values in its deepest
# layer without any messages, which is what the recipe asks for, so batch norm itself
# would do.
