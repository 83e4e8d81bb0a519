"""Dynamic tanh: a curve in the place of a normalisation, without any statistics."""

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
class DynamicTanhCache:
    """What `dynamic_tanh_backward` needs.

    Attributes
    ----------
    x, gamma, beta, alpha : array
        As given to `dynamic_tanh`; not copied. The curve is computed again.
    """

    x: Any
    gamma: Any
    beta: Any
    alpha: Any
    axis: int

    @property
    def others(self):
        """Axes over which the gradients of gamma and beta are summed."""
        return tuple(a for a in range(self.x.ndim) if a != self.axis)

    @property
    def kept(self):
        """Shape in which gamma and beta broadcast against x."""
        return tuple(n if a == self.axis else 1 for a, n in enumerate(self.x.shape))


def dynamic_tanh(x, gamma, beta, alpha, *, axis=-1):
    r"""Squash with a tanh of learned steepness, then scale and shift each feature.

    .. math:: y = \gamma \tanh(\alpha x) + \beta

    But: no mean, no variance; every entry is on its own, and nothing is invariant to
    the scale of x.

    Parameters
    ----------
    x : array
        Input; any floating dtype, float16 and bfloat16 are computed in float32.
    gamma, beta : array of shape (C,), or None
        Scale and shift, one value per feature.
    alpha : array of shape (1,)
        Steepness, one number for the whole layer. The paper starts at 0.5.
    axis : int
        Axis of x that counts the features: the last one, as in a transformer; 1 for
        the images of a convolutional network.

    Returns
    -------
    y : array
        Shape and dtype of x.
    cache : DynamicTanhCache
        For `dynamic_tanh_backward`.

    Raises
    ------
    TypeError, ValueError
        If an argument is no floating-point array, array libraries are mixed, a shape or
        the axis does not fit, or a parameter is not finite.

    References
    ----------
    Zhu, Chen, He, LeCun and Liu, *Transformers without normalization*, CVPR 2025.
    """
    xp = namespace(x=x, gamma=gamma, beta=beta, alpha=alpha)
    dtype = accumulation_dtype(xp, "x", x)
    check_data("x", x, min_ndim=1)
    axis = check_axis(axis, x.ndim)
    shape, meaning = (x.shape[axis],), f"one value per feature (axis {axis})"
    g = check_parameter(xp, "gamma", gamma, shape, meaning, dtype)
    b = check_parameter(xp, "beta", beta, shape, meaning, dtype)
    if alpha is None:
        raise TypeError("alpha is None; expected an array of shape (1,)")
    a = check_parameter(xp, "alpha", alpha, (1,), "one value", dtype)

    cache = DynamicTanhCache(x, gamma, beta, alpha, axis)
    y = xp.tanh(a * cast(xp, x, dtype))
    if g is not None:
        y = y * xp.reshape(g, cache.kept)
    if b is not None:
        y = y + xp.reshape(b, cache.kept)
    return cast(xp, y, x.dtype), cache


def dynamic_tanh_backward(dy, cache):
    r"""Gradient of `dynamic_tanh`.

    With :math:`t = \tanh(\alpha x)` and :math:`d = dy\,\gamma\,(1 - t^2)`,

    .. math::

        dx = \alpha\,d, \qquad
        d\gamma = \sum dy\,t, \qquad
        d\beta = \sum dy, \qquad
        d\alpha = \sum d\,x

    where the last sum runs over all entries, the other two over those of a feature.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y; shape of x.
    cache : DynamicTanhCache
        From `dynamic_tanh`.

    Returns
    -------
    dx : array
        Shape and dtype of x.
    dgamma, dbeta : array of shape (C,), or None
        None where gamma or beta was None.
    dalpha : array of shape (1,)

    Raises
    ------
    TypeError, ValueError
        If the cache is not from `dynamic_tanh`, or dy does not fit x.
    """
    check_cache("dynamic_tanh", cache, DynamicTanhCache)
    x, alpha = cache.x, cache.alpha
    xp = namespace(dy=dy, x=x)
    accumulation_dtype(xp, "dy", dy)
    check_shape("dy", dy, x.shape, "the shape of x")
    dtype = accumulation_dtype(xp, "x", x)
    dy, wide = cast(xp, dy, dtype), cast(xp, x, dtype)
    steepness = cast(xp, alpha, dtype)
    t = xp.tanh(steepness * wide)

    d = dy * (1 - t * t)
    if cache.gamma is not None:
        d = d * xp.reshape(cast(xp, cache.gamma, dtype), cache.kept)
    return (
        cast(xp, steepness * d, x.dtype),
        _gradient(xp, dy * t, cache.gamma, cache.others),
        _gradient(xp, dy, cache.beta, cache.others),
        _gradient(xp, d * wide, alpha, tuple(range(x.ndim))),
    )


def _gradient(xp, terms, parameter, axes):
    if parameter is None:
        return None
    total = sum_over(xp, terms, axes)
    return cast(xp, xp.reshape(total, parameter.shape), parameter.dtype)
