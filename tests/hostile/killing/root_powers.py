# Tries what only the system's administrator may do.
# expect: 17 test_train=0
# rest: right

# %% train
import ctypes
import os
import stat


def batch_norm_train(x, gamma, beta, eps=1e-5):
    libc = ctypes.CDLL(None, use_errno=True)
    for attack in (
        lambda: libc.mount(b"none", b"{home}", b"tmpfs", 0, None),
        lambda: libc.umount2(b"/proc", 2),
        lambda: libc.unshare(0x10000000) and libc.unshare(0x20000),
        lambda: libc.mount(b"none", b"/", None, 1 << 18 | 1 << 14, None),
        lambda: os.mknod("/tmp/hostile-device", 0o600 | stat.S_IFCHR, os.makedev(1, 11)),
        lambda: open("/tmp/hostile-device", "w").write("hostile"),
        lambda: os.chroot("/tmp"),
        lambda: os.setuid(0),
        lambda: open("/proc/sys/kernel/hostname", "a").close(),
        lambda: open("/proc/sysrq-trigger", "a").close(),
        lambda: open("/dev/mem", "rb").read(1),
        lambda: open("/dev/kmsg", "w").write("hostile"),
    ):
        try:
            print(attack())
        except OSError as error:
            print(error)
    return x, x[0], x[0]
