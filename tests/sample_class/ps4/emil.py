# Emil makes groups of every G-th channel, treats norms as constants going back (weight
# norm, renormalisation), and chooses by the size of the batch. A person adds 1 point.
# expect: 15 test_group=0 test_weight_backward=0 test_renorm_backward=0 test_choose=0
# like: chen

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
