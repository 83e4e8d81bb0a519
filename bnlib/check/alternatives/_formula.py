"""Normalise over index sets, forwards and backwards, with a knob for each mistake.

As in the book's one picture, a norm is a choice of which entries share statistics:
`Sets`. Many mistakes are the choice of another one. All arrays keep x's shape: a
statistic stands at each entry of its set, so that any two sets can be combined.

With no knob turned it is the truth, in float64.

But: no choice of sets and no messages here; they stand beside their exercises.
"""

from math import prod
from typing import NamedTuple

import numpy as np

from bnlib.check.backward._training import (
    in_order,
    parameter_gradients,
    standard_deviation,
)


class Sets(NamedTuple):
    """Which entries share statistics: those along some axes of x in another shape."""

    view: tuple[int, ...]
    reduced: tuple[int, ...]

    @property
    def count(self):
        """Number of values behind a statistic."""
        return prod(self.view[axis] for axis in self.reduced)


def widen(*arrays):
    """Return the arrays in float64."""
    return (a.astype(np.float64) for a in arrays)


def over(sets, values, *, kept=True):
    """Return the mean of each set, at every entry of the set.

    With `kept` false the reduced axes are gone, as for those who forget `keepdims`.
    Values that a mistake has broadcast to another shape are reduced as they are.
    """
    same = values.size == prod(sets.view)
    view = values.reshape(sets.view) if same else values
    mean = view.mean(axis=sets.reduced, keepdims=kept)
    return np.broadcast_to(mean, view.shape).reshape(values.shape) if kept else mean


def standardise(
    x,
    sets,
    eps,
    *,
    centre="both",
    variance="biased",
    denominator="sqrt(v + eps)",
    kept=True,
):
    """Return what is divided (x − mean, or x), and by what (s).

    `centre` says where the mean is subtracted: in the numerator (``top``), in the
    variance (``bottom``), in both, or in none (RMS norm).
    """

    def mean(values):
        return over(sets, values, kept=kept)

    centred = x - mean(x)
    top = centred if centre in ("both", "top") else x
    bottom = centred if centre in ("both", "bottom") else x
    if centre == "x + mean":
        top, bottom = x + mean(x), centred
    elif centre == "mean - x":
        top, bottom = -centred, centred
    m = sets.count
    square = mean(bottom**2)
    var = {
        "biased": lambda: square,
        "unbiased": lambda: square * m / np.float64(m - 1),
        "sum": lambda: square * m,
        "std": lambda: np.sqrt(square),
        "absolute": lambda: mean(np.abs(bottom)),
        "absolute, squared": lambda: mean(np.abs(bottom)) ** 2,
        "square of the mean": lambda: mean(bottom) ** 2,
        "mean": lambda: mean(bottom),
        "pooled": lambda: np.full_like(square, x.var()),
        "pooled, own means": lambda: np.full_like(square, (bottom**2).mean()),
        "columns": lambda: x.var(axis=0, keepdims=True) + 0 * square,
        "one": lambda: np.ones_like(square),
    }[variance]()
    if variance == "one":
        return top, var
    return top, {
        "1 / s": lambda: 1 / np.sqrt(var + eps),
        "v": lambda: var,
    }.get(denominator, lambda: standard_deviation(var, eps, denominator))()


def along(parameter, x):
    """Return a parameter in line with axis 1 of x, the features or channels."""
    return parameter.reshape(1, -1, *(1,) * (x.ndim - 2))


def affine(xhat, gamma, beta, kind="gamma xhat + beta"):
    """Scale and shift, or what learners make of it."""
    g, b = (along(a, xhat) for a in (gamma, beta))
    return {
        "gamma xhat + beta": lambda: g * xhat + b,
        "gamma (xhat + beta)": lambda: g * (xhat + b),
        "beta xhat + gamma": lambda: b * xhat + g,
        "gamma xhat - beta": lambda: g * xhat - b,
        "xhat + beta": lambda: xhat + b,
        "gamma xhat": lambda: g * xhat,
        "xhat": lambda: xhat,
        "columns": lambda: gamma[:, None] * xhat + beta[:, None],
        "plain": lambda: gamma * xhat + beta,
    }[kind]()


def gradients(
    dy,
    x,
    gamma,
    sets,
    eps,
    *,
    means=None,
    mean_sets=None,
    xhat_sets=None,
    parameters=(0,),
    shift=0.0,
    scale=1.0,
    with_gamma="all",
    mean_term="mean",
    xhat_term="mean",
    xhat_in_dx="xhat",
    count="M",
    over_s="all",
    dgamma="dy xhat",
    dbeta="dy",
    keepdims=False,
    order="dx, dgamma, dbeta",
    **statistics,
):
    """Return the gradients of ``gamma * (scale * xhat + shift) + beta``, in `order`.

    `means` are the sets of the two means in dx, by default those of the statistics
    (`mean_sets` and `xhat_sets` are those of one of them);
    `parameters` are the axes of x that share one gamma.
    """
    means = sets if means is None else means
    kept = statistics.get("kept", True)
    top, s = standardise(x, sets, eps, **statistics)
    xhat = top / s
    full = {
        "gamma[:, None]": lambda: gamma[:, None],
        "gamma": lambda: gamma,
    }.get(with_gamma, lambda: along(gamma, x))()
    g = full * scale
    g1, g2, g3 = {
        "none": (scale, scale, scale),
        "outside": (scale, scale, scale),
        "first": (g, scale, scale),
        "first and mean": (g, g, scale),
        "first and xhat": (g, scale, g),
    }.get(with_gamma, (g, g, g))
    h = {"xhat": xhat, "x - mu": top, "x": x, "x / s": x / s}[xhat_in_dx]
    m = means.count
    share = m / {
        "M": m,
        "1": 1,
        "M - 1": np.float64(m - 1),
        "N": x.shape[0],
        "D": x.shape[1],
    }.get(count, m)

    def mean(values, own=None):
        return over(own or means, values, kept=kept) * share

    corrected = top * scale + shift * s  # over s: what gamma multiplies
    second = {
        "mean": lambda: mean(g2 * dy, mean_sets),
        "none": lambda: 0.0,
        "plus": lambda: -mean(g2 * dy),
        "sum": lambda: m * mean(g2 * dy),
    }[mean_term]()
    third = {
        "mean": lambda: h * mean(g3 * dy * h, xhat_sets),
        "none": lambda: 0.0,
        "plus": lambda: -h * mean(g3 * dy * h),
        "twice": lambda: 2 * h * mean(g3 * dy * h),
        "half": lambda: 0.5 * h * mean(g3 * dy * h),
        "sum": lambda: m * h * mean(g3 * dy * h),
        "M - 1": lambda: h * mean(g3 * dy * h) * m / np.float64(m - 1),
        "no xhat": lambda: mean(g3 * dy * h),
        "dgamma": lambda: h * mean(g3 * dy * corrected / s),
        "corrected": lambda: corrected / s * mean(g3 * dy * corrected / s),
        "corrected in front": lambda: corrected / s * mean(g3 * dy * h),
    }[xhat_term]()
    dx = {
        "all": lambda: (g1 * dy - second - third) / s,
        "none": lambda: g1 * dy - second - third,
        "first": lambda: g1 * dy / s - second - third,
        "first two": lambda: (g1 * dy - second) / s - third,
        "squared": lambda: (g1 * dy - second - third) / s**2,
        "times": lambda: (g1 * dy - second - third) * s,
    }[over_s]()
    if with_gamma in ("outside", "twice"):
        dx = full * dx
    dgamma, dbeta = parameter_gradients(
        dy, x, corrected, s, full, dx, parameters, dgamma, dbeta, keepdims
    )
    return in_order(order, dx=dx, dgamma=dgamma, dbeta=dbeta)
