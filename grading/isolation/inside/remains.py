"""What a student's process leaves in a sandbox that another is to use."""

import ctypes
import os
import signal
import time

PR_SET_CHILD_SUBREAPER = 36
PATIENCE = 2.0  # seconds for killed processes to go
SHM_INFO, MSG_INFO, SEM_INFO = 14, 12, 19  # of shmctl, msgctl, semctl


class Remains:
    """Looks for what was not there at the start: processes, files, shared memory."""

    def __init__(self):
        # Orphans become children of this process.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        self._folders = [f for f in (os.environ["HOME"], "/dev/shm") if _is_open(f)]
        self._before = self._look()

    def nothing(self):
        """End all other processes; whether nothing else is left either."""
        return self._end_processes() and self._look() == self._before

    def _look(self):
        folders = [(os.stat(f).st_mode, os.listdir(f)) for f in self._folders]
        libc = ctypes.CDLL(None)
        buffers = [(ctypes.c_int * 64)() for _ in range(3)]
        libc.shmctl(0, SHM_INFO, buffers[0])
        libc.msgctl(0, MSG_INFO, buffers[1])
        libc.semctl(0, 0, SEM_INFO, buffers[2])
        return folders, [list(buffer) for buffer in buffers]

    def _end_processes(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if not os.waitpid(-1, os.WNOHANG)[0]:
                    os.kill(-1, signal.SIGKILL)  # all in this sandbox but this one
                    time.sleep(0.001)
            except ChildProcessError:
                return True
            except ProcessLookupError:
                continue
        return False


def _is_open(folder):
    try:
        os.listdir(folder)
    except OSError:
        return False
    return True
