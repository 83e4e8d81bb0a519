# Each call is short, all calls together are long.
# expect: 17 test_train=0
# says: still running
# rest: right

# %% train
import time


def batch_norm_train(x, gamma, beta, eps=1e-5):
    time.sleep(0.4)
    mean, var = x.mean(axis=0), x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta, mean, var
