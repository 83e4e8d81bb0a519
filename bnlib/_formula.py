"""The one formula behind batch, layer, group, instance, RMS and ghost normalisation.

They differ only in *which entries share their statistics*. An `IndexSet` says so; the
formula below never asks which norm it serves, or which array library it runs on.

But: no running statistics here, and no checks of arguments.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

from bnlib._arguments import (
    accumulation_dtype,
    cast,
    check_parameter,
    check_shape,
    namespace,
    type_name,
)


@dataclass(frozen=True)
class IndexSet:
    """Which entries share statistics, and which share a parameter.

    Attributes
    ----------
    view : tuple of int
        Shape in which x is looked at (group and ghost norms split an axis in two).
    reduced : tuple of int
        Axes of the view over which a mean is taken.
    parameter : tuple of int
        Shape in which gamma and beta broadcast against the view.
    """

    view: tuple[int, ...]
    reduced: tuple[int, ...]
    parameter: tuple[int, ...]

    @property
    def statistics(self):
        """Shape of the mean and the variance: the axes that are not reduced."""
        return tuple(n for axis, n in enumerate(self.view) if axis not in self.reduced)

    @property
    def kept(self):
        """Shape in which statistics broadcast against the view."""
        return tuple(
            1 if axis in self.reduced else n for axis, n in enumerate(self.view)
        )

    @property
    def shared(self):
        """Axes over which the gradients of gamma and beta are summed."""
        return tuple(axis for axis, n in enumerate(self.parameter) if n == 1)

    @property
    def count(self):
        """Number of entries behind one mean: M."""
        return prod(self.view[axis] for axis in self.reduced)


@dataclass(frozen=True, repr=False)
class Cache:
    """What a backward pass needs from its forward pass.

    The small arrays (mean, variance) are stored. The normalised input is as large as x
    and two operations away from it, so it is computed again; x itself is referred to,
    not copied, and must not be changed before the backward pass.

    Attributes
    ----------
    mean, var : array
        Statistics of the batch, float32 or wider; var is the biased variance (divided
        by `count`). Shape (C,) for batch norm, (N, G) for group norm, and so on. For
        RMS norm mean is None and var the mean square.
    count : int
        Number of values behind each of them, M.
    eps : float
        As given to the forward pass.
    """

    norm: str
    x: Any
    gamma: Any
    beta: Any
    mean: Any
    var: Any
    eps: float
    index: IndexSet
    r: Any = None  # batch renormalisation's correction, xhat r + d; not differentiated
    d: Any = None

    @property
    def count(self):
        return self.index.count

    def __repr__(self):
        return f"<cache of {self.norm}: x {tuple(self.x.shape)}, M = {self.count}>"


def check_cache(cache, norm, *others):
    """Check that a cache comes from a norm, or from one of the others."""
    known = isinstance(cache, Cache)
    if not known or cache.norm not in (norm, *others):
        source = f"from bnlib.{cache.norm}" if known else f"a {type_name(cache)}"
        raise TypeError(
            f"cache is {source}; expected the cache that bnlib.{norm} returned"
        )


def centre(xp, x, axes):
    """Return x minus its mean, and the mean, accurate however large the mean.

    A mean rounded to float32 is off by up to 6e-8 of itself: 6e-4 standard deviations
    where mean/std is 1e4. But x minus that rounded mean is exact (Sterbenz's lemma:
    they are within a factor of two of each other), so that taking the mean of the
    difference and subtracting it once more removes the error.
    """
    mean = mean_over(xp, x, axes)
    centred = x - mean
    rest = mean_over(xp, centred, axes)
    return centred - rest, mean


def sum_over(xp, terms, axes):
    """Return the sum over some axes, kept to broadcast, in the dtype of the terms.

    Summed in float64: NumPy adds up the rows of (N, C) one by one, which in float32
    costs 5e-4 of the variance at a million rows and stops short at 16 million.
    """
    wide = xp.result_type(terms.dtype, xp.float64)
    total = xp.sum(terms, axis=axes, dtype=wide, keepdims=True)
    return cast(xp, total, terms.dtype)


def mean_over(xp, terms, axes):
    """Return the mean over some axes, as `sum_over` does the sum."""
    count = prod(terms.shape[axis] for axis in axes)
    return sum_over(xp, terms, axes) / count


def normalise(xp, x, index, eps, *, centred=True):
    """Return xhat, mean, biased variance and 1/std over an index set.

    Statistics keep their reduced axes, to broadcast against the view.
    """
    x = xp.reshape(x, index.view)
    x, mean = centre(xp, x, index.reduced) if centred else (x, None)
    var = mean_over(xp, x * x, index.reduced)
    if bool(xp.any(var + eps == 0)):
        raise ValueError(
            f"eps is {eps} and the variance of some values that are normalised "
            f"together is 0; expected a larger eps (in {var.dtype})"
        )
    inv_std = 1 / xp.sqrt(var + eps)
    return x * inv_std, mean, var, inv_std


def forward(norm, x, gamma, beta, index, eps, *, meaning, shape, centred=True):
    """Normalise x over an index set, then scale by gamma and shift by beta.

    Parameters
    ----------
    norm : str
        Name of the public function, for its backward function to recognise.
    x : array
        Input, already checked.
    gamma, beta : array of `shape`, or None
        Scale and shift.
    index : IndexSet
        Which entries share statistics and parameters.
    eps : float
        Added to the variance.
    meaning : str
        What the parameters' shape means, for an error.
    shape : tuple of int
        Shape of gamma and beta.
    centred : bool
        Whether the mean is subtracted (RMS norm does not).

    Returns
    -------
    y : array
        Shape and dtype of x.
    cache : Cache
        For the backward pass.
    """
    xp = namespace(x=x, gamma=gamma, beta=beta)
    dtype = accumulation_dtype(xp, "x", x)
    g = check_parameter(xp, "gamma", gamma, shape, meaning, dtype)
    b = check_parameter(xp, "beta", beta, shape, meaning, dtype)
    wide = cast(xp, x, dtype)
    xhat, mean, var, _ = normalise(xp, wide, index, eps, centred=centred)
    y = affine(xp, xhat, g, b, index)
    cache = Cache(
        norm=norm,
        x=x,
        gamma=gamma,
        beta=beta,
        mean=None if mean is None else xp.reshape(mean, index.statistics),
        var=xp.reshape(var, index.statistics),
        eps=eps,
        index=index,
    )
    return cast(xp, xp.reshape(y, x.shape), x.dtype), cache


def affine(xp, xhat, gamma, beta, index):
    """Return gamma xhat + beta, leaving out what is None."""
    y = xhat
    if gamma is not None:
        y = y * xp.reshape(gamma, index.parameter)
    if beta is not None:
        y = y + xp.reshape(beta, index.parameter)
    return y


def backward(norm, dy, cache):
    """Return dx, dgamma and dbeta of `forward`, the last two None where unused.

    With d the gradient with respect to xhat and means over an index set,
    dx = (d - mean(d) - xhat mean(d xhat)) / std: what is left of d once its components
    along 1 and xhat are taken out. Without centring the first mean drops out.
    """
    check_cache(cache, norm)
    x, index = cache.x, cache.index
    xp = namespace(dy=dy, x=x)
    accumulation_dtype(xp, "dy", dy)
    check_shape("dy", dy, x.shape, "the shape of x")
    dtype = accumulation_dtype(xp, "x", x)
    dy = xp.reshape(cast(xp, dy, dtype), index.view)

    centred = cache.mean is not None
    wide = cast(xp, x, dtype)
    xhat, _, _, inv_std = normalise(xp, wide, index, cache.eps, centred=centred)

    d = affine(xp, dy, _cast_or_none(xp, cache.gamma, dtype), None, index)
    scaled = xhat
    if cache.r is not None:
        r = xp.reshape(cache.r, index.kept)
        scaled = xhat * r + xp.reshape(cache.d, index.kept)
        d = d * r

    dx = d - xhat * mean_over(xp, d * xhat, index.reduced)
    if centred:
        dx = dx - mean_over(xp, d, index.reduced)
    dx = cast(xp, xp.reshape(dx * inv_std, x.shape), x.dtype)
    return (
        dx,
        _parameter_gradient(xp, dy * scaled, cache.gamma, index),
        _parameter_gradient(xp, dy, cache.beta, index),
    )


def _parameter_gradient(xp, terms, parameter, index):
    if parameter is None:
        return None
    total = sum_over(xp, terms, index.shared)
    return cast(xp, xp.reshape(total, parameter.shape), parameter.dtype)


def _cast_or_none(xp, array, dtype):
    return None if array is None else cast(xp, array, dtype)
