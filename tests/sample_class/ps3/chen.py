# Chen writes loops, and cuts the larger sample where the sizes differ.
# expect: 15 test_wasserstein_equal=1 test_wasserstein=0
# like: emil

# %% moments
def moment_shift(before, after):
    d_mean, d_sd = [], []
    for a, b in zip(before.T.tolist(), after.T.tolist()):
        m, n = sum(a) / len(a), sum(b) / len(b)
        s = (sum((v - m) ** 2 for v in a) / len(a)) ** 0.5
        t = (sum((v - n) ** 2 for v in b) / len(b)) ** 0.5
        d_mean.append(abs(n - m) / s)
        d_sd.append(abs(np.log(t / s)))
    return d_mean, d_sd

# %% wasserstein
def wasserstein(before, after):
    n, m = len(before), len(after)
    a, b = np.sort(before, axis=0), np.sort(after, axis=0)
    if n == m:
        return np.abs(a - b).mean(axis=0)
    k = min(n, m)
    return np.abs(a[:k] - b[:k]).mean(axis=0)

# %% noise
import random

def noisy_batch_norm(x, gamma, beta, strength, seed, eps=1e-5):
    rng = random.Random(seed)
    y, scales, shifts = np.empty(x.shape), [], []
    for k in range(x.shape[1]):
        mu, var = x[:, k].mean(), x[:, k].var()
        scales.append(rng.uniform(1, 1 + strength / 2))
        shifts.append(rng.uniform(-strength, strength))
        for i in range(len(x)):
            h = gamma[k] * (x[i, k] - mu) / (var + eps) ** 0.5 + beta[k]
            y[i, k] = scales[k] * h + shifts[k] + rng.gauss(0, 0.1)
    return y, scales, shifts

# %% walk
def along_gradient(loss_and_gradient, w, etas):
    _, g = loss_and_gradient(w)
    points = [loss_and_gradient(w - eta * g) for eta in etas]
    losses = np.array([loss for loss, _ in points])
    gradients = np.array([new for _, new in points])
    change = np.sqrt(((gradients - g).reshape(len(etas), -1) ** 2).sum(1))
    return np.ptp(losses), change.max(), (change / etas).max() / np.linalg.norm(g)

# %% lengths
def weight_lengths(W, G, lr, decay):
    rate, after, settled = [], [], []
    for w, g in zip(W.T, G.T):
        rate.append(lr / (w @ w))
        after.append((w @ w) * (1 - lr * decay) ** 2 + lr * lr * (g @ g))
        if decay:
            settled.append(((w @ w) * (g @ g) * lr / decay / (2 - lr * decay)) ** 0.5)
        else:
            settled.append(float("inf"))
    return rate, after, settled

# %% chain
def layer_gradients(x, weights, dy):
    def down(a, k):
        if k == len(weights):
            return dy, []
        z = a @ weights[k]
        xhat = batch_norm(z, 1.0, 0.0)
        da, squares = down(xhat.clip(0), k + 1)
        dz = batch_norm_backward((xhat > 0) * da, z, 1.0)[0]
        return dz @ weights[k].T, [np.sum(dz * dz), *squares]
    return down(x.clip(0), 0)[1]

# %% growth
def gradient_growth(depth, width, batch, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, width))
    weights = [rng.normal(size=(width, width)) / np.sqrt(width) for _ in range(depth)]
    dy = rng.normal(size=(batch, width))
    squares = layer_gradients(x, weights, dy)
    growth = np.mean(np.divide(squares[:-1], squares[1:]))
    return growth
