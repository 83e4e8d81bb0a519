# Wrote the answer but forgot to delete the `raise` above it: honest, and clumsy.
# expect: 17 test_train=0
# says: still to be written
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    """Normalise the columns of x by their own statistics."""
    raise NotImplementedError()
    mean, var = x.mean(axis=0), x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta, mean, var
