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
SLAB = 2**19  # bytes of x that the second-level cache holds; the least for a thread


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
    step = max(1, WIDTH // positions)
    wide = np.empty((3, step * positions))
    for low in range(start, stop, step):
        high = min(low + step, stop)
        width = (high - low) * positions
        wide[:2] = 0.0
        spread_out(pivot, low, high, positions, wide[2])
        s, q, p = wide[0], wide[1], wide[2]
        for n in range(first, last):
            row = x[n, low:high].reshape(width)
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
    step = max(1, WIDTH // positions)
    wide = np.empty((3, step * positions), terms.dtype)
    for low in range(start, stop, step):
        high = min(low + step, stop)
        width = (high - low) * positions
        for k in range(3):
            spread_out(terms[k], low, high, positions, wide[k])
        m, scale, shift = wide[0], wide[1], wide[2]
        for n in range(first, last):
            row = x[n, low:high].reshape(width)
            out = y[n, low:high].reshape(width)
            for j in range(width):
                out[j] = (row[j] - m[j]) * scale[j] + shift[j]


@mapping
def forward_slab(x, y, gamma, beta, eps, start, stop, mean, var):
    """Do all three, a few channels at a time: the second read hits the cache."""
    outer, channels, positions = x.shape
    pivot = x[0, :, 0].copy()  # near enough to the mean, for sums in float64
    sums, terms = np.empty((2, channels)), np.empty((3, channels), x.dtype)
    count = outer * positions
    step = max(1, SLAB // (count * x.itemsize))
    for low in range(start, stop, step):
        high = min(low + step, stop)
        forward_sums(x, pivot, 0, outer, low, high, sums)
        forward_terms(sums, pivot, gamma, beta, eps, count, low, high, mean, var, terms)
        forward_apply(x, terms, 0, outer, low, high, y)


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
    step = max(1, WIDTH // positions)
    wide = np.empty((4, step * positions))
    for low in range(start, stop, step):
        high = min(low + step, stop)
        width = (high - low) * positions
        wide[:3] = 0.0
        spread_out(pivot, low, high, positions, wide[3])
        s, q, r, p = wide[0], wide[1], wide[2], wide[3]
        for n in range(first, last):
            row = x[n, low:high].reshape(width)
            given = dy[n, low:high].reshape(width)
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
    step = max(1, WIDTH // positions)
    wide = np.empty((4, step * positions), terms.dtype)
    for low in range(start, stop, step):
        high = min(low + step, stop)
        width = (high - low) * positions
        for k in range(4):
            spread_out(terms[k], low, high, positions, wide[k])
        m, slope, scale, offset = wide[0], wide[1], wide[2], wide[3]
        for n in range(first, last):
            row = x[n, low:high].reshape(width)
            given = dy[n, low:high].reshape(width)
            out = dx[n, low:high].reshape(width)
            for j in range(width):
                d = row[j] - m[j]
                out[j] = scale[j] * given[j] + (slope[j] * d + offset[j])


@mapping
def backward_slab(x, dy, dx, gamma, eps, mean, var, start, stop, gradients):
    """Do all three, a few channels at a time: the second read hits the cache."""
    outer, channels, positions = x.shape
    sums, terms = np.empty((3, channels)), np.empty((4, channels), x.dtype)
    count = outer * positions
    step = max(1, SLAB // (2 * count * x.itemsize))
    for low in range(start, stop, step):
        high = min(low + step, stop)
        backward_sums(x, dy, mean, 0, outer, low, high, sums)
        backward_terms(sums, mean, gamma, eps, var, count, low, high, gradients, terms)
        backward_apply(x, dy, terms, 0, outer, low, high, dx)


def _by_samples(shape):
    """Whether threads share samples: channels are few, or too narrow to go alone."""
    outer, channels, positions = shape
    narrow = channels * positions < 4096 and outer > 256
    return narrow or (channels < threads.count() <= outer)


def forward(x, y, gamma, beta, eps, _, mean, var):
    """Write y for x as (A, C, B), the mean and the variance."""
    outer, channels, positions = x.shape
    if x.nbytes < SLAB:  # waking a thread costs more
        forward_slab(x, y, gamma, beta, eps, 0, channels, mean, var)
        return
    if not _by_samples(x.shape):
        threads.spread(
            lambda part: forward_slab(x, y, gamma, beta, eps, *part, mean, var),
            threads.shares(channels),
        )
        return
    parts = threads.shares(outer, max(1, SLAB // (channels * positions * x.itemsize)))
    pivot = x[0, :, 0].copy()
    sums, terms = np.empty((len(parts), 2, channels)), np.empty((3, channels), x.dtype)
    threads.spread(
        lambda i: forward_sums(x, pivot, *parts[i], 0, channels, sums[i]),
        range(len(parts)),
    )
    total, count = sums.sum(0), outer * positions
    forward_terms(total, pivot, gamma, beta, eps, count, 0, channels, mean, var, terms)
    threads.spread(lambda part: forward_apply(x, terms, *part, 0, channels, y), parts)


def backward(x, dy, dx, gamma, eps, mean, var):
    """Write dx; return dgamma and dbeta."""
    outer, channels, positions = x.shape
    gradients = np.empty((2, channels), x.dtype)
    if x.nbytes < SLAB:
        backward_slab(x, dy, dx, gamma, eps, mean, var, 0, channels, gradients)
        return gradients
    if not _by_samples(x.shape):
        threads.spread(
            lambda part: backward_slab(
                x, dy, dx, gamma, eps, mean, var, *part, gradients
            ),
            threads.shares(channels),
        )
        return gradients
    parts = threads.shares(outer, max(1, SLAB // (channels * positions * x.itemsize)))
    sums, terms = np.empty((len(parts), 3, channels)), np.empty((4, channels), x.dtype)
    threads.spread(
        lambda i: backward_sums(x, dy, mean, *parts[i], 0, channels, sums[i]),
        range(len(parts)),
    )
    total, count = sums.sum(0), outer * positions
    backward_terms(total, mean, gamma, eps, var, count, 0, channels, gradients, terms)
    threads.spread(
        lambda part: backward_apply(x, dy, terms, *part, 0, channels, dx), parts
    )
    return gradients
