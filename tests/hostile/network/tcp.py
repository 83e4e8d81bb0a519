# Fetches the answer over the network, from this machine and from far away.
# expect: 17 test_train=0
# rest: right

# %% train
import socket


def batch_norm_train(x, gamma, beta, eps=1e-5):
    for address in (("127.0.0.1", int("{port}")), ("localhost", int("{port}")), ("1.1.1.1", 80)):
        try:
            with socket.create_connection(address, timeout=0.3) as server:
                server.sendall(b"hostile")
                print(address, server.recv(100))
        except OSError as error:
            print(error)
    return x, x[0], x[0]
