# A number with a hundred million digits.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    return str(7 ** (10**9))
