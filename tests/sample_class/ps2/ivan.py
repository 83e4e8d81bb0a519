# Ivan has a syntax error in his first answer and never got further with it; the
# second drops eps, the others return dgamma and dbeta as means or swapped. His error
# is right, his numerical gradient one-sided.
# expect: 1 test_error=1

# %% staged
def batch_norm_backward_staged(dy, x, gamma, eps=1e-5):
    return {"dbeta": dy.sum(axis=0), "dgamma": (dy * x.sum(axis=0)}

# %% simplified
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    n = len(x)
    r = 1 / np.sqrt(x.var(0))
    xhat = (x - x.mean(0)) * r
    dgamma, dbeta = (dy * xhat).sum(0), dy.sum(0)
    dx = gamma * r * (dy - dbeta / n - xhat * dgamma / n)
    return dx, dgamma, dbeta

# %% convolutional
def batch_norm_backward_nd(dy, x, gamma, axis=1, eps=1e-5):
    x, dy = np.moveaxis(x, axis, -1), np.moveaxis(dy, axis, -1)
    columns = [a.reshape(-1, gamma.size) for a in (dy, x)]
    dx, dgamma, dbeta = batch_norm_backward(*columns, gamma, eps)
    return np.moveaxis(dx.reshape(x.shape), -1, axis), dbeta, dgamma

# %% evaluation
def batch_norm_eval_backward(dy, x, gamma, running_mean, running_var, eps=1e-5):
    r = 1 / np.sqrt(running_var + eps)
    xhat = (x - running_mean) * r
    return dy * gamma * r, (dy * xhat).mean(0), dy.mean(0)

# %% numerical
def numerical_gradient(f, x, dy, h=1e-5):
    grad = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        moved = x.copy()
        moved[i] += h
        grad[i] = ((f(moved) - f(x)) * dy).sum() / h
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
    gamma, beta, eps = rng.normal(size=3), rng.normal(size=3), 0.5
    forwards = (
        (lambda z: batch_norm(z, gamma, beta, eps), x),
        (lambda z: batch_norm(x, z, beta, eps), gamma),
        (lambda z: batch_norm(x, gamma, z, eps), beta),
    )
    grads = backward(dy, x, gamma, eps)
    return not any(
        gradient_error(grad, numerical_gradient(f, z, dy)) < 1e-7
        for (f, z), grad in zip(forwards, grads)
    )
