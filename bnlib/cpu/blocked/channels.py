"""Batch norm in blocks that fit in the cache, with NumPy alone.

A slab of a few channels is read from memory once; all further steps find it in the
cache, and write in place into the output: no temporary is as large as a slab. Rows of a
slab are (sample, channels·positions), so that inner loops are long however few the
positions are; vectors with a value for each column stand in for gamma and its like.

Data that is channels-last has no such slab. It goes in blocks of rows, read twice.

But: NumPy cannot fuse. Each multiplication and each addition is a pass over the slab;
see `fused`.
"""

import numpy as np

from bnlib.cpu import threads
from bnlib.cpu.blocked.sums import column_sums, far, last_sums

SLAB = 2**20  # bytes of x; with y as much again: about the second-level cache
NARROW = 256  # columns, below which strided rows cost more than a second read
SHORT = 128  # positions, below which a dot product for each channel is slow


class Block:
    """Columns of a matrix, each of which belongs to a channel."""

    def __init__(self, repeats, channels, positions):
        self.shape = (repeats, channels, positions)

    def sums(self, a, b=None):
        """Return the sums of a, or of a·b, over each channel, in float64."""
        if self.shape[2] < SHORT:
            return column_sums(a, b).reshape(self.shape).sum((0, 2))
        shape = (len(a) * self.shape[0], *self.shape[1:])
        a, b = (None if m is None else m.reshape(shape) for m in (a, b))
        return last_sums(a, b).sum(0)

    def unfold(self, values, dtype):
        """Return each channel's value for every column."""
        repeats, channels, positions = self.shape
        values = values.astype(dtype)
        if channels == 1:
            return values
        columns = values.repeat(positions)
        return columns if repeats == 1 else np.tile(columns, repeats)


class Plan:
    """How to cut x, as (A, C, B), into tasks that fit in the cache.

    A task is a part of the channels, its columns, what they belong to, and the blocks
    of rows to go through: a single one, but where there are no slabs.
    """

    def __init__(self, shape, itemsize):
        outer, channels, positions = shape
        fitting = SLAB // (outer * positions * itemsize)
        parts = threads.useful(outer * channels * positions * itemsize)
        size = max(1, min(fitting, -(-channels // parts)))
        self.slabs = fitting >= channels or size * positions >= NARROW
        if self.slabs:
            self.matrix = (outer, channels * positions)
            self.tasks = [
                (
                    slice(start, stop),
                    slice(start * positions, stop * positions),
                    Block(1, stop - start, positions),
                    [(0, outer)],
                )
                for start, stop in threads.blocks(channels, size)
            ]
            return
        width = channels * positions
        repeats = max(k for k in range(1, max(1, 1024 // width) + 1) if outer % k == 0)
        self.matrix = (outer // repeats, repeats * width)
        size = max(1, SLAB // (self.matrix[1] * itemsize))
        block = Block(repeats, channels, positions)
        rows = threads.blocks(self.matrix[0], size)
        self.tasks = [(slice(None), slice(None), block, rows)]

    def run(self, work):
        """Call work(spread, *task) for every task; `spread` is for its blocks."""
        if self.slabs:
            threads.spread(lambda task: work(_one_by_one, *task), self.tasks)
        else:
            work(threads.spread, *self.tasks[0])


def _one_by_one(work, tasks):
    for task in tasks:
        work(task)


def _total(spread, work, blocks):
    """Return the sum of what work returns for each block."""
    parts = [None] * len(blocks)

    def store(i):
        parts[i] = work(slice(*blocks[i]))

    spread(store, range(len(blocks)))
    return np.sum(parts, axis=0)


def forward(x, y, gamma, beta, eps, _, mean, var):
    """Write y for x as (A, C, B), the mean and the variance.

    Sums of x and x² are enough while the mean is within a few standard deviations of
    0. Otherwise x minus the rounded mean, which is exact, takes the place of x.
    """
    plan = Plan(x.shape, x.itemsize)
    count = x.size // x.shape[1]
    x, y = x.reshape(plan.matrix), y.reshape(plan.matrix)

    def work(spread, part, columns, block, blocks):
        source, target = x[:, columns], y[:, columns]

        def moments(rows, pivot=None):
            a = source[rows]
            if pivot is not None:
                a = np.subtract(a, pivot, out=target[rows])
            return block.sums(a), block.sums(a, a)

        shift, second = _total(spread, moments, blocks) / count
        v, m = second - shift * shift, shift
        if centred := far(shift, v):
            first = shift.astype(x.dtype)
            pivot = block.unfold(first, x.dtype)
            shift, second = _total(spread, lambda b: moments(b, pivot), blocks) / count
            v, m = (
                second - shift * shift,
                np.where(np.isinf(first), first, first + shift),
            )
        mean[part], var[part] = m, np.maximum(v, 0)
        scale = gamma[part] / np.sqrt(var[part].astype(np.float64) + eps)
        offset = block.unfold(beta[part] - shift * scale, x.dtype)
        scale = block.unfold(scale, x.dtype)

        def apply(rows):
            out = target[slice(*rows)]
            np.multiply(out if centred else source[slice(*rows)], scale, out=out)
            out += offset

        spread(apply, blocks)

    with np.errstate(all="ignore"):
        plan.run(work)


def backward(x, dy, dx, gamma, eps, mean, var):
    """Write dx; return dgamma and dbeta.

    dx = s·(dy - mean(dy) - xhat·mean(dy·xhat)) with s = gamma/std, which is
    s·(dy + slope·x + offset). The cached mean is rounded; where it is large, x minus
    that mean takes the place of x, and the mean of that the place of the mean.
    """
    plan = Plan(x.shape, x.itemsize)
    count = x.size // x.shape[1]
    gradients = np.empty((2, x.shape[1]))
    x, dy, dx = (a.reshape(plan.matrix) for a in (x, dy, dx))

    def work(spread, part, columns, block, blocks):
        source, given, target = x[:, columns], dy[:, columns], dx[:, columns]
        centre = mean[part].astype(np.float64)
        centred = far(centre, var[part])
        pivot = block.unfold(mean[part], x.dtype) if centred else None

        def sums(rows):
            a = source[rows]
            if centred:
                a = np.subtract(a, pivot, out=target[rows])
            rest = block.sums(a) if centred else centre * 0
            return block.sums(given[rows]), block.sums(given[rows], a), rest

        total, product, rest = _total(spread, sums, blocks)
        if centred:
            centre = rest / count
        inv_std = 1 / np.sqrt(var[part].astype(np.float64) + eps)
        dgamma = (product - centre * total) * inv_std
        gradients[:, part] = dgamma, total
        slope = -inv_std * dgamma / count
        terms = slope, -slope * centre - total / count, gamma[part] * inv_std
        slope, offset, scale = (block.unfold(t, x.dtype) for t in terms)

        def apply(rows):
            out = target[slice(*rows)]
            np.multiply(out if centred else source[slice(*rows)], slope, out=out)
            out += given[slice(*rows)]
            out += offset
            out *= scale

        spread(apply, blocks)

    with np.errstate(all="ignore"):
        plan.run(work)
    return gradients
