"""PS2: the backward pass."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bnlib.check._exercise import Case, CheckFailed, Exercise, Mistake, _where
from bnlib.check._inputs import draw_batch

_CHANGED = (
    "Its owner still needs it: other layers read x, and other branches dy. "
    "`d = gamma * dy` makes a new array; `dy *= gamma` overwrites the old one."
)

# --- Training: one formula for (N, D) and for any number of axes ----------------------


def _training(
    dy,
    x,
    gamma,
    axis=1,
    eps=1e-5,
    *,
    channel=None,
    statistics="batch",
    means="batch",
    parameters="batch",
    flattened=None,
    variance="biased",
    denominator="sqrt(v + eps)",
    xhat_in_dx="xhat",
    with_gamma="all",
    mean_term="mean",
    xhat_term="mean",
    count="M",
    over_s="all",
    dgamma="dy xhat",
    dbeta="dy",
    keepdims=False,
    order="dx, dgamma, dbeta",
):
    """Gradients through the batch's statistics, with knobs for each mistake.

    `statistics`, `means` and `parameters` say over which axes the mean and variance,
    the means in dx, and the sums of dgamma and dbeta are taken.
    """
    dy, x, gamma = (a.astype(np.float64) for a in (dy, x, gamma))
    shape = x.shape
    axis = (axis if channel is None else channel) % x.ndim
    if flattened:
        form = {"(-1, C)": (-1, gamma.size), "(C, -1)": (gamma.size, -1)}[flattened]
        dy, x = dy.reshape(form), x.reshape(form)
        axis = form.index(gamma.size)
    over_statistics, over_means, over_parameters = (
        _axes(kind, x.ndim, axis) for kind in (statistics, means, parameters)
    )
    along = [1] * x.ndim
    along[axis] = gamma.size
    g = {
        "all": lambda: gamma.reshape(along),
        "gamma": lambda: gamma,
        "gamma[:, None]": lambda: gamma[:, None],
    }.get(with_gamma, lambda: gamma.reshape(along))()

    # Forward again.
    centred = x - x.mean(over_statistics, keepdims=True)
    var = (centred**2).mean(over_statistics, keepdims=True)
    if variance == "unbiased":
        m = x.size / var.size
        var = var * m / (m - 1)
    elif variance == "mean square":
        var = (x**2).mean(over_statistics, keepdims=True)
    elif variance == "sum":
        var = (centred**2).sum(over_statistics, keepdims=True)
    elif variance == "pooled":
        var = np.full_like(var, x.var())
    s = _standard_deviation(var, eps, denominator)
    xhat = centred / s

    # dx = (d - mean(d) - xhat mean(d xhat)) / s
    h = {"xhat": xhat, "x - mu": centred, "x / s": x / s, "x": x}[xhat_in_dx]
    one = np.ones_like(g)
    g1, g2, g3 = {
        "none": (one, one, one),
        "twice": (g**2, g**2, g**2),
        "first": (g, one, one),
        "first and mean": (g, g, one),
        "first and xhat": (g, one, g),
    }.get(with_gamma, (g, g, g))
    m = {
        "M": np.prod([x.shape[a] for a in over_means]),
        "1": 1,
        "N": x.shape[0],
        "D": x.shape[axis],
        "M - 1": np.prod([x.shape[a] for a in over_means]) - 1,
    }[count]

    def mean(a):
        return a.sum(over_means, keepdims=True) / m

    second = {
        "mean": lambda: mean(g2 * dy),
        "none": lambda: 0.0,
        "plus": lambda: -mean(g2 * dy),
        "sum": lambda: m * mean(g2 * dy),
        "pooled": lambda: (g2 * dy).mean(),
    }[mean_term]()
    third = {
        "mean": lambda: h * mean(g3 * dy * h),
        "none": lambda: 0.0,
        "plus": lambda: -h * mean(g3 * dy * h),
        "twice": lambda: 2 * h * mean(g3 * dy * h),
        "half": lambda: 0.5 * h * mean(g3 * dy * h),
        "sum": lambda: m * h * mean(g3 * dy * h),
        "M - 1": lambda: h * mean(g3 * dy * h) * m / (m - 1),
        "no xhat": lambda: mean(g3 * dy * h),
        "no dy": lambda: h * mean(h),
        "pooled": lambda: h * (g3 * dy * h).mean(),
    }[xhat_term]()
    dx = {
        "all": lambda: (g1 * dy - second - third) / s,
        "none": lambda: g1 * dy - second - third,
        "first": lambda: g1 * dy / s - second - third,
        "first two": lambda: (g1 * dy - second) / s - third,
        "squared": lambda: (g1 * dy - second - third) / s**2,
        "times": lambda: (g1 * dy - second - third) * s,
    }[over_s]()

    terms = {
        "dy xhat": dy * xhat,
        "dy (x - mu)": dy * centred,
        "dy x": dy * x,
        "dy x / s": dy * x / s,
        "gamma dy xhat": g * dy * xhat,
    }.get(dgamma, dy * xhat)
    dgamma = _parameter_gradient(terms, dgamma, over_parameters, keepdims)
    terms = g * dy if dbeta == "gamma dy" else dy
    dbeta = _parameter_gradient(terms, dbeta, over_parameters, keepdims)
    named = {"dx": dx.reshape(shape), "dgamma": dgamma, "dbeta": dbeta}
    return tuple(named[name] for name in order.split(", "))


def _axes(kind, ndim, axis):
    """Return the axes over which a learner reduces."""
    return {
        "batch": tuple(a for a in range(ndim) if a != axis),
        "spatial": tuple(a for a in range(ndim) if a not in (0, axis)),
        "0": (0,),
        "1": (1,),
        "(2, 3)": (2, 3),
        "(0, 2, 3)": (0, 2, 3),
        "(0, 1, 2)": (0, 1, 2),
        "-1": (ndim - 1,),
    }[kind]


def _standard_deviation(var, eps, kind):
    return {
        "sqrt(v + eps)": lambda: np.sqrt(var + eps),
        "sqrt(v) + eps": lambda: np.sqrt(var) + eps,
        "sqrt(v)": lambda: np.sqrt(var),
        "v + eps": lambda: var + eps,
        "eps 1e-5": lambda: np.sqrt(var + 1e-5),
        "eps 1e-3": lambda: np.sqrt(var + 1e-3),
        "eps 1e-12": lambda: np.sqrt(var + 1e-12),
        "eps 1e-8": lambda: np.sqrt(var + 1e-8),
        "default 1e-3": lambda: np.sqrt(var + (1e-3 if eps == 1e-5 else eps)),
        "default 1e-8": lambda: np.sqrt(var + (1e-8 if eps == 1e-5 else eps)),
        "default 1e-12": lambda: np.sqrt(var + (1e-12 if eps == 1e-5 else eps)),
    }[kind]()


def _parameter_gradient(terms, kind, axes, keepdims=False):
    return {
        "mean": lambda: terms.mean(axes),
        "total": lambda: terms.sum(),
        "not summed": lambda: terms,
        "axis 1": lambda: terms.sum(1),
    }.get(kind, lambda: terms.sum(axes, keepdims=keepdims))()


_STATISTICS = (
    Mistake(
        "eps is missing: you divide by sqrt(v). The backward pass needs the s of the "
        "forward pass, sqrt(v + eps). Where the variance is as small as eps the "
        "difference is large, and where it is 0 you divide by zero.",
        {"denominator": "sqrt(v)"},
    ),
    Mistake(
        "You divide by sqrt(v) + eps; eps belongs inside the root: s = sqrt(v + eps), "
        "exactly as in the forward pass.",
        {"denominator": "sqrt(v) + eps"},
    ),
    Mistake(
        "You divide by v + eps, the variance; the square root is missing: "
        "s = sqrt(v + eps).",
        {"denominator": "v + eps"},
    ),
    *(
        Mistake(
            "Your eps is a fixed number and not the argument `eps` (by default 1e-5). "
            "Backward must use the eps that forward used.",
            {"denominator": f"eps {value}"},
        )
        for value in ("1e-5", "1e-3", "1e-8", "1e-12")
    ),
    *(
        Mistake(
            f"Your eps is {value} where none is given; the default is 1e-5.",
            {"denominator": f"default {value}"},
        )
        for value in ("1e-3", "1e-8", "1e-12")
    ),
    Mistake(
        "The variance is divided by N − 1. The batch was normalised by its biased "
        "variance, divided by N (the number of values a feature has), and backward "
        "differentiates what forward did.",
        {"variance": "unbiased"},
    ),
    Mistake(
        "The variance is the mean of x², not of (x − mu)²: the square of the mean is "
        "still in it.",
        {"variance": "mean square"},
    ),
    Mistake(
        "The variance is a sum: its 1/N is missing. v = mean((x − mu)²).",
        {"variance": "sum"},
    ),
    Mistake(
        "The variance is taken over all of x at once. Each feature has its own: "
        "`x.var(axis=0)`, not `x.var()`.",
        {"variance": "pooled"},
    ),
)

_SWAPPED = Mistake(
    "dgamma and dbeta are swapped. dgamma = sum(dy·xhat), since xhat is what gamma "
    "multiplies; dbeta = sum(dy).",
    {"order": "dx, dbeta, dgamma"},
)

_PARAMETERS = (
    _SWAPPED,
    *(
        Mistake(
            "All three gradients are there, but in another order. Return dx, dgamma, "
            "dbeta.",
            {"order": order},
        )
        for order in (
            "dgamma, dbeta, dx",
            "dbeta, dgamma, dx",
            "dgamma, dx, dbeta",
            "dbeta, dx, dgamma",
        )
    ),
    Mistake(
        "dbeta is a mean. beta is added to each sample, so it collects a gradient from "
        "each: a sum over the batch. (If the loss is a mean over samples, its 1/N is "
        "in dy already.)",
        {"dbeta": "mean"},
    ),
    Mistake(
        "dgamma is a mean. gamma multiplies each sample, so it collects a gradient "
        "from each: a sum over the batch. (If the loss is a mean over samples, its 1/N "
        "is in dy already.)",
        {"dgamma": "mean"},
    ),
    Mistake(
        "dgamma is the sum of dy·(x − mu). gamma multiplies the normalised xhat, so "
        "divide by s: dgamma = sum(dy·xhat).",
        {"dgamma": "dy (x - mu)"},
    ),
    Mistake(
        "dgamma is the sum of dy·x. gamma multiplies the normalised input: "
        "dgamma = sum(dy·xhat) with xhat = (x − mu)/s.",
        {"dgamma": "dy x"},
    ),
    Mistake(
        "xhat in dgamma is x/s: the mean is not subtracted. xhat = (x − mu)/s.",
        {"dgamma": "dy x / s"},
    ),
    Mistake(
        "dgamma has a factor gamma too many. y = gamma·xhat + beta, so dy/dgamma is "
        "xhat alone: dgamma = sum(dy·xhat).",
        {"dgamma": "gamma dy xhat"},
    ),
    Mistake(
        "dbeta has a factor gamma too many. beta is added after the scaling: "
        "dbeta = sum(dy).",
        {"dbeta": "gamma dy"},
    ),
    *(
        Mistake(
            f"{name} is summed over everything: a `.sum()` without `axis` mixes the "
            "features. Each has a parameter of its own: sum over the batch only.",
            {name: "total"},
        )
        for name in ("dbeta", "dgamma")
    ),
    *(
        Mistake(
            f"{name} is not summed. One parameter serves all samples, so their "
            "gradients add up: sum over the batch.",
            {name: "not summed"},
        )
        for name in ("dbeta", "dgamma")
    ),
)

_ALONG_FEATURES = (
    Mistake(
        "You normalise along the features: every mean and sum is over axis 1, which is "
        "layer norm. Batch norm treats each column by itself: axis 0.",
        {"statistics": "1", "means": "1", "parameters": "1"},
    ),
    Mistake(
        "That is layer norm: mean, variance and the means in dx are over axis 1. Batch "
        "norm treats each column by itself: axis 0.",
        {"statistics": "1", "means": "1"},
    ),
    *(
        Mistake(
            f"{name} is summed over the features, axis 1. It has one entry for each "
            "feature, summed over the batch: axis 0.",
            {name: "axis 1"},
        )
        for name in ("dbeta", "dgamma")
    ),
)

_FORMULA = "dx = (d − mean(d) − xhat·mean(d·xhat)) / s with d = gamma·dy"

_INPUT = (
    Mistake(
        "dx is gamma·dy/s only: you treat the batch's mean and variance as constants. "
        "They move with x, and each takes a term away: "
        f"{_FORMULA}.",
        {"mean_term": "none", "xhat_term": "none"},
    ),
    Mistake(
        "The term − mean(d) is missing from dx. Moving one x moves the mean, and with "
        "it every xhat. A test: over the batch, dx must add up to zero.",
        {"mean_term": "none"},
    ),
    Mistake(
        "The term − xhat·mean(d·xhat) is missing from dx: it is what flows back "
        "through the variance. (If you wrote mean(d)·mean(xhat), that is zero: the "
        "product comes first, then the mean.)",
        {"xhat_term": "none"},
    ),
    Mistake(
        "You subtract sums where dx has means. One x is only an N-th of the mean and "
        f"of the variance, so divide both sums by N: {_FORMULA}.",
        {"count": "1"},
    ),
    Mistake(
        "You subtract sum(d) in dx; it must be mean(d): one x is only an N-th of the "
        "batch's mean.",
        {"mean_term": "sum"},
    ),
    Mistake(
        "You subtract xhat·sum(d·xhat) in dx; it must be xhat·mean(d·xhat): the 1/N of "
        "the variance is missing.",
        {"xhat_term": "sum"},
    ),
    Mistake(
        "gamma is missing from dx. What arrives at xhat is d = gamma·dy, because "
        "y = gamma·xhat + beta. With gamma = 1 one never notices.",
        {"with_gamma": "none"},
    ),
    Mistake(
        "gamma² is in dx: gamma came in twice, perhaps once in d = gamma·dy and once "
        "more in front. Once is right.",
        {"with_gamma": "twice"},
    ),
    Mistake(
        "gamma multiplies dy in the first term of dx only. Both means are of "
        "d = gamma·dy as well, or take gamma out of the whole bracket.",
        {"with_gamma": "first"},
    ),
    Mistake(
        "gamma is missing from the last term of dx. mean(d·xhat) with d = gamma·dy is "
        "gamma·dgamma/N, not dgamma/N.",
        {"with_gamma": "first and mean"},
    ),
    Mistake(
        "gamma is missing from the mean that dx subtracts. mean(d) with d = gamma·dy "
        "is gamma·dbeta/N, not dbeta/N.",
        {"with_gamma": "first and xhat"},
    ),
    Mistake(
        "dx is not divided by s. xhat = (x − mu)/s, so whatever flows back through it "
        f"is divided by s as well: {_FORMULA}.",
        {"over_s": "none"},
    ),
    Mistake(
        "Only the first term of dx is divided by s. The bracket holds all three: "
        "(d − mean(d) − xhat·mean(d·xhat)) / s.",
        {"over_s": "first"},
    ),
    Mistake(
        "The last term of dx is not divided by s. The bracket holds all three: "
        "(d − mean(d) − xhat·mean(d·xhat)) / s.",
        {"over_s": "first two"},
    ),
    Mistake(
        "dx is divided by s², that is v + eps; s = sqrt(v + eps) once is right.",
        {"over_s": "squared"},
    ),
    Mistake(
        "dx is multiplied by s; divide by it: xhat = (x − mu)/s.",
        {"over_s": "times"},
    ),
    Mistake(
        "The xhat term of dx has the wrong sign. The variance's path takes away the "
        "part of d along xhat: − xhat·mean(d·xhat).",
        {"xhat_term": "plus"},
    ),
    Mistake(
        "mean(d) has the wrong sign in dx. The mean is subtracted in the forward pass, "
        "so its gradient is too: d − mean(d). A test: over the batch, dx must add up "
        "to zero.",
        {"mean_term": "plus"},
    ),
    Mistake(
        "dx uses x − mu where xhat belongs. Both are centred, but only "
        "xhat = (x − mu)/s has been divided by s.",
        {"xhat_in_dx": "x - mu"},
    ),
    Mistake(
        "dx uses x/s where xhat belongs: the mean is not subtracted. xhat = (x − "
        "mu)/s.",
        {"xhat_in_dx": "x / s"},
    ),
    Mistake(
        "dx uses x where the normalised xhat = (x − mu)/s belongs.",
        {"xhat_in_dx": "x"},
    ),
    Mistake(
        "The xhat term of dx is twice what it should be. The 2 from the derivative of "
        "the square is cancelled by the 1/2 from that of the root.",
        {"xhat_term": "twice"},
    ),
    Mistake(
        "The xhat term of dx is half of what it should be. The 1/2 from the derivative "
        "of the root is cancelled by the 2 from that of the square.",
        {"xhat_term": "half"},
    ),
    Mistake(
        "The last term of dx is mean(d·xhat) without the xhat in front. Each sample "
        "gets its share in proportion to its own xhat: xhat·mean(d·xhat).",
        {"xhat_term": "no xhat"},
    ),
    Mistake(
        "The means in dx are divided by N − 1. Both are plain means over the batch, "
        "divided by N.",
        {"count": "M - 1"},
    ),
    Mistake(
        "mean(d·xhat) in dx is divided by N − 1. It comes from the biased variance: "
        "divide by N.",
        {"xhat_term": "M - 1"},
    ),
    Mistake(
        "The means in dx are divided by the number of features. Divide by the number "
        "of values that share a mean: N, which is `x.shape[0]` for (N, D).",
        {"count": "D"},
    ),
    Mistake(
        "The means in dx are over everything: `.mean()` without `axis` mixes the "
        "features. Each has its own: `.mean(axis=0)`.",
        {"mean_term": "pooled", "xhat_term": "pooled"},
    ),
    Mistake(
        "mean(d) in dx is over everything: `.mean()` without `axis` mixes the "
        "features. Each has its own: `.mean(axis=0)`.",
        {"mean_term": "pooled"},
    ),
    Mistake(
        "mean(d·xhat) in dx is over everything: `.mean()` without `axis` mixes the "
        "features. Each has its own: `.mean(axis=0)`.",
        {"xhat_term": "pooled"},
    ),
)

_GAMMA_BY_SAMPLE = Mistake(
    "gamma is multiplied as gamma[:, None], one value for each sample. (Where N = D "
    "that runs, and is wrong; elsewhere it fails.) There is one for each feature: "
    "`gamma * dy` broadcasts along the batch by itself.",
    {"with_gamma": "gamma[:, None]"},
)

_SMALL = (
    "There the variance is as small as eps: is eps inside the root, with the variance?"
)
_LARGE = (
    "There the mean is large: mean(x²) − mean(x)² loses its digits. Take the mean of "
    "(x − mu)²."
)
_CONSTANT = (
    "There one feature is constant, so that its variance is 0 and s = sqrt(eps)."
)
_EPS = "Is every eps in it the argument?"
_LAYOUT = "That array is not contiguous: does a `reshape` or `ravel` expect it to be?"


def _draw(rng, shape, *, axis=-1, **options):
    """Draw dy, x, gamma; dy is random, with a mean: dy = 1 would make dx zero."""
    x, gamma, _ = draw_batch(rng, shape, axis=axis, **options)
    dy = rng.normal(0.4, 1.0, size=shape)
    return dy.astype(x.dtype), x, gamma


def _column_cases(rng):
    cases = []
    for n, d, dtype, mean, std, tolerance, hint in (
        (7, 5, np.float64, 0.0, 1.0, 1e-9, ""),
        (9, 4, np.float64, 3.0, 1.0, 1e-9, ""),
        (5, 5, np.float64, -2.0, 4.0, 1e-9, ""),  # N could be taken for D
        (6, 4, np.float64, 3.0, 3e-3, 1e-9, _SMALL),
        (9, 3, np.float32, 1.0, 1.0, 2e-5, ""),
        (16, 4, np.float32, 3e3, 1.0, 3e-2, _LARGE),
    ):
        what = f"x of shape ({n}, {d}), {np.dtype(dtype).name}, mean about {mean:g}"
        arguments = _draw(rng, (n, d), dtype=dtype, mean=mean, std=std)
        cases.append(Case(what, arguments, {}, tolerance, hint))
    cases.append(Case("eps = 0.1", _draw(rng, (8, 3)), {"eps": 0.1}, hint=_EPS))
    dy, x, gamma = _draw(rng, (8, 3))
    x[:, 1] = 2.0
    cases.append(Case("a feature that is constant", (dy, x, gamma), hint=_CONSTANT))
    dy, x, gamma = _draw(rng, (10, 3), mean=1.0)
    by_column = (np.asfortranarray(dy), np.asfortranarray(x), gamma)
    cases.append(Case("x and dy stored column by column", by_column, hint=_LAYOUT))
    return cases


def _columns(dy, x, gamma, eps=1e-5, **knobs):
    return _training(dy, x, gamma, 1, eps, **knobs)


simplified = Exercise(
    name="batch_norm_backward",
    outputs=("dx", "dgamma", "dbeta"),
    examine=("dbeta", "dgamma", "dx"),
    formula=_columns,
    cases=_column_cases,
    section="backward-simplified",
    changed=_CHANGED,
    mistakes=(
        *_PARAMETERS,
        *_INPUT,
        *_STATISTICS,
        *_ALONG_FEATURES,
        _GAMMA_BY_SAMPLE,
    ),
)


# --- Training, any number of axes -----------------------------------------------------


def _image_cases(rng):
    cases = []
    for shape, axis, what, dtype, mean, std, tolerance, hint in (
        ((5, 3, 4, 6), 1, "(N, C, H, W)", np.float64, 0.5, 1.0, 1e-9, ""),
        ((4, 5, 6, 3), -1, "(N, H, W, C)", np.float64, 1.0, 1.0, 1e-9, ""),
        ((3, 3, 3, 3), 3, "(N, H, W, C)", np.float64, 1.0, 2.0, 1e-9, ""),
        ((4, 4, 4, 4), 1, "(N, C, H, W)", np.float64, 1.0, 2.0, 1e-9, ""),
        ((7, 4), 1, "(N, C)", np.float64, -1.0, 2.0, 1e-9, ""),
        ((4, 3, 7), 1, "(N, C, L)", np.float64, 2.0, 1.0, 1e-9, ""),
        ((3, 2, 4, 5, 2), 1, "(N, C, D, H, W)", np.float64, 2.0, 1.0, 1e-9, ""),
        ((4, 6, 5), -2, "(N, C, L)", np.float64, 1.0, 1.0, 1e-9, ""),
        ((3, 5, 4), 0, "(C, N, L)", np.float64, 1.0, 1.0, 1e-9, ""),
        ((3, 2, 4, 5), 1, "(N, C, H, W)", np.float64, 3.0, 3e-3, 1e-9, _SMALL),
        ((2, 3, 4, 5), 1, "(N, C, H, W)", np.float32, 1.0, 1.0, 2e-5, ""),
        ((2, 4, 3, 3), 1, "(N, C, H, W)", np.float32, 3e3, 1.0, 3e-2, _LARGE),
    ):
        place = f"The channels are on axis {axis} there: reduce over every other axis."
        text = f"x of shape {what} = {shape}, axis={axis}, {np.dtype(dtype).name}"
        arguments = _draw(rng, shape, axis=axis, dtype=dtype, mean=mean, std=std)
        options = {} if axis == 1 else {"axis": axis}
        hint = hint or (place if axis != 1 or len(shape) != 4 else "")
        cases.append(Case(text, arguments, options, tolerance, hint))
    arguments = _draw(rng, (4, 2, 3, 5), axis=1)
    cases.append(Case("eps = 0.1", arguments, {"eps": 0.1}, hint=_EPS))
    dy, x, gamma = _draw(rng, (3, 4, 5, 2), axis=-1)
    view = (dy.transpose(0, 3, 1, 2), x.transpose(0, 3, 1, 2), gamma)
    cases.append(Case("an (N, C, H, W) view of an NHWC array", view, hint=_LAYOUT))
    return cases


_AXES = (
    Mistake(
        "You always take the last axis for the channels. They are on `axis`.",
        {"channel": -1},
    ),
    Mistake(
        "`reshape(-1, C)` alone puts values of different channels into one column: it "
        "reads the array in the order in which it lies in memory. Bring the channel "
        "axis to the end first (`np.moveaxis(x, axis, -1)`), then reshape, and undo "
        "both for dx.",
        {"flattened": "(-1, C)"},
    ),
    Mistake(
        "`reshape(C, -1)` alone puts values of different channels into one row. Bring "
        "the channel axis to the front first (`np.moveaxis(x, axis, 0)`), then "
        "reshape, and undo both for dx.",
        {"flattened": "(C, -1)"},
    ),
    *(
        Mistake(
            "The statistics are over the pixels of each image, which is instance norm. "
            "In batch norm a channel's mean and variance are over the samples as well: "
            "every axis but the channel's, M = N·H·W values.",
            {"statistics": axes, "means": axes},
        )
        for axes in ("spatial", "(2, 3)")
    ),
    *(
        Mistake(
            "The means in dx are over the pixels of each image only. They are over the "
            "same values as the batch's mean: every axis but the channel's.",
            {"means": axes},
        )
        for axes in ("spatial", "(2, 3)")
    ),
    *(
        Mistake(
            "You always reduce over axes (0, 2, 3), which is right for channels on "
            "axis 1. Reduce over every axis but `axis`: for NHWC that is (0, 1, 2).",
            knobs,
        )
        for knobs in (
            dict.fromkeys(("statistics", "means", "parameters"), "(0, 2, 3)"),
            {"channel": 1},
        )
    ),
    Mistake(
        "The means in dx are divided by N. A channel has M = N·H·W values (the size of "
        "x divided by C), and all of them share one mean.",
        {"count": "N"},
    ),
    Mistake(
        "dgamma and dbeta are summed over the samples only, so that every pixel keeps "
        "one of its own. gamma and beta are shared by all pixels of a channel: sum "
        "over every axis but `axis`, to shape (C,).",
        {"parameters": "0"},
    ),
    Mistake(
        "Everything is over the samples only, so that each pixel has statistics and "
        "parameters of its own. A channel shares one of each among all samples and "
        "pixels: reduce over every axis but `axis`.",
        dict.fromkeys(("statistics", "means", "parameters"), "0"),
    ),
    Mistake(
        "The statistics are over the samples only, so that each pixel has its own. A "
        "channel's are over every axis but `axis`: M = N·H·W values.",
        {"statistics": "0", "means": "0"},
    ),
    Mistake(
        "The means in dx are over the samples only. They are over the same values as "
        "the batch's mean: every axis but the channel's.",
        {"means": "0"},
    ),
    Mistake(
        "gamma is not lined up with the channel axis: `gamma * dy` multiplies along "
        "the last axis, and fails unless that happens to be as long. Reshape it, to "
        "(1, C, 1, 1) for NCHW.",
        {"with_gamma": "gamma"},
    ),
)

convolutional = Exercise(
    name="batch_norm_backward_nd",
    outputs=("dx", "dgamma", "dbeta"),
    examine=("dbeta", "dgamma", "dx"),
    formula=_training,
    cases=_image_cases,
    section="backward-convolution",
    changed=_CHANGED,
    mistakes=(*_AXES, *_PARAMETERS, *_INPUT, *_STATISTICS),
)


# --- The graph, node by node ----------------------------------------------------------

NODES = ("dbeta", "dgamma", "dxhat", "ds", "dv", "dq", "dc", "dmu", "dx")


def _staged(
    dy,
    x,
    gamma,
    eps=1e-5,
    *,
    ds="right",
    dv="right",
    dq="right",
    dc="right",
    dmu="right",
    dx="right",
    dxhat="right",
    variance="biased",
    denominator="sqrt(v + eps)",
    **knobs,
):
    """Gradients of all nodes; a knob for each says how it goes wrong."""
    statistics = {"variance": variance, "denominator": denominator}
    _, dgamma, dbeta = _columns(dy, x, gamma, eps, **statistics, **knobs)
    dy, x, gamma = (a.astype(np.float64) for a in (dy, x, gamma))
    n, d = x.shape
    c = x - x.mean(0)
    v = (c**2).mean(0)
    s = np.sqrt(v + eps)
    xhat = c / s
    g = {"xhat": gamma * dy}
    wrong_dxhat = {
        "right": lambda: g["xhat"],
        "dy": lambda: dy,
        "gamma[:, None]": lambda: gamma[:, None] * dy,
        "dy / gamma": lambda: dy / gamma,
        "over s": lambda: g["xhat"] / s,
    }[dxhat]()
    g["s"] = -(g["xhat"] * c).sum(0) / s**2
    wrong_ds = {
        "right": lambda: g["s"],
        "plus": lambda: -g["s"],
        "mean": lambda: g["s"] / n,
        "not summed": lambda: -g["xhat"] * c / s**2,
        "not summed, plus": lambda: g["xhat"] * c / s**2,
        "total": lambda: g["s"].sum(),
        "over s": lambda: g["s"] * s,
        "xhat over s squared": lambda: g["s"] / s,
        "of 1/s": lambda: (g["xhat"] * c).sum(0),
        "no eps": lambda: -(g["xhat"] * c).sum(0) / v,
        "x": lambda: -(g["xhat"] * x).sum(0) / s**2,
        "dy": lambda: -(dy * c).sum(0) / s**2,
    }[ds]()
    g["v"] = g["s"] / (2 * s)
    wrong_dv = {
        "right": lambda: g["v"],
        "no half": lambda: 2 * g["v"],
        "minus": lambda: -g["v"],
        "minus no half": lambda: -2 * g["v"],
        "times": lambda: g["s"] * 2 * s,
        "half s": lambda: g["s"] * s / 2,
        "half": lambda: g["s"] / 2,
        "cube": lambda: -g["s"] / (2 * s**3),
        "from 1/s": lambda: g["s"] / (2 * s**3),
        "no eps": lambda: g["s"] / (2 * np.sqrt(v)),
        "variance": lambda: g["s"] / (2 * s**2),
    }[dv]()
    g["q"] = np.broadcast_to(g["v"] / n, x.shape)
    wrong_dq = {
        "right": lambda: g["q"],
        "no 1/N": lambda: n * g["q"],
        "1/D": lambda: g["q"] * n / d,
        "N - 1": lambda: g["q"] * n / (n - 1),
        "times c": lambda: 2 * c * g["q"],
    }[dq]()
    direct, through_q = g["xhat"] / s, 2 * c * g["q"]
    g["c"] = direct + through_q
    wrong_dc = {
        "right": lambda: g["c"],
        "direct": lambda: direct,
        "through q": lambda: through_q,
        "no 2": lambda: direct + c * g["q"],
        "minus": lambda: direct - through_q,
        "x": lambda: direct + 2 * x * g["q"],
        "xhat": lambda: direct + 2 * xhat * g["q"],
        "no s": lambda: g["xhat"] + through_q,
        "no c": lambda: direct + 2 * g["q"],
        "1/N again": lambda: direct + through_q / n,
    }[dc]()
    g["mu"] = -g["c"].sum(0)
    wrong_dmu = {
        "right": lambda: g["mu"],
        "plus": lambda: -g["mu"],
        "mean": lambda: g["mu"] / n,
        "plus mean": lambda: -g["mu"] / n,
        "not summed": lambda: -g["c"],
        "total": lambda: g["mu"].sum(),
        "no s": lambda: -g["xhat"].sum(0),
    }[dmu]()
    wrong_dx = {
        "right": lambda: g["c"] + g["mu"] / n,
        "direct": lambda: g["c"],
        "through mu": lambda: np.broadcast_to(g["mu"] / n, x.shape),
        "no 1/N": lambda: g["c"] + g["mu"],
        "minus": lambda: g["c"] - g["mu"] / n,
        "1/D": lambda: g["c"] + g["mu"] / d,
        "N - 1": lambda: g["c"] + g["mu"] / (n - 1),
        "dxhat": lambda: g["xhat"] / s + g["mu"] / n,
    }[dx]()
    return (
        dbeta,
        dgamma,
        wrong_dxhat,
        wrong_ds,
        wrong_dv,
        wrong_dq,
        wrong_dc,
        wrong_dmu,
        wrong_dx,
    )


_NODES = (
    ("dxhat", "dy", "dxhat is dy itself. y = gamma·xhat + beta: multiply by gamma."),
    (
        "dxhat",
        "gamma[:, None]",
        "gamma is multiplied as gamma[:, None], one value for each sample. It has one "
        "for each feature: dxhat = gamma·dy broadcasts along the batch by itself.",
    ),
    (
        "dxhat",
        "dy / gamma",
        "dxhat is dy/gamma. Going back through y = gamma·xhat multiplies by the "
        "derivative, gamma; it does not undo the multiplication.",
    ),
    (
        "dxhat",
        "over s",
        "dxhat is divided by s already. That belongs to the next operation, "
        "xhat = c/s; dxhat itself is gamma·dy.",
    ),
    (
        "ds",
        "plus",
        "ds has the wrong sign: xhat = c/s falls as s grows. The derivative of c/s by "
        "s is −c/s².",
    ),
    (
        "ds",
        "mean",
        "ds is a mean. s was broadcast to all N samples, so what comes back from each "
        "adds up: a sum over the batch.",
    ),
    *(
        (
            "ds",
            kind,
            "ds is not summed. One s serves all N samples of a feature, so what comes "
            "back from each adds up: sum −dxhat·c/s² over axis 0, to shape (D,).",
        )
        for kind in ("not summed", "not summed, plus")
    ),
    ("ds", "total", "ds is summed over everything; each feature has its own: axis=0."),
    (
        "ds",
        "over s",
        "ds is divided by s once. The derivative of c/s by s is −c/s² (or −xhat/s).",
    ),
    (
        "ds",
        "xhat over s squared",
        "ds has one division by s too many. The derivative of c/s by s is −c/s², or "
        "−xhat/s: xhat holds one of the two divisions already.",
    ),
    (
        "ds",
        "of 1/s",
        "That is the gradient of 1/s, sum(dxhat·c). For s itself multiply by the "
        "derivative of 1/s, which is −1/s².",
    ),
    ("ds", "no eps", "eps is missing from ds: s² is v + eps, not v."),
    ("ds", "x", "ds uses x where c = x − mu belongs: xhat = c/s."),
    (
        "ds",
        "dy",
        "ds is made of dy. What arrives at xhat = c/s is dxhat = gamma·dy.",
    ),
    (
        "dv",
        "no half",
        "The factor 1/2 is missing from dv: the derivative of sqrt(v + eps) is 1/(2s).",
    ),
    (
        "dv",
        "minus",
        "dv has the wrong sign. s = sqrt(v + eps) grows with v: dv = ds/(2s). The "
        "−1/2·(v + eps)^(−3/2) that one finds in books is the derivative of 1/s.",
    ),
    (
        "dv",
        "minus no half",
        "dv has the wrong sign and lacks the factor 1/2: the derivative of "
        "sqrt(v + eps) is 1/(2s).",
    ),
    (
        "dv",
        "times",
        "dv is ds times 2s; divide by it: the derivative of sqrt(v + eps) is 1/(2s).",
    ),
    ("dv", "half s", "dv is ds·s/2; the derivative of sqrt(v + eps) is 1/(2s)."),
    ("dv", "half", "dv is ds/2; the derivative of sqrt(v + eps) is 1/(2s)."),
    *(
        (
            "dv",
            kind,
            "dv has the factor 1/(2s³), up to sign, which belongs to 1/s. Your node is "
            "s itself, and its derivative by v is 1/(2s).",
        )
        for kind in ("cube", "from 1/s")
    ),
    ("dv", "no eps", "eps is missing from dv: divide by 2s, s = sqrt(v + eps)."),
    (
        "dv",
        "variance",
        "dv is divided by 2(v + eps); the derivative of sqrt(v + eps) is 1/(2s), with "
        "the root.",
    ),
    (
        "dq",
        "no 1/N",
        "The 1/N is missing from dq: v is the mean of q, so each q is an N-th of it.",
    ),
    (
        "dq",
        "1/D",
        "dq is divided by the number of features; v is a mean over N samples.",
    ),
    (
        "dq",
        "N - 1",
        "dq is divided by N − 1. Batch norm normalises by the biased variance, "
        "v = mean(q): divide by N.",
    ),
    (
        "dq",
        "times c",
        "That is what goes on to c. dq itself is dv/N; the factor 2c, the derivative "
        "of q = c², comes in at dc.",
    ),
    (
        "dc",
        "direct",
        "dc lacks the path through the variance. c was used twice, in xhat = c/s and "
        "in q = c²; what comes back from both adds up: dxhat/s + 2·c·dq.",
    ),
    (
        "dc",
        "through q",
        "dc lacks the direct path. c was used twice, in q = c² and in xhat = c/s; what "
        "comes back from both adds up: dxhat/s + 2·c·dq.",
    ),
    ("dc", "no 2", "The 2 is missing from dc: the derivative of q = c² is 2c."),
    (
        "dc",
        "minus",
        "dc subtracts the path through the variance. Paths that meet always add; the "
        "minus sign is in ds already.",
    ),
    ("dc", "x", "dc uses x where c = x − mu belongs: the derivative of q = c² is 2c."),
    (
        "dc",
        "xhat",
        "dc uses xhat where c = x − mu belongs: the derivative of q = c² is 2c.",
    ),
    (
        "dc",
        "no s",
        "The direct path in dc is not divided by s: the derivative of xhat = c/s by c "
        "is 1/s.",
    ),
    ("dc", "no c", "dc has 2·dq without c: the derivative of q = c² is 2c."),
    ("dc", "1/N again", "dc divides by N once more; dq = dv/N has that in it already."),
    (
        "dmu",
        "plus",
        "dmu has the wrong sign: c = x − mu falls as mu grows, dmu = −sum(dc).",
    ),
    *(
        (
            "dmu",
            kind,
            "dmu is a mean. mu was broadcast to all N samples, so what comes back from "
            "each adds up: dmu = −sum(dc). The 1/N comes one step later, at dx.",
        )
        for kind in ("mean", "plus mean")
    ),
    (
        "dmu",
        "not summed",
        "dmu is not summed. One mu serves all N samples of a feature: sum over axis 0, "
        "to shape (D,).",
    ),
    (
        "dmu",
        "total",
        "dmu is summed over everything; each feature has its own: axis=0.",
    ),
    ("dmu", "no s", "dmu is not divided by s: it is −sum(dc), and dc = dxhat/s + ..."),
    (
        "dx",
        "direct",
        "dx lacks the path through the mean. x was used twice, in c = x − mu and in "
        "mu = mean(x): dx = dc + dmu/N.",
    ),
    (
        "dx",
        "through mu",
        "dx lacks the direct path. x was used twice, in mu = mean(x) and in c = x − "
        "mu: dx = dc + dmu/N.",
    ),
    (
        "dx",
        "no 1/N",
        "The 1/N is missing from the mean's path: mu = mean(x), so each x is an N-th "
        "of it: dx = dc + dmu/N.",
    ),
    (
        "dx",
        "minus",
        "dx subtracts dmu/N. Paths that meet always add; the minus sign of c = x − mu "
        "is in dmu already.",
    ),
    ("dx", "1/D", "dmu is divided by the number of features; mu is a mean over N."),
    ("dx", "N - 1", "dmu is divided by N − 1; mu is a plain mean over N samples."),
    (
        "dx",
        "dxhat",
        "dx starts from dxhat/s where dc belongs: the path through the variance is "
        "lost. dx = dc + dmu/N.",
    ),
)


class _Graph(Exercise):
    """An exercise whose outputs come in a dictionary, and may do so in part."""

    def __call__(self, learner, *, seed=0, until="dx"):
        """Check the learner's function down to a node.

        Parameters
        ----------
        learner : callable
            What the learner wrote.
        seed : int
            Seed of the inputs.
        until : str
            Last node to look at.

        Raises
        ------
        CheckFailed
            With a message for the learner.
        """
        cases = self.cases(np.random.default_rng(seed))
        results = [self._observe(learner, case) for case in cases]
        last = self.outputs.index(until)
        for k in range(last + 1):
            try:
                self._examine(k, cases, results)
            except CheckFailed as failed:
                if k == 0:
                    raise
                right = ", ".join(self.outputs[:k])
                head, *rest = str(failed).splitlines()
                lines = (head, f"  Right so far: {right}.", *rest)
                raise CheckFailed("\n".join(lines)) from failed.__cause__
        print(f"✓ {self.name}: right on {len(cases)} inputs, down to {until}")

    def _unpack(self, result, case):
        if not isinstance(result, dict):
            got = "None" if result is None else f"one {type(result).__name__}"
            raise self._failure(
                f"It returns {got}; expected a dictionary of gradients: "
                '{"dbeta": dbeta, "dgamma": dgamma, ...}.'
            )
        unknown = [repr(name) for name in result if name not in self.outputs]
        if unknown:
            raise self._failure(
                f"The dictionary holds {', '.join(unknown)}, which is no node of the "
                f"graph. The names are {', '.join(self.outputs)}."
            )
        nodes = {
            name: self._as_array(name, value, case)
            for name, value in result.items()
            if value is not None
        }
        d = case.arguments[2].size
        if "dq" in nodes and nodes["dq"].shape in ((d,), (1, d), ()):
            nodes["dq"] = np.broadcast_to(nodes["dq"], case.arguments[0].shape)
        return tuple(nodes.get(name, _MISSING) for name in self.outputs)

    def _describe(self, name, got, want, case):
        if got is _MISSING:
            return f"Next: {name}, which the dictionary does not hold yet."
        return super()._describe(name, got, want, case)


_MISSING = np.empty((0, 0))

staged = _Graph(
    name="batch_norm_backward_staged",
    outputs=NODES,
    formula=_staged,
    cases=_column_cases,
    section="backward-graph",
    changed=_CHANGED,
    mistakes=(
        *(m for m in _PARAMETERS if "order" not in m.knobs or m is _SWAPPED),
        *(Mistake(message, {node: kind}) for node, kind, message in _NODES),
        *_STATISTICS,
        *_ALONG_FEATURES[2:],
    ),
)


# --- Evaluation mode ------------------------------------------------------------------


def _evaluation(
    dy,
    x,
    gamma,
    running_mean,
    running_var,
    eps=1e-5,
    *,
    denominator="sqrt(v + eps)",
    statistics="running",
    projection="none",
    with_gamma=True,
    over_s=True,
    dgamma="dy xhat",
    dbeta="dy",
    order="dx, dgamma, dbeta",
):
    """Gradients with running statistics as constants."""
    dy, x, gamma, mean, var = (
        a.astype(np.float64) for a in (dy, x, gamma, running_mean, running_var)
    )
    if statistics == "batch":
        mean, var = x.mean(0), x.var(0)
    elif statistics == "batch mean":
        mean = x.mean(0)
    elif statistics == "batch variance":
        var = x.var(0)
    elif statistics == "swapped":
        mean, var = var, mean
    s = _standard_deviation(var, eps, denominator)
    xhat = (x - mean) / s
    d = {
        True: lambda: gamma * dy,
        False: lambda: dy,
        "gamma[:, None]": lambda: gamma[:, None] * dy,
    }[with_gamma]()
    if projection == "batch":
        z = (x - x.mean(0)) / s
        d = d - d.mean(0) - z * (d * z).mean(0)
    elif projection == "running":
        d = d - d.mean(0) - xhat * (d * xhat).mean(0)
    elif projection == "mean":
        d = d - d.mean(0)
    elif projection == "xhat":
        d = d - xhat * (d * xhat).mean(0)
    dx = {True: d / s, False: d, "squared": d / s**2, "times": d * s}[over_s]
    terms = {
        "dy xhat": dy * xhat,
        "dy (x - mu)": dy * (x - mean),
        "dy x": dy * x,
        "dy x / s": dy * x / s,
        "gamma dy xhat": gamma * dy * xhat,
        "batch": dy * (x - x.mean(0)) / np.sqrt(x.var(0) + eps),
        "zero": 0 * dy,
    }.get(dgamma, dy * xhat)
    dgamma = _parameter_gradient(terms, dgamma, (0,))
    terms = {"gamma dy": gamma * dy, "zero": 0 * dy}.get(dbeta, dy)
    dbeta = _parameter_gradient(terms, dbeta, (0,))
    named = {"dx": dx, "dgamma": dgamma, "dbeta": dbeta}
    return tuple(named[name] for name in order.split(", "))


def _evaluation_cases(rng):
    cases = []
    for n, d, dtype, mean, std, tolerance, options, hint in (
        (7, 5, np.float64, 0.0, 1.0, 1e-9, {}, ""),
        (5, 5, np.float64, -2.0, 3.0, 1e-9, {}, ""),
        (6, 4, np.float64, 3.0, 3e-3, 1e-9, {}, _SMALL),
        (1, 4, np.float64, 1.0, 1.0, 1e-9, {}, "A batch of one is no problem here."),
        (9, 3, np.float32, 1.0, 1.0, 2e-5, {}, ""),
        (8, 3, np.float32, 1e3, 1.0, 1e-3, {}, ""),
        (8, 3, np.float64, 0.0, 1.0, 1e-9, {"eps": 0.1}, _EPS),
    ):
        dy, x, gamma = _draw(rng, (n, d), dtype=dtype, mean=mean, std=std)
        running_mean = (mean + std * rng.normal(size=d)).astype(dtype)
        running_var = (std**2 * rng.uniform(0.3, 3.0, size=d)).astype(dtype)
        what = f"x of shape ({n}, {d}), {np.dtype(dtype).name}, mean about {mean:g}"
        what += "".join(f", {k} = {v:g}" for k, v in options.items())
        arguments = (dy, x, gamma, running_mean, running_var)
        cases.append(Case(what, arguments, options, tolerance, hint))
    dy, x, gamma = _draw(rng, (10, 3), mean=1.0)
    dy, x = np.asfortranarray(dy), np.asfortranarray(x)
    arguments = (dy, x, gamma, rng.normal(size=3), rng.uniform(0.3, 3.0, size=3))
    cases.append(Case("x and dy stored column by column", arguments, hint=_LAYOUT))
    return cases


_AFFINE = "dx = gamma·dy / sqrt(running_var + eps)"

evaluation = Exercise(
    name="batch_norm_eval_backward",
    outputs=("dx", "dgamma", "dbeta"),
    examine=("dbeta", "dgamma", "dx"),
    formula=_evaluation,
    cases=_evaluation_cases,
    section="backward-evaluation",
    changed=_CHANGED,
    mistakes=(
        Mistake(
            "These are the training gradients, with the batch's own statistics. In "
            "evaluation mode running_mean and running_var take their place: "
            f"xhat = (x − running_mean) / sqrt(running_var + eps), and {_AFFINE}.",
            {"statistics": "batch", "projection": "batch"},
        ),
        *(
            Mistake(
                "dx is the training formula: it subtracts means over the batch. In "
                "evaluation mode the statistics are constants and no sample moves "
                f"another, so nothing is subtracted: {_AFFINE}.",
                {"projection": projection},
            )
            for projection in ("running", "batch")
        ),
        Mistake(
            "mean(d) is subtracted from dx. That is the path through the batch's mean; "
            f"running_mean does not depend on x: {_AFFINE}.",
            {"projection": "mean"},
        ),
        Mistake(
            "xhat·mean(d·xhat) is subtracted from dx. That is the path through the "
            f"batch's variance; running_var does not depend on x: {_AFFINE}.",
            {"projection": "xhat"},
        ),
        Mistake(
            "You normalise by the batch's mean and variance. In evaluation mode "
            "running_mean and running_var take their place, in dx and in the xhat of "
            "dgamma.",
            {"statistics": "batch"},
        ),
        Mistake(
            "The xhat in dgamma is that of the batch. In evaluation mode it is "
            "(x − running_mean) / sqrt(running_var + eps).",
            {"dgamma": "batch"},
        ),
        Mistake(
            "The mean in xhat is the batch's; in evaluation mode it is running_mean.",
            {"statistics": "batch mean"},
        ),
        Mistake(
            "The variance is the batch's; in evaluation mode it is running_var.",
            {"statistics": "batch variance"},
        ),
        Mistake(
            "running_mean and running_var are swapped.",
            {"statistics": "swapped"},
        ),
        *(m for m in _PARAMETERS if "order" in m.knobs),
        *(
            Mistake(
                f"{name} is zero. Frozen statistics do not freeze gamma and beta: "
                "dgamma = sum(dy·xhat), dbeta = sum(dy).",
                {name: "zero"},
            )
            for name in ("dbeta", "dgamma")
        ),
        *(m for m in _PARAMETERS if "order" not in m.knobs),
        Mistake(
            f"gamma is missing from dx: {_AFFINE}.",
            {"with_gamma": False},
        ),
        _GAMMA_BY_SAMPLE,
        Mistake(
            f"dx is not divided by the standard deviation: {_AFFINE}.",
            {"over_s": False},
        ),
        Mistake(
            "dx is divided by running_var + eps; the square root is missing: "
            f"{_AFFINE}.",
            {"over_s": "squared"},
        ),
        Mistake(
            f"dx is multiplied by the standard deviation; divide by it: {_AFFINE}.",
            {"over_s": "times"},
        ),
        Mistake(
            "eps is missing: you divide by sqrt(running_var). Add eps inside the root, "
            "as the forward pass does.",
            {"denominator": "sqrt(v)"},
        ),
        Mistake(
            "You divide by running_var + eps; the square root is missing: "
            "sqrt(running_var + eps).",
            {"denominator": "v + eps"},
        ),
        *(m for m in _STATISTICS[1:] if "denominator" in m.knobs),
    ),
)


# --- Gradient checks ------------------------------------------------------------------


def _numerical(
    f,
    x,
    dy,
    h=1e-5,
    *,
    difference="central",
    divide="2h",
    weights="dy",
    step="h",
    total="sum",
    restored=True,
    together=False,
    written="always",
):
    """Central differences of sum(f(x) dy), entry by entry."""
    h = h if step == "h" else float(step)
    dy = np.ones_like(dy) if weights == "ones" else dy
    reduce = {"sum": np.sum, "mean": np.mean}[total]
    above, below = {"central": (h, -h), "forward": (h, 0.0), "backward": (0.0, -h)}[
        difference
    ]
    width = {
        "2h": above - below,
        "h": h,
        "2h, one-sided": 2 * h,
        "no": 1.0,
        "-2h": below - above,
        "/ 2 * h": 2 / h,
    }[divide]
    if together:  # all entries moved at once
        return ((f(x + above) - f(x + below)) * dy / width,)
    if written == "never" or (written == "C" and not x.flags.c_contiguous):
        return (np.zeros(x.shape),)  # x.ravel() was a copy; moving that moves nothing
    x = x.copy()
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + above
        high = reduce(f(x) * dy)
        x[index] = kept + below
        low = reduce(f(x) * dy)
        gradient[index] = (high - low) / width
        if restored:
            x[index] = kept
    return (gradient,)


def _residual(x):
    # The x keeps the gradient from zero where a learner takes dy = 1.
    return x + (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)


def _numerical_cases(rng):
    matrix = rng.normal(size=(3, 2))
    cases = []
    for what, f, x, dy_shape, options in (
        ("f(x) = x³, x of shape (4,), h = 0.1", _cube, (4,), (4,), {"h": 0.1}),
        ("f(x) = x + batch norm(x), shape (5, 4)", _residual, (5, 4), (5, 4), {}),
        ("f(x) = x @ A, x of shape (5, 3)", _times(matrix), (5, 3), (5, 2), {}),
        ("f(x) = exp(x), 3 axes, h = 0.5", np.exp, (2, 3, 4), (2, 3, 4), {"h": 0.5}),
        ("f(x) = sum(x³), h = 0.2", _sum_of_cubes, (3, 2), (), {"h": 0.2}),
    ):
        arguments = (f, rng.normal(size=x), np.asarray(rng.normal(size=dy_shape)))
        cases.append(Case(what, arguments, options, 1e-6))
    x = rng.normal(size=(3, 4)).T
    arguments = (_residual, x, rng.normal(size=(4, 3)))
    cases.append(
        Case("x that is stored column by column", arguments, {}, 1e-6, _LAYOUT)
    )
    return cases


def _cube(x):
    return x**3


def _sum_of_cubes(x):
    return np.sum(x**3)


def _times(matrix):
    return lambda x: x @ matrix


numerical = Exercise(
    name="numerical_gradient",
    outputs=("gradient",),
    formula=_numerical,
    cases=_numerical_cases,
    section="backward-check",
    changed=(
        "Whoever called it still needs x. If you move entries in place, keep the old "
        "value and put that back: `x[i] += h` and then `x[i] -= h` does not, since "
        "(x + h) − h is not exactly x in floating point; nor does it help to keep a "
        "row, `old = x[i]`, which is a view. Or work on a copy."
    ),
    mistakes=(
        Mistake(
            "That is a forward difference, (L(x + h) − L(x)) / h, whose error shrinks "
            "like h. Step to both sides, (L(x + h) − L(x − h)) / (2h): the error "
            "shrinks like h².",
            {"difference": "forward"},
        ),
        Mistake(
            "That is a backward difference, (L(x) − L(x − h)) / h, whose error shrinks "
            "like h. Step to both sides, (L(x + h) − L(x − h)) / (2h): the error "
            "shrinks like h².",
            {"difference": "backward"},
        ),
        Mistake(
            "You divide by h. From x − h to x + h it is 2h; the gradient is twice as "
            "large as it should be.",
            {"divide": "h"},
        ),
        Mistake(
            "Only one side is moved, but you divide by 2h. Step to both sides: "
            "(L(x + h) − L(x − h)) / (2h).",
            {"difference": "forward", "divide": "2h, one-sided"},
        ),
        Mistake(
            "`/ 2 * h` divides by 2 and then multiplies by h. Write `/ (2 * h)`.",
            {"divide": "/ 2 * h"},
        ),
        Mistake(
            "The division by 2h is missing: that is the change of L, not its rate of "
            "change.",
            {"divide": "no"},
        ),
        Mistake(
            "The sign is wrong: L(x + h) − L(x − h), in this order.",
            {"divide": "-2h"},
        ),
        Mistake(
            "dy is ignored, as if it were all ones. The loss is sum(f(x)·dy). (With "
            "ones, batch norm's gradient is zero whatever x is, and a check of it "
            "shows nothing.)",
            {"weights": "ones"},
        ),
        Mistake(
            "The loss is a mean; it must be the sum of f(x)·dy.",
            {"total": "mean"},
        ),
        Mistake(
            "You move all entries of x at once. Where an output depends on several "
            "entries, as in batch norm, that mixes their effects. Move one entry, "
            "measure, put it back, go on to the next.",
            {"together": True},
        ),
        Mistake(
            "An entry is not put back before the next one moves, so that the earlier "
            "entries are still displaced. Keep the old value and restore it.",
            {"restored": False},
        ),
        *(
            Mistake(
                "The argument h is ignored: the step is a fixed number.",
                {"step": step},
            )
            for step in ("1e-5", "1e-3")
        ),
        *(
            Mistake(
                "The gradient is zero: f never sees the step. `x.flatten()` is a copy, "
                "and `x.ravel()` and `x.reshape(-1)` may be copies; moving one moves "
                "nothing in x. Index x itself, for example with `np.ndindex(x.shape)`.",
                {"written": where},
            )
            for where in ("never", "C")
        ),
    ),
)


def _error(
    analytic,
    numeric,
    *,
    kind="norms",
    guard=0.0,
    larger=None,
    zeros="0",
    shapes="inf",
):
    """Distance of two gradients, relative to their norms."""
    a, n = (np.asarray(z, dtype=np.float64) for z in (analytic, numeric))
    if a.shape != n.shape and shapes == "inf":
        return (np.float64(np.inf),)
    norm = np.linalg.norm
    above, below = {
        "norms": lambda: (norm(a - n), norm(a) + norm(n)),
        "entries max": lambda: (abs(a - n), abs(a) + abs(n)),
        "entries mean": lambda: (abs(a - n), abs(a) + abs(n)),
        "entries sum": lambda: (abs(a - n), abs(a) + abs(n)),
        "absolute": lambda: (norm(a - n), 1.0),
        "absolute max": lambda: (abs(a - n).max(), 1.0),
        "by numeric": lambda: (norm(a - n), norm(n)),
        "by analytic": lambda: (norm(a - n), norm(a)),
        "by larger": lambda: (norm(a - n), max(norm(a), norm(n))),
        "by sum": lambda: (norm(a - n), norm(a + n)),
        "squares": lambda: (norm(a - n) ** 2, norm(a) ** 2 + norm(n) ** 2),
        "largest": lambda: (abs(a - n).max(), (abs(a) + abs(n)).max()),
        "largest each": lambda: (abs(a - n).max(), abs(a).max() + abs(n).max()),
        "means": lambda: (abs(a - n).mean(), (abs(a) + abs(n)).mean()),
        "signed": lambda: ((a - n).sum(), (abs(a) + abs(n)).sum()),
        "signed everywhere": lambda: ((a - n).sum(), (a + n).sum()),
        "signed entries": lambda: (a - n, abs(a) + abs(n)),
        "norms apart": lambda: (abs(norm(a) - norm(n)), norm(a) + norm(n)),
        "norms apart, signed": lambda: (norm(a) - norm(n), norm(a) + norm(n)),
    }[kind]()
    below = below + guard if larger is None else np.maximum(below, larger)
    ratio = np.asarray(above) / below
    if zeros == "0" and kind != "absolute":
        ratio = np.where(below == 0, 0.0, ratio)
    elif zeros == "1":
        ratio = np.where(below == 0, 1.0, ratio)
    reduce = {"entries mean": np.mean, "entries sum": np.sum}.get(kind, np.max)
    return (reduce(ratio),)


def _error_cases(rng):
    a = rng.normal(size=(4, 3))
    near = a + 1e-3 * rng.normal(size=a.shape)
    other = rng.normal(size=a.shape)
    images = rng.normal(size=(2, 3, 4, 2))
    row = rng.normal(size=5)
    # A guard of 1e-12 is 3e-4 of these gradients and welcome; 1e-8 is not.
    small = "Is a constant in the denominator larger than the gradients are?"
    return [
        Case("two gradients that are close", (a, near)),
        Case("two that have nothing in common", (a, other)),
        Case("a factor of two", (2 * a, a)),
        Case("opposite signs", (a, -a)),
        Case("4 axes", (images, images + 0.1)),
        Case("two equal ones", (a, a.copy())),
        Case("both zero", (np.zeros((2, 3)), np.zeros((2, 3)))),
        Case("analytic zero, numeric not", (np.zeros((4, 3)), a)),
        Case("numeric zero, analytic not", (a, np.zeros((4, 3)))),
        Case("both tiny, of size 1e-9", (1e-9 * a, 1e-9 * other), {}, 1e-2, small),
        Case("shapes (1, 5) and (5,)", (row[None], row)),
        Case("shapes (5,) and ()", (row, np.float64(0.3))),
    ]


_RELATIVE = "‖a − n‖ / (‖a‖ + ‖n‖)"

_ERROR_KINDS = (
    *(
        Mistake(
            f"That is the {word} over the entries of |a − n| / (|a| + |n|). A "
            "single entry that is nearly zero then decides, although nobody "
            "needs its digits. Take norms of the whole arrays first: "
            f"{_RELATIVE}.",
            {"kind": f"entries {kind}"},
        )
        for kind, word in (("max", "largest"), ("mean", "mean"), ("sum", "sum"))
    ),
    *(
        Mistake(
            "That is an absolute error: whether 0.01 is small depends on the size "
            f"of the gradients. Divide by it: {_RELATIVE}.",
            {"kind": kind},
        )
        for kind in ("absolute", "absolute max")
    ),
    *(
        Mistake(
            "You divide by the norm of one of the two only. If that one is zero, "
            f"so is the denominator. Divide by the sum of both: {_RELATIVE}.",
            {"kind": kind},
        )
        for kind in ("by numeric", "by analytic")
    ),
    Mistake(
        "You divide by the larger norm; here it is the sum of both, "
        f"{_RELATIVE}, so that 1 means nothing in common.",
        {"kind": "by larger"},
    ),
    Mistake(
        "You divide by ‖a + n‖, which is zero where the two are opposite. Take the "
        f"norms first, then add: {_RELATIVE}.",
        {"kind": "by sum"},
    ),
    *(
        Mistake(
            "The differences keep their signs, so that positive ones cancel "
            "negative ones and a wrong gradient can have error 0 or less. Take "
            f"absolute values, or the norm: {_RELATIVE}.",
            {"kind": kind},
        )
        for kind in ("signed", "signed everywhere", "signed entries")
    ),
    *(
        Mistake(
            "You compare the lengths of the two gradients, not the gradients: one "
            "of the right length in a wrong direction would pass. Subtract first, "
            f"then take the norm: {_RELATIVE}.",
            {"kind": kind},
        )
        for kind in ("norms apart", "norms apart, signed")
    ),
    Mistake(
        "Those are squares: an error of 1e-3 would show as 1e-6. Take the roots: "
        f"{_RELATIVE}.",
        {"kind": "squares"},
    ),
    *(
        Mistake(
            "You use another size than the Euclidean norm. With "
            f"`np.linalg.norm`: {_RELATIVE}.",
            {"kind": kind},
        )
        for kind in ("largest", "largest each", "means")
    ),
)

error = Exercise(
    name="gradient_error",
    outputs=("error",),
    formula=_error,
    cases=_error_cases,
    section="backward-check",
    mistakes=(
        Mistake(
            "Two gradients that are both zero agree, but 0/0 gives nan (and nan < 1e-6 "
            "is False). Return 0 where both norms are zero.",
            {"zeros": "nan"},
        ),
        Mistake(
            "Two gradients that are both zero agree: their error is 0.",
            {"zeros": "1"},
        ),
        Mistake(
            "Arrays of shapes (1, D) and (D,) broadcast, so that a gradient of the "
            "wrong shape goes unseen. Compare the shapes first and return `np.inf` if "
            "they differ.",
            {"shapes": "broadcast"},
        ),
        *(
            Mistake(
                "The constant in your denominator is there against 0/0, but gradients "
                "of its size or below then always seem to agree: it is an absolute "
                "tolerance in disguise. Handle the case of two zeros by itself, or "
                "make the constant tiny (1e-30).",
                {name: value},
            )
            for value in (1e-8, 1e-7, 1e-6, 1e-5)
            for name in ("guard", "larger")
        ),
        *_ERROR_KINDS,
        *(  # whoever takes another formula often guards neither zeros nor shapes
            Mistake(m.message, m.knobs | more | {"shapes": "broadcast"})
            for m in _ERROR_KINDS
            for more in ({"zeros": "nan"}, {"guard": 1e-8}, {"larger": 1e-8})
        ),
    ),
)


# What a learner's own test of a backward pass must tell apart: name, what is wrong with
# it, the gradients as (dx, dgamma, dbeta), and the input on which it shows.


@dataclass(frozen=True)
class _Planted:
    """A backward pass, right or wrong, that remembers what it was tried on."""

    what: str
    gradients: Callable
    shows: str = "almost any random input"
    calls: list = field(default_factory=list)

    def __call__(self, dy, x, gamma, eps=1e-5):
        """Return dx, dgamma, dbeta."""
        arguments = tuple(np.array(a) for a in (dy, x, gamma))
        self.calls.append((*arguments, eps))
        return self.gradients(*arguments, eps)


def _knobs(**knobs):
    return lambda dy, x, gamma, eps: _columns(dy, x, gamma, eps, **knobs)


def _staged_gradients(dy, x, gamma, eps):
    dbeta, dgamma, *_, dx = _staged(dy, x, gamma, eps)
    return dx, dgamma, dbeta


def _scaled(k, factor):
    def gradients(dy, x, gamma, eps):
        results = list(_columns(dy, x, gamma, eps))
        results[k] = factor * results[k]
        return tuple(results)

    return gradients


_SHAPE = "whose dgamma has shape (1, D)"


def _right_ones():
    return [
        _Planted("in one line", _columns),
        _Planted("walked along the graph", _staged_gradients),
    ]


def _wrong_ones(rng):
    slightly = 1 + rng.choice([-1, 1]) * rng.uniform(1e-3, 3e-3)
    return [
        _Planted("whose dx is gamma·dy/s", _knobs(mean_term="none", xhat_term="none")),
        _Planted("without mean(d)", _knobs(mean_term="none")),
        _Planted("without the xhat term", _knobs(xhat_term="none")),
        _Planted("with sums for means", _knobs(count="1")),
        _Planted("with a plus before the xhat term", _knobs(xhat_term="plus")),
        _Planted("with twice the xhat term", _knobs(xhat_term="twice")),
        _Planted("with N − 1 for N", _knobs(count="M - 1")),
        _Planted(
            "without gamma in dx", _knobs(with_gamma="none"), "gamma other than 1"
        ),
        _Planted("without 1/s in dx", _knobs(over_s="none"), "a variance other than 1"),
        _Planted(
            "with x − mu for xhat in dx",
            _knobs(xhat_in_dx="x - mu"),
            "a variance other than 1",
        ),
        _Planted(
            "without eps",
            _knobs(denominator="sqrt(v)"),
            "an eps that counts, such as eps = 0.1",
        ),
        _Planted(
            "that ignores its argument eps",
            _knobs(denominator="eps 1e-5"),
            "an eps that counts, such as eps = 0.1",
        ),
        _Planted("that divides by D, not N", _knobs(count="D"), "N other than D"),
        _Planted("whose dgamma is a mean", _knobs(dgamma="mean")),
        _Planted(
            "whose dgamma is sum(dy·(x − mu))",
            _knobs(dgamma="dy (x - mu)"),
            "a variance other than 1",
        ),
        _Planted(
            "whose dgamma is sum(dy·x)", _knobs(dgamma="dy x"), "a mean other than 0"
        ),
        _Planted("whose dbeta is a mean", _knobs(dbeta="mean")),
        _Planted("with dgamma and dbeta swapped", _knobs(order="dx, dbeta, dgamma")),
        _Planted(_SHAPE, _knobs(keepdims=True)),
        _Planted("whose dx is off by 0.1% or so", _scaled(0, slightly)),
    ]


class _TestOfTests(Exercise):
    """An exercise whose answer is itself a test: right passes, wrong does not."""

    def __call__(self, learner, *, seed=0):
        """Try the learner's test on backward passes.

        Parameters
        ----------
        learner : callable
            What the learner wrote.
        seed : int
            Seed of the order in which they come.

        Raises
        ------
        CheckFailed
            With a message for the learner.
        """
        rng = np.random.default_rng(seed)
        wrong = _wrong_ones(rng)
        wrong = [wrong[k] for k in rng.permutation(len(wrong))]
        right = _right_ones()
        for planted in right:
            if not self._verdict(learner, planted):
                raise self._failure(self._rejected(planted))
        passed = [planted for planted in wrong if self._verdict(learner, planted)]
        if passed:
            raise self._failure(self._accepted(passed, len(wrong)))
        print(f"✓ {self.name}: accepts {len(right)} right, rejects {len(wrong)} wrong")

    def _verdict(self, learner, planted):
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                verdict = learner(planted)
        except NotImplementedError as error:
            raise CheckFailed(self._to_be_written(error)) from None
        except Exception as error:
            raise self._failure(
                f"It raises {type(error).__name__} on a backward pass {planted.what}: "
                f"{error}{_where(error)}\nA wrong backward pass is no reason to stop: "
                "return False."
            ) from error
        if not isinstance(verdict, bool | np.bool_):
            raise self._failure(
                f"It returns {'None' if verdict is None else repr(verdict)}; expected "
                "True or False."
            )
        return bool(verdict)

    def _rejected(self, planted):
        text = f"It rejects a right backward pass ({planted.what}). "
        if not planted.calls:
            return text + "Your test never calls it: compare what `backward` returns."
        dy, x, *_ = planted.calls[0]
        if dy.size > 1 and np.ptp(dy) == 0:
            return (
                text + "Your dy is the same everywhere. Then dx is zero whatever x "
                "is, and a relative error compares one rounding error with another. "
                "Draw dy at random."
            )
        if x.dtype != np.float64:
            return (
                text + f"Your x is {x.dtype}; differences need float64, in which a "
                "central difference is good to about 1e-8."
            )
        return (
            text + "Is the tolerance too tight (a central difference is good to about "
            "1e-8 here; 1e-6 is a fair demand)? Do forward and backward use the same "
            "eps? Are `numerical_gradient` and `gradient_error` right?"
        )

    def _accepted(self, passed, number):
        first = min(passed, key=lambda p: (len(p.calls), p.what == _SHAPE))
        others = [p.what for p in passed if p is not first]
        if len(others) > 4:
            others[3:] = [f"and {len(others) - 3} more"]
        such_as = ", such as" if others else ":"
        text = (
            f"It accepts {len(passed)} of {number} wrong backward passes{such_as} one "
            f"{first.what}. {self._why(first)}"
        )
        return text + (f"\nIt also accepts one {'; '.join(others)}." if others else "")

    def _why(self, planted):
        if not planted.calls:
            return "Your test never calls it: compare what `backward` returns."
        if all(np.ptp(dy) == 0 for dy, *_ in planted.calls):
            return (
                "Your dy is the same everywhere. Then dx is zero whatever x is, and "
                "wrong versions give zero as well. Draw dy at random."
            )
        if all(_blind(*call) for call in planted.calls):
            return (
                "Your dy is a multiple of xhat, plus a constant, as it is for the "
                "loss sum(y²). Then dx is nearly zero whatever x is, and wrong "
                "versions give the same. Draw dy at random."
            )
        seen = max((_differences(planted, call) for call in planted.calls), key=_most)
        wrong = {name: by for name, by in seen.items() if by > 1e-5}
        if not wrong:
            return f"On your inputs it is right. It shows with {planted.shows}."
        name, by = max(wrong.items(), key=lambda item: item[1])
        if by == np.inf:
            return (
                f"Its {name} has another shape than {name[1:]}: compare the shapes as "
                "well as the numbers, which broadcast."
            )
        percent = f"{100 * by:.0f}" if by > 0.01 else f"{100 * by:.2g}"
        return (
            f"Your inputs show it: its {name} is off by {percent}%. Do you compare all "
            "three gradients, and is your tolerance tight? (1e-6 will do.)"
        )


def _differences(planted, call):
    """How far each gradient is from the right one: relative, infinite for shapes."""
    names = ("dx", "dgamma", "dbeta")
    pairs = zip(names, planted.gradients(*call), _columns(*call), strict=True)
    return {
        name: _error(wrong, right, guard=1e-12)[0] * 2 for name, wrong, right in pairs
    }


def _most(differences):
    return max(differences.values())


def _blind(dy, x, *_):
    """Whether dy is a combination of 1 and xhat, so that dx is nearly zero."""
    dy, x = dy - dy.mean(0), x - x.mean(0)
    rest = dy - x * (dy * x).sum(0) / np.maximum((x * x).sum(0), 1e-300)
    return bool(np.linalg.norm(rest) <= 1e-6 * np.linalg.norm(dy))


detector = _TestOfTests(
    name="backward_is_right",
    outputs=("verdict",),
    formula=None,
    cases=None,
    section="backward-check",
    mistakes=(),
)
