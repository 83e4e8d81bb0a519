# A view of one number with more entries than there are atoms.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    return np.broadcast_to(1.0, (10**6, 10**6, 10**6)), x[0], x[0]
