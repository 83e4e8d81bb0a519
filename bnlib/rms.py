"""RMS normalisation: layer norm without the mean."""

from bnlib._arguments import check_eps
from bnlib._tiers import backward, forward
from bnlib.layer import trailing


def rms_norm(x, gamma, *, axis=-1, eps=1e-5, out=None):
    r"""Divide by the root mean square over the axes from `axis` to the last.

    .. math:: y = \gamma\,\frac{x}{\sqrt{\overline{x^2} + \varepsilon}}

    But: nothing is subtracted, and there is no beta.

    Parameters
    ----------
    x : array
        Input; any floating dtype, float16 and bfloat16 are computed in float32.
    gamma : array of shape ``x.shape[axis:]``, or None
        Scale, one value per feature.
    axis : int
        First of the axes to normalise over.
    eps : float
        Added to the mean square. PyTorch's default is the machine epsilon of x's dtype
        instead.
    out : array, or None
        Where to write y: shape and dtype of x, and memory of its own.

    Returns
    -------
    y : array
        Shape and dtype of x.
    cache : Cache
        For `rms_norm_backward`; ``cache.var`` is the mean square, of shape
        ``x.shape[:axis]``, and ``cache.mean`` is None.

    Raises
    ------
    TypeError, ValueError
        As for `layer_norm`.

    References
    ----------
    Zhang and Sennrich, *Root mean square layer normalization*, NeurIPS 2019.
    """
    index = trailing(x, gamma, None, axis)
    return forward(
        "rms_norm",
        x,
        gamma,
        None,
        index,
        check_eps(eps),
        meaning=f"the shape of x from axis {index.reduced[0]} on",
        shape=index.view[index.reduced[0] :],
        centred=False,
        out=out,
    )


def rms_norm_backward(dy, cache, *, out=None):
    """Gradient of `rms_norm`.

    Only the component along x is projected out: nothing was centred, so no mean is
    subtracted.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y; shape of x.
    cache : Cache
        From `rms_norm`.
    out : array, or None
        Where to write dx: shape and dtype of x, and memory of its own.

    Returns
    -------
    dx : array
        Shape and dtype of x.
    dgamma : array of gamma's shape, or None
        None where gamma was None.

    Raises
    ------
    TypeError, ValueError
        As for `batch_norm_backward`.
    """
    dx, dgamma, _ = backward("rms_norm", dy, cache, out=out)
    return dx, dgamma
