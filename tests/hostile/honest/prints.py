# Prints on the way, to see what happens.
# expect: 20
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    print("x is", x)
    mean, var = x.mean(axis=0), x.var(axis=0)
    print("mean", mean, "var", var, end="", flush=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta, mean, var
