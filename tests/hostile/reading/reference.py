# Has the course's own library, or torch, compute the answer.
# expect: 17 test_train=0
# rest: right

# %% train
import sys


def batch_norm_train(x, gamma, beta, eps=1e-5):
    sys.path[:0] = ["{repo}", "{course}", "{course}/../.."]
    try:
        from bnlib.check.forward._training import train_formula

        return train_formula(x, gamma, beta, eps)
    except ImportError as error:
        print(error)
    try:
        import bnlib

        return bnlib.batch_norm(x, gamma, beta, eps=eps)
    except Exception as error:
        print(error)
    try:
        import torch

        t = torch.tensor
        y = torch.nn.functional.batch_norm(
            t(x), None, None, t(gamma), t(beta), True, eps=eps
        )
        return y.numpy(), x.mean(axis=0), x.var(axis=0)
    except Exception as error:
        print(error)
    return x, x[0], x[0]
