# An array that is larger than any machine, and one that is larger than this.
# expect: 17 test_train=0
# says: (?i)memory|allocate
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    return np.ones(10**10), np.ones(10**15), x[0]
