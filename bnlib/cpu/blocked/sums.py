"""Sums in the dtype of x over stretches that are short enough, then in float64."""

import numpy as np

from bnlib.cpu import threads

NEAR = 4.0  # mean²/var, up to which E[x²] - E[x]² keeps its digits
ROWS = 16  # summed one by one in the dtype of x
STRETCH = 2**11  # values for one dot product


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
    total = 0.0
    for i, j in threads.blocks(a.shape[-1], STRETCH):
        other = np.ones(j - i, a.dtype) if b is None else b[..., i:j]
        total = total + np.vecdot(a[..., i:j], other).astype(np.float64)
    return total


def far(mean, var):
    """Whether a mean is too large for E[x²] - E[x]²: then x minus it must take over."""
    return not np.all(mean * mean <= NEAR * var)
