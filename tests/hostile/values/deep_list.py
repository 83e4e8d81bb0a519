# A list in a list in a list, a hundred thousand times.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    return deep, (deep,), {"a": deep}
