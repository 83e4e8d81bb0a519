# Ada has everything right, in short forms.
# expect: 20
# like: emil

# %% simplified
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    n = len(x)
    r = 1 / np.sqrt(x.var(0) + eps)
    xhat = (x - x.mean(0)) * r
    dgamma, dbeta = (dy * xhat).sum(0), dy.sum(0)
    dx = gamma * r * (dy - dbeta / n - xhat * dgamma / n)
    return dx, dgamma, dbeta


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
    return all(
        gradient_error(grad, numerical_gradient(f, z, dy)) < 1e-7
        for (f, z), grad in zip(forwards, grads)
    )
