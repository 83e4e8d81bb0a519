# Aborts, which may leave a dump of the process's memory in a file.
# expect: 17 test_train=0
# rest: right

# %% train
import os
import resource


def batch_norm_train(x, gamma, beta, eps=1e-5):
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (-1, -1))
    except (OSError, ValueError) as error:
        print(error)
    os.abort()
