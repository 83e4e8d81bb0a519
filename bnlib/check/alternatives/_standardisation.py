"""Exercise 6: weight standardisation, forwards and backwards, without a gain.

But: the filters are always counted by axis 0.
"""

from math import prod

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.alternatives._batches import EPS, SMALL
from bnlib.check.alternatives._formula import Sets, gradients, standardise, widen
from bnlib.check.alternatives._mistakes import denominators, variances


def _sets(v, kind="filter"):
    """Return which weights of (C, ...) share mean and variance."""
    shape = v.shape
    if kind == "filter":
        return Sets((shape[0], prod(shape[1:])), (1,))
    if kind.startswith("(-1, C)"):
        return Sets((prod(shape[1:]), shape[0]), (int(kind[-1]),))
    reduced = {
        "all": tuple(range(v.ndim)),
        "0": (0,),
        "1": (1,),
        "-1": (v.ndim - 1,),
        "(1, 2, 3)": (1, 2, 3),
        "(2, 3)": (2, 3),
    }[kind]
    if max(reduced) >= v.ndim:  # as NumPy raises
        raise np.exceptions.AxisError(max(reduced), v.ndim)
    return Sets(shape, reduced)


def _forward(v, eps=1e-5, *, sets="filter", scaled=False, **statistics):
    (v,) = widen(v)
    top, s = standardise(v, _sets(v, sets), eps, **statistics)
    return (top / s / (np.sqrt(v.size / len(v)) if scaled else 1),)


def _backward(dw, v, eps=1e-5, *, sets="filter", means=None, **knobs):
    dw, v = widen(dw, v)
    means = _sets(v, means or sets)
    index = _sets(v, sets)
    return gradients(dw, v, np.ones(1), index, eps, means=means, order="dx", **knobs)


def _draw(rng, shape, *, dtype=np.float64, mean=0.3, std=1.0):
    """Draw weights; each filter has a mean and a scale of its own."""
    per = (shape[0], *(1,) * (len(shape) - 1))
    scale = std * rng.uniform(0.5, 2.0, per)
    v = mean * std + std * rng.normal(size=per) + scale * rng.normal(size=shape)
    return (v.astype(dtype),)


def _draw_gradient(rng, shape, *, dtype=np.float64, **options):
    dw = rng.normal(0.4, 1.0, size=shape).astype(dtype)
    return (dw, *_draw(rng, shape, dtype=dtype, **options))


def _cases(rng, drawn):
    cases = []
    for shape, dtype, std, tolerance, hint in (
        ((5, 7), np.float64, 1.0, 1e-9, ""),
        ((4, 4), np.float64, 0.1, 1e-9, ""),  # rows could be taken for columns
        ((4, 3, 2, 5), np.float64, 1.0, 1e-9, "A filter is all that axis 0 leaves."),
        ((3, 3, 3, 3), np.float64, 0.1, 1e-9, "A filter is all that axis 0 leaves."),
        ((1, 6), np.float64, 1.0, 1e-9, ""),
        ((6, 8), np.float64, 2e-3, 1e-9, SMALL),
        ((3, 8), np.float32, 1.0, 2e-5, ""),
    ):
        what = f"v of shape {shape}, {np.dtype(dtype).name}, entries about {std:g}"
        arguments = drawn(rng, shape, dtype=dtype, std=std)
        cases.append(Case(what, arguments, {}, tolerance, hint))
    arguments = drawn(rng, (4, 6))
    cases.append(Case("eps = 0.1", arguments, {"eps": 0.1}, hint=EPS))
    arguments = drawn(rng, (4, 6))
    arguments[-1][2] = 0.25
    hint = "There one filter is constant, so that s = sqrt(eps)."
    cases.append(Case("a filter that is constant", arguments, hint=hint))
    arguments = tuple(np.asfortranarray(a) for a in drawn(rng, (5, 6)))
    cases.append(Case("arrays stored column by column", arguments))
    return cases


_CHOICES = (
    (
        "all",
        "One mean and one variance serve all of v. Each filter v[k] has its own.",
    ),
    (
        "0",
        "Mean and variance are over axis 0, which counts the filters. A filter is "
        "everything that axis 0 leaves: its inputs and kernel positions.",
    ),
    *(
        (
            axes,
            f"Mean and variance are over axis {axes} only. A filter is everything that "
            "axis 0 leaves: (1,) for a matrix, (1, 2, 3) for a convolution. Reshaped "
            "to (C, -1) it is a row in both cases.",
        )
        for axes in ("1", "-1", "(2, 3)", "(1, 2, 3)")
    ),
    *(
        (
            f"(-1, C), {axis}",
            "`reshape(-1, C)` puts weights of different filters together: the array is "
            "read in the order in which it lies in memory. Axis 0 counts the filters, "
            "so keep it in front: (C, -1).",
        )
        for axis in (0, 1)
    ),
)
_AXES = tuple(Mistake(text, {"sets": kind}) for kind, text in _CHOICES)
_KEPT = Mistake(
    "Mean and variance have shape (C,), and broadcasting lines them up with the last "
    "axis, not with the filters. Keep the axes: `keepdims=True`.",
    {"kept": False},
)
_LENGTH = Mistake(
    "You divide by the length of the centred filter: the 1/n of the variance is "
    "missing (n: weights of a filter). That is weight norm of the centred weights; "
    "here each weight, not the sum of their squares, is of size 1: the variance is the "
    "mean of (v − mu)².",
    {"variance": "sum"},
)
_CHANGED = (
    "v is the parameter that the optimiser moves, and dw belongs to the caller. "
    "`c = v - mean` makes a new array; `v -= mean` overwrites the old one."
)
_STATISTICS = (
    _LENGTH,
    *(
        m
        for m in variances("each filter's", "n", "v", "variance")
        if m.knobs != _LENGTH.knobs
    ),
)
SECTION = {"section": "across-weights-standard", "page": "across_weights"}

standardisation = Exercise(
    name="weight_standardisation",
    outputs=("w",),
    formula=_forward,
    cases=lambda rng: _cases(rng, _draw),
    **SECTION,
    changed=_CHANGED,
    mistakes=(
        *_AXES,
        _KEPT,
        *_STATISTICS,
        Mistake(
            "w is divided by the root of the number of weights as well. That is scaled "
            "weight standardisation, of networks without activation norms; here each "
            "filter has variance 1.",
            {"scaled": True},
        ),
        Mistake(
            "The mean is subtracted, and that is all. Divide by s = sqrt(variance + "
            "eps) as well.",
            {"variance": "one"},
        ),
        Mistake(
            "The mean is added where it has to be subtracted.", {"centre": "x + mean"}
        ),
        Mistake("You compute mean − v. It is v − mean.", {"centre": "mean - x"}),
        *denominators("variance"),
    ),
)

_FORMULA = "dv = (dw − mean(dw) − w·mean(dw·w)) / s"

standardisation_backward = Exercise(
    name="weight_standardisation_backward",
    outputs=("dv",),
    formula=_backward,
    cases=lambda rng: _cases(rng, _draw_gradient),
    **SECTION,
    changed=_CHANGED,
    mistakes=(
        Mistake(
            "dv is dw/s only: you treat the filter's mean and variance as constants. "
            f"They move with v, and each takes a term away: {_FORMULA}.",
            {"mean_term": "none", "xhat_term": "none"},
        ),
        Mistake(
            "mean(dw) is not subtracted from dv: the path through the filter's mean is "
            f"missing. A test: each filter's dv must add up to zero. {_FORMULA}.",
            {"mean_term": "none"},
        ),
        Mistake(
            "w·mean(dw·w) is not subtracted from dv: the path through the variance is "
            f"missing. {_FORMULA}.",
            {"xhat_term": "none"},
        ),
        Mistake(
            "You subtract sums where dv has means. One weight is only one of the n "
            f"behind the filter's statistics: {_FORMULA}.",
            {"count": "1"},
        ),
        Mistake(
            "You subtract w·sum(dw·w), as for weight norm, where the direction has "
            f"length 1. Here w has mean square 1, so it is a mean: {_FORMULA}.",
            {"xhat_term": "sum"},
        ),
        Mistake(
            f"You subtract sum(dw); it is mean(dw): {_FORMULA}.", {"mean_term": "sum"}
        ),
        *(
            Mistake(
                f"{what} has the wrong sign; both terms are taken away: {_FORMULA}.",
                {knob: "plus"},
            )
            for what, knob in (
                ("mean(dw)", "mean_term"),
                ("w·mean(dw·w)", "xhat_term"),
            )
        ),
        Mistake(
            f"dv is not divided by s: {_FORMULA}.",
            {"over_s": "none"},
        ),
        Mistake(
            f"Only the first term of dv is divided by s; all are: {_FORMULA}.",
            {"over_s": "first"},
        ),
        Mistake(
            f"Only the first two terms of dv are divided by s; all are: {_FORMULA}.",
            {"over_s": "first two"},
        ),
        Mistake(
            f"dv is divided by s²; s once is right: {_FORMULA}.", {"over_s": "squared"}
        ),
        Mistake(
            f"dv is multiplied by s; divide by it: {_FORMULA}.", {"over_s": "times"}
        ),
        Mistake(
            "The last term of dv uses v − mean where w, which has been divided by s, "
            f"belongs: {_FORMULA}.",
            {"xhat_in_dx": "x - mu"},
        ),
        Mistake(
            f"The last term of dv uses v where w belongs: {_FORMULA}.",
            {"xhat_in_dx": "x"},
        ),
        Mistake(
            "The last term of dv is twice what it should be. The 2 from the derivative "
            "of the square is cancelled by the 1/2 from that of the root.",
            {"xhat_term": "twice"},
        ),
        Mistake(
            "The last term of dv is mean(dw·w) without the w in front: each weight "
            f"gets its share in proportion to its own w. {_FORMULA}.",
            {"xhat_term": "no xhat"},
        ),
        Mistake(
            f"The means in dv are divided by n − 1. They are plain means: {_FORMULA}.",
            {"count": "M - 1"},
        ),
        *_AXES,
        *(
            Mistake(
                "The means in dv are over other weights than the statistics. Both are "
                "over a filter: everything that axis 0 leaves.",
                {"means": kind},
            )
            for kind in ("all", "0", "1", "-1")
        ),
        _KEPT,
        *_STATISTICS,
        *denominators("variance", forward=False),
    ),
)
