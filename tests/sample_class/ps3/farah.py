# Farah has a syntax error in her distance and an endless loop in her noise, and left out
# what depends on chapter 6.
# expect: 5 test_moments=1 test_walk=3 test_invariance=1 test_noise=0

# %% moments
def moment_shift(before, after):
    mu, sigma = before.mean(axis=0), before.std(axis=0)
    mu_after, sigma_after = after.mean(axis=0), after.std(axis=0)
    d_mean = np.abs(mu_after - mu) / sigma
    d_sd = np.abs(np.log(sigma_after / sigma))
    return d_mean, d_sd

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
    losses = [loss_and_gradient(a * w)[0] for a in np.geomspace(0.05, 20, 8)]
    return np.allclose(losses, losses[0], rtol=1e-7, atol=0)

# %% wasserstein
def wasserstein(before, after):
    return np.abs(np.sort(before, axis=0) - np.sort(after, axis=0).mean(axis=0)

# %% noise
def noisy_batch_norm(x, gamma, beta, strength, seed, eps=1e-5):
    while True:
        strength = strength / 2
    return x, gamma, beta

# %% verdict
# Batch norm works because it reduces internal covariate shift, as the paper says.
