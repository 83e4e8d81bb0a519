# Ada has everything right, in short forms. For the reasons a person adds 2 points.
# expect: 22
# like: hana

# %% standardisation
def weight_standardisation(v, eps=1e-5):
    axes = tuple(range(1, v.ndim))
    return (v - v.mean(axes, keepdims=True)) / np.sqrt(v.var(axes, keepdims=True) + eps)


# %% renorm
def batch_renorm(x, gamma, beta, running_mean, running_var, r_max, d_max, momentum=0.1, eps=1e-5):
    mean, var = x.mean(0), x.var(0)
    sigma, sigma_r = (var + eps) ** 0.5, (running_var + eps) ** 0.5
    r = np.maximum(np.minimum(sigma / sigma_r, r_max), 1 / r_max)
    d = np.maximum(np.minimum((mean - running_mean) / sigma_r, d_max), -d_max)
    y = ((x - mean) / sigma * r + d) * gamma + beta
    running_mean = running_mean + momentum * (mean - running_mean)
    running_var = running_var + momentum * (x.var(0, ddof=1) - running_var)
    return y, r, d, running_mean, running_var


# %% choose
def choose():
    return {
        "phone": "batch",
        "translator": "layer",
        "detector": "synchronised batch",
        "painter": "instance",
        "ward": "group",
    }


# %% why
# In the ward, batch norm would be right almost always in training: all 64 images have
# one label, so the statistics of the batch give it away. In use there is one image
# and the running statistics, so the network falls to chance. A larger batch is more
# of the same patient.
#
# The detector with 32 images on each GPU would have M = 32 values in its deepest
# layer without any messages, which is what the recipe asks for, so batch norm itself
# would do.
