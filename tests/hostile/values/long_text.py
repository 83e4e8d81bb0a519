# A text of a gigabyte, in place of an array.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    return "A" * 10**9, b"A" * 10**8, bytearray(10**8)
