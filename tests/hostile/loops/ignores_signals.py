# Ignores every signal that can be ignored, and blocks them as well.
# expect: 17 test_train=0
# says: still running
# rest: right

# %% train
import signal
import time


def batch_norm_train(x, gamma, beta, eps=1e-5):
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue
