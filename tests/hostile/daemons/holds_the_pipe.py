# Leaves a child that keeps the grader's pipes open, so that they never end.
# expect: 17 test_train=0
# rest: right

# %% train
import os
import time


def batch_norm_train(x, gamma, beta, eps=1e-5):
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)
    os._exit(0)
