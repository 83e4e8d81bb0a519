# Calls itself for ever.
# expect: 17 test_train=0
# says: (?i)recursion
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    return batch_norm_train(x, gamma, beta, eps)
