# Returns a generator without an end in place of a tuple.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    while True:
        yield x
