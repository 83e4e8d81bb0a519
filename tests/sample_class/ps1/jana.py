# Jana did the first three exercises, half of the layer, and keeps all rows in welford.
# expect: 7 test_layer=0 test_convolution=0 test_moments=0 test_welford=0 test_merge=0 test_fold=0

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    """Normalise the columns of x by their own statistics."""
    mean = x.mean(axis=0)
    centred = x - mean
    var = (centred**2).mean(axis=0)
    y = gamma * centred / np.sqrt(var + eps) + beta
    return y, mean, var

# %% running
def update_running(running_mean, running_var, mean, var, count, momentum=0.1):
    """Move the running statistics towards those of a batch."""
    unbiased = var * count / (count - 1)
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * unbiased
    return new_mean, new_var

# %% evaluate
def batch_norm_eval(x, gamma, beta, running_mean, running_var, eps=1e-5):
    """Normalise the columns of x by running statistics."""
    return gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta

# %% layer
class BatchNorm:
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.eps = eps
        self.momentum = momentum
        self.gamma = np.ones(num_features)
        self.beta = np.zeros(num_features)
        self.running_mean = np.zeros(num_features)
        self.running_var = np.ones(num_features)
        self.training = True

    def __call__(self, x):
        # Your code here
        raise NotImplementedError("not answered yet")

# %% welford
def welford(rows):
    x = np.array(list(rows))
    return x.mean(axis=0), x.var(axis=0), len(x)
