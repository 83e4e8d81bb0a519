"""Group normalisation: each sample by groups of neighbouring channels."""

from bnlib._arguments import (
    accumulation_dtype,
    check_data,
    check_eps,
    check_integer,
    namespace,
)
from bnlib._formula import IndexSet
from bnlib._tiers import backward, forward


def group_norm(x, gamma, beta, *, num_groups, eps=1e-5, out=None):
    r"""Normalise each sample over groups of neighbouring channels and all positions.

    Channels ``k C/G`` to ``(k + 1) C/G - 1`` form group k. One group is layer norm over
    (C, H, W) but for gamma's shape; as many groups as channels is instance norm.

    Parameters
    ----------
    x : array of shape (N, C, ...)
        Input; any floating dtype, float16 and bfloat16 are computed in float32.
    gamma, beta : array of shape (C,), or None
        Scale and shift, one value per *channel*, not per group.
    num_groups : int
        G, a divisor of C.
    eps : float
        Added to the variance.
    out : array, or None
        Where to write y: shape and dtype of x, and memory of its own.

    Returns
    -------
    y : array
        Shape and dtype of x.
    cache : Cache
        For `group_norm_backward`; its statistics have shape (N, G).

    Raises
    ------
    TypeError, ValueError
        As for `batch_norm`; also if num_groups does not divide C. A single value per
        group is allowed (y is then beta).

    References
    ----------
    Wu and He, *Group normalization*, ECCV 2018.
    """
    xp = namespace(x=x, gamma=gamma, beta=beta)
    accumulation_dtype(xp, "x", x)
    check_data("x", x, min_ndim=2)
    groups = check_integer("num_groups", num_groups, minimum=1)
    batch, channels, *positions = x.shape
    if channels % groups:
        raise ValueError(
            f"num_groups is {groups}; expected a divisor of the {channels} channels "
            "(axis 1 of x)"
        )
    view = (batch, groups, channels // groups, *positions)
    index = IndexSet(
        view=view,
        reduced=tuple(range(2, len(view))),
        parameter=(1, groups, channels // groups, *(1 for _ in positions)),
    )
    return forward(
        "group_norm",
        x,
        gamma,
        beta,
        index,
        check_eps(eps),
        meaning="one value per channel (axis 1 of x)",
        shape=(channels,),
        out=out,
    )


def group_norm_backward(dy, cache, *, out=None):
    """Gradient of `group_norm`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y; shape of x.
    cache : Cache
        From `group_norm`.
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
    return backward("group_norm", dy, cache, out=out)
