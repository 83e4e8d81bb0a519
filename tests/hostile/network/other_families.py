# Tries the less known kinds of sockets: netlink, packet, Bluetooth, vsock, crypto.
# expect: 17 test_train=0
# rest: right

# %% train
import ctypes
import socket


def batch_norm_train(x, gamma, beta, eps=1e-5):
    for family in (10, 16, 17, 31, 38, 40, 44):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
            try:
                with socket.socket(family, kind) as opened:
                    if family == 40:
                        opened.settimeout(0.2)
                        opened.connect((2, 22))
            except (OSError, ValueError) as error:
                print(error)
    libc = ctypes.CDLL(None, use_errno=True)
    print(libc.syscall(425, 8, ctypes.create_string_buffer(120)))  # io_uring_setup
    return x, x[0], x[0]
