# Writes notes for debugging to standard error, through print and logging.
# expect: 20
# rest: right

# %% train
import logging
import sys


def batch_norm_train(x, gamma, beta, eps=1e-5):
    print("shape", x.shape, file=sys.stderr)
    logging.warning("shape %s", x.shape)
    mean, var = x.mean(axis=0), x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta, mean, var
