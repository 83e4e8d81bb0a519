"""Sums in the dtype of x over stretches that are short enough, then in float64."""

from functools import cache

import numpy as np

from bnlib.cpu import threads

NEAR = 1.0  # mean²/var, up to which E[x²] - E[x]² loses at most a factor of two
ROWS = 16  # summed one by one in the dtype of x
STRETCH = 2**10  # values for one dot product


def column_sums(a, b=None):
    """Return the sums of the columns of a, or of a·b, in float64."""
    total = 0.0
    for i, j in threads.blocks(len(a), ROWS):
        if b is None:
            part = np.add.reduce(a[i:j], axis=0)
        else:
            part = np.einsum("ij,ij->j", a[i:j], b[i:j])
        total = total + part.astype(np.float64)
    return total


def last_sums(a, b=None):
    """Return the sums along the last axis of a, or of a·b, in float64.

    A dot product sums in many places at once, as vector registers have; so does one
    with ones, and faster than a sum.
    """
    length = a.shape[-1]
    step = _divisor(length)
    whole = length - length % step
    shape = (*a.shape[:-1], whole // step, step)
    pieces = a[..., :whole].reshape(shape)
    other = _ones(step, a.dtype) if b is None else b[..., :whole].reshape(shape)
    total = np.add.reduce(np.vecdot(pieces, other), axis=-1, dtype=np.float64)
    if whole < length:
        total += last_sums(a[..., whole:], None if b is None else b[..., whole:])
    return total


@cache
def _divisor(length):
    """Return into how long pieces to cut a length: a divisor, if one is near."""
    divisors = range(STRETCH, STRETCH // 4, -1)
    if length <= STRETCH:
        return length
    return next((d for d in divisors if length % d == 0), STRETCH)


@cache
def _ones(length, dtype):
    return np.ones(length, dtype)


def far(mean, var):
    """Whether a mean is too large for E[x²] - E[x]²: then x minus it must take over."""
    return not (mean * mean <= NEAR * var).all()  # NaN is far
