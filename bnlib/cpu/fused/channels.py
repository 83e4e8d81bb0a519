"""Batch norm in loops that Numba compiles: one read for the sums, one for the result.

What `blocked` does in six passes over a slab is two here, since a loop may do all its
arithmetic on a value while that is in a register. Sums are float64, so that neither
their length nor (for float32) a large mean costs digits.
"""

import numpy as np

from bnlib.cpu import threads
from bnlib.cpu.fused.compiling import mapping, summing

SHORT = 64  # positions, below which loops run over columns (channel, position)
WIDTH = 1024  # columns at a time: their float64 sums stay in the first-level cache
SLAB = 2**19  # bytes that the second-level cache holds


@summing
def forward_sums(x, pivot, first, last, start, stop, sums):
    """Store the sums of x - pivot and its square, for some channels of some samples."""
    positions = x.shape[2]
    if positions >= SHORT:
        for c in range(start, stop):
            p = np.float64(pivot[c])
            s = q = 0.0
            for n in range(first, last):
                for i in range(positions):
                    d = np.float64(x[n, c, i]) - p
                    s += d
                    q += d * d
            sums[0, c] = s
            sums[1, c] = q
        return
    matrix = x.reshape(len(x), -1)
    step = max(1, WIDTH // positions)
    wide = np.empty((3, step * positions))
    for low in range(start, stop, step):
        high = min(low + step, stop)
        left, width = low * positions, (high - low) * positions
        wide[:2] = 0.0
        spread_out(pivot, low, high, positions, wide[2])
        s, q, p = wide[0], wide[1], wide[2]
        for n in range(first, last):
            row = matrix[n, left : left + width]
            for j in range(width):
                d = np.float64(row[j]) - p[j]
                s[j] += d
                q[j] += d * d
        for k in range(2):
            gather(wide[k], low, high, positions, sums[k])


@mapping
def spread_out(values, low, high, positions, wide):
    """Write the value of each channel once for each of its columns."""
    for c in range(low, high):
        for i in range(positions):
            wide[(c - low) * positions + i] = values[c]


@summing
def gather(wide, low, high, positions, totals):
    """Write the sum of each channel's columns."""
    for c in range(low, high):
        total = 0.0
        for i in range(positions):
            total += wide[(c - low) * positions + i]
        totals[c] = total


@mapping
def forward_terms(sums, pivot, gamma, beta, eps, count, start, stop, mean, var, terms):
    """Turn sums into statistics, and these into y = (x - m)·scale + shift."""
    for c in range(start, stop):
        rest = sums[0, c] / count
        exact = pivot[c] + rest
        mean[c] = exact  # rounded to the dtype of x, as the cache keeps it
        var[c] = max(sums[1, c] / count - rest * rest, 0.0)
        scale = gamma[c] / np.sqrt(np.float64(var[c]) + eps)
        terms[0, c] = mean[c]  # x minus this is exact where the mean is large ...
        terms[1, c] = scale
        terms[2, c] = beta[c] + (np.float64(mean[c]) - exact) * scale  # ... and this


@mapping
def forward_apply(x, terms, first, last, start, stop, y):
    """Write y = (x - m)·scale + shift."""
    positions = x.shape[2]
    if positions >= SHORT:
        for n in range(first, last):
            for c in range(start, stop):
                m, scale, shift = terms[0, c], terms[1, c], terms[2, c]
                for i in range(positions):
                    y[n, c, i] = (x[n, c, i] - m) * scale + shift
        return
    matrix = x.reshape(len(x), -1)
    result = y.reshape(len(x), -1)
    step = max(1, WIDTH // positions)
    wide = np.empty((3, step * positions), terms.dtype)
    for low in range(start, stop, step):
        high = min(low + step, stop)
        left, width = low * positions, (high - low) * positions
        for k in range(3):
            spread_out(terms[k], low, high, positions, wide[k])
        m, scale, shift = wide[0], wide[1], wide[2]
        for n in range(first, last):
            row = matrix[n, left : left + width]
            out = result[n, left : left + width]
            for j in range(width):
                out[j] = (row[j] - m[j]) * scale[j] + shift[j]


@summing
def backward_sums(x, dy, pivot, first, last, start, stop, sums):
    """Store the sums of dy, dy·(x - m) and x - m, m the rounded mean."""
    positions = x.shape[2]
    if positions >= SHORT:
        for c in range(start, stop):
            p = pivot[c]
            s = q = r = 0.0
            for n in range(first, last):
                for i in range(positions):
                    d = np.float64(x[n, c, i] - p)
                    g = np.float64(dy[n, c, i])
                    s += g
                    q += g * d
                    r += d
            sums[0, c] = s
            sums[1, c] = q
            sums[2, c] = r
        return
    matrix = x.reshape(len(x), -1)
    incoming = dy.reshape(len(x), -1)
    step = max(1, WIDTH // positions)
    wide = np.empty((4, step * positions))
    for low in range(start, stop, step):
        high = min(low + step, stop)
        left, width = low * positions, (high - low) * positions
        wide[:3] = 0.0
        spread_out(pivot, low, high, positions, wide[3])
        s, q, r, p = wide[0], wide[1], wide[2], wide[3]
        for n in range(first, last):
            row = matrix[n, left : left + width]
            given = incoming[n, left : left + width]
            for j in range(width):
                d = np.float64(row[j]) - p[j]
                g = np.float64(given[j])
                s[j] += g
                q[j] += g * d
                r[j] += d
        for k in range(3):
            gather(wide[k], low, high, positions, sums[k])


@mapping
def backward_terms(sums, pivot, gamma, eps, var, count, start, stop, gradients, terms):
    """Turn sums into dgamma, dbeta and dx = scale·dy + slope·(x - m) + offset."""
    for c in range(start, stop):
        inv_std = 1 / np.sqrt(np.float64(var[c]) + eps)
        scale = gamma[c] * inv_std
        rest = sums[2, c] / count  # what rounding the mean left
        dgamma = (sums[1, c] - rest * sums[0, c]) * inv_std
        gradients[0, c] = dgamma
        gradients[1, c] = sums[0, c]
        slope = -scale * inv_std * dgamma / count
        terms[0, c] = pivot[c]
        terms[1, c] = slope
        terms[2, c] = scale
        terms[3, c] = -slope * rest - scale * sums[0, c] / count


@mapping
def backward_apply(x, dy, terms, first, last, start, stop, dx):
    """Write dx = scale·dy + slope·(x - m) + offset."""
    positions = x.shape[2]
    if positions >= SHORT:
        for n in range(first, last):
            for c in range(start, stop):
                m, slope = terms[0, c], terms[1, c]
                scale, offset = terms[2, c], terms[3, c]
                for i in range(positions):
                    d = x[n, c, i] - m
                    dx[n, c, i] = scale * dy[n, c, i] + (slope * d + offset)
        return
    matrix = x.reshape(len(x), -1)
    incoming = dy.reshape(len(x), -1)
    result = dx.reshape(len(x), -1)
    step = max(1, WIDTH // positions)
    wide = np.empty((4, step * positions), terms.dtype)
    for low in range(start, stop, step):
        high = min(low + step, stop)
        left, width = low * positions, (high - low) * positions
        for k in range(4):
            spread_out(terms[k], low, high, positions, wide[k])
        m, slope, scale, offset = wide[0], wide[1], wide[2], wide[3]
        for n in range(first, last):
            row = matrix[n, left : left + width]
            given = incoming[n, left : left + width]
            out = result[n, left : left + width]
            for j in range(width):
                d = row[j] - m[j]
                out[j] = scale[j] * given[j] + (slope[j] * d + offset[j])


def _plan(x, arrays):
    """Return slabs of channels and parts of the samples: one of the two is for threads.

    They share samples where channels are few, or too narrow to be read on their own.
    """
    outer, channels, positions = x.shape
    narrow = channels * positions < 4096 and outer > 256
    if narrow or (channels < threads.count() <= outer):
        return [(0, channels)], threads.shares(outer, x.nbytes)
    fitting = SLAB * channels // (arrays * x.nbytes)
    size = min(fitting, -(-channels // threads.useful(x.nbytes)))
    return threads.blocks(channels, max(1, size)), [(0, outer)]


def forward(x, y, gamma, beta, eps, _, mean, var):
    """Write y for x as (A, C, B), the mean and the variance."""
    slabs, parts = _plan(x, 1)
    count, channels = x.size // x.shape[1], x.shape[1]
    first = x[0, :, 0]  # near enough to the mean, for sums in float64
    pivot = np.where(np.isfinite(first), first, x.dtype.type(0))
    sums, terms = np.empty((len(parts), 2, channels)), np.empty((3, channels), x.dtype)

    def work(slab):
        threads.spread(
            lambda i: forward_sums(x, pivot, *parts[i], *slab, sums[i]),
            range(len(parts)),
        )
        total = sums[0] if len(parts) == 1 else sums.sum(0)
        forward_terms(total, pivot, gamma, beta, eps, count, *slab, mean, var, terms)
        threads.spread(lambda part: forward_apply(x, terms, *part, *slab, y), parts)

    threads.spread(work, slabs)


def backward(x, dy, dx, gamma, eps, mean, var):
    """Write dx; return dgamma and dbeta."""
    slabs, parts = _plan(x, 2)
    count, channels = x.size // x.shape[1], x.shape[1]
    sums, terms = np.empty((len(parts), 3, channels)), np.empty((4, channels), x.dtype)
    gradients = np.empty((2, channels), x.dtype)

    def work(slab):
        threads.spread(
            lambda i: backward_sums(x, dy, mean, *parts[i], *slab, sums[i]),
            range(len(parts)),
        )
        total = sums[0] if len(parts) == 1 else sums.sum(0)
        backward_terms(total, mean, gamma, eps, var, count, *slab, gradients, terms)
        threads.spread(
            lambda part: backward_apply(x, dy, terms, *part, *slab, dx), parts
        )

    threads.spread(work, slabs)
    return gradients
