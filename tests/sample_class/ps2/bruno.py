# Bruno has everything right and walks every graph; nothing is simplified.
# expect: 20

# %% staged
def batch_norm_backward_staged(dy, x, gamma, eps=1e-5):
    """Walk batch norm's graph back; return the gradients of all its nodes."""
    N = len(x)
    c = x - x.mean(axis=0)
    s = np.sqrt((c**2).mean(axis=0) + eps)
    xhat = c / s

    dbeta = dy.sum(axis=0)  #                  y = gamma * xhat + beta
    dgamma = (dy * xhat).sum(axis=0)
    dxhat = gamma * dy
    ds = -(dxhat * c).sum(axis=0) / s**2  #    xhat = c / s
    dv = ds / (2 * s)  #                       s = sqrt(v + eps)
    dq = dv / N * np.ones_like(x)  #           v = mean(q)
    dc = dxhat / s + 2 * c * dq  #             xhat = c / s and q = c**2
    dmu = -dc.sum(axis=0)  #                   c = x - mu
    dx = dc + dmu / N  #                       c = x - mu and mu = mean(x)
    return {
        "dbeta": dbeta,
        "dgamma": dgamma,
        "dxhat": dxhat,
        "ds": ds,
        "dv": dv,
        "dq": dq,
        "dc": dc,
        "dmu": dmu,
        "dx": dx,
    }


# %% simplified
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    g = batch_norm_backward_staged(dy, x, gamma, eps)
    return g["dx"], g["dgamma"], g["dbeta"]


# %% convolutional
def batch_norm_backward_nd(dy, x, gamma, axis=1, eps=1e-5):
    axis = axis % x.ndim
    axes = tuple(a for a in range(x.ndim) if a != axis)
    g = np.expand_dims(gamma, axes)
    m = x.size / gamma.size
    xmu = x - x.mean(axes, keepdims=True)
    var = (xmu**2).mean(axes, keepdims=True)
    ivar = (var + eps) ** -0.5
    dxhat = dy * g
    dvar = (dxhat * xmu).sum(axes, keepdims=True) * -0.5 * ivar**3
    dmu = -(dxhat * ivar).sum(axes, keepdims=True)
    dx = dxhat * ivar + dvar * 2 * xmu / m + dmu / m
    return dx, (dy * xmu * ivar).sum(axes), dy.sum(axes)


# %% evaluation
def batch_norm_eval_backward(dy, x, gamma, running_mean, running_var, eps=1e-5):
    r = 1 / np.sqrt(running_var + eps)
    xhat = (x - running_mean) * r
    return dy * gamma * r, (dy * xhat).sum(0), dy.sum(0)


# %% numerical
def numerical_gradient(f, x, dy, h=1e-5):
    """Return the gradient of sum(f(x) * dy) by x, from central differences."""
    x = x.copy()
    gradient = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + h
        above = np.sum(f(x) * dy)
        x[i] = kept - h
        below = np.sum(f(x) * dy)
        x[i] = kept
        gradient[i] = (above - below) / (2 * h)
    return gradient


# %% error
def gradient_error(analytic, numeric):
    """Return how far apart two gradients are, relative to their norms."""
    if np.shape(analytic) != np.shape(numeric):
        return np.inf
    total = np.linalg.norm(analytic) + np.linalg.norm(numeric)
    if total == 0:
        return 0.0
    return np.linalg.norm(analytic - numeric) / total


# %% detector
def backward_is_right(backward):
    """Say whether a backward pass of batch_norm is right."""
    rng = np.random.default_rng(0)
    x = rng.normal(2.0, 1.5, size=(7, 4))
    dy = rng.normal(size=(7, 4))
    gamma, beta = rng.normal(size=4), rng.normal(size=4)
    eps = 0.1  # large, so that it shows where it is missing
    numeric = (
        numerical_gradient(lambda a: batch_norm(a, gamma, beta, eps), x, dy),
        numerical_gradient(lambda g: batch_norm(x, g, beta, eps), gamma, dy),
        numerical_gradient(lambda b: batch_norm(x, gamma, b, eps), beta, dy),
    )
    analytic = backward(dy, x, gamma, eps)
    errors = [gradient_error(a, n) for a, n in zip(analytic, numeric, strict=True)]
    return max(errors) < 1e-6
