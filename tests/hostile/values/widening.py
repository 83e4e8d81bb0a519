# Small numbers, sixty million at a time, that become eight times as large as floats.
# expect: 17 test_train=0
# rest: right

# %% train
big = np.zeros(20_000_000, dtype=bool)


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return big, big[::-1], big.view(np.int8)
