# Times a whole cell.
# expect: 20
# rest: right

# %% train
%%time
def batch_norm_train(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta, mean, var
