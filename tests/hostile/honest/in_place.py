# Changes the caller's x: honest, and wrong.
# expect: 17 test_train=0
# says: changes its input x in place
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=0)
    x -= mean
    var = (x**2).mean(axis=0)
    return gamma * x / np.sqrt(var + eps) + beta, mean, var
