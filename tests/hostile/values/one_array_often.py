# The same large array fifty thousand times in one answer.
# expect: 17 test_train=0
# rest: right

# %% train
big = np.zeros(60_000_000, dtype=bool)


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return [big] * 40_000
