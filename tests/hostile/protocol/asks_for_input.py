# Waits for somebody to type something.
# expect: 17 test_train=0
# rest: right

# %% train
name = input("Your name? ")


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return x, x[0], x[0]
