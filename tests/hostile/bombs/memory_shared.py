# Takes memory that is shared between processes, so that it is nobody's own.
# expect: 17 test_train=0
# says: memory
# rest: right

# %% train
import mmap
import os
import time


def batch_norm_train(x, gamma, beta, eps=1e-5):
    for _ in range(3):
        if os.fork() == 0:
            break
    kept = []
    for _ in range(60):
        kept.append(mmap.mmap(-1, 20_000_000))
        kept[-1].write(b"x" * 20_000_000)
    time.sleep(600)
