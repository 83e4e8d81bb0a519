"""Merging the mean and variance of two sets without seeing their values again."""

import math

from bnlib._arguments import check_shape, namespace


def merge_moments(a, b):
    r"""Merge two sets' (mean, variance, count) into those of their union.

    .. math::

        \mu = \mu_a + \delta\,\frac{n_b}{n}, \qquad
        v = \frac{n_a v_a + n_b v_b}{n} + \delta^2\,\frac{n_a n_b}{n^2},
        \qquad \delta = \mu_b - \mu_a,\quad n = n_a + n_b

    Exact for unequal counts. Leaving out the last term (the variance *of the means*) is
    the usual mistake of synchronised batch norm.

    Parameters
    ----------
    a, b : tuple (mean, var, n)
        Mean and biased variance (divided by n), arrays of one shape or numbers, and the
        number of values behind them. A set with n = 0 adds nothing, whatever its mean.

    Returns
    -------
    mean, var : array or number
        Of the union; the variance is biased.
    n : number
        n_a + n_b.

    Raises
    ------
    TypeError
        If array libraries are mixed, or an argument is not a triple.
    ValueError
        If shapes differ, a count is negative or not finite, or both are 0.

    References
    ----------
    Chan, Golub and LeVeque, *Updating formulae and a pairwise algorithm for computing
    sample variances*, COMPSTAT 1982.
    """
    (mean_a, var_a, n_a), (mean_b, var_b, n_b) = _triple("a", a), _triple("b", b)
    _check_arrays(mean_a=mean_a, var_a=var_a, mean_b=mean_b, var_b=var_b)
    n = n_a + n_b
    if n == 0:
        raise ValueError("n_a and n_b are both 0; expected at least one value")
    if n_a == 0 or n_b == 0:
        return (mean_a, var_a, n) if n_b == 0 else (mean_b, var_b, n)
    delta = mean_b - mean_a
    mean = mean_a + delta * (n_b / n)
    var = (n_a / n) * var_a + (n_b / n) * var_b + delta**2 * ((n_a / n) * (n_b / n))
    return mean, var, n


def _triple(name, moments):
    try:
        mean, var, n = moments
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {moments!r}; expected (mean, var, n)") from None
    try:
        n = n.item() if hasattr(n, "item") else n
        valid = math.isfinite(n) and n >= 0
    except TypeError:
        raise TypeError(f"n_{name} is {n!r}; expected a number of values") from None
    if not valid:
        raise ValueError(f"n_{name} is {n}; expected a finite number >= 0")
    return mean, var, n


def _check_arrays(**arrays):
    """Check that all are numbers, or arrays of one library and shape."""
    arrays = {k: v for k, v in arrays.items() if getattr(v, "ndim", 0) > 0}
    if arrays:
        namespace(**arrays)
        (first, array), *rest = arrays.items()
        for name, other in rest:
            check_shape(name, other, array.shape, f"the shape of {first}")
