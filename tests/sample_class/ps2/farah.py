# Farah forgets gamma in dx, keeps dgamma's axes in the convolutional version, and
# uses the training formula in evaluation mode. Her test has gamma = 1.
# expect: 8 test_simplified=0 test_convolutional=0 test_evaluation=0 test_detector=0

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
    dx = r * (dy - dbeta / n - xhat * dgamma / n)
    return dx, dgamma, dbeta


# %% convolutional
def batch_norm_backward_nd(dy, x, gamma, axis=1, eps=1e-5):
    axes = tuple(a for a in range(x.ndim) if a != axis % x.ndim)
    g = np.expand_dims(gamma, axes)
    s = np.sqrt(x.var(axes, keepdims=True) + eps)
    xhat = (x - x.mean(axes, keepdims=True)) / s
    d = g * dy
    means = [a.mean(axes, keepdims=True) for a in (d, d * xhat)]
    dx = (d - means[0] - xhat * means[1]) / s
    return dx, (dy * xhat).sum(axes, keepdims=True), dy.sum(axes, keepdims=True)


# %% evaluation
def batch_norm_eval_backward(dy, x, gamma, running_mean, running_var, eps=1e-5):
    return batch_norm_backward(dy, x, gamma, eps)


# %% numerical
def numerical_gradient(f, x, dy, h=1e-5):
    grad = np.zeros_like(x)
    it = np.nditer(x, flags=["multi_index"])
    for _ in it:
        up, down = x.copy(), x.copy()
        up[it.multi_index] += h
        down[it.multi_index] -= h
        grad[it.multi_index] = ((f(up) - f(down)) * dy).sum() / (2 * h)
    return grad


# %% error
def gradient_error(analytic, numeric):
    if analytic.shape != numeric.shape:
        return np.inf
    size = np.linalg.norm(analytic) + np.linalg.norm(numeric)
    return np.linalg.norm(analytic - numeric) / max(size, 1e-30)


# %% detector
def backward_is_right(backward):
    rng = np.random.default_rng(42)
    x, dy = rng.normal(1, 3, (8, 3)), rng.normal(size=(8, 3))
    gamma, beta, eps = np.ones(3), rng.normal(size=3), 0.5
    forwards = (
        (lambda z: batch_norm(z, gamma, beta, eps), x),
        (lambda z: batch_norm(x, z, beta, eps), gamma),
        (lambda z: batch_norm(x, gamma, z, eps), beta),
    )
    grads = backward(dy, x, gamma, eps)
    return all(
        gradient_error(grad, numerical_gradient(f, z, dy)) < 1e-7
        for (f, z), grad in zip(forwards, grads)
    )
