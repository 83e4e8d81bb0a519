# A right result, and an object that loops as it goes.
# expect: 17 test_train=0
# says: still running
# rest: right

# %% train
class Undead:
    def __del__(self):
        while True:
            pass


def batch_norm_train(x, gamma, beta, eps=1e-5):
    undead = Undead()
    mean, var = x.mean(axis=0), x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta, mean, var
