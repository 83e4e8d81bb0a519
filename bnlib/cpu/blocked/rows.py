"""Layer, group, instance and RMS norm in blocks of rows that stay in the cache.

x is (R, K, B): a row shares its statistics, each of its K parts of B values a gamma
and a beta. A block of rows is read from memory once; all further steps find it in the
cache, and write in place into the output.
"""

import numpy as np

from bnlib.cpu import threads
from bnlib.cpu.blocked.sums import column_sums, far, last_sums

BLOCK = 2**18  # bytes of x; with y and dy as much again: the cache
TILE = 32, 2048  # rows and columns at a time, where rows are long
WIDE = 2**14  # parameters, above which threads share columns and not rows


def _blocks(start, stop, x):
    """Return blocks of rows that fit in the cache."""
    size = max(
        1, min(BLOCK * len(x) // x.nbytes, -(-len(x) // threads.useful(x.nbytes)))
    )
    return [(start + i, start + j) for i, j in threads.blocks(stop - start, size)]


def _column(values, dtype, ndim=2):
    return values.astype(dtype).reshape(-1, *(1,) * (ndim - 1))


def _parameters(values, x, rows):
    """Return each row's parameters, to broadcast against (rows, K, B)."""
    sets = values.reshape(-1, x.shape[1], 1)
    return sets if len(sets) == 1 else sets[np.arange(*rows) % len(sets)]


def forward(x, y, gamma, beta, eps, centred, mean, var):
    """Write y for x as (R, K, B), the mean and the variance."""
    _, parts, positions = x.shape
    count = parts * positions

    def work(rows):
        part = slice(*rows)
        source, target = x[part], y[part]
        a, out = source.reshape(-1, count), target.reshape(-1, count)

        def moments(a):
            shift = last_sums(a) / count if centred else np.zeros(len(a))
            return shift, last_sums(a, a) / count - shift * shift

        shift, v = moments(a)
        mean[part] = shift
        if centred and far(shift, v):
            first = mean[part].copy()
            a = np.subtract(a, first[:, None], out=out)  # exact where that is large
            shift, v = moments(a)
            mean[part] = np.where(np.isinf(first), first, first + shift)
        var[part] = np.maximum(v, 0)
        inv_std = 1 / np.sqrt(var[part].astype(np.float64) + eps)
        scale, shift = inv_std, -shift * inv_std
        g, b = (_parameters(p, x, rows) for p in (gamma, beta))
        if positions > 1:
            scale = _column(scale, x.dtype, 3) * g
            np.multiply(a.reshape(source.shape), scale, out=target)
            target += _column(shift, x.dtype, 3) * g + b
            return
        np.multiply(a, _column(scale, x.dtype), out=out)
        if centred:
            out += _column(shift, x.dtype)
        target *= g
        target += b

    with np.errstate(all="ignore"):
        threads.spread(work, _blocks(0, len(x), x))


def backward(x, dy, dx, gamma, eps, mean, var):
    """Write dx; return dgamma and dbeta.

    With d = gamma·dy this is dx = (d - mean(d) - xhat·mean(d·xhat))/std; without
    centring the first mean drops out.
    """
    with np.errstate(all="ignore"):
        if x.shape[1] == gamma.size and x.shape[2] == 1:
            x, dy, dx = (a[..., 0] for a in (x, dy, dx))
            share = _by_rows if x.shape[1] <= WIDE else _by_columns
            return share(_Values(x, dy, dx, gamma, eps, mean, var))
        return _backward_parts(x, dy, dx, gamma, eps, mean, var)


def _terms(s, q, rest, var, eps, count, centred):
    """Turn sums into xhat = c·scale + shift and dx = scale·d + slope·c + offset.

    The sums are those of d, of d·c, and of c = x - m: what rounding the mean left.
    """
    rest = rest / count if centred else 0.0
    scale = 1 / np.sqrt(var.astype(np.float64) + eps)
    slope = -(q - rest * s) * scale**3 / count
    offset = -slope * rest - (scale * s / count if centred else 0.0)
    return scale, -rest * scale, slope, offset


class _Values:
    """The backward pass where all rows have the same parameters, one a value."""

    def __init__(self, x, dy, dx, gamma, eps, mean, var):
        self.x, self.dy, self.dx = x, dy, dx
        self.gamma, self.eps, self.mean, self.var = gamma, eps, mean, var

    def sums(self, rows, columns):
        """Return the sums that `_terms` takes; write x - m to dx."""
        d = self.dy[rows, columns] * self.gamma[columns]
        if self.mean is None:
            return last_sums(d), last_sums(d, self.x[rows, columns]), np.zeros(len(d))
        a = self.dx[rows, columns]
        np.subtract(self.x[rows, columns], self.mean[rows, None], out=a)
        return last_sums(d), last_sums(d, a), last_sums(a)

    def terms(self, rows, sums):
        """Return a column for each of the terms."""
        count, centred = self.x.shape[1], self.mean is not None
        terms = _terms(*sums, self.var[rows], self.eps, count, centred)
        return [
            np.broadcast_to(t, self.var[rows].shape).astype(self.x.dtype)[:, None]
            for t in terms
        ]

    def apply(self, rows, columns, scale, shift, slope, offset):
        """Write dx, where x - m is; return these rows' dgamma and dbeta."""
        given, out = self.dy[rows, columns], self.dx[rows, columns]
        centred = self.mean is not None
        a = out if centred else self.x[rows, columns]
        d = given * scale
        dgamma = column_sums(d, a)
        np.multiply(a, slope, out=out)
        if centred:
            out += offset
        d *= self.gamma[columns]
        out += d
        if centred:
            dgamma += column_sums(np.multiply(given, shift, out=d))
        return dgamma, column_sums(given)


def _by_rows(norm):
    """Threads share rows; dgamma and dbeta are added up for each."""
    x = norm.x
    shares = threads.shares(len(x), x.nbytes)
    gradients = np.zeros((len(shares), 2, x.shape[1]))

    def work(i):
        for rows in (slice(*block) for block in _blocks(*shares[i], x)):
            columns = slice(None)
            terms = norm.terms(rows, norm.sums(rows, columns))
            gradients[i] += norm.apply(rows, columns, *terms)

    threads.spread(work, range(len(shares)))
    return gradients.sum(0)


def _by_columns(norm):
    """Threads share columns: dgamma in float64, for each thread, would be large."""
    x = norm.x
    height, width = TILE
    rows = [slice(*block) for block in threads.blocks(len(x), height)]
    shares = threads.shares(x.shape[1], x.nbytes)
    tiles = [
        [slice(start + i, start + j) for i, j in threads.blocks(stop - start, width)]
        for start, stop in shares
    ]
    sums = np.zeros((len(shares), 3, len(x)))
    gradients = np.empty((2, x.shape[1]), x.dtype)

    def add(i):
        for columns in tiles[i]:
            for part in rows:
                sums[i][:, part] += norm.sums(part, columns)

    def apply(i):
        for columns in tiles[i]:
            gradients[:, columns] = sum(
                np.array(norm.apply(part, columns, *term))
                for part, term in zip(rows, terms, strict=True)
            )

    threads.spread(add, range(len(shares)))
    total = sums.sum(0)
    terms = [norm.terms(part, total[:, part]) for part in rows]
    threads.spread(apply, range(len(shares)))
    return gradients


def _backward_parts(x, dy, dx, gamma, eps, mean, var):
    """Return what `backward` does, where parts share a parameter, or rows differ."""
    _, parts, positions = x.shape
    count, centred = parts * positions, mean is not None
    shares = threads.shares(len(x), x.nbytes)
    gradients = np.zeros((len(shares), 2, gamma.size // parts, parts))

    def work(i):
        for rows in _blocks(*shares[i], x):
            one_block(rows, gradients[i])

    def one_block(rows, gradients):
        part = slice(*rows)
        given, a, out = dy[part], x[part], dx[part]
        g = _parameters(gamma, x, rows)
        rest = 0.0
        if centred:
            a = np.subtract(a, mean[part, None, None], out=out)
            rest = last_sums(a.reshape(-1, count))
        s, q = last_sums(given), last_sums(given, a)
        sums = ((p * g[..., 0]).sum(1) for p in (s, q))
        terms = _terms(*sums, rest, var[part], eps, count, centred)
        scale, shift, slope, offset = (
            np.broadcast_to(t, len(a))[:, None] for t in terms
        )
        sets = np.arange(*rows) % len(gradients[0])
        np.add.at(gradients[0], sets, q * scale + s * shift)
        np.add.at(gradients[1], sets, s)
        np.multiply(a, slope.astype(x.dtype)[..., None], out=out)
        out += offset.astype(x.dtype)[..., None]
        scale = scale.astype(x.dtype)[..., None] * g
        step = max(1, BLOCK // (len(a) * positions * x.itemsize))
        for k in (slice(*block) for block in threads.blocks(parts, step)):
            out[:, k] += given[:, k] * scale[:, k]

    threads.spread(work, range(len(shares)))
    return gradients.sum(0)
