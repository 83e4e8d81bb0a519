# Raises what Ctrl-C raises, which many programs let through.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    raise KeyboardInterrupt
