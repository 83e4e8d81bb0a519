# Stops itself, as Ctrl-Z does, and waits for ever.
# expect: 17 test_train=0
# rest: right

# %% train
import os
import signal


def batch_norm_train(x, gamma, beta, eps=1e-5):
    os.kill(os.getpid(), signal.SIGSTOP)
    return x, x[0], x[0]
