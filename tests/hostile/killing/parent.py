# Kills its parent.
# expect: 17 test_train=0
# rest: right

# %% train
import os
import signal


def batch_norm_train(x, gamma, beta, eps=1e-5):
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(os.getppid(), number)
        except OSError as error:
            print(error)
    return x, x[0], x[0]
