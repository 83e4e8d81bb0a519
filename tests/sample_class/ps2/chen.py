# Chen has everything right, with loops and a Jacobian for each feature.
# expect: 20

# %% staged
def batch_norm_backward_staged(dy, x, gamma, eps=1e-5):
    n, d = x.shape
    vectors, scalars = (
        ("dxhat", "dq", "dc", "dx"),
        ("dbeta", "dgamma", "ds", "dv", "dmu"),
    )
    g = {k: np.zeros((n, d)) for k in vectors} | {k: np.zeros(d) for k in scalars}
    for j in range(d):
        mu = sum(x[i, j] for i in range(n)) / n
        v = sum((x[i, j] - mu) ** 2 for i in range(n)) / n
        s = np.sqrt(v + eps)
        for i in range(n):
            g["dbeta"][j] += dy[i, j]
            g["dgamma"][j] += dy[i, j] * (x[i, j] - mu) / s
            g["dxhat"][i, j] = gamma[j] * dy[i, j]
            g["ds"][j] -= g["dxhat"][i, j] * (x[i, j] - mu) / s**2
        g["dv"][j] = g["ds"][j] / (2 * s)
        for i in range(n):
            g["dq"][i, j] = g["dv"][j] / n
            g["dc"][i, j] = g["dxhat"][i, j] / s + 2 * (x[i, j] - mu) * g["dq"][i, j]
            g["dmu"][j] -= g["dc"][i, j]
        for i in range(n):
            g["dx"][i, j] = g["dc"][i, j] + g["dmu"][j] / n
    return g


# %% simplified
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    n, d = x.shape
    dx, dgamma = np.empty_like(x), np.empty_like(gamma)
    for j in range(d):
        c = x[:, j] - x[:, j].mean()
        s = np.sqrt(c @ c / n + eps)
        xhat = c / s
        jacobian = (np.eye(n) - 1 / n - np.outer(xhat, xhat) / n) / s
        dx[:, j] = jacobian @ (gamma[j] * dy[:, j])
        dgamma[j] = xhat @ dy[:, j]
    return dx, dgamma, dy.sum(0)


# %% convolutional
def batch_norm_backward_nd(dy, x, gamma, axis=1, eps=1e-5):
    dx, dgamma, dbeta = np.empty_like(x), np.empty_like(gamma), np.empty_like(gamma)
    # Views with the channels in front: what is written to `to` lands in dx.
    to, dy, x = (np.moveaxis(a, axis, 0) for a in (dx, dy, x))
    for c in range(len(gamma)):
        column = dy[c].reshape(-1, 1), x[c].reshape(-1, 1), gamma[c : c + 1]
        d, dgamma[c : c + 1], dbeta[c : c + 1] = batch_norm_backward(*column, eps)
        to[c] = d.reshape(to[c].shape)
    return dx, dgamma, dbeta


# %% evaluation
def batch_norm_eval_backward(dy, x, gamma, running_mean, running_var, eps=1e-5):
    r = 1 / np.sqrt(running_var + eps)
    xhat = (x - running_mean) * r
    return dy * gamma * r, (dy * xhat).sum(0), dy.sum(0)


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
