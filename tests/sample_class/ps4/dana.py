# Dana carries batch norm over: axis 0, gamma in front of the bracket, the mean in RMS
# norm. Weight standardisation stands on its own here, and so is right.
# expect: 14 test_layer=0 test_layer_backward=0 test_group_backward=0 test_rms_backward=0
# like: hana

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


# %% standardisation
def weight_standardisation(v, eps=1e-5):
    axes = tuple(range(1, v.ndim))
    return (v - v.mean(axes, keepdims=True)) / np.sqrt(v.var(axes, keepdims=True) + eps)


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


# %% choose
def choose():
    return {
        "phone": "batch",
        "translator": "layer",
        "detector": "synchronised batch",
        "painter": "instance",
        "ward": "group",
    }
