"""Batch norm in blocks that fit in the cache, with NumPy alone.

A slab of a few channels is read from memory once; all further steps find it in the
cache, and write in place into the output: no temporary is as large as a slab. Rows of a
slab are (sample, channels·positions), so that inner loops are long however few the
positions are; vectors with a value for each column stand in for gamma and its like.

Data that is channels-last has no such slab. It goes in blocks of rows, read twice.

But: NumPy cannot fuse. Each multiplication and each addition is a pass over the slab;
see `fused_channels`.
"""

import numpy as np

from bnlib.cpu import threads

SLAB = 2**20  # bytes of x; with y as much again: about the second-level cache
NARROW = 256  # columns, below which strided rows cost more than a second read
ROWS = 32  # summed in the dtype of x; longer sums go on in float64
NEAR = 4.0  # mean²/var, up to which E[x²] - E[x]² keeps its digits (float64 sums)


class Block:
    """Columns of a matrix, each of which belongs to a channel."""

    def __init__(self, repeats, channels, positions):
        self.shape = (repeats, channels, positions)

    def fold(self, columns):
        """Return the sum over each channel's columns, in float64."""
        return columns.reshape(self.shape).sum((0, 2), dtype=np.float64)

    def unfold(self, values, dtype):
        """Return each channel's value for every column."""
        values = values.astype(dtype)[None, :, None]
        return np.broadcast_to(values, self.shape).reshape(-1)


def column_sums(a, b=None):
    """Return the sums of the columns of a, or of a·b."""
    total = 0.0
    for i, j in threads.blocks(len(a), ROWS):
        if b is None:
            part = np.add.reduce(a[i:j], axis=0)
        else:
            part = np.einsum("ij,ij->j", a[i:j], b[i:j])
        if len(a) <= ROWS:
            return part
        total = total + part.astype(np.float64)
    return total


def _slab_plan(shape, itemsize):
    """Return blocks of channels to be read once, or None for blocks of rows."""
    outer, channels, positions = shape
    fitting = SLAB // (outer * positions * itemsize)
    size = max(1, min(fitting, -(-channels // threads.count())))
    if fitting < channels and size * positions < NARROW:
        return None
    return threads.blocks(channels, size)


def _row_plan(shape, itemsize):
    """Return a matrix shape with long rows, its columns, and blocks of its rows."""
    outer, channels, positions = shape
    width = channels * positions
    repeats = max(k for k in range(1, max(1, 1024 // width) + 1) if outer % k == 0)
    matrix = (outer // repeats, repeats * width)
    size = max(1, SLAB // 2 // (matrix[1] * itemsize))
    return matrix, Block(repeats, channels, positions), threads.blocks(matrix[0], size)


def _far(mean, var):
    return bool(np.any(mean * mean > NEAR * var))


def forward(x, gamma, beta, eps, y):
    """Write y for x as (A, C, B); return mean and variance, or None if var + eps is 0.

    Sums of x and x² are enough while the mean is within a few standard deviations of
    0. Otherwise x minus the rounded mean, which is exact, takes the place of x.
    """
    if (slabs := _slab_plan(x.shape, x.itemsize)) is None:
        return _forward_rows(x, gamma, beta, eps, y)
    outer, channels, positions = x.shape
    mean, var = np.empty((2, channels))
    flat, out = x.reshape(outer, -1), y.reshape(outer, -1)

    def work(slab):
        start, stop = slab
        columns = slice(start * positions, stop * positions)
        source, target = flat[:, columns], out[:, columns]
        block = Block(1, stop - start, positions)

        def moments(a):
            sums = block.fold(column_sums(a)), block.fold(column_sums(a, a))
            return [total / (outer * positions) for total in sums]

        first, second = moments(source)
        variance, shift = second - first * first, first
        if _far(first, variance):
            pivot = block.unfold(first, x.dtype)
            source = np.subtract(source, pivot, out=target)
            shift, second = moments(source)
            variance = np.maximum(second - shift * shift, 0)
            first = first.astype(x.dtype) + shift
        mean[start:stop], var[start:stop] = first, variance
        if np.all(variance + eps != 0):
            part = slice(start, stop)
            terms = _terms(gamma[part], beta[part], shift, variance, eps)
            _scale(source, target, *(block.unfold(t, x.dtype) for t in terms))

    threads.spread(work, slabs)
    return mean, var


def _terms(gamma, beta, shift, var, eps):
    scale = gamma / np.sqrt(var + eps)
    return scale, beta - shift * scale


def _scale(source, target, scale, shift):
    np.multiply(source, scale, out=target)
    target += shift


def _forward_rows(x, gamma, beta, eps, y):
    matrix, block, parts = _row_plan(x.shape, x.itemsize)
    source, target = x.reshape(matrix), y.reshape(matrix)
    count = x.size // x.shape[1]

    def moments(pivot=None):
        sums = np.zeros((len(parts), 2, x.shape[1]))

        def work(i):
            start, stop = parts[i]
            rows = source[start:stop]
            if pivot is not None:
                rows = np.subtract(rows, pivot, out=target[start:stop])
            sums[i] = block.fold(column_sums(rows)), block.fold(column_sums(rows, rows))

        threads.spread(work, range(len(parts)))
        return sums.sum(0) / count

    mean, second = moments()
    var, shift = second - mean * mean, mean
    if _far(mean, var):
        shift, second = moments(block.unfold(mean, x.dtype))
        source = target
        var = np.maximum(second - shift * shift, 0)
        mean = mean.astype(x.dtype) + shift
    if np.all(var + eps != 0):
        terms = _terms(gamma, beta, shift, var, eps)
        scale, shift = (block.unfold(t, x.dtype) for t in terms)
        threads.spread(
            lambda p: _scale(source[slice(*p)], target[slice(*p)], scale, shift), parts
        )
    return mean, var


def backward(dy, x, gamma, eps, mean, var, dx):
    """Write dx; return dgamma and dbeta in float64.

    dx = s·(dy - mean(dy) - xhat·mean(dy·xhat)) with s = gamma/std, which is
    s·(dy + slope·x + offset). The cached mean is rounded; where it is large, x minus
    that mean takes the place of x, and the sum of that the place of the mean.
    """
    outer, channels, positions = x.shape
    count = outer * positions
    if (slabs := _slab_plan(x.shape, x.itemsize)) is None:
        matrix, block, parts = _row_plan(x.shape, x.itemsize)
        tasks = [(slice(0, channels), parts, block, slice(None))]
    else:
        matrix = (outer, channels * positions)
        tasks = [
            (
                slice(start, stop),
                [(0, outer)],
                Block(1, stop - start, positions),
                slice(start * positions, stop * positions),
            )
            for start, stop in slabs
        ]
    x, dy, dx = (a.reshape(matrix) for a in (x, dy, dx))
    dgamma, dbeta = np.empty((2, channels))
    inv_std = 1 / np.sqrt(var + eps)

    def work(task, spread):
        part, blocks, block, columns = task
        source, given, target = x[:, columns], dy[:, columns], dx[:, columns]
        m, v = mean[part], inv_std[part]
        far = _far(m, var[part])
        pivot = block.unfold(m, x.dtype) if far else None
        sums = np.zeros((len(blocks), 3, part.stop - part.start))

        def reduce(i):
            rows = slice(*blocks[i])
            centred = source[rows]
            if far:
                centred = np.subtract(centred, pivot, out=target[rows])
                sums[i, 2] = block.fold(column_sums(centred))
            sums[i, 0] = block.fold(column_sums(given[rows]))
            sums[i, 1] = block.fold(column_sums(given[rows], centred))

        spread(reduce, range(len(blocks)))
        total, product, rest = sums.sum(0)
        centre = rest / count if far else m
        dbeta[part] = total
        dgamma[part] = (product - centre * total) * v
        slope = -v * dgamma[part] / count
        offset = -slope * centre - total / count
        terms = slope, offset, gamma[part] * v
        slope, offset, scale = (block.unfold(t, x.dtype) for t in terms)

        def apply(rows):
            out = target[slice(*rows)]
            np.multiply(out if far else source[slice(*rows)], slope, out=out)
            out += given[slice(*rows)]
            out += offset
            out *= scale

        spread(apply, blocks)

    if slabs is None:
        work(tasks[0], threads.spread)
    else:
        threads.spread(lambda task: work(task, _one_by_one), tasks)
    return dgamma, dbeta


def _one_by_one(work, tasks):
    for task in tasks:
        work(task)
