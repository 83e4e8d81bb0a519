# Opens a port and waits for the next student's answers.
# expect: 17 test_train=0
# rest: right

# %% train
import socket


def batch_norm_train(x, gamma, beta, eps=1e-5):
    for family, address in (
        (socket.AF_INET, ("0.0.0.0", 0)),
        (socket.AF_UNIX, "/tmp/hostile-socket"),
        (socket.AF_UNIX, "\0hostile-socket"),
    ):
        try:
            server = socket.socket(family)
            server.bind(address)
            server.listen()
            server.settimeout(0.2)
            server.accept()
        except OSError as error:
            print(error)
    return x, x[0], x[0]
