"""Folding: batch norm at inference disappears into the layer before it."""

from bnlib._arguments import (
    accumulation_dtype,
    cast,
    check_data,
    check_eps,
    check_parameter,
    check_running,
    namespace,
)


def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, *, eps=1e-5):
    r"""Fold inference-time batch norm into the linear or convolution layer before it.

    .. math::

        w_2 = s\,w, \qquad b_2 = s\,(b - \mu_r) + \beta, \qquad
        s = \frac{\gamma}{\sqrt{v_r + \varepsilon}} \text{ per output channel}

    so that layer(x; w2, b2) = batch_norm_inference(layer(x; w, b)).

    Parameters
    ----------
    w : array of shape (C_out, ...)
        Weights with the output channels first: (C_out, C_in), (C_out, C_in, kH, kW),
        (C_out, kH, kW, C_in), ...
    b : array of shape (C_out,), or None
        Bias; None counts as zero.
    gamma, beta : array of shape (C_out,), or None
        Scale and shift of the batch norm.
    running_mean, running_var : array of shape (C_out,)
        Its running statistics.
    eps : float
        As in the batch norm.

    Returns
    -------
    w2 : array
        Shape and dtype of w.
    b2 : array of shape (C_out,)
        In the dtype of w.

    Raises
    ------
    TypeError, ValueError
        If an argument is no floating-point array, array libraries are mixed, a shape
        does not fit, or a value is not finite.
    """
    xp = namespace(
        w=w,
        b=b,
        gamma=gamma,
        beta=beta,
        running_mean=running_mean,
        running_var=running_var,
    )
    dtype = accumulation_dtype(xp, "w", w)
    check_data("w", w, min_ndim=2)
    eps = check_eps(eps)
    channels = w.shape[0]
    meaning = "one value per output channel (axis 0 of w)"
    bias, g, shift = (
        check_parameter(xp, name, array, (channels,), meaning, dtype)
        for name, array in (("b", b), ("gamma", gamma), ("beta", beta))
    )
    mean, var = check_running(xp, running_mean, running_var, channels, dtype)
    if bool(xp.any(var + eps == 0)):
        raise ValueError(
            "eps is 0 and running_var holds a 0; expected a positive sum of the two"
        )
    scale = 1 / xp.sqrt(var + eps)
    if g is not None:
        scale = scale * g
    b2 = -mean * scale if bias is None else (bias - mean) * scale
    if shift is not None:
        b2 = b2 + shift
    w2 = cast(xp, w, dtype) * xp.reshape(scale, (channels, *(1 for _ in w.shape[1:])))
    return cast(xp, w2, w.dtype), cast(xp, b2, w.dtype)
