"""Run a command under sandlock, and leave no process behind.

``python jail.py <policy as JSON> <command>``; standard streams pass through. The jail
ends with the command, when it is told to (SIGTERM), or when its parent dies; whatever
the command started ends with it, for its orphans become the jail's own children.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import threading

import psutil
from sandlock import Sandbox, StdioMode

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
# Landlock guards what is in files, not who owns them, nor limits of other processes.
DENIED = (
    "chmod fchmod fchmodat chown fchown lchown fchownat utime utimes utimensat "
    "futimesat setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr "
    "fchmodat2 setxattrat removexattrat file_setattr "
    "setrlimit prlimit64 setpriority ioprio_set sched_setaffinity sched_setattr "
    "sched_setparam sched_setscheduler"
).split()


def main() -> None:
    """Do it."""
    policy, command = json.loads(sys.argv[1]), sys.argv[2:]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != policy["parent"]:
        return
    limits = policy["limits"]
    sandbox = Sandbox(
        fs_readable=[*policy["readable"], "/dev/null", "/dev/urandom"],
        fs_writable=[*policy["writable"], "/dev/null"],
        clean_env=True,
        env=policy["environment"] | {"TMPDIR": policy["folder"]},
        cwd=policy["folder"],
        max_memory=limits["memory"],
        max_processes=limits["processes"],
        extra_deny_syscalls=DENIED,
    )
    for name, value in policy["rlimits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    process = sandbox.popen(command, *3 * [StdioMode.INHERIT])
    threading.Thread(target=_wait, args=(process,), daemon=True).start()
    signal.sigwait({signal.SIGTERM})
    try:
        while descendants := psutil.Process().children(recursive=True):
            for descendant in descendants:
                if descendant.status() != psutil.STATUS_ZOMBIE:
                    descendant.kill()
            _reap()
    finally:
        os._exit(0)


def _wait(process) -> None:
    process.wait()
    os.kill(os.getpid(), signal.SIGTERM)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    main()
