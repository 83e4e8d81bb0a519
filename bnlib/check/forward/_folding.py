"""Exercise 7: folding into the layer before."""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check._inputs import draw_batch
from bnlib.check.forward._shared import EPS, SINGLE, widen


def _fold(
    w,
    b,
    gamma,
    beta,
    running_mean,
    running_var,
    eps=None,
    *,
    scale="gamma / sqrt(v + eps)",
    weights="scaled",
    bias="s (b - rm) + beta",
    default_eps=EPS,
    fixed_eps=None,
):
    no_bias = b is None
    b = np.zeros(len(w)) if no_bias else b
    w, b, gamma, beta, rm, rv = widen(w, b, gamma, beta, running_mean, running_var)
    if fixed_eps is not None:
        eps = fixed_eps
    elif eps is None:
        eps = default_eps
    std = np.sqrt(rv + eps)
    s = {
        "gamma / sqrt(v + eps)": lambda: gamma / std,
        "gamma / sqrt(v)": lambda: gamma / np.sqrt(rv),
        "gamma / (sqrt(v) + eps)": lambda: gamma / (np.sqrt(rv) + eps),
        "gamma / (v + eps)": lambda: gamma / (rv + eps),
        "gamma / v": lambda: gamma / rv,
        "1 / sqrt(v + eps)": lambda: 1 / std,
        "gamma": lambda: gamma,
        "gamma sqrt(v + eps)": lambda: gamma * std,
    }[scale]()
    w2 = {
        "scaled": lambda: w * s.reshape(-1, *(1 for _ in w.shape[1:])),
        "unscaled": lambda: w,
        "last axis": lambda: w * s,
        "s[:, None]": lambda: w * s[:, None],
        "s[:, None, None, None]": lambda: w * s[:, None, None, None],
        "axis 1": lambda: w * s.reshape(-1, *(1 for _ in w.shape[2:])),
        "without gamma": lambda: w * (1 / std).reshape(-1, *(1 for _ in w.shape[1:])),
        "divided": lambda: w / s.reshape(-1, *(1 for _ in w.shape[1:])),
    }[weights]()
    b2 = {
        "s (b - rm) + beta": lambda: s * (b - rm) + beta,
        "b unscaled": lambda: b + beta - s * rm,
        "no b": lambda: beta - s * rm,
        "no rm": lambda: s * b + beta,
        "+ rm": lambda: s * (b + rm) + beta,
        "rm unscaled": lambda: s * b - rm + beta,
        "no beta": lambda: s * (b - rm),
        "beta scaled": lambda: s * (b - rm + beta),
        "- beta": lambda: s * (b - rm) - beta,
        "without gamma": lambda: (b - rm) / std + beta,
        "unchanged": lambda: b,
        "zeros without b": lambda: b if no_bias else s * (b - rm) + beta,
        "beta without b": lambda: beta if no_bias else s * (b - rm) + beta,
    }[bias]()
    return w2, b2


def _fold_cases(rng):
    square = "Here the layer has as many inputs as outputs."
    conv = (
        "A convolution's weights have four axes, the output channels first: give the "
        "scale the shape (out, 1, 1, 1)."
    )
    none = "b = None counts as zero: batch norm still leaves a bias behind."
    cases = []
    for shape, has_bias, dtype, std, options, hint in (
        ((5, 3), True, np.float64, 1.0, {}, ""),
        ((4, 4), True, np.float64, 1.0, {}, square),
        ((6, 2), True, np.float32, 1.0, {}, ""),
        ((4, 3), True, np.float64, 1e-3, {}, "The variances here are as small as eps."),
        ((5, 2), True, np.float64, 1.0, {"eps": 0.1}, "Here eps = 0.1."),
        ((4, 3, 2, 5), True, np.float64, 1.0, {}, conv),
        ((3, 2, 3, 3), True, np.float64, 1.0, {}, conv),
        ((5, 4), False, np.float64, 1.0, {}, none),
        ((4, 2, 3, 5), False, np.float64, 1.0, {}, none),
    ):
        kind = "linear" if len(shape) == 2 else "convolution"
        what = f"a {kind} layer, w of shape {shape}, {np.dtype(dtype).name}"
        what += "".join(f", {name} = {value}" for name, value in options.items())
        what += "" if has_bias else ", b = None"
        out = shape[0]
        w = rng.normal(size=shape)
        b = rng.normal(size=out)
        gamma, beta = draw_batch(rng, (2, out))[1:]
        rm = rng.normal(size=out)
        rv = std**2 * rng.uniform(0.5, 3.0, size=out)
        arrays = [a.astype(dtype) for a in (w, b, gamma, beta, rm, rv)]
        if not has_bias:
            arrays[1] = None
        cases.append(Case(what, tuple(arrays), options, SINGLE, hint))
    return cases


_B2 = "b2 = s * (b - running_mean) + beta"

fold = Exercise(
    name="fold_batch_norm",
    outputs=("w2", "b2"),
    formula=_fold,
    cases=_fold_cases,
    section="forward-folding",
    mistakes=(
        Mistake(
            "eps is missing in the scale, or so small that it does nothing. The scale "
            "is gamma / sqrt(running_var + eps), with the same eps as the batch norm; "
            "without it the outputs are slightly, and always, wrong.",
            {"scale": "gamma / sqrt(v)"},
        ),
        Mistake(
            "eps stands outside the square root. The scale is "
            "gamma / sqrt(running_var + eps).",
            {"scale": "gamma / (sqrt(v) + eps)"},
        ),
        Mistake(
            "The square root is missing: the scale is gamma / sqrt(running_var + eps).",
            {"scale": "gamma / (v + eps)"},
        ),
        Mistake(
            "You divide by running_var. The scale is gamma / sqrt(running_var + eps).",
            {"scale": "gamma / v"},
        ),
        Mistake(
            "gamma is missing: the scale is gamma / sqrt(running_var + eps).",
            {"scale": "1 / sqrt(v + eps)"},
        ),
        Mistake(
            "The scale is gamma alone. Divide it by sqrt(running_var + eps).",
            {"scale": "gamma"},
        ),
        Mistake(
            "You multiply by sqrt(running_var + eps); divide by it.",
            {"scale": "gamma sqrt(v + eps)"},
        ),
        *(
            Mistake(
                f"eps is {value} whatever the caller passes. Use the argument eps.",
                {"fixed_eps": float(value)},
            )
            for value in ("1e-5", "1e-3", "1e-8")
        ),
        *(
            Mistake(
                f"The default of eps is {value} in your function; here it is 1e-5.",
                {"default_eps": float(value)},
            )
            for value in ("1e-3", "1e-12", "1e-8")
        ),
        Mistake(
            "The weights are not scaled; only the bias is. "
            "Multiply row j of w, all that leads to output j, by s[j].",
            {"weights": "unscaled"},
        ),
        *(
            Mistake(
                "The scale runs along the wrong axis of w. Output channels come first, "
                "and each has its own scale: give s the shape (out, 1) or "
                "(out, 1, 1, 1), with as many ones as w has further axes.",
                {"weights": knob},
            )
            for knob in ("last axis", "s[:, None]", "s[:, None, None, None]", "axis 1")
        ),
        Mistake(
            "gamma is missing in the weights: w2 = s * w with "
            "s = gamma / sqrt(running_var + eps).",
            {"weights": "without gamma"},
        ),
        Mistake(
            "The weights are divided by the scale; multiply them by it.",
            {"weights": "divided"},
        ),
        Mistake(
            "The layer's own bias is lost: you compute beta - s * running_mean. The "
            f"bias passes through the batch norm too: {_B2}.",
            {"bias": "no b"},
        ),
        Mistake(
            "The layer's bias is added unscaled. It passes through the batch norm like "
            f"the rest: {_B2}.",
            {"bias": "b unscaled"},
        ),
        Mistake(f"running_mean is missing in the bias: {_B2}.", {"bias": "no rm"}),
        Mistake(
            f"running_mean is added; it is subtracted: {_B2}.",
            {"bias": "+ rm"},
        ),
        Mistake(
            f"running_mean is not scaled: {_B2}.",
            {"bias": "rm unscaled"},
        ),
        Mistake(f"beta is missing in the bias: {_B2}.", {"bias": "no beta"}),
        Mistake(
            f"beta is scaled as well. It comes after the scale: {_B2}.",
            {"bias": "beta scaled"},
        ),
        Mistake(f"beta is subtracted; it is added: {_B2}.", {"bias": "- beta"}),
        Mistake(
            f"gamma is missing in the bias: {_B2} with "
            "s = gamma / sqrt(running_var + eps).",
            {"bias": "without gamma"},
        ),
        Mistake(
            f"The bias is unchanged. Batch norm moves it: {_B2}.",
            {"bias": "unchanged"},
        ),
        *(
            Mistake(
                "Without a bias (b is None) the folded layer still needs one: "
                "b2 = beta - s * running_mean, as if b were zero.",
                {"bias": knob},
            )
            for knob in ("zeros without b", "beta without b")
        ),
    ),
    changed=(
        "The unfolded layer may still be in use. Write `w * s`, which makes a new "
        "array, not `w *= s`."
    ),
)
