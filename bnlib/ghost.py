"""Ghost batch normalisation: a large batch normalised in small parts."""

from bnlib._arguments import (
    accumulation_dtype,
    check_axis,
    check_data,
    check_eps,
    check_integer,
    namespace,
)
from bnlib._formula import IndexSet, backward, forward


def ghost_batch_norm(x, gamma, beta, *, ghost_size, axis=1, eps=1e-5):
    """Normalise consecutive parts of a batch, each by its own statistics.

    Samples ``k ghost_size`` to ``(k + 1) ghost_size - 1`` form ghost batch k: the noise
    of a small batch at the speed of a large one.

    Parameters
    ----------
    x : array
        Input with samples on axis 0 and channels on `axis`.
    gamma, beta : array of shape (C,), or None
        Scale and shift, shared by all ghost batches.
    ghost_size : int
        Samples in a ghost batch, a divisor of N.
    axis : int
        The channel axis; not 0.
    eps : float
        Added to the (biased) variance.

    Returns
    -------
    y : array
        Shape and dtype of x.
    cache : Cache
        For `ghost_batch_norm_backward` and `update_running`; its statistics have shape
        (N / ghost_size, C).

    Raises
    ------
    TypeError, ValueError
        As for `batch_norm`; also if ghost_size does not divide N, or the axis is 0.

    References
    ----------
    Hoffer, Hubara and Soudry, *Train longer, generalize better*, NeurIPS 2017.
    """
    xp = namespace(x=x, gamma=gamma, beta=beta)
    accumulation_dtype(xp, "x", x)
    check_data("x", x, min_ndim=2)
    axis = check_axis(axis, x.ndim)
    if axis == 0:
        raise ValueError("axis is 0, the batch; expected another axis for the channels")
    size = check_integer("ghost_size", ghost_size, minimum=1)
    batch, *rest = x.shape
    if batch % size:
        raise ValueError(
            f"ghost_size is {size}; expected a divisor of the {batch} samples "
            "(axis 0 of x)"
        )
    view = (batch // size, size, *rest)
    index = IndexSet(
        view=view,
        reduced=tuple(a for a in range(1, len(view)) if a != axis + 1),
        parameter=tuple(n if a == axis + 1 else 1 for a, n in enumerate(view)),
    )
    if index.count == 1:
        raise ValueError(
            f"x has shape {tuple(x.shape)} and ghost_size is {size}: one value per "
            "channel and ghost batch; expected at least two"
        )
    return forward(
        "ghost_batch_norm",
        x,
        gamma,
        beta,
        index,
        check_eps(eps),
        meaning=f"one value per channel (axis {axis} of x)",
        shape=(x.shape[axis],),
    )


def ghost_batch_norm_backward(dy, cache):
    """Gradient of `ghost_batch_norm`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y; shape of x.
    cache : Cache
        From `ghost_batch_norm`.

    Returns
    -------
    dx : array
        Shape and dtype of x.
    dgamma, dbeta : array of shape (C,), or None
        Summed over all ghost batches; None where the parameter was None.

    Raises
    ------
    TypeError, ValueError
        As for `batch_norm_backward`.
    """
    return backward("ghost_batch_norm", dy, cache)
