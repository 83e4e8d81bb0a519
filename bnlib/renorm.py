"""Batch renormalisation: the batch's statistics, pulled to the running ones."""

from dataclasses import replace

from bnlib._arguments import (
    accumulation_dtype,
    cast,
    check_number,
    check_parameter,
    check_running,
    namespace,
)
from bnlib._formula import affine, backward, mean_over, normalise
from bnlib.batch import batch_norm


def batch_renorm(
    x,
    gamma,
    beta,
    running_mean,
    running_var,
    *,
    r_max,
    d_max,
    axis=1,
    eps=1e-5,
):
    r"""Normalise by the batch, then correct towards the running statistics.

    .. math::

        y = \gamma\,(\hat x\,r + d) + \beta, \qquad
        r = \mathrm{clip}\Bigl(\frac{\sigma}{\sigma_r}, \frac1{r_{max}}, r_{max}\Bigr),
        \quad
        d = \mathrm{clip}\Bigl(\frac{\mu - \mu_r}{\sigma_r}, -d_{max}, d_{max}\Bigr)

    with σ = sqrt(v + eps) of the batch and σ_r = sqrt(running_var + eps). r and d are
    constants for the gradient. r_max = 1 and d_max = 0 give batch norm; without bounds
    y is what inference would give.

    But: running statistics are not updated here; see `update_running`.

    Parameters
    ----------
    x, gamma, beta, axis, eps
        As for `batch_norm`.
    running_mean, running_var : array of shape (C,)
        Present running statistics.
    r_max : float
        Bound of the scale correction, at least 1.
    d_max : float
        Bound of the shift correction, at least 0.

    Returns
    -------
    y : array
        Shape and dtype of x.
    cache : Cache
        For `batch_renorm_backward` and `update_running`; statistics of the batch, of
        shape (C,), and the corrections ``cache.r`` and ``cache.d``.

    Raises
    ------
    TypeError, ValueError
        As for `batch_norm` and `batch_norm_inference`; also if a bound is out of range.

    References
    ----------
    Ioffe, *Batch renormalization*, NeurIPS 2017.
    """
    r_max = check_number("r_max", r_max, minimum=1.0)
    d_max = check_number("d_max", d_max, minimum=0.0)
    _, cache = batch_norm(x, gamma, beta, axis=axis, eps=eps)
    index = cache.index
    xp = namespace(x=x, running_mean=running_mean, running_var=running_var)
    dtype = accumulation_dtype(xp, "x", x)
    channels = cache.mean.shape[0]
    mean_r, var_r = check_running(xp, running_mean, running_var, channels, dtype)
    std = xp.sqrt(cache.var + cache.eps)
    std_r = xp.sqrt(var_r + cache.eps)
    if bool(xp.any(std_r == 0)):
        raise ValueError(
            "eps is 0 and running_var holds a 0; expected a positive sum of the two"
        )
    r = xp.clip(std / std_r, 1 / r_max, r_max)
    wide = cast(xp, x, dtype)
    # Centred before the mean is taken: the difference of two large means cancels.
    shift = mean_over(xp, wide - xp.reshape(mean_r, index.kept), index.reduced)
    d = xp.clip(xp.reshape(shift, index.statistics) / std_r, -d_max, d_max)

    xhat, *_ = normalise(xp, wide, index, cache.eps)
    corrected = xhat * xp.reshape(r, index.kept) + xp.reshape(d, index.kept)
    meaning = f"one value per channel (axis {axis} of x)"
    g = check_parameter(xp, "gamma", gamma, (channels,), meaning, dtype)
    b = check_parameter(xp, "beta", beta, (channels,), meaning, dtype)
    y = affine(xp, corrected, g, b, index)
    return cast(xp, y, x.dtype), replace(cache, norm="batch_renorm", r=r, d=d)


def batch_renorm_backward(dy, cache):
    """Gradient of `batch_renorm`, in which r and d are constants.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y; shape of x.
    cache : Cache
        From `batch_renorm`.

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
    return backward("batch_renorm", dy, cache)
