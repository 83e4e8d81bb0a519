# Takes memory through files without a name.
# expect: 17 test_train=0
# says: memory|files
# rest: right

# %% train
import os
import time


def batch_norm_train(x, gamma, beta, eps=1e-5):
    for _ in range(3):
        if os.fork() == 0:
            break
    block = b"x" * 1_000_000
    for n in range(100):
        try:
            file = os.memfd_create(f"{n}")
            for _ in range(15):
                os.write(file, block)
        except OSError:
            break
    time.sleep(600)
