"""How an array looks to a kernel: three axes, contiguous, nothing copied."""

from math import prod

import numpy as np


def takes(*arrays):
    """Whether all are NumPy arrays of one dtype, float32 or float64."""
    return all(type(a) in (np.ndarray, np.memmap) for a in arrays) and all(
        a.dtype == arrays[0].dtype and a.dtype in (np.float32, np.float64)
        for a in arrays
    )


def channels(array, axis):
    """Return an array as (A, C, B) with channels in the middle, or None.

    What lies before the channel axis becomes A, what lies behind it B. A transposed
    array with the channels last in memory becomes (A, C, 1).
    """
    if not array.flags.c_contiguous:
        array, axis = np.moveaxis(array, axis, -1), array.ndim - 1
        if not array.flags.c_contiguous:
            return None
    before, behind = array.shape[:axis], array.shape[axis + 1 :]
    return np.asarray(array).reshape(prod(before), array.shape[axis], prod(behind))


def rows(array, index):
    """Return an array as (rows, K, B), or None, and G.

    A row shares its statistics. Its K parts of B values share a parameter each: row r
    has those from (r mod G)·K on.
    """
    first = index.reduced[0]
    parts = prod(index.parameter[first:])
    groups = prod(index.parameter[:first])
    if not array.flags.c_contiguous:
        return None, groups
    shape = (prod(index.view[:first]), parts, index.count // parts)
    return np.asarray(array).reshape(shape), groups
