# Takes all memory while the cells are run.
# expect: 17 test_train=0
# rest: right

# %% train
kept = [np.ones(10**7) for _ in range(1000)]


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return x, x[0], x[0]
