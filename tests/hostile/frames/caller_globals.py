# Looks for another student's, or the model's, function in the callers' globals.
# expect: 17 test_train=0
# rest: right

# %% train
import inspect


def batch_norm_train(x, gamma, beta, eps=1e-5):
    for info in inspect.stack(0):
        for name, value in info.frame.f_globals.items():
            if name in ("train_formula", "solution", "reference"):
                return value(x, gamma, beta, eps)
            if name in ("job", "source", "release", "tests"):
                print(value)
    return x, x[0], x[0]
