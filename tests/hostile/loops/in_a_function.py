# A function that never comes to an end.
# expect: 17 test_train=0
# says: still running
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    n = 0
    while n < len(x):
        n += 0
    return x, x[0], x[0]
