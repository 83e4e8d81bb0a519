# Leaves daemons already while the cells are run; the answers are right.
# expect: 20
# rest: right

# %% notes
import os
import subprocess
import time

try:
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)
        os._exit(0)
    subprocess.Popen(["sleep", "600"], start_new_session=True)
except OSError as error:
    print(error)
