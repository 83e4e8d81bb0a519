"""Filter response normalisation: instance norm without the mean."""

from bnlib._arguments import accumulation_dtype, check_data, check_eps, namespace
from bnlib._formula import IndexSet, backward, forward


def filter_response_norm(x, gamma, beta, *, eps=1e-5):
    r"""Divide each channel of each sample by its root mean square over positions.

    .. math:: y = \gamma\,\frac{x}{\sqrt{\nu^2 + \varepsilon}} + \beta, \qquad
        \nu^2 = \overline{x^2}

    The same in training and at inference.

    But: nothing is subtracted. The activation that the paper puts behind it, a
    rectifier with a learned threshold, max(y, tau), is not part of this function.

    Parameters
    ----------
    x : array of shape (N, C, L), (N, C, H, W), ...
        Input; any floating dtype, float16 and bfloat16 are computed in float32.
    gamma, beta : array of shape (C,), or None
        Scale and shift.
    eps : float
        Added to the mean square. With one position, y is gamma times a smoothed sign of
        x, and eps says how smooth: the paper learns it there.

    Returns
    -------
    y : array
        Shape and dtype of x.
    cache : Cache
        For `filter_response_norm_backward`; ``cache.var`` is the mean square, of shape
        (N, C), and ``cache.mean`` is None.

    Raises
    ------
    TypeError, ValueError
        As for `instance_norm`, but a single position is allowed.

    References
    ----------
    Singh and Krishnan, *Filter response normalization layer: eliminating batch
    dependence in the training of deep neural networks*, CVPR 2020.
    """
    xp = namespace(x=x, gamma=gamma, beta=beta)
    accumulation_dtype(xp, "x", x)
    check_data("x", x, min_ndim=3)
    channels = x.shape[1]
    index = IndexSet(
        view=tuple(x.shape),
        reduced=tuple(range(2, x.ndim)),
        parameter=(1, channels, *(1 for _ in x.shape[2:])),
    )
    return forward(
        "filter_response_norm",
        x,
        gamma,
        beta,
        index,
        check_eps(eps),
        meaning="one value per channel (axis 1 of x)",
        shape=(channels,),
        centred=False,
    )


def filter_response_norm_backward(dy, cache):
    """Gradient of `filter_response_norm`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y; shape of x.
    cache : Cache
        From `filter_response_norm`.

    Returns
    -------
    dx : array
        Shape and dtype of x.
    dgamma, dbeta : array of shape (C,), or None
        None where the parameter was None.

    Raises
    ------
    TypeError, ValueError
        As for `batch_norm_backward`.
    """
    return backward("filter_response_norm", dy, cache)
