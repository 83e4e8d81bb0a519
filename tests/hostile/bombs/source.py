# An expression so deep that the compiler gives up, or falls over.
# expect: 17 test_train=0
# rest: right

# %% train
exec("x = " + "(" * 100_000 + ")" * 100_000)
eval("+".join(["1"] * 1_000_000))


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return x, x[0], x[0]
