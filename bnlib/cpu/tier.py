"""What the two CPU tiers share: from the formula's arguments to a kernel's and back.

A tier has two modules of kernels. `channels` serves batch norm, `rows` the norms whose
statistics belong to a stretch of memory: layer, group, instance and RMS norm.
"""

import math

import numpy as np

from bnlib._arguments import check_parameter
from bnlib._formula import Cache
from bnlib.cpu import layout


def forward(
    kernels, norm, x, gamma, beta, index, eps, *, meaning, shape, centred=True, out=None
):
    """Compute `_formula.forward`, or return None if the kernels do not take x."""
    if not layout.takes(x):
        return None
    y = np.empty_like(x, subok=False) if out is None else out
    kernel, views = _choose(kernels, norm, index, x, y)
    if views is None:
        return None
    if not (_good(gamma, shape, x) and _good(beta, shape, x)):
        check_parameter(np, "gamma", gamma, shape, meaning, x.dtype)
        check_parameter(np, "beta", beta, shape, meaning, x.dtype)
    g, b = _flat(gamma, 1, shape, x), _flat(beta, 0, shape, x)
    shape = index.statistics
    mean, var = np.empty((2, math.prod(shape)), x.dtype)
    kernel.forward(*views, g, b, eps, centred, mean, var)
    if not (x.dtype.type(eps) or var.all()):
        return None  # the reference says what is wrong
    mean = mean.reshape(shape) if centred else None
    return y, Cache(norm, x, gamma, beta, mean, var.reshape(shape), eps, index)


def backward(kernels, norm, dy, cache, *, out=None):
    """Compute `_formula.backward`, or return None if the kernels do not take dy."""
    x, gamma, beta, index = cache.x, cache.gamma, cache.beta, cache.index
    if not layout.takes(x, dy, cache.var):
        return None
    dx = np.empty_like(x, subok=False) if out is None else out
    kernel, views = _choose(kernels, norm, index, x, dy, dx)
    if views is None:
        return None
    shape = gamma.shape if gamma is not None else index.parameter
    g = _flat(gamma, 1, shape, x)
    mean = cache.mean if cache.mean is None else cache.mean.reshape(-1)
    gradients = kernel.backward(*views, g, cache.eps, mean, cache.var.reshape(-1))
    dgamma, dbeta = (
        None if p is None else total.reshape(p.shape).astype(p.dtype, copy=False)
        for total, p in zip(gradients, (gamma, beta), strict=True)
    )
    return dx, dgamma, dbeta


def _choose(kernels, norm, index, *arrays):
    channels, rows = kernels
    if norm == "batch_norm":
        return channels, layout.channels(index, *arrays)
    return rows, layout.rows(index, *arrays)


def _good(parameter, shape, x):
    """Whether a parameter needs no further check: a quick test, which may say no.

    Its squares add up to infinity or NaN if it holds one.
    """
    return parameter is None or (
        parameter.dtype == x.dtype
        and parameter.shape == shape
        and math.isfinite(np.vdot(parameter, parameter))
    )


def _flat(parameter, value, shape, x):
    if parameter is None:
        return np.full(shape, value, x.dtype).reshape(-1)
    flat = np.ascontiguousarray(parameter, x.dtype).reshape(-1)
    return flat if flat.flags.behaved else flat.copy()
