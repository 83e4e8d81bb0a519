"""Layer normalisation: each sample by its own features."""

from bnlib._arguments import (
    accumulation_dtype,
    check_axis,
    check_data,
    check_eps,
    namespace,
)
from bnlib._formula import IndexSet
from bnlib._tiers import backward, forward


def layer_norm(x, gamma, beta, *, axis=-1, eps=1e-5, out=None):
    r"""Normalise over the axes from `axis` to the last, separately for all others.

    .. math::

        y = \gamma\,\frac{x - \mu}{\sqrt{v + \varepsilon}} + \beta

    with mean and biased variance of each sample. No batch, no running statistics: the
    same in training and at inference.

    Parameters
    ----------
    x : array
        Input; any floating dtype, float16 and bfloat16 are computed in float32.
    gamma, beta : array of shape ``x.shape[axis:]``, or None
        Scale and shift, one value per feature.
    axis : int
        First of the axes to normalise over, as in ONNX; PyTorch's `normalized_shape`
        is ``x.shape[axis:]``.
    eps : float
        Added to the variance.
    out : array, or None
        Where to write y: shape and dtype of x, and memory of its own.

    Returns
    -------
    y : array
        Shape and dtype of x.
    cache : Cache
        For `layer_norm_backward`; its statistics have shape ``x.shape[:axis]``.

    Raises
    ------
    TypeError, ValueError
        As for `batch_norm`. A single feature is allowed (y is then beta), as in
        PyTorch.

    References
    ----------
    Ba, Kiros and Hinton, *Layer normalization*, arXiv:1607.06450, 2016.
    """
    index = trailing(x, gamma, beta, axis)
    shape = index.view[index.reduced[0] :]
    return forward(
        "layer_norm",
        x,
        gamma,
        beta,
        index,
        check_eps(eps),
        meaning=f"the shape of x from axis {index.reduced[0]} on",
        shape=shape,
        out=out,
    )


def layer_norm_backward(dy, cache, *, out=None):
    """Gradient of `layer_norm`.

    The formula of `batch_norm_backward`, with means over each sample's features
    (gamma inside the means) and parameter gradients summed over the samples.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y; shape of x.
    cache : Cache
        From `layer_norm`.
    out : array, or None
        Where to write dx: shape and dtype of x, and memory of its own.

    Returns
    -------
    dx : array
        Shape and dtype of x.
    dgamma, dbeta : array of gamma's shape, or None
        None where the parameter was None.

    Raises
    ------
    TypeError, ValueError
        As for `batch_norm_backward`.
    """
    return backward("layer_norm", dy, cache, out=out)


def trailing(x, gamma, beta, axis):
    """Return the index set of the axes from `axis` to the last, checking x."""
    xp = namespace(x=x, gamma=gamma, beta=beta)
    accumulation_dtype(xp, "x", x)
    check_data("x", x, min_ndim=1)
    axis = check_axis(axis, x.ndim)
    return IndexSet(
        view=tuple(x.shape),
        reduced=tuple(range(axis, x.ndim)),
        parameter=tuple(1 if a < axis else n for a, n in enumerate(x.shape)),
    )
