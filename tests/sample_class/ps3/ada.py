# Ada has everything right, in short forms; her two answers in words wait for a person.
# expect: 16
# like: dana

# %% noise
def noisy_batch_norm(x, gamma, beta, strength, seed, eps=1e-5):
    N, D = x.shape
    rng = np.random.default_rng(seed)
    h = batch_norm(x, gamma, beta, eps)
    shift = rng.uniform(-strength, strength, size=D)
    scale = rng.uniform(1, 1 + strength / 2, size=D)
    jitter = 0.1 * rng.normal(size=(N, D))
    y = scale * h + shift + jitter
    return y, scale, shift

# %% noise_backward
def noisy_batch_norm_backward(dy, x, gamma, scale, eps=1e-5):
    dh = scale * dy
    dx, dgamma, dbeta = batch_norm_backward(dh, x, gamma, eps)
    return dx, dgamma, dbeta

# %% verdict
# The plain network's inputs move by 0.31 standard deviations in a step, those with
# moving noise by 0.43, and the noisy one still ends with the lower mean loss (1.76
# against 1.89, in all three networks). So less shift cannot be the reason. Frozen noise
# is the control: as large, but it stands still, and costs nearly nothing (1.59), since
# gamma and beta absorb it. With strength 2 the noisy network is worse than plain, so
# movement does cost. What we do not see: the next batch norm takes the noise's mean and
# scale out again, so a known scale of each layer's output may still be what helps.

# %% invariance
def is_scale_invariant(loss_and_gradient, w):
    losses = [loss_and_gradient(a * w)[0] for a in np.geomspace(0.05, 20, 8)]
    return np.allclose(losses, losses[0], rtol=1e-7, atol=0)

# %% colleague
# R is the same, P a quarter, B a sixteenth. grad L(cw) = grad L(w)/c, so the walk with
# c² η visits c times the same points: same loss, gradients 1/c, distance c times as long.
# At the same rate training is 16 times slower; with 16 η it is the same run. B·|w|² would
# not have been fooled.
