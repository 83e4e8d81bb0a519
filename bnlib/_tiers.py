"""Which implementation computes a norm: the reference or a faster kernel.

`forward` and `backward` have the arguments of those in `_formula`, which they call
where no kernel takes the input. Every forward pass makes the same cache, so that any
backward pass follows any forward pass.
"""

from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache as memoise
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from bnlib import _formula
from bnlib._arguments import (
    check_parameter,
    check_shape,
    namespace,
    type_name,
)
from bnlib._formula import Cache, check_cache
from bnlib.cpu import layout

TIERS = ("fused", "numpy", "reference")  # best first
SMALL = 4096  # values, below which starting Numba cannot pay
_forced = ContextVar("bnlib_kernels", default=None)


@contextmanager
def kernels(tier):
    """Choose the implementation of batch, layer, group and RMS norm in a with block.

    Without it the best one that is installed and takes the input computes. Each is as
    accurate as the reference; results differ in the last digits.

    But: this chooses for the present thread (or asynchronous task) only.

    Parameters
    ----------
    tier : {"reference", "numpy", "fused"}
        The formula as written, for any array library; blocks that stay in the cache,
        with NumPy alone; or compiled loops that read and write once a pass (Numba:
        ``pip install 'bnlib[fast]'``). An input that a tier does not take goes to the
        next simpler one: the fast ones take NumPy arrays of float32 and float64 that
        are contiguous.

    Raises
    ------
    ValueError
        If there is no such tier.
    ModuleNotFoundError
        If the tier is "fused" and Numba is not installed.

    Examples
    --------
    >>> with bnlib.kernels("numpy"):
    ...     y, cache = bnlib.batch_norm(x, gamma, beta)
    """
    if tier not in TIERS:
        raise ValueError(f"tier is {tier!r}; expected one of {', '.join(TIERS[::-1])}")
    if tier == "fused" and not _numba_installed():
        raise ModuleNotFoundError(
            "tier is 'fused' but Numba is not installed: pip install 'bnlib[fast]'"
        )
    token = _forced.set(tier)
    try:
        yield
    finally:
        _forced.reset(token)


@memoise
def _numba_installed():
    return find_spec("numba") is not None


def _candidates(x):
    """Return the names of the fast tiers to try, in order."""
    tier = _forced.get()
    if tier is None:
        tier = "fused" if _numba_installed() and x.size >= SMALL else "numpy"
    return TIERS[TIERS.index(tier) : -1]


def forward(
    norm, x, gamma, beta, index, eps, *, meaning, shape, centred=True, out=None
):
    """Compute `_formula.forward` by the best kernel that takes x, into `out` if given.

    Raises
    ------
    TypeError, ValueError
        As the formula; also if `out` does not fit x or overlaps it.
    """
    check_out(out, x=x)
    tiers = _candidates(x) if layout.takes(x) else ()
    if tiers:
        g = check_parameter(np, "gamma", gamma, shape, meaning, x.dtype)
        b = check_parameter(np, "beta", beta, shape, meaning, x.dtype)
        g, b = _filled(g, 1, shape, x.dtype), _filled(b, 0, shape, x.dtype)
    for tier in tiers:
        y = np.empty_like(x, subok=False) if out is None else out
        statistics = _forward(tier, norm, x, g, b, index, eps, centred, y)
        if statistics is None:
            continue
        mean, var = (
            None if s is None else s.astype(x.dtype, copy=False) for s in statistics
        )
        if not (var + x.dtype.type(eps)).all():
            break  # the reference says what is wrong
        mean = mean.reshape(index.statistics) if centred else None
        var = var.reshape(index.statistics)
        return y, Cache(norm, x, gamma, beta, mean, var, eps, index)
    y, cache = _formula.forward(
        norm, x, gamma, beta, index, eps, meaning=meaning, shape=shape, centred=centred
    )
    return _into(out, y), cache


def backward(norm, dy, cache, *, out=None):
    """Compute `_formula.backward` by the best kernel, dx into `out` if given.

    Raises
    ------
    TypeError, ValueError
        As the formula; also if `out` does not fit x or overlaps x or dy.
    """
    check_cache(cache, norm)
    x, index = cache.x, cache.index
    namespace(dy=dy, x=x)
    check_shape("dy", dy, x.shape, "the shape of x")
    check_out(out, x=x, dy=dy)
    tiers = _candidates(x) if layout.takes(x, dy) else ()
    gamma, beta = cache.gamma, cache.beta
    if tiers:
        shape = np.shape(gamma)
        g = None if gamma is None else np.asarray(gamma, x.dtype)
        g = _filled(g, 1, shape or index.parameter, x.dtype)
    for tier in tiers:
        dx = np.empty_like(x, subok=False) if out is None else out
        gradients = _backward(tier, dy, cache, g, dx)
        if gradients is not None:
            dgamma, dbeta = (
                None if p is None else total.reshape(p.shape).astype(p.dtype)
                for total, p in zip(gradients, (gamma, beta), strict=True)
            )
            return dx, dgamma, dbeta
    dx, dgamma, dbeta = _formula.backward(norm, dy, cache)
    return _into(out, dx), dgamma, dbeta


def check_out(out, **inputs):
    """Check an output array against x, the first input, and that it overlaps none."""
    if out is None:
        return
    x = inputs["x"]
    namespace(out=out, x=x)
    check_shape("out", out, x.shape, "the shape of x")
    if out.dtype != x.dtype:
        raise TypeError(f"out has dtype {out.dtype}; expected {x.dtype}, as x")
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is a {type_name(out)}; only NumPy arrays are written to")
    if not out.flags.writeable:
        raise ValueError("out is read-only; expected an array that can be written to")
    for name, array in inputs.items():
        if np.may_share_memory(out, array):
            raise ValueError(f"out overlaps {name}; expected memory of its own")


def _into(out, result):
    if out is None:
        return result
    out[...] = result
    return out


def _filled(parameter, value, shape, dtype):
    if parameter is None:
        return np.full(shape, value, dtype).reshape(-1)
    return np.ascontiguousarray(parameter).reshape(-1)


def _forward(tier, norm, x, gamma, beta, index, eps, centred, y):
    """Return mean and variance, or None if the kernel does not take the input."""
    if norm == "batch_norm":
        axis = _channel_axis(index)
        views = layout.channels(x, axis), layout.channels(y, axis)
        if not _alike((x, y), views):
            return None
        kernel = import_module(f"bnlib.cpu.{tier}_channels")
        return kernel.forward(views[0], gamma, beta, eps, views[1])
    views, groups = zip(*(layout.rows(a, index) for a in (x, y)), strict=True)
    if not _alike((x, y), views):
        return None
    kernel = import_module(f"bnlib.cpu.{tier}_rows")
    return kernel.forward(views[0], groups[0], gamma, beta, eps, centred, views[1])


def _backward(tier, dy, cache, gamma, dx):
    """Return dgamma and dbeta, or None if the kernel does not take the input."""
    arrays, index = (dy, cache.x, dx), cache.index
    var = cache.var.reshape(-1).astype(np.float64)
    mean = None if cache.mean is None else cache.mean.reshape(-1).astype(np.float64)
    if cache.norm == "batch_norm":
        axis = _channel_axis(index)
        views = [layout.channels(a, axis) for a in arrays]
        if not _alike(arrays, views):
            return None
        kernel = import_module(f"bnlib.cpu.{tier}_channels")
        return kernel.backward(*views[:2], gamma, cache.eps, mean, var, views[2])
    views, groups = zip(*(layout.rows(a, index) for a in arrays), strict=True)
    if not _alike(arrays, views):
        return None
    kernel = import_module(f"bnlib.cpu.{tier}_rows")
    return kernel.backward(*views[:2], groups[0], gamma, cache.eps, mean, var, views[2])


def _channel_axis(index):
    (axis,) = set(range(len(index.view))) - set(index.reduced)
    return axis


def _alike(arrays, views):
    """Whether all arrays have a view, and the same layout in memory."""
    return all(v is not None for v in views) and all(
        a.flags.c_contiguous == arrays[0].flags.c_contiguous for a in arrays
    )
