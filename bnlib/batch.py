"""Batch normalisation: training, its gradient, running statistics, inference."""

from bnlib._arguments import (
    accumulation_dtype,
    cast,
    check_axis,
    check_data,
    check_eps,
    check_number,
    check_parameter,
    check_running,
    check_shape,
    namespace,
)
from bnlib._formula import IndexSet, check_cache, sum_over
from bnlib._tiers import backward, forward

CHANNEL = "one value per channel (axis {} of x)"


def batch_norm(x, gamma, beta, *, axis=1, eps=1e-5, out=None):
    r"""Normalise each channel by the statistics of the batch, as in training.

    .. math::

        y = \gamma\,\frac{x - \mu}{\sqrt{v + \varepsilon}} + \beta, \qquad
        \mu = \frac1M \sum x, \quad v = \frac1M \sum (x - \mu)^2

    with sums over every axis but the channel's, so that for (N, C, H, W) M = N·H·W.

    But: no running statistics here; see `update_running`.

    Parameters
    ----------
    x : array
        Input of shape (N, C), (N, C, L), (N, C, H, W), ... or with the channels on
        another axis. Any floating dtype; float16 and bfloat16 are computed in float32.
    gamma, beta : array of shape (C,), or None
        Scale and shift; None leaves the step out.
    axis : int
        The channel axis: 1 for NCHW, -1 for channels-last.
    eps : float
        Added to the variance, inside the square root.
    out : array, or None
        Where to write y: shape and dtype of x, and memory of its own.

    Returns
    -------
    y : array
        Shape and dtype of x.
    cache : Cache
        For `batch_norm_backward` and `update_running`. ``cache.mean`` and ``cache.var``
        have shape (C,), float32 or wider; the variance is the biased one.

    Raises
    ------
    TypeError
        If an argument is no floating-point array, or if array libraries are mixed.
    ValueError
        If a shape or the axis does not fit, x is empty, a parameter is not finite, or
        there is one value per channel (M = 1): its statistics say nothing, and y would
        be beta whatever x is. PyTorch raises here too.

    References
    ----------
    Ioffe and Szegedy, *Batch normalization*, ICML 2015, algorithm 1.
    """
    axis = _check_input(x, gamma, beta, axis)
    channels = x.shape[axis]
    index = _per_channel(x.shape, axis)
    if index.count == 1:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: one value per channel (axis {axis}); "
            "expected at least two in training, or use batch_norm_inference"
        )
    return forward(
        "batch_norm",
        x,
        gamma,
        beta,
        index,
        check_eps(eps),
        meaning=CHANNEL.format(axis),
        shape=(channels,),
        out=out,
    )


def batch_norm_backward(dy, cache, *, out=None):
    r"""Gradient of `batch_norm`, through the statistics of the batch.

    .. math::

        dx = \frac{1}{\sqrt{v + \varepsilon}}
             \Bigl(d - \overline{d} - \hat x\,\overline{d\,\hat x}\Bigr),
        \quad d = \gamma\,dy, \quad
        d\gamma = \sum dy\,\hat x, \quad d\beta = \sum dy

    with means and sums per channel.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y; shape of x.
    cache : Cache
        From `batch_norm`; the x given there must not have been changed since.
    out : array, or None
        Where to write dx: shape and dtype of x, and memory of its own.

    Returns
    -------
    dx : array
        Shape and dtype of x.
    dgamma, dbeta : array of shape (C,), or None
        In the parameter's dtype; None where the parameter was None.

    Raises
    ------
    TypeError
        If the cache is not from `batch_norm`, or dy is no floating-point array of x's
        library.
    ValueError
        If the shape of dy is not that of x.

    References
    ----------
    Ioffe and Szegedy, *Batch normalization*, ICML 2015, section 3, simplified.
    """
    return backward("batch_norm", dy, cache, out=out)


def batch_norm_inference(
    x, gamma, beta, running_mean, running_var, *, axis=1, eps=1e-5
):
    r"""Normalise each channel by running statistics, as at inference.

    .. math:: y = \gamma\,\frac{x - \mu_r}{\sqrt{v_r + \varepsilon}} + \beta

    Each entry depends on itself alone, so any batch size will do, 0 too.

    Parameters
    ----------
    x : array
        Input, as for `batch_norm`.
    gamma, beta : array of shape (C,), or None
        Scale and shift.
    running_mean, running_var : array of shape (C,)
        From `update_running`.
    axis : int
        The channel axis.
    eps : float
        Added to the running variance.

    Returns
    -------
    y : array
        Shape and dtype of x.

    Raises
    ------
    TypeError, ValueError
        As for `batch_norm`; also if a running variance is negative.

    References
    ----------
    Ioffe and Szegedy, *Batch normalization*, ICML 2015, algorithm 2.
    """
    axis = _check_input(x, gamma, beta, axis, allow_empty=True)
    xp, wide, g, b, mean, inv_std, per_channel = _inference_terms(
        x, gamma, beta, running_mean, running_var, axis, eps
    )
    # Centred first: x·scale + shift would cancel where the mean is large.
    y = (wide - per_channel(mean)) * per_channel(inv_std)
    if g is not None:
        y = y * per_channel(g)
    if b is not None:
        y = y + per_channel(b)
    return cast(xp, y, x.dtype)


def batch_norm_inference_backward(
    dy, x, gamma, running_mean, running_var, *, axis=1, eps=1e-5
):
    r"""Gradient of `batch_norm_inference`; running statistics are constants.

    .. math:: dx = \frac{\gamma\,dy}{\sqrt{v_r + \varepsilon}}

    Nothing is projected out, unlike in training.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y; shape of x.
    x, gamma, running_mean, running_var, axis, eps
        As given to `batch_norm_inference`.

    Returns
    -------
    dx : array
        Shape and dtype of x.
    dgamma, dbeta : array of shape (C,)
        dgamma is None where gamma is None.

    Raises
    ------
    TypeError, ValueError
        As for `batch_norm_inference`; also if the shape of dy is not that of x.
    """
    axis = _check_input(x, gamma, None, axis, allow_empty=True)
    xp, wide, g, _, mean, inv_std, per_channel = _inference_terms(
        x, gamma, None, running_mean, running_var, axis, eps
    )
    namespace(dy=dy, x=x)
    accumulation_dtype(xp, "dy", dy)
    check_shape("dy", dy, x.shape, "the shape of x")
    dy = cast(xp, dy, wide.dtype)

    others = tuple(a for a in range(x.ndim) if a != axis)
    xhat = (wide - per_channel(mean)) * per_channel(inv_std)
    scale = inv_std if g is None else g * inv_std
    dx = cast(xp, dy * per_channel(scale), x.dtype)
    dbeta = xp.reshape(sum_over(xp, dy, others), inv_std.shape)
    if gamma is None:
        return dx, None, dbeta
    dgamma = xp.reshape(sum_over(xp, dy * xhat, others), inv_std.shape)
    return dx, cast(xp, dgamma, gamma.dtype), cast(xp, dbeta, gamma.dtype)


def update_running(running_mean, running_var, cache, *, momentum=0.1, unbiased=True):
    r"""Move running statistics towards those of a batch.

    .. math::

        \mu_r \leftarrow (1 - m)\,\mu_r + m\,\mu, \qquad
        v_r \leftarrow (1 - m)\,v_r + m\,\frac{M}{M - 1}\,v

    The momentum m weighs the *new* value and the *unbiased* variance is stored, as in
    PyTorch. Keras, Flax and ONNX weigh the old value: their momentum is 1 − m.

    Parameters
    ----------
    running_mean, running_var : array of shape (C,)
        Present values; they start as zeros and ones.
    cache : Cache
        From `batch_norm` or `batch_renorm`; or from `ghost_batch_norm`, whose ghost
        batches then count one after the other.
    momentum : float
        Weight of the new value, between 0 and 1.
    unbiased : bool
        Whether the batch's variance is multiplied by M/(M − 1) first.

    Returns
    -------
    running_mean, running_var : array of shape (C,)
        New arrays, dtypes kept.

    Raises
    ------
    TypeError
        If the cache is from another function, or array libraries are mixed.
    ValueError
        If shapes do not fit, the momentum is not in [0, 1], or a value is not finite.
    """
    check_cache(cache, "batch_norm", "batch_renorm", "ghost_batch_norm")
    xp = namespace(running_mean=running_mean, running_var=running_var, x=cache.x)
    momentum = check_number("momentum", momentum, minimum=0.0, maximum=1.0)
    channels = cache.mean.shape[-1]
    mean, var = check_running(xp, running_mean, running_var, channels, cache.mean.dtype)
    factor = cache.count / (cache.count - 1) if unbiased else 1.0
    batches = xp.reshape(cache.mean, (-1, channels))
    variances = xp.reshape(cache.var, (-1, channels))
    for i in range(batches.shape[0]):
        mean = (1 - momentum) * mean + momentum * batches[i, :]
        var = (1 - momentum) * var + momentum * factor * variances[i, :]
    return cast(xp, mean, running_mean.dtype), cast(xp, var, running_var.dtype)


def _check_input(x, gamma, beta, axis, *, allow_empty=False):
    xp = namespace(x=x, gamma=gamma, beta=beta)
    accumulation_dtype(xp, "x", x)
    check_data("x", x, min_ndim=2, allow_empty=allow_empty)
    return check_axis(axis, x.ndim)


def _per_channel(shape, axis):
    return IndexSet(
        view=tuple(shape),
        reduced=tuple(a for a in range(len(shape)) if a != axis),
        parameter=tuple(n if a == axis else 1 for a, n in enumerate(shape)),
    )


def _inference_terms(x, gamma, beta, running_mean, running_var, axis, eps):
    """Return the checked terms of inference, in the accumulation dtype."""
    xp = namespace(
        x=x,
        gamma=gamma,
        beta=beta,
        running_mean=running_mean,
        running_var=running_var,
    )
    eps = check_eps(eps)
    dtype = accumulation_dtype(xp, "x", x)
    channels = x.shape[axis]
    meaning = CHANNEL.format(axis)
    g = check_parameter(xp, "gamma", gamma, (channels,), meaning, dtype)
    b = check_parameter(xp, "beta", beta, (channels,), meaning, dtype)
    mean, var = check_running(xp, running_mean, running_var, channels, dtype)
    if bool(xp.any(var + eps == 0)):
        raise ValueError(
            "eps is 0 and running_var holds a 0; expected a positive sum of the two"
        )
    shape = tuple(n if a == axis else 1 for a, n in enumerate(x.shape))

    def per_channel(values):
        return xp.reshape(values, shape)

    inv_std = 1 / xp.sqrt(var + eps)
    return xp, cast(xp, x, dtype), g, b, mean, inv_std, per_channel
