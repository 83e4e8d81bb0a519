"""Moments of channels as threads gather them, with a knob for each way to lose some.

Thread t of a block takes the values t, t + block, t + 2·block, … of its channel; which
threads count, and which of their values, is what kernels get wrong.

But: no messages here; they stand beside the exercises.
"""

import numpy as np

LAYOUTS = {
    "NCS": lambda x: x.transpose(1, 0, 2).reshape(x.shape[1], -1),
    "CNS": lambda x: x.reshape(x.shape[1], -1),
    "NSC": lambda x: x.reshape(-1, x.shape[1]).T,
}


def channels(x, layout="NCS"):
    """Return x of shape (N, C, S) as (C, N·S), or what a wrong index makes of it."""
    return LAYOUTS[layout](x.astype(np.float64))


def back(rows, shape, layout="NCS"):
    """Return (C, N·S) in the shape (N, C, S): what `channels` took apart."""
    n, c, s = shape
    if layout == "CNS":
        return rows.reshape(shape)
    if layout == "NSC":
        return rows.T.reshape(shape)
    return rows.reshape(c, n, s).transpose(1, 0, 2)


def counted(size, block, threads="all"):
    """Return which of a row's values reach the sum, as a mask."""
    i = np.arange(size)
    lane = i % block
    return {
        "all": i >= 0,
        "thread 0": lane == 0,
        "first warp": lane < 32,
        "last warp": lane >= block - 32,
        "lane 0": lane % 32 == 0,
        "half warps": lane % 32 < 16,
        "no stride": i < block,
        "whole rounds": i < size // block * block,
        "power of two": lane < 2 ** int(np.log2(block)),
        "tree": _in_tree(lane, block, 0),
        "short tree": _in_tree(lane, block, 1),
    }[threads]


def _in_tree(lane, block, last):
    """Return whose values get to thread 0 when half the threads add the other half."""
    reached, half = {0}, []
    size = block // 2
    while size > last:
        half.append(size)
        size //= 2
    for size in reversed(half):
        reached |= {t + size for t in reached if t < size}
    return np.isin(lane, list(reached))
