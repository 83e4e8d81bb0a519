# Chen has everything right, with loops and a Jacobian for each feature.
# expect: 20
# like: dana

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
