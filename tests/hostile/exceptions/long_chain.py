# Raises an exception that was caused by 100 000 others.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    last = ValueError("first")
    for n in range(100_000):
        error = ValueError(n)
        error.__cause__ = error.__context__ = last
        last = error
    ring = ValueError("ring")
    ring.__context__ = last
    raise ExceptionGroup("group", [last, ring, ExceptionGroup("group", [last])])
