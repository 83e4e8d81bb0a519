# The same through file descriptors, /proc and directory descriptors.
# expect: 17 test_train=0
# rest: right

# %% train
import ctypes
import os


def batch_norm_train(x, gamma, beta, eps=1e-5):
    libc = ctypes.CDLL(None, use_errno=True)
    value = (ctypes.c_char * 16)(*b"hostile")
    folder, name = os.path.split("{canary}")
    for attack in (
        lambda: os.fchmod(os.open("{canary}", os.O_RDONLY), 0o777),
        lambda: os.utime(os.open("{canary}", os.O_PATH), (1, 1)),
        lambda: os.chmod(name, 0o777, dir_fd=os.open(folder, os.O_PATH)),
        lambda: os.chdir(folder) or os.chmod(name, 0o777),
        lambda: os.chmod("/proc/self/root" + "{canary}", 0o777),
        lambda: os.chmod("/proc/1/root" + "{canary}", 0o777),
        lambda: os.chmod(f"/proc/{os.getppid()}/root" + "{canary}", 0o777),
        lambda: open("/proc/1/root" + "{canary}", "w").write("hostile"),
        lambda: open(f"/proc/{os.getppid()}/root" + "{canary}", "w").write("hostile"),
        lambda: os.truncate("/../../../.." + "{canary}", 0),
        lambda: libc.syscall(452, -100, b"{canary}", 0o777, 0),  # fchmodat2
        lambda: libc.syscall(463, -100, b"{canary}", 0, b"user.hostile", value, 16),
    ):
        try:
            attack()
        except OSError as error:
            print(error)
    return x, x[0], x[0]
