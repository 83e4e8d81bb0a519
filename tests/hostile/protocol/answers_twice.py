# Two processes answer the same question.
# expect: 17 test_train=0
# rest: right

# %% train
import os


def batch_norm_train(x, gamma, beta, eps=1e-5):
    try:
        os.fork()
    except OSError as error:
        print(error)
    return x, x[0], x[0]
