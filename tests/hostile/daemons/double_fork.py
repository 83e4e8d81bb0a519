# Leaves a process that has cut all ties to its parents.
# expect: 17 test_train=0
# rest: right

# %% train
import os
import signal
import time


def batch_norm_train(x, gamma, beta, eps=1e-5):
    try:
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for number in range(1, 65):
                    try:
                        signal.signal(number, signal.SIG_IGN)
                    except (OSError, ValueError):
                        pass
                time.sleep(600)
            os._exit(0)
    except OSError as error:
        print(error)
    return x, x[0], x[0]
