# Object arrays: numbers that are lists, arrays in arrays, itself.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    odd = np.empty(3, dtype=object)
    odd[:] = [odd, [1, 2], {"a": lambda: 0}]
    return odd, odd, odd
