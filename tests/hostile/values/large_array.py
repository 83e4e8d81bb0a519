# Eight gigabytes of zeros, which cost nothing until they are read.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    return np.broadcast_to(0.0, 10**9), np.broadcast_to(0.0, (10**5, 10**4)), x[0]
