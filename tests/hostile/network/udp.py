# Sends what it has found in single packets, and asks the name service.
# expect: 17 test_train=0
# rest: right

# %% train
import socket
import threading


def batch_norm_train(x, gamma, beta, eps=1e-5):
    ask = threading.Thread(
        target=lambda: socket.getaddrinfo("example.org", 80), daemon=True
    )
    ask.start()
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            with socket.socket(socket.AF_INET, kind) as sender:
                sender.sendto(b"hostile", ("127.0.0.1", int("{port}")))
                sender.sendto(b"hostile", ("255.255.255.255", 9))
        except OSError as error:
            print(error)
    return x, x[0], x[0]
