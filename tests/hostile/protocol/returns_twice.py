# Calls the worker's own loop again from within.
# expect: 17 test_train=0
# rest: right

# %% train
import sys


def batch_norm_train(x, gamma, beta, eps=1e-5):
    frame = sys._getframe().f_back
    while frame:
        for name, value in {**frame.f_globals, **frame.f_locals}.items():
            if name in ("main", "serve", "run", "loop", "answer", "reply", "send"):
                for arguments in ((), (None,), ({},), ({"ok": True}, [])):
                    try:
                        value(*arguments)
                    except Exception as error:
                        print(name, error)
        frame = frame.f_back
    return x, x[0], x[0]
