# Prints 20 MB in each call.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    for _ in range(20):
        print("\x00\x1b[2J" + "A" * 1_000_000)
    return x, x[0], x[0]
