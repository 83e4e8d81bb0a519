# Farah stops half way, at an RMS norm that divides by the length of x.
# expect: 8 test_rms=0

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
    D = x.shape[1]
    q = np.sum(x**2, axis=1, keepdims=True)
    s = np.sqrt(q + eps)
    xhat = x / s
    return gamma * xhat
