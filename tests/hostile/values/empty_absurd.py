# Arrays without entries whose shapes overflow.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    none = np.zeros((0, 2**40))
    return none, np.zeros((2**60, 0)), np.zeros((1,) * 64)
