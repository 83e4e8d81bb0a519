# Returns right numbers in unusual arrays: read-only, reversed, big-endian, Fortran.
# expect: 20
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    y = np.asfortranarray(gamma * (x - mean) / np.sqrt(var + eps) + beta)[::-1][::-1]
    mean = mean.astype(">f8")
    var = np.stack([var, var], axis=1)[:, 0].astype(np.longdouble)
    mean.flags.writeable = False
    return [y, mean, var]
