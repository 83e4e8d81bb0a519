# Ivan has a typing error in the evaluation (NameError) and does not handle b = None.
# expect: 13 test_evaluate=0 test_layer=0 test_fold=0
# like: farah

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
    return gamma * (x - running_mean) / np.sqrt(runing_var + eps) + beta

# %% fold
def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """Return weights and bias of the layer that includes the batch norm."""
    s = gamma / np.sqrt(running_var + eps)
    w2 = w * s.reshape(-1, *[1] * (w.ndim - 1))
    b2 = s * (b - running_mean) + beta
    return w2, b2
