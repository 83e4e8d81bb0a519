"""How arrays look to a kernel: three axes, contiguous, nothing copied."""

from math import prod

import numpy as np


def takes(*arrays):
    """Whether all are NumPy arrays of one dtype, float32 or float64."""
    dtype = arrays[0].dtype
    return dtype.char in "fd" and all(
        a.dtype == dtype and a.dtype.isnative and type(a) in (np.ndarray, np.memmap)
        for a in arrays
    )


def channels(index, *arrays):
    """Return the arrays as (A, C, B) with channels in the middle, or None.

    What lies before the channel axis becomes A, what lies behind it B. Transposed
    arrays with the channels last in memory become (A, C, 1).
    """
    (axis,) = (a for a in range(len(index.view)) if a not in index.reduced)
    if not all(a.flags.c_contiguous for a in arrays):
        arrays = [np.moveaxis(a, axis, -1) for a in arrays]
        axis = len(index.view) - 1
    shape = arrays[0].shape
    return _reshaped(arrays, (prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])))


def rows(index, *arrays):
    """Return the arrays as (R, K, B), or None.

    A row shares its statistics. Its K parts of B values share a parameter each; with G
    parameter sets of K, row r has number r mod G.
    """
    first = index.reduced[0]
    parts = prod(index.parameter[first:])
    shape = (prod(index.view[:first]), parts, index.count // parts)
    return _reshaped(arrays, shape)


def _reshaped(arrays, shape):
    if not all(a.flags.c_contiguous for a in arrays):
        return None
    return [np.asarray(a).reshape(shape) for a in arrays]
