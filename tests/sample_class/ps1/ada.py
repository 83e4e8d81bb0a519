# Ada is right, in short vectorised lines that build on one another.
# expect: 20
# like: farah

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta, mean, var

# %% running
def update_running(running_mean, running_var, mean, var, count, momentum=0.1):
    new_mean = running_mean + momentum * (mean - running_mean)
    new_var = running_var + momentum * (var * count / (count - 1) - running_var)
    return new_mean, new_var

# %% evaluate
def batch_norm_eval(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta

# %% convolution
def batch_norm_nd(x, gamma, beta, axis=1, eps=1e-5):
    moved = np.moveaxis(x, axis, -1)
    y, mean, var = batch_norm_train(
        moved.reshape(-1, moved.shape[-1]), gamma, beta, eps
    )
    return np.moveaxis(y.reshape(moved.shape), -1, axis), mean, var

# %% moments
def batch_moments(x):
    wide = np.promote_types(x.dtype, np.float32)
    return x.mean(axis=0, dtype=wide), x.var(axis=0, dtype=wide)
