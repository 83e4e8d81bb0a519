"""Exercise 5: weight norm, forwards and backwards.

But: the weight vectors are always counted by axis 0.
"""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.alternatives._formula import widen
from bnlib.check.backward._training import in_order

TINY = ("1e-5", "1e-6", "1e-8", "1e-10", "1e-12")  # what people add to a length


def _axes(v, kind):
    """Return the axes of v over which a learner takes a norm."""
    return {
        "vector": tuple(range(1, v.ndim)),
        "all": tuple(range(v.ndim)),
        "0": (0,),
        "1": (1,),
        "(1, 2, 3)": (1, 2, 3),
        "(2, 3)": (2, 3),
        "-1": (v.ndim - 1,),
    }[kind]


def _norm(v, axes, kind="euclidean"):
    """Return the length of each vector in v, or what learners take for it."""
    squares = (v**2).sum(axes, keepdims=True)
    return {
        "euclidean": lambda: np.sqrt(squares),
        "squared": lambda: squares,
        "rms": lambda: np.sqrt((v**2).mean(axes, keepdims=True)),
        "sd": lambda: v.std(axes, keepdims=True),
        "absolute": lambda: np.abs(v).sum(axes, keepdims=True),
        "largest": lambda: np.abs(v).max(axes, keepdims=True),
        "one": lambda: np.ones_like(squares),
        "max 1e-5": lambda: np.maximum(np.sqrt(squares), 1e-5),
        **{f"+ {e}": lambda e=e: np.sqrt(squares) + float(e) for e in TINY},
        **{f"{e} +": lambda e=e: np.sqrt(squares + float(e)) for e in TINY},
    }[kind]()


def _along(g, v, kind="g"):
    """Return g in line with the vectors of v, or as learners use it."""
    wide = g.reshape(-1, *(1,) * (v.ndim - 1))
    return {
        "g": lambda: wide,
        "one": lambda: np.ones_like(wide),
        "squared": lambda: wide**2,
        "exp": lambda: np.exp(wide),
        "absolute": lambda: np.abs(wide),
        "inverse": lambda: 1 / wide,
        "plain": lambda: g,
        "g[:, None]": lambda: g[:, None],
    }[kind]()


def _forward(v, g, *, axes="vector", norm="euclidean", length="g", centred=False):
    v, g = widen(v, g)
    top = v - v.mean(_axes(v, axes), keepdims=True) if centred else v
    return (_along(g, v, length) * (top / _norm(top, _axes(v, axes), norm)),)


def _backward(
    dw,
    v,
    g,
    *,
    axes="vector",
    norm="euclidean",
    projection="vhat",
    factor="g / norm",
    length="g",
    dg="dw vhat",
    keepdims=False,
    order="dv, dg",
):
    dw, v, g = widen(dw, v, g)
    axes = _axes(v, axes)
    norm, wide = _norm(v, axes, norm), _along(g, v, length)
    vhat = v / norm
    w = wide * vhat

    def dot(a, b):
        return (a * b).sum(axes, keepdims=True)

    along = dot(dw, vhat)
    bracket = {
        "vhat": lambda: dw - vhat * along,
        "none": lambda: dw,
        "plus": lambda: dw + vhat * along,
        "only": lambda: vhat * along,
        "v": lambda: dw - v * along,
        "v, v": lambda: dw - v * dot(dw, v),
        "vhat, v": lambda: dw - vhat * dot(dw, v),
        "w": lambda: dw - w * along,
        "w, w": lambda: dw - w * dot(dw, w),
        "no vhat": lambda: dw - along,
        "no g": lambda: dw - vhat * along / wide,
        "mean": lambda: dw - vhat * along / (v.size / len(v)),
        "centred": lambda: dw - dw.mean(axes, keepdims=True),
        "centred too": lambda: dw - dw.mean(axes, keepdims=True) - vhat * along,
    }[projection]()
    scale = {
        "g / norm": lambda: wide / norm,
        "g": lambda: wide,
        "1 / norm": lambda: 1 / norm,
        "one": lambda: np.ones_like(norm),
        "g / norm^2": lambda: wide / norm**2,
        "g norm": lambda: wide * norm,
    }[factor]()
    terms = {
        "dw vhat": lambda: dw * vhat,
        "dw v": lambda: dw * v,
        "dw w": lambda: dw * w,
        "dw": lambda: dw,
        "mean": lambda: dw * vhat / (v.size / len(v)),
        "minus": lambda: -dw * vhat,
        "dv vhat": lambda: scale * bracket * vhat,
        "total": lambda: dw * vhat,
        "axis 0": lambda: dw * vhat,
        "not summed": lambda: dw * vhat,
        "v squared": lambda: dw * v / norm**2,
    }[dg]()
    if dg == "total":
        gradient = terms.sum()
    elif dg == "axis 0":
        gradient = terms.sum(0)
    elif dg == "not summed":
        gradient = terms
    else:
        gradient = terms.sum(tuple(range(1, v.ndim)), keepdims=keepdims)
    return in_order(order, dv=scale * bracket, dg=gradient)


def _draw(rng, shape, *, dtype=np.float64, scale=1.0, mean=0.3):
    """Draw v, whose vectors have lengths of their own, and g of both signs."""
    ones = (1,) * (len(shape) - 1)
    v = rng.normal(mean, 1.0, size=shape) * rng.uniform(0.5, 2.0, (shape[0], *ones))
    g = rng.uniform(0.5, 2.0, size=shape[0])
    g *= np.where(np.arange(shape[0]) % 2, -1, 1)
    return (scale * v).astype(dtype), g.astype(dtype)


def _draw_gradient(rng, shape, *, dtype=np.float64, **options):
    dw = rng.normal(0.4, 1.0, size=shape).astype(dtype)
    return (dw, *_draw(rng, shape, dtype=dtype, **options))


def _cases(rng, drawn):
    cases = []
    for shape, dtype, scale, tolerance, hint in (
        ((5, 7), np.float64, 1.0, 1e-9, ""),
        ((4, 4), np.float64, 1.0, 1e-9, ""),  # rows could be taken for columns
        ((4, 3, 2, 5), np.float64, 1.0, 1e-9, "A filter is one vector: all its axes."),
        ((3, 3, 3, 3), np.float64, 1.0, 1e-9, "A filter is one vector: all its axes."),
        ((1, 6), np.float64, 1.0, 1e-9, ""),
        ((4, 6), np.float64, 1e-6, 1e-9, "There v is small. No eps is needed."),
        ((3, 8), np.float32, 1.0, 2e-5, ""),
    ):
        what = f"v of shape {shape}, {np.dtype(dtype).name}, entries about {scale:g}"
        arguments = drawn(rng, shape, dtype=dtype, scale=scale)
        cases.append(Case(what, arguments, {}, tolerance, hint))
    arguments = tuple(np.asfortranarray(a) for a in drawn(rng, (4, 6)))
    cases.append(Case("arrays stored column by column", arguments))
    return cases


_AXES = (
    Mistake(
        "The length is that of all of v at once. Each weight vector v[k] has its own.",
        {"axes": "all"},
    ),
    Mistake(
        "The lengths are those of the columns, axis 0. A unit's weight vector is a "
        "row: axis 0 counts the vectors, and the length is over all other axes.",
        {"axes": "0"},
    ),
    *(
        Mistake(
            f"The length is over axis {axes} only. A weight vector is everything that "
            "axis 0 leaves: (1,) for a matrix, (1, 2, 3) for filters. Reshaped to "
            "(C, -1) it is a row in both cases.",
            {"axes": axes},
        )
        for axes in ("1", "-1", "(2, 3)", "(1, 2, 3)")
    ),
)
_LINE = (
    "g is not lined up with the vectors: it has one entry for each v[k], but "
    "broadcasting puts it along the {} axis. (Where sizes agree that runs, and is "
    "wrong.) Reshape it to (C, 1, ..., 1)."
)
_LINES = (
    Mistake(_LINE.format("last"), {"length": "plain"}),
    Mistake(_LINE.format("last but one"), {"length": "g[:, None]"}),
)
_EPS = (
    *(
        Mistake(
            "An eps is added to the length. Weight norm has none: v is a parameter, "
            "not data, and its length does not become 0 (dv is at right angles to v, "
            "so training only makes it longer). With an eps, w has not the length g.",
            {"norm": kind},
            alone=True,
        )
        for e in TINY
        for kind in (f"+ {e}", f"{e} +")
    ),
    Mistake(
        "Short vectors are divided by a bound and not by their length. However short "
        "v is, w is to have the length g.",
        {"norm": "max 1e-5"},
        alone=True,
    ),
)
SECTION = {"section": "across-weights-norm", "page": "across_weights"}

weight = Exercise(
    name="weight_norm",
    outputs=("w",),
    formula=_forward,
    cases=lambda rng: _cases(rng, _draw),
    **SECTION,
    changed=(
        "Its owner still needs it: v and g are the parameters that the optimiser "
        "moves. `v / norm` makes a new array; `v /= norm` overwrites the old one."
    ),
    mistakes=(
        *_AXES,
        *_LINES,
        Mistake(
            "v is not divided by its length: you return g·v. The length of w is to be "
            "g, whatever the length of v.",
            {"norm": "one"},
        ),
        Mistake(
            "You divide by the squared length, sum(v²): the square root is missing.",
            {"norm": "squared"},
        ),
        Mistake(
            "You divide by the root mean square. The Euclidean length is of the sum: "
            "sqrt(sum(v²)). With the mean w is longer than g, by the root of the "
            "number of weights.",
            {"norm": "rms"},
        ),
        Mistake(
            "You divide by the standard deviation. Weight norm divides by the length, "
            "sqrt(sum(v²)): no mean is subtracted and nothing is averaged.",
            {"norm": "sd"},
        ),
        Mistake(
            "You divide by the sum of |v|. The Euclidean length is sqrt(sum(v²)).",
            {"norm": "absolute"},
        ),
        Mistake(
            "You divide by the largest |v|. The Euclidean length is sqrt(sum(v²)).",
            {"norm": "largest"},
        ),
        *_EPS,
        Mistake(
            "The mean is subtracted from v first. That belongs to weight "
            "standardisation; weight norm divides v as it is.",
            {"centred": True},
        ),
        Mistake(
            "g is not applied: every w has length 1. w = g·v/‖v‖.", {"length": "one"}
        ),
        Mistake("g is squared; w = g·v/‖v‖.", {"length": "squared"}),
        Mistake(
            "You use exp(g) as the length. (The paper tries that too, with its "
            "parameter called s.) Here g is the length itself.",
            {"length": "exp"},
        ),
        Mistake(
            "You use |g|. A negative g turns the vector round: w = g·v/‖v‖.",
            {"length": "absolute"},
        ),
        Mistake("You divide by g; multiply: w = g·v/‖v‖.", {"length": "inverse"}),
    ),
)

_FORMULA = "dv = g/‖v‖ · (dw − vhat·dg)"

weight_backward = Exercise(
    name="weight_norm_backward",
    outputs=("dv", "dg"),
    examine=("dg", "dv"),
    formula=_backward,
    cases=lambda rng: _cases(rng, _draw_gradient),
    **SECTION,
    changed=(
        "Its owner still needs it: v and g are the parameters that the optimiser "
        "moves, and dw belongs to the caller. `d = g * dw` makes a new array."
    ),
    mistakes=(
        Mistake(
            "dv is g·dw/‖v‖, without the projection: you treat ‖v‖ as a constant. It "
            "moves with v, and takes the part of dw along v away: dv must be at right "
            f"angles to v. {_FORMULA}.",
            {"projection": "none"},
        ),
        Mistake("The order of the results is dv, dg.", {"order": "dg, dv"}),
        *_AXES,
        *_LINES,
        Mistake(
            "dg is the sum of dw·v. w = g·vhat, so its derivative by g is the "
            "direction vhat = v/‖v‖.",
            {"dg": "dw v"},
        ),
        Mistake(
            "dg is the sum of dw·w, which has a factor g too many: dg = <dw, vhat>.",
            {"dg": "dw w"},
        ),
        Mistake(
            "dg is the sum of dw. w = g·vhat: multiply by vhat first, then add up.",
            {"dg": "dw"},
        ),
        Mistake(
            "dg is a mean. One g serves all weights of its vector, so it collects from "
            "each: a sum.",
            {"dg": "mean"},
        ),
        Mistake("dg has the wrong sign: dg = <dw, vhat>.", {"dg": "minus"}),
        Mistake(
            "dg is made of dv, which is at right angles to v: that sum is 0. What "
            "arrives is dw: dg = <dw, vhat>.",
            {"dg": "dv vhat"},
        ),
        Mistake(
            "dg is divided by ‖v‖ twice. vhat = v/‖v‖ once: dg = <dw, vhat>.",
            {"dg": "v squared"},
        ),
        Mistake(
            "dg is one number for all. Each vector has its own g: sum over all axes "
            "but axis 0, to shape (C,).",
            {"dg": "total"},
        ),
        Mistake(
            "dg is summed over axis 0, which counts the vectors. Sum over all other "
            "axes, to shape (C,).",
            {"dg": "axis 0"},
        ),
        Mistake(
            "dg is not summed. One g serves all weights of its vector: sum over all "
            "axes but axis 0.",
            {"dg": "not summed"},
        ),
        Mistake(
            f"g is missing from dv: {_FORMULA}.",
            {"factor": "1 / norm"},
        ),
        Mistake(
            "dv is not divided by ‖v‖. A longer v turns less for the same step: "
            f"{_FORMULA}.",
            {"factor": "g"},
        ),
        Mistake(
            f"The factor g/‖v‖ is missing from dv: {_FORMULA}.",
            {"factor": "one"},
        ),
        Mistake(f"dv is divided by ‖v‖²: {_FORMULA}.", {"factor": "g / norm^2"}),
        Mistake(
            f"dv is multiplied by ‖v‖; divide by it: {_FORMULA}.", {"factor": "g norm"}
        ),
        Mistake(
            "The projection has the wrong sign: the part of dw along v is taken away, "
            f"not doubled. {_FORMULA}.",
            {"projection": "plus"},
        ),
        Mistake(
            "dv is the part of dw along v. It is the other part that is left, at "
            f"right angles to v: {_FORMULA}.",
            {"projection": "only"},
        ),
        *(
            Mistake(
                f"The projection uses {what}. Only a vector of length 1 projects: "
                f"subtract vhat·<dw, vhat>, with vhat = v/‖v‖. {_FORMULA}.",
                {"projection": kind},
            )
            for kind, what in (
                ("v", "v itself for one of the two vhat"),
                ("vhat, v", "v itself for one of the two vhat"),
                ("v, v", "v itself"),
                ("w", "w for one of the two vhat"),
                ("w, w", "w, which has length |g|"),
            )
        ),
        Mistake(
            "The projection subtracts <dw, vhat> without the direction vhat. Each "
            f"entry loses its own share: vhat·<dw, vhat>. {_FORMULA}.",
            {"projection": "no vhat"},
        ),
        Mistake(
            "g is missing from the second term of dv. It stands in front of both: "
            f"{_FORMULA}.",
            {"projection": "no g"},
        ),
        Mistake(
            "The projection has a mean of dw·vhat. vhat has length 1, not mean square "
            f"1, so it is the sum: {_FORMULA}.",
            {"projection": "mean"},
        ),
        *(
            Mistake(
                "The mean of dw is subtracted. That belongs to weight standardisation, "
                f"which centres; weight norm does not: {_FORMULA}.",
                {"projection": kind},
            )
            for kind in ("centred too", "centred")
        ),
        *_EPS,
    ),
)
