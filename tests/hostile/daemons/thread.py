# A thread that never ends; the answers are right.
# expect: 20
# rest: right

# %% notes
import threading
import time


def wait():
    while True:
        time.sleep(0.05)


threading.Thread(target=wait).start()
