# Changes what a canary file is besides its content.
# expect: 17 test_train=0
# rest: right

# %% train
import os


def batch_norm_train(x, gamma, beta, eps=1e-5):
    for path in ("{canary}", "{gradebook}", "{config}", "{home}"):
        for attack in (
            lambda path: os.chmod(path, 0o777),
            lambda path: os.chown(path, 12345, 12345),
            lambda path: os.utime(path, (1, 1)),
            lambda path: os.setxattr(path, "user.hostile", b"1"),
            lambda path: os.link(path, path + ".hostile"),
            lambda path: os.symlink(path, path + ".hostile-symlink"),
            lambda path: os.link(path, "/tmp/hostile"),
            lambda path: os.mkfifo(path + ".hostile-fifo"),
            lambda path: os.mkdir(path + ".hostile-folder"),
        ):
            try:
                attack(path)
            except OSError as error:
                print(error)
    return x, x[0], x[0]
