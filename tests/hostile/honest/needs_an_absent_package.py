# Answers with a package that is not there when graded: the message names it.
# expect: 17 test_train=0
# says: scipy
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    import scipy.stats

    y = scipy.stats.zscore(x)
    return gamma * y + beta, x.mean(axis=0), x.var(axis=0)
