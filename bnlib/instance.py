"""Instance normalisation: each sample and channel by its own positions."""

from bnlib._arguments import accumulation_dtype, check_data, check_eps, namespace
from bnlib._formula import IndexSet
from bnlib._tiers import backward, forward


def instance_norm(x, gamma, beta, *, eps=1e-5, out=None):
    """Normalise each channel of each sample over its positions.

    But: no running statistics; the same in training and at inference.

    Parameters
    ----------
    x : array of shape (N, C, L), (N, C, H, W), ...
        Input; any floating dtype, float16 and bfloat16 are computed in float32.
    gamma, beta : array of shape (C,), or None
        Scale and shift.
    eps : float
        Added to the (biased) variance.
    out : array, or None
        Where to write y: shape and dtype of x, and memory of its own.

    Returns
    -------
    y : array
        Shape and dtype of x.
    cache : Cache
        For `instance_norm_backward`; its statistics have shape (N, C).

    Raises
    ------
    TypeError, ValueError
        As for `batch_norm`; also if there is a single position, as in PyTorch.

    References
    ----------
    Ulyanov, Vedaldi and Lempitsky, *Instance normalization: the missing ingredient for
    fast stylization*, arXiv:1607.08022, 2016.
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
    if index.count == 1:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: one position per channel; "
            "expected at least two"
        )
    return forward(
        "instance_norm",
        x,
        gamma,
        beta,
        index,
        check_eps(eps),
        meaning="one value per channel (axis 1 of x)",
        shape=(channels,),
        out=out,
    )


def instance_norm_backward(dy, cache, *, out=None):
    """Gradient of `instance_norm`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y; shape of x.
    cache : Cache
        From `instance_norm`.
    out : array, or None
        Where to write dx: shape and dtype of x, and memory of its own.

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
    return backward("instance_norm", dy, cache, out=out)
