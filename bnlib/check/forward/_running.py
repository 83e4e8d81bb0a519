"""Exercise 2: running statistics."""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.forward._shared import SINGLE, widen


def update_formula(
    running_mean,
    running_var,
    mean,
    var,
    count,
    momentum=None,
    *,
    weights="new",
    stored="unbiased",
    moved="both",
    crossed=False,
    swapped=False,
    default_momentum=0.1,
    fixed_momentum=None,
    step=1,
):
    rm, rv, mean, var = widen(running_mean, running_var, mean, var)
    if fixed_momentum is not None:
        m = fixed_momentum
    else:
        m = default_momentum if momentum is None else momentum
    factor = np.float64(count) / (count - 1)
    old_factor = 1.0
    if stored == "everything unbiased":
        old_factor = factor
    if stored == "mean too":
        mean = mean * factor
    new = {
        "biased": lambda: var,
        "inverse": lambda: var / factor,
        "features": lambda: var * len(var) / (len(var) - 1),
        "std": lambda: np.sqrt(var * factor),
        "biased std": lambda: np.sqrt(var),
        "plus one": lambda: var * (count + 1) / count,
        "only / (M - 1)": lambda: var / (count - 1),
        "integer": lambda: var * np.floor(factor),
        "squared": lambda: (var * factor) ** 2,
    }.get(stored, lambda: var * factor)()

    def blend(old, new):
        return {
            "new": lambda: (1 - m) * old + m * new,
            "old": lambda: m * old + (1 - m) * new,
            "no decay": lambda: old + m * new,
            "decay only": lambda: (1 - m) * old + new,
            "last": lambda: new,
            "half": lambda: (old + new) / 2,
            "sum": lambda: old + new,
            "wrong sign": lambda: old + m * (old - new),
            "m, m": lambda: m * old + m * new,
            "1 - m, 1 - m": lambda: (1 - m) * old + (1 - m) * new,
            "twice": lambda: (1 - m) * ((1 - m) * old + m * new) + m * new,
            "cumulative": lambda: old * (step - 1) / step + new / step,
            "corrected": lambda: ((1 - m) * old + m * new) / (1 - (1 - m) ** step),
        }[weights]()

    if crossed:
        mean, new = new, mean
    out = (
        blend(rm, mean) if moved in ("both", "mean") else rm,
        old_factor * blend(rv, new / old_factor) if moved in ("both", "var") else rv,
    )
    return out[::-1] if swapped else out


def _update_cases(rng):
    cases = []
    for d, count, dtype, options in (
        (5, 7, np.float64, {}),
        (4, 2, np.float64, {}),
        (3, 12, np.float32, {}),
        (4, 6, np.float64, {"momentum": 0.3}),
        (3, 9, np.float64, {"momentum": 0.9}),
        (6, 320, np.float64, {"momentum": 0.01}),
        (3, 5, np.float64, {"momentum": 0.0}),
        (3, 5, np.float64, {"momentum": 1.0}),
    ):
        momentum = options.get("momentum", "its default")
        what = f"{d} features, count = {count}, momentum = {momentum}"
        means = (rng.normal(size=d) + 1 for _ in range(2))
        variances = (rng.uniform(0.5, 3.0, size=d) for _ in range(2))
        (rm, mean), (rv, var) = means, variances
        arguments = (*(a.astype(dtype) for a in (rm, rv, mean, var)), count)
        cases.append(Case(what, arguments, options, SINGLE * 1e-1))
    return cases


UPDATE_MISTAKES = (
    Mistake(
        "The momentum is the other way round: you compute "
        "`momentum * old + (1 - momentum) * new`, as Keras does. Here, as in PyTorch, "
        "momentum weighs the new value: `(1 - momentum) * old + momentum * new`.",
        {"weights": "old"},
    ),
    Mistake(
        "The running variance takes in the biased variance. It estimates the variance "
        "of the whole population, so the unbiased one is stored: "
        "`var * count / (count - 1)`.",
        {"stored": "biased"},
    ),
    Mistake(
        "The correction is upside down: you multiply by `(count - 1) / count`. The "
        "unbiased variance is the larger one, `var * count / (count - 1)`.",
        {"stored": "inverse"},
    ),
    Mistake(
        "You correct the variance with the number of features. It is an estimate from "
        "`count` values: multiply by `count / (count - 1)`.",
        {"stored": "features"},
    ),
    Mistake(
        "`count // (count - 1)` is an integer division, which gives 1 and corrects "
        "nothing. Use `count / (count - 1)`.",
        {"stored": "integer"},
    ),
    Mistake(
        "You divide var by count - 1 but do not multiply by count. var is a mean "
        "already: `var * count / (count - 1)`.",
        {"stored": "only / (M - 1)"},
    ),
    Mistake(
        "You multiply by `(count + 1) / count`. The unbiased variance is "
        "`var * count / (count - 1)`.",
        {"stored": "plus one"},
    ),
    Mistake(
        "The factor count / (count - 1) multiplies the old running variance as well, "
        "which has been corrected already: apply it to the batch's var only.",
        {"stored": "everything unbiased"},
    ),
    Mistake(
        "The factor count / (count - 1) multiplies the mean as well. A mean needs no "
        "correction; only the variance does.",
        {"stored": "mean too"},
    ),
    *(
        Mistake(
            "You store a standard deviation. running_var is a variance: no square "
            "root here.",
            {"stored": knob},
        )
        for knob in ("std", "biased std")
    ),
    Mistake(
        "The old value does not decay: you compute `old + momentum * new`, which grows "
        "without end. Multiply the old value by (1 - momentum).",
        {"weights": "no decay"},
    ),
    Mistake(
        "The new value is not weighed: `(1 - momentum) * old + new`. The two weights "
        "must add up to 1: multiply the new value by momentum.",
        {"weights": "decay only"},
    ),
    Mistake(
        "Only the last batch is kept. A running statistic remembers: "
        "`(1 - momentum) * old + momentum * new`.",
        {"weights": "last"},
    ),
    Mistake(
        "Old and new count equally, whatever the momentum. The weights are "
        "1 - momentum and momentum.",
        {"weights": "half"},
    ),
    Mistake(
        "You add the new value to the old one: a running sum. A running mean is "
        "`(1 - momentum) * old + momentum * new`.",
        {"weights": "sum"},
    ),
    Mistake(
        "You step away from the new value: `old + momentum * (old - new)`. Move "
        "towards it: `old + momentum * (new - old)`.",
        {"weights": "wrong sign"},
    ),
    *(
        Mistake(
            f"Old and new have the same weight, {w}. The weights are 1 - momentum for "
            "the old value and momentum for the new one, and add up to 1.",
            {"weights": f"{w}, {w}".replace("momentum", "m")},
        )
        for w in ("momentum", "1 - momentum")
    ),
    Mistake(
        "The running statistics are updated twice. Once per batch.",
        {"weights": "twice"},
    ),
    Mistake(
        "Each batch counts equally: this is the cumulative mean over all batches. "
        "Weigh the new value by momentum and the old one by 1 - momentum, so that old "
        "batches, from when the weights were different, fade.",
        {"weights": "cumulative"},
    ),
    Mistake(
        "You divide by 1 - (1 - momentum)^t, Adam's bias correction. Batch norm does "
        "without: its running statistics start at 0 and 1 and are left to warm up.",
        {"weights": "corrected"},
    ),
    Mistake(
        "The running statistics do not move: the old values come back. Compute "
        "`(1 - momentum) * old + momentum * new`, and keep it.",
        {"moved": "none"},
    ),
    Mistake(
        "running_var is not updated; only running_mean is. Both are.",
        {"moved": "mean"},
    ),
    Mistake(
        "running_mean is not updated; only running_var is. Both are.",
        {"moved": "var"},
    ),
    Mistake(
        "mean and var are swapped: running_mean takes in the variance and running_var "
        "the mean.",
        {"crossed": True},
    ),
)

running = Exercise(
    name="update_running",
    outputs=("running_mean", "running_var"),
    formula=update_formula,
    cases=_update_cases,
    section="forward-running",
    mistakes=(
        *UPDATE_MISTAKES,
        Mistake(
            "The order of the results is running_mean, running_var; yours is the other "
            "way round.",
            {"swapped": True},
        ),
        Mistake(
            "The momentum is 0.1 whatever the caller passes. Use the argument.",
            {"fixed_momentum": 0.1},
        ),
        *(
            Mistake(
                f"The default of momentum is {value} in your function. Here it is 0.1: "
                "it is the weight of the new value.",
                {"default_momentum": value},
            )
            for value in (0.9, 0.01, 0.99)
        ),
    ),
    changed=(
        "Return new arrays, so that the caller decides what happens to the old ones. "
        "`a = (1 - m) * a` makes a new array; `a *= 1 - m` and `a[:] = ...` write "
        "into the old one."
    ),
)
