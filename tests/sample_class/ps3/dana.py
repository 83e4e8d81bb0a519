# Dana disturbs x before the normalisation, which takes it out again; her test of losses
# has an absolute tolerance. She did not answer in words.
# expect: 12 test_noise=0 test_noise_backward=0 test_invariance=0

# %% moments
def moment_shift(before, after):
    mu, sigma = before.mean(axis=0), before.std(axis=0)
    mu_after, sigma_after = after.mean(axis=0), after.std(axis=0)
    d_mean = np.abs(mu_after - mu) / sigma
    d_sd = np.abs(np.log(sigma_after / sigma))
    return d_mean, d_sd

# %% wasserstein
def wasserstein(before, after):
    n, m = len(before), len(after)
    a = np.repeat(np.sort(before, axis=0), m, axis=0)
    b = np.repeat(np.sort(after, axis=0), n, axis=0)
    return np.abs(a - b).mean(axis=0)

# %% noise
def noisy_batch_norm(x, gamma, beta, strength, seed, eps=1e-5):
    N, D = x.shape
    rng = np.random.default_rng(seed)
    shift = rng.uniform(-strength, strength, size=D)
    scale = rng.uniform(1, 1 + strength / 2, size=D)
    jitter = 0.1 * rng.normal(size=(N, D))
    y = batch_norm(scale * x + shift + jitter, gamma, beta, eps)
    return y, scale, shift

# %% noise_backward
def noisy_batch_norm_backward(dy, x, gamma, scale, eps=1e-5):
    dh = dy
    dx, dgamma, dbeta = batch_norm_backward(dh, x, gamma, eps)
    return dx, dgamma, dbeta

# %% walk
def along_gradient(loss_and_gradient, w, etas):
    _, g = loss_and_gradient(w)
    points = [loss_and_gradient(w - eta * g) for eta in etas]
    losses = np.array([loss for loss, _ in points])
    gradients = np.array([new for _, new in points])
    change = np.sqrt(((gradients - g).reshape(len(etas), -1) ** 2).sum(1))
    return np.ptp(losses), change.max(), (change / etas).max() / np.linalg.norm(g)

# %% invariance
def is_scale_invariant(loss_and_gradient, w):
    loss, g = loss_and_gradient(w)
    for a in (0.1, 0.5, 2.0, 10.0):
        other, _ = loss_and_gradient(a * w)
        if abs(other - loss) > 1e-4:
            return False
    return True

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
    a, kept = np.maximum(x, 0), []
    for W in weights:
        z = a @ W
        one, zero = np.ones(z.shape[1]), np.zeros(z.shape[1])
        xhat = batch_norm(z, one, zero)
        a = np.maximum(xhat, 0)
        kept.append((z, xhat))
    squares, da = [], dy
    for W, (z, xhat) in zip(weights[::-1], kept[::-1]):
        dxhat = da * (xhat > 0)
        dz, _, _ = batch_norm_backward(dxhat, z, np.ones(z.shape[1]))
        squares.append((dz**2).sum())
        da = dz @ W.T
    return np.array(squares[::-1])

# %% growth
def gradient_growth(depth, width, batch, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, width))
    weights = [rng.normal(size=(width, width)) / np.sqrt(width) for _ in range(depth)]
    dy = rng.normal(size=(batch, width))
    squares = layer_gradients(x, weights, dy)
    growth = np.exp(-np.polyfit(np.arange(depth), np.log(squares), 1)[0])
    return growth
