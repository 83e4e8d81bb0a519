"""Exercise 3: inference."""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check._inputs import draw_batch
from bnlib.check.forward._shared import SINGLE, finish_mistakes, normalise, widen


def evaluate_formula(
    x,
    gamma,
    beta,
    running_mean,
    running_var,
    eps=None,
    *,
    uses="running statistics",
    **finish,
):
    x, gamma, beta, mean, var = widen(x, gamma, beta, running_mean, running_var)
    if uses in ("batch", "batch mean"):
        mean = x.mean(axis=0)
    if uses in ("batch", "batch var"):
        var = x.var(axis=0)
    if uses == "rows":
        mean, var = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    if uses == "swapped":
        mean, var = var, mean
    if uses == "corrected again":
        var = var * len(x) / np.float64(len(x) - 1)
    return (normalise(x, mean, var, gamma, beta, eps, **finish),)


def _eval_cases(rng):
    cases = []
    for n, d, dtype, std, options, hint in (
        (7, 5, np.float64, 1.0, {}, ""),
        (6, 4, np.float64, 1e-3, {}, "The variances here are as small as eps."),
        (4, 4, np.float64, 3.0, {}, "Here N = D."),
        (9, 3, np.float32, 1.0, {}, ""),
        (8, 3, np.float64, 1.0, {"eps": 0.1}, "Here eps = 0.1."),
        (
            1,
            4,
            np.float64,
            1.0,
            {},
            "One sample is enough: the statistics come from training, not from x.",
        ),
    ):
        what = f"x of shape ({n}, {d}), {np.dtype(dtype).name}"
        if options:
            what += f", eps = {options['eps']}"
        x, gamma, beta = draw_batch(rng, (n, d), dtype=dtype, std=std)
        rm = (x.mean(axis=0) + std * rng.normal(size=d)).astype(dtype)
        rv = (std**2 * rng.uniform(0.5, 3.0, size=d)).astype(dtype)
        tolerance = 1e-3 if std == 1e-3 else SINGLE
        cases.append(Case(what, (x, gamma, beta, rm, rv), options, tolerance, hint))
    x, gamma, beta = draw_batch(rng, (5, 3))
    rm, rv = rng.normal(size=3), rng.uniform(0.5, 3.0, size=3)
    rm[1], rv[1], x[2, 1] = 0.5, 0.0, 0.5
    what = "a running variance that is 0"
    hint = "Where running_var is 0, eps alone stands in the square root."
    return [*cases, Case(what, (x, gamma, beta, rm, rv), {}, SINGLE, hint)]


USES_MISTAKES = (
    Mistake(
        "You normalise by the statistics of this batch. In evaluation each sample must "
        "be treated on its own, so that its result does not depend on who else is in "
        "the batch: use running_mean and running_var.",
        {"uses": "batch"},
    ),
    Mistake(
        "You subtract running_mean but divide by this batch's standard deviation. In "
        "evaluation both come from training: use running_var as well.",
        {"uses": "batch var"},
    ),
    Mistake(
        "You subtract this batch's mean. In evaluation both statistics come from "
        "training: use running_mean as well as running_var.",
        {"uses": "batch mean"},
    ),
)

evaluate = Exercise(
    name="batch_norm_eval",
    outputs=("y",),
    formula=evaluate_formula,
    cases=_eval_cases,
    section="forward-inference",
    mistakes=(
        *USES_MISTAKES,
        Mistake(
            "You normalise each sample over its features: that is layer norm, which "
            "needs no running statistics. Batch norm uses those of each feature.",
            {"uses": "rows"},
        ),
        Mistake(
            "running_mean and running_var are swapped: subtract running_mean, divide "
            "by sqrt(running_var + eps).",
            {"uses": "swapped"},
        ),
        Mistake(
            "You multiply running_var by N / (N − 1). It holds the unbiased variance "
            "already, from training, and the size of this batch says nothing about it.",
            {"uses": "corrected again"},
        ),
        *finish_mistakes("running_mean", "running_var"),
    ),
    changed=(
        "The caller still needs that array. Write `x = x - running_mean`, which makes "
        "a new one, not `x -= running_mean`."
    ),
)
