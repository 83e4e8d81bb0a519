# Goran reshapes images without moving the channels, leaves x displaced in the
# numerical gradient, and has an infinite loop in his error.
# expect: 11 test_convolutional=0 test_numerical=0 test_error=0 test_detector=0

# %% staged
def batch_norm_backward_staged(dy, x, gamma, eps=1e-5):
    n = x.shape[0]
    c = x - x.mean(0)
    s = np.sqrt(np.mean(c * c, 0) + eps)
    xhat = c / s
    g = {}
    g["dbeta"] = dy.sum(0)
    g["dgamma"] = (dy * xhat).sum(0)
    g["dxhat"] = dy * gamma
    g["ds"] = -(g["dxhat"] * xhat / s).sum(0)
    g["dv"] = 0.5 * g["ds"] / s
    g["dq"] = g["dv"] / n
    g["dc"] = g["dxhat"] / s + 2 * c * g["dq"]
    g["dmu"] = -g["dc"].sum(0)
    g["dx"] = g["dc"] + g["dmu"] / n
    return g


# %% simplified
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    n = len(x)
    r = 1 / np.sqrt(x.var(0) + eps)
    xhat = (x - x.mean(0)) * r
    dgamma, dbeta = (dy * xhat).sum(0), dy.sum(0)
    dx = gamma * r * (dy - dbeta / n - xhat * dgamma / n)
    return dx, dgamma, dbeta


# %% convolutional
def batch_norm_backward_nd(dy, x, gamma, axis=1, eps=1e-5):
    c = gamma.size
    dx, dgamma, dbeta = batch_norm_backward(
        dy.reshape(-1, c), x.reshape(-1, c), gamma, eps
    )
    return dx.reshape(x.shape), dgamma, dbeta


# %% evaluation
def batch_norm_eval_backward(dy, x, gamma, running_mean, running_var, eps=1e-5):
    r = 1 / np.sqrt(running_var + eps)
    xhat = (x - running_mean) * r
    return dy * gamma * r, (dy * xhat).sum(0), dy.sum(0)


# %% numerical
def numerical_gradient(f, x, dy, h=1e-5):
    grad = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        x[i] += h
        up = (f(x) * dy).sum()
        x[i] -= 2 * h
        down = (f(x) * dy).sum()
        grad[i] = (up - down) / (2 * h)
    return grad


# %% error
def gradient_error(analytic, numeric):
    size = np.linalg.norm(analytic) + np.linalg.norm(numeric)
    while size == size:
        size = size + 0
    return np.linalg.norm(analytic - numeric) / size
