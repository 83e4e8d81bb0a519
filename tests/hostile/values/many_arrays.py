# A million small arrays in place of three.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    return (x,) * 10_000_000
