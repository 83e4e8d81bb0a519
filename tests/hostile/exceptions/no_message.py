# Raises an exception that cannot say what it is.
# expect: 17 test_train=0
# rest: right

# %% train
class Mute(Exception):
    def __str__(self):
        raise self

    __repr__ = __str__

    @property
    def args(self):
        raise SystemExit(0)

    @property
    def __class__(self):
        raise KeyboardInterrupt

    @property
    def __traceback__(self):
        raise Mute


def batch_norm_train(x, gamma, beta, eps=1e-5):
    raise Mute
