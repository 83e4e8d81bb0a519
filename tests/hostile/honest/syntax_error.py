# Forgot a bracket in one cell: it costs that exercise only.
# expect: 15 test_train=0 test_running=2 test_convolution=3
# says: (?i)syntax
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0, x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta, mean, var

# %% merge
def merge_moments(a, b):
return a
