"""Weight standardisation: each weight vector with mean 0 and variance 1."""

from bnlib._arguments import (
    accumulation_dtype,
    check_axis,
    check_data,
    check_eps,
    check_shape,
    namespace,
)
from bnlib._formula import IndexSet, backward, check_cache, forward


def weight_standardisation(v, gamma, *, axis=0, eps=1e-5):
    r"""Give each slice of v along `axis` mean 0 and variance 1, then a gain.

    .. math:: w = \gamma\,\frac{v - \mu}{\sqrt{\sigma^2 + \varepsilon}}

    with mean and biased variance of the slice: the formula of the other norms, applied
    to weights.

    But: the length of w grows with the number n of weights in a slice. *Scaled* weight
    standardisation (Brock et al.) has a gamma of :math:`g / \sqrt n`.

    Parameters
    ----------
    v : array
        Weights, for example (C_out, C_in) or (C_out, C_in, kH, kW).
    gamma : array of shape (C,), or None
        Gain, one per slice of v along `axis`; None is 1.
    axis : int
        Axis of v that counts the weight vectors.
    eps : float
        Added to the variance.

    Returns
    -------
    w : array
        Shape and dtype of v.
    cache : Cache
        For `weight_standardisation_backward`; ``cache.mean`` and ``cache.var`` have
        shape (C,).

    Raises
    ------
    TypeError, ValueError
        If an argument is no floating-point array, array libraries are mixed, a shape or
        the axis does not fit, gamma is not finite, a slice holds one weight only, or
        eps is 0 and so is a variance.

    References
    ----------
    Qiao, Wang, Liu, Shen and Yuille, *Micro-batch training with batch-channel
    normalization and weight standardization*, arXiv:1903.10520, 2019. Brock, De and
    Smith, *Characterizing signal propagation to close the performance gap in
    unnormalized ResNets*, ICLR 2021.
    """
    xp = namespace(v=v, gamma=gamma)
    accumulation_dtype(xp, "v", v)
    check_data("v", v, min_ndim=2)
    axis = check_axis(axis, v.ndim)
    shape = tuple(v.shape)
    index = IndexSet(
        view=shape,
        reduced=tuple(a for a in range(v.ndim) if a != axis),
        parameter=tuple(n if a == axis else 1 for a, n in enumerate(shape)),
    )
    if index.count < 2:
        raise ValueError(
            f"v has shape {shape}: one weight per slice along axis {axis}; expected at "
            "least two"
        )
    return forward(
        "weight_standardisation",
        v,
        gamma,
        None,
        index,
        check_eps(eps),
        meaning=f"one gain per axis {axis}",
        shape=(shape[axis],),
    )


def weight_standardisation_backward(dw, cache):
    r"""Gradient of `weight_standardisation`.

    dv is orthogonal to the vector of ones and, but for eps, to v.

    Parameters
    ----------
    dw : array
        Gradient of the loss with respect to w; shape of v.
    cache : Cache
        From `weight_standardisation`.

    Returns
    -------
    dv : array
        Shape and dtype of v.
    dgamma : array of gamma's shape, or None
        None where gamma was None.

    Raises
    ------
    TypeError, ValueError
        If the cache is not from `weight_standardisation`, or dw does not fit v.
    """
    check_cache(cache, "weight_standardisation")
    xp = namespace(dw=dw, v=cache.x)
    accumulation_dtype(xp, "dw", dw)
    check_shape("dw", dw, cache.x.shape, "the shape of v")
    dv, dgamma, _ = backward("weight_standardisation", dw, cache)
    return dv, dgamma
