# Farah forgets gamma in dx, keeps dgamma's axes in the convolutional version, and
# uses the training formula in evaluation mode. Her test has gamma = 1.
# expect: 8 test_simplified=0 test_convolutional=0 test_evaluation=0 test_detector=0
# like: emil

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
