# Never ends at exit; the answers are right.
# expect: 20
# rest: right

# %% notes
import atexit
import time


class Undead:
    def __del__(self):
        while True:
            time.sleep(1)


def forever():
    while True:
        time.sleep(1)


atexit.register(forever)
undead = Undead()
