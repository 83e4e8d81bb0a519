"""What the tests of the kernels share: tiers, and results beside the reference's."""

from importlib.util import find_spec

import bnlib

TIERS = ["numpy", "fused"] if find_spec("numba") else ["numpy"]


def results(tier, norm, x, parameters, dy):
    with bnlib.kernels(tier):
        y, cache = norm.forward(x, *parameters)
        mean = () if cache.mean is None else (cache.mean,)
        return y, *mean, cache.var, *norm.backward(dy, cache)


def widened(x, parameters, dy):
    return x.astype(float), [p.astype(float) for p in parameters], dy.astype(float)
