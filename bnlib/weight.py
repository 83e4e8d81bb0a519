"""Weight normalisation: a weight vector as a length times a direction."""

from dataclasses import dataclass
from typing import Any

from bnlib._arguments import (
    accumulation_dtype,
    cast,
    check_axis,
    check_cache,
    check_data,
    check_parameter,
    check_shape,
    namespace,
)
from bnlib._formula import sum_over


@dataclass(frozen=True, repr=False)
class WeightNormCache:
    """What `weight_norm_backward` needs.

    Attributes
    ----------
    v, g : array
        As given to `weight_norm`; not copied.
    norm : array
        Euclidean norms of v, reduced axes kept to broadcast against it.
    """

    v: Any
    g: Any
    norm: Any
    others: tuple[int, ...]


def weight_norm(v, g, *, axis=0):
    r"""Give each slice of v along `axis` the length g.

    .. math:: w = g\,\frac{v}{\lVert v \rVert}

    Parameters
    ----------
    v : array
        Directions, for example (C_out, C_in) or (C_out, C_in, kH, kW).
    g : array of shape (C,)
        Lengths, one per slice of v along `axis`; PyTorch's shape (C, 1, ..., 1), with
        C on that axis, will do too.
    axis : int
        Axis of v that counts the weight vectors.

    Returns
    -------
    w : array
        Shape and dtype of v.
    cache : WeightNormCache
        For `weight_norm_backward`.

    Raises
    ------
    TypeError, ValueError
        If an argument is no floating-point array, array libraries are mixed, a shape or
        the axis does not fit, g is not finite, or a vector of v is zero.

    References
    ----------
    Salimans and Kingma, *Weight normalization*, NeurIPS 2016.
    """
    xp = namespace(v=v, g=g)
    dtype = accumulation_dtype(xp, "v", v)
    check_data("v", v, min_ndim=2)
    axis = check_axis(axis, v.ndim)
    channels = v.shape[axis]
    kept = tuple(n if a == axis else 1 for a, n in enumerate(v.shape))
    if g is None:
        raise TypeError(f"g is None; expected an array of shape ({channels},)")
    shape = kept if tuple(g.shape) == kept else (channels,)
    length = check_parameter(xp, "g", g, shape, f"one length per axis {axis}", dtype)

    others = tuple(a for a in range(v.ndim) if a != axis)
    wide = cast(xp, v, dtype)
    norm = xp.sqrt(sum_over(xp, wide * wide, others))
    if bool(xp.any(norm == 0)):
        raise ValueError("v holds a vector of zeros; expected non-zero directions")
    w = wide * (xp.reshape(length, kept) / norm)
    return cast(xp, w, v.dtype), WeightNormCache(v, g, norm, others)


def weight_norm_backward(dw, cache):
    r"""Gradient of `weight_norm`.

    .. math::

        dg = \langle dw, \hat v\rangle, \qquad
        dv = \frac{g}{\lVert v\rVert}\,\bigl(dw - \hat v\,dg\bigr), \qquad
        \hat v = \frac{v}{\lVert v\rVert}

    dv is orthogonal to v.

    Parameters
    ----------
    dw : array
        Gradient of the loss with respect to w; shape of v.
    cache : WeightNormCache
        From `weight_norm`.

    Returns
    -------
    dv : array
        Shape and dtype of v.
    dg : array
        Shape and dtype of g.

    Raises
    ------
    TypeError, ValueError
        If the cache is not from `weight_norm`, or dw does not fit v.
    """
    check_cache("weight_norm", cache, WeightNormCache)
    v, g, norm = cache.v, cache.g, cache.norm
    xp = namespace(dw=dw, v=v)
    accumulation_dtype(xp, "dw", dw)
    check_shape("dw", dw, v.shape, "the shape of v")
    dtype = norm.dtype
    dw = cast(xp, dw, dtype)
    direction = cast(xp, v, dtype) / norm
    along = sum_over(xp, dw * direction, cache.others)
    length = xp.reshape(cast(xp, g, dtype), norm.shape)
    dv = (dw - direction * along) * (length / norm)
    return cast(xp, dv, v.dtype), cast(xp, xp.reshape(along, g.shape), g.dtype)
