# Hana got half way: the graph down to dv, and the short form; the rest is blank.
# expect: 6 test_staged_to_dv=2 test_simplified=4

# %% staged
def batch_norm_backward_staged(dy, x, gamma, eps=1e-5):
    c = x - x.mean(0)
    s = np.sqrt(np.mean(c * c, 0) + eps)
    xhat = c / s
    g = {}
    g["dbeta"] = dy.sum(0)
    g["dgamma"] = (dy * xhat).sum(0)
    g["dxhat"] = dy * gamma
    g["ds"] = -(g["dxhat"] * xhat / s).sum(0)
    g["dv"] = 0.5 * g["ds"] / s
    return g


# %% simplified
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    n = len(x)
    r = 1 / np.sqrt(x.var(0) + eps)
    xhat = (x - x.mean(0)) * r
    dgamma, dbeta = (dy * xhat).sum(0), dy.sum(0)
    dx = gamma * r * (dy - dbeta / n - xhat * dgamma / n)
    return dx, dgamma, dbeta
