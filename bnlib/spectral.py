"""Spectral normalisation: a weight matrix divided by its largest singular value."""

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
class SpectralNormCache:
    r"""What `spectral_norm_backward` needs.

    Attributes
    ----------
    w : array
        As given to `spectral_norm`; not copied.
    u, v : array of shape (C,) and (n,)
        Unit vectors, the estimates of the first pair of singular vectors. Pass u to the
        next call for one more step of power iteration.
    sigma : array of shape ()
        :math:`u^\top W v`, what w was divided by.
    """

    w: Any
    u: Any
    v: Any
    sigma: Any
    axis: int


def spectral_norm(w, u=None, *, axis=0):
    r"""Divide w by its largest singular value, or by an estimate of it.

    .. math:: y = \frac{w}{\sigma}, \qquad \sigma = u^\top W v

    W is w as a matrix, with one row per slice of w along `axis`. Without u, the
    singular vectors u and v are exact. With u, they come from one step of power
    iteration,

    .. math::

        v = \frac{W^\top u}{\lVert W^\top u\rVert}, \qquad
        u \leftarrow \frac{W v}{\lVert W v\rVert},

    so that :math:`\sigma = \lVert W v\rVert` never exceeds the largest singular value,
    and y may be too long.

    But: for a convolution this is not the norm of the linear map, only of its kernel
    written as a matrix.

    Parameters
    ----------
    w : array
        Weights, for example (C_out, C_in) or (C_out, C_in, kH, kW).
    u : array of shape (C,), or None
        Estimate of the first left singular vector, of any length but 0.
    axis : int
        Axis of w that counts the rows.

    Returns
    -------
    y : array
        Shape and dtype of w.
    cache : SpectralNormCache
        For `spectral_norm_backward`.

    Raises
    ------
    TypeError, ValueError
        If an argument is no floating-point array, array libraries are mixed, a shape or
        the axis does not fit, w or u is not finite, w is zero, or u is orthogonal to
        all columns of W.

    References
    ----------
    Miyato, Kataoka, Koyama and Yoshida, *Spectral normalization for generative
    adversarial networks*, ICLR 2018.
    """
    xp = namespace(w=w, u=u)
    dtype = accumulation_dtype(xp, "w", w)
    check_data("w", w, min_ndim=2)
    axis = check_axis(axis, w.ndim)
    # In float64: the singular vectors are as far off as rounding, over a gap.
    shape = (w.shape[axis],)
    u = check_parameter(xp, "u", u, shape, f"one value per axis {axis}", xp.float64)
    matrix = xp.reshape(xp.moveaxis(cast(xp, w, xp.float64), axis, 0), (*shape, -1))
    if not bool(xp.all(xp.isfinite(matrix))):
        raise ValueError("w holds NaN or infinity; expected finite numbers")
    if not bool(xp.any(matrix != 0)):
        raise ValueError("w holds zeros only; expected another matrix")
    if u is None:
        left, _, right = xp.linalg.svd(matrix, full_matrices=False)
        u, v = left[:, 0], right[0, :]
    else:
        v = xp.matmul(u, matrix)
        if not bool(xp.any(v != 0)):
            raise ValueError(
                "u is orthogonal to all columns of w, or zero; expected another u"
            )
        v = v / xp.sqrt(xp.sum(v * v))
        u = xp.matmul(matrix, v)
        u = u / xp.sqrt(xp.sum(u * u))
    sigma = xp.sum(u * xp.matmul(matrix, v))
    y = cast(xp, cast(xp, w, dtype) / cast(xp, sigma, dtype), w.dtype)
    u, v, sigma = (cast(xp, a, dtype) for a in (u, v, sigma))
    return y, SpectralNormCache(w, u, v, sigma, axis)


def spectral_norm_backward(dy, cache):
    r"""Gradient of `spectral_norm`.

    .. math::

        dw = \frac{1}{\sigma}\,\bigl(dy - \langle dy, y\rangle\, u v^\top\bigr)

    With exact u and v this is the whole gradient. After a step of power iteration it
    takes u and v for constants, as the paper and PyTorch do.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y; shape of w.
    cache : SpectralNormCache
        From `spectral_norm`.

    Returns
    -------
    dw : array
        Shape and dtype of w.

    Raises
    ------
    TypeError, ValueError
        If the cache is not from `spectral_norm`, or dy does not fit w.
    """
    check_cache("spectral_norm", cache, SpectralNormCache)
    w, sigma = cache.w, cache.sigma
    xp = namespace(dy=dy, w=w)
    accumulation_dtype(xp, "dy", dy)
    check_shape("dy", dy, w.shape, "the shape of w")
    dtype = sigma.dtype
    wide_dy, wide_w = cast(xp, dy, dtype), cast(xp, w, dtype)
    along = sum_over(xp, wide_dy * (wide_w / sigma), tuple(range(w.ndim)))
    outer = cache.u[:, None] * cache.v[None, :]
    moved = (
        w.shape[cache.axis],
        *(n for a, n in enumerate(w.shape) if a != cache.axis),
    )
    outer = xp.moveaxis(xp.reshape(outer, moved), 0, cache.axis)
    return cast(xp, (wide_dy - along * outer) / sigma, w.dtype)
