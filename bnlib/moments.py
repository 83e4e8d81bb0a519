"""Merging the mean and variance of two sets without seeing their values again."""

import numbers

from bnlib._arguments import (
    accumulation_dtype,
    cast,
    check_finite,
    check_shape,
    namespace,
    type_name,
)


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
        number of values behind them. A set with n = 0 adds nothing, whatever its mean:
        the other's arrays are returned as they are.
        Arrays narrower than float32 are merged in float32.

    Returns
    -------
    mean, var : array or number
        Of the union; the variance is biased.
    n : number
        n_a + n_b.

    Raises
    ------
    TypeError
        If array libraries are mixed, an argument is not a triple, or its members are
        neither numbers nor floating-point arrays.
    ValueError
        If shapes differ, a count is negative or not finite, or both are 0.

    References
    ----------
    Chan, Golub and LeVeque, *Updating formulae and a pairwise algorithm for computing
    sample variances*, COMPSTAT 1982.
    """
    (mean_a, var_a, n_a), (mean_b, var_b, n_b) = _triple("a", a), _triple("b", b)
    mean_a, var_a, mean_b, var_b = _widen(
        mean_a=mean_a, var_a=var_a, mean_b=mean_b, var_b=var_b
    )
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
        raise TypeError(
            f"{name} is a {type_name(moments)}; expected a tuple (mean, var, n)"
        ) from None
    n = n.item() if getattr(n, "ndim", None) == 0 else n
    check_finite(f"n_{name}", n)
    return mean, var, n


def _widen(**values):
    """Return numbers as they are, and arrays, of one library and shape, widened."""
    arrays = {k: v for k, v in values.items() if not isinstance(v, numbers.Real)}
    if arrays:
        xp = namespace(**arrays)
        first, array = next(iter(arrays.items()))
        for name, other in arrays.items():
            check_shape(name, other, array.shape, f"the shape of {first}")
            values[name] = cast(xp, other, accumulation_dtype(xp, name, other))
    return values.values()
