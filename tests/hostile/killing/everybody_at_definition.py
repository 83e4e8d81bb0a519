# Kills its process group and every process already while the cells are run.
# expect: 0

# %% train
import os
import signal

for target in (-1, 0, os.getppid(), os.getpid()):
    try:
        os.kill(target, signal.SIGKILL)
    except OSError as error:
        print(error)
