# NaNs with payloads, negative zeros and infinities: equal to nothing, or to all?
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    nan = np.frombuffer(b"\x01\0\0\0\0\0\xf8\x7f" * x.size).reshape(x.shape)
    return nan, -np.zeros(x.shape[1]), np.full(x.shape[1], np.inf)
