# Opens files until there is no descriptor left, and keeps them.
# expect: 17 test_train=0
# rest: right

# %% train
import os


def batch_norm_train(x, gamma, beta, eps=1e-5):
    kept = []
    try:
        while True:
            kept.append(os.dup(0))
    except OSError as error:
        print(len(kept), error)
    return x, x[0], x[0]
