"""Layer, group, instance and RMS norm in loops that Numba compiles.

x is (R, K, B): a row shares its statistics, each of its K parts of B values a gamma and
a beta. Layer and RMS norm have parts of one value; their loops run along the row.

A row is read for its sums and once more for its result; by then it is in the cache.
"""

import numpy as np

from bnlib.cpu import threads
from bnlib.cpu.fused.compiling import mapping, summing

BLOCK = 2**17  # bytes of x; with dy and dx as much again: the second-level cache
WIDE = 2**14  # parameters, above which threads share columns and not rows
COLUMNS = 2048  # at a time: their float64 sums stay in the first-level cache


@summing
def row_moments(row, centred, eps):
    """Return mean and variance, as exact as float64 sums are."""
    pivot = np.float64(row[0]) if centred and np.isfinite(row[0]) else 0.0
    s = q = 0.0
    for i in range(row.size):
        d = np.float64(row[i]) - pivot
        s += d
        q += d * d
    if not centred:
        return 0.0, q / row.size
    rest = s / row.size
    return pivot + rest, max(q / row.size - rest * rest, 0.0)


@mapping
def forward_rows(x, y, gamma, beta, eps, centred, start, stop, mean, var):
    """Write statistics and y = ((x - m)·inv_std + shift)·gamma + beta."""
    _, parts, positions = x.shape
    one = x.dtype.type
    for r in range(start, stop):
        row = x[r].reshape(parts * positions)
        exact, v = row_moments(row, centred, eps)
        mean[r], var[r] = exact, v  # rounded to the dtype of x, as the cache keeps them
        inv_std = 1 / np.sqrt(np.float64(var[r]) + eps)
        m, scale = one(exact), one(inv_std)
        shift = one((np.float64(m) - exact) * inv_std)
        first = r * parts % gamma.size
        if positions == 1:
            out = y[r].reshape(parts)
            g, b = gamma[first : first + parts], beta[first : first + parts]
            for k in range(parts):
                out[k] = ((row[k] - m) * scale + shift) * g[k] + b[k]
            continue
        for k in range(parts):
            s = scale * gamma[first + k]
            t = shift * gamma[first + k] + beta[first + k]
            for i in range(positions):
                y[r, k, i] = (x[r, k, i] - m) * s + t


@summing
def row_sums(row, given, gamma, m):
    """Return the sums of d = gamma·dy, of d·(x - m), and of x - m."""
    s = q = rest = 0.0
    for k in range(row.size):
        d = np.float64(gamma[k] * given[k])
        c = np.float64(row[k] - m)
        s += d
        q += d * c
        rest += c
    return s, q, rest


@mapping
def row_terms(s, q, rest, mean, var, eps, count, centred, terms):
    """Turn sums into xhat = c·scale + shift and dx = scale·d + slope·c + offset.

    Here c = x - m, and this is dx = (d - mean(d) - xhat·mean(d·xhat))·scale, without
    the first mean where x was not centred.
    """
    scale = 1 / np.sqrt(np.float64(var) + eps)
    rest = rest / count if centred else 0.0  # what rounding the mean left
    along = (q - rest * s) * scale / count
    slope = -along * scale * scale
    terms[0] = mean
    terms[1] = scale
    terms[2] = -rest * scale
    terms[3] = slope
    terms[4] = -slope * rest - (scale * s / count if centred else 0.0)


@mapping
def value_terms(x, dy, gamma, eps, mean, var, centred, start, stop, terms):
    """Store terms of some rows of (R, K); all have the same K parameters."""
    count = x.shape[1]
    for r in range(start, stop):
        m = mean[r] if centred else mean.dtype.type(0)
        s, q, rest = row_sums(x[r], dy[r], gamma, m)
        row_terms(s, q, rest, m, var[r], eps, count, centred, terms[r - start])


@mapping
def value_apply(x, dy, gamma, terms, start, stop, low, high, dx, gradients):
    """Write dx and add to dgamma and dbeta, for some rows and columns."""
    for left in range(low, high, COLUMNS):
        right = min(left + COLUMNS, high)
        sums = np.zeros((2, right - left))
        dgamma, dbeta, g = sums[0], sums[1], gamma[left:right]
        for r in range(start, stop):
            m, scale, shift, slope, offset = terms[r - start]
            row, given, out = x[r, left:right], dy[r, left:right], dx[r, left:right]
            for k in range(right - left):
                c = row[k] - m
                out[k] = scale * (g[k] * given[k]) + (slope * c + offset)
                dgamma[k] += given[k] * (c * scale + shift)
                dbeta[k] += given[k]
        gradients[:, left:right] += sums


@summing
def part_sums(part, given, m):
    """Return the sums of dy, of dy·(x - m), and of x - m."""
    s = q = rest = 0.0
    for i in range(part.size):
        g = np.float64(given[i])
        c = np.float64(part[i] - m)
        s += g
        q += g * c
        rest += c
    return s, q, rest


@mapping
def backward_parts(x, dy, dx, gamma, eps, mean, var, centred, start, stop, gradients):
    """Write dx and add to dgamma and dbeta, where parts share a parameter."""
    _, parts, positions = x.shape
    sums, terms = np.empty((2, parts)), np.empty(5, x.dtype)
    for r in range(start, stop):
        m = mean[r] if centred else mean.dtype.type(0)
        first = r * parts % gamma.size
        s = q = rest = 0.0
        for k in range(parts):
            sums[0, k], sums[1, k], more = part_sums(x[r, k], dy[r, k], m)
            s += gamma[first + k] * sums[0, k]
            q += gamma[first + k] * sums[1, k]
            rest += more
        row_terms(s, q, rest, m, var[r], eps, parts * positions, centred, terms)
        _, scale, shift, slope, offset = terms
        for k in range(parts):
            gradients[0, first + k] += sums[1, k] * scale + sums[0, k] * shift
            gradients[1, first + k] += sums[0, k]
            t = scale * gamma[first + k]
            for i in range(positions):
                dx[r, k, i] = t * dy[r, k, i] + (slope * (x[r, k, i] - m) + offset)


def forward(x, y, gamma, beta, eps, centred, mean, var):
    """Write y for x as (R, K, B), the mean and the variance."""
    threads.spread(
        lambda part: forward_rows(x, y, gamma, beta, eps, centred, *part, mean, var),
        threads.shares(len(x), x.nbytes),
    )


def backward(x, dy, dx, gamma, eps, mean, var):
    """Write dx; return dgamma and dbeta."""
    centred, mean = mean is not None, var if mean is None else mean
    statistics = gamma, eps, mean, var, centred
    shares = threads.shares(len(x), x.nbytes)
    if x.shape[1] == gamma.size and x.shape[2] == 1:
        x, dy, dx = (a.reshape(a.shape[:2]) for a in (x, dy, dx))
        if gamma.size > WIDE:
            return _backward_wide(x, dy, dx, shares, *statistics)
        kernel = _backward_values
    else:
        kernel = backward_parts
    gradients = np.zeros((len(shares), 2, gamma.size))
    threads.spread(
        lambda i: kernel(x, dy, dx, *statistics, *shares[i], gradients[i]),
        range(len(shares)),
    )
    return gradients.sum(0)


def _backward_values(x, dy, dx, gamma, eps, mean, var, centred, start, stop, gradients):
    """Go through some rows, block by block: the second read hits the cache."""
    count = x.shape[1]
    for i, j in threads.blocks(stop - start, max(1, BLOCK // (count * x.itemsize))):
        rows = start + i, start + j
        terms = np.empty((j - i, 5), x.dtype)
        value_terms(x, dy, gamma, eps, mean, var, centred, *rows, terms)
        value_apply(x, dy, gamma, terms, *rows, 0, count, dx, gradients)


def _backward_wide(x, dy, dx, shares, gamma, eps, mean, var, centred):
    """Share columns among threads: dgamma in float64 for each would be large."""
    rows, count = x.shape
    terms, gradients = np.empty((rows, 5), x.dtype), np.zeros((2, count), x.dtype)
    threads.spread(
        lambda part: value_terms(
            x, dy, gamma, eps, mean, var, centred, *part, terms[slice(*part)]
        ),
        shares,
    )
    threads.spread(
        lambda part: value_apply(x, dy, gamma, terms, 0, rows, *part, dx, gradients),
        threads.shares(count, x.nbytes),
    )
    return gradients
