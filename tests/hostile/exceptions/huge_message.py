# Raises an exception whose message is 100 MB long.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    raise ValueError("A" * 100_000_000)
