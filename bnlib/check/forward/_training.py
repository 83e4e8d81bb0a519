"""Exercise 1: training, for (N, D)."""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check._inputs import draw_batch
from bnlib.check.forward._shared import (
    CANCELLATION,
    CONSTANT,
    EPS,
    SINGLE,
    VARIANCE_MISTAKES,
    finish_mistakes,
    normalise,
    variance_of,
    widen,
)


def train_formula(
    x,
    gamma,
    beta,
    eps=None,
    *,
    statistics="columns",
    variance="biased",
    normalised_by="var",
    returned="var",
    returned_mean="mean",
    order=(0, 1, 2),
    **finish,
):
    x, gamma, beta = widen(x, gamma, beta)
    axis = {"rows": 1, "rows, axes dropped": 1, "all": (0, 1)}.get(statistics, 0)
    keep = statistics != "rows, axes dropped"
    mean = x.mean(axis=axis, keepdims=keep)
    if statistics == "columns, / D":
        mean = x.sum(axis=0, keepdims=True) / x.shape[1]
    elif statistics == "columns, sum":
        mean = x.sum(axis=0, keepdims=True)
    elif statistics == "pooled mean":
        mean = x.mean(keepdims=True)
    if statistics == "columns, / D":
        var = ((x - mean) ** 2).sum(axis=0, keepdims=True) / x.shape[1]
    elif keep:
        var = variance_of(x, mean, axis, kind=variance)
    else:
        var = ((x - mean) ** 2).mean(axis=1)
    used = var
    if normalised_by == "unbiased":
        used = var * len(x) / np.float64(len(x) - 1)
    y = normalise(x, mean, used, gamma, beta, eps, **finish)
    shown_eps = EPS if eps is None else eps
    shown = {
        "var": lambda: var,
        "std": lambda: np.sqrt(var),
        "sqrt(var + eps)": lambda: np.sqrt(var + shown_eps),
        "var + eps": lambda: var + shown_eps,
        "1 / sqrt(var + eps)": lambda: 1 / np.sqrt(var + shown_eps),
        "unbiased": lambda: var * len(x) / np.float64(len(x) - 1),
    }[returned]()
    if returned_mean == "centred":
        mean = np.zeros_like(mean)
    if axis == 0:
        mean, shown = mean[0], shown[0]
    return tuple((y, mean, shown)[i] for i in order)


def _train_cases(rng):
    cases = []
    for n, d, dtype, mean, std, tolerance, hint in (
        (7, 5, np.float64, 0.0, 1.0, SINGLE, ""),
        (6, 4, np.float64, 3.0, 1e-3, 1e-3, "The variances here are as small as eps."),
        (5, 5, np.float64, -2.0, 4.0, SINGLE, "Here N = D."),
        (9, 3, np.float32, 1.0, 1.0, SINGLE, ""),
        # In float32 the mean's own rounding costs up to 5e-4 of a standard deviation.
        (64, 3, np.float32, 1e3, 1.0, 2e-3, CANCELLATION),
        (10, 4, np.float64, 1e8, 1.0, SINGLE, CANCELLATION),
    ):
        what = f"x of shape ({n}, {d}), {np.dtype(dtype).name}, mean about {mean:g}"
        arguments = draw_batch(rng, (n, d), dtype=dtype, mean=mean, std=std)
        cases.append(Case(what, arguments, {}, tolerance, hint))
    x, gamma, beta = draw_batch(rng, (8, 3))
    cases.append(Case("eps = 0.1", (x, gamma, beta), {"eps": 0.1}, SINGLE))
    x[:, 1] = 2.0
    cases.append(
        Case("a feature that is constant", (x, gamma, beta), {}, SINGLE, CONSTANT)
    )
    hint = (
        "With one sample mean = x and var = 0, so that y = beta; no special case is "
        "needed."
    )
    alone = draw_batch(rng, (1, 4))
    return [*cases, Case("a batch of one", alone, {}, SINGLE, hint)]


CENTRED_MEAN = Mistake(
    "The mean that you return is taken after x was centred: it is 0. Take the mean "
    "first and keep it, then subtract it.",
    {"returned_mean": "centred"},
)
RETURNED_MISTAKES = (
    CENTRED_MEAN,
    *(
        Mistake(
            f"You return {what} as var. Return the variance itself: the running "
            "statistics need it.",
            {"returned": knob},
        )
        for what, knob in (
            ("the standard deviation", "std"),
            ("sqrt(var + eps)", "sqrt(var + eps)"),
            ("var + eps", "var + eps"),
            ("1 / sqrt(var + eps)", "1 / sqrt(var + eps)"),
        )
    ),
    Mistake(
        "The order of the results is y, mean, var; you return the variance before the "
        "mean.",
        {"order": (0, 2, 1)},
    ),
    Mistake(
        "The order of the results is y, mean, var; you return mean, var, y.",
        {"order": (1, 2, 0)},
    ),
)

train = Exercise(
    name="batch_norm_train",
    outputs=("y", "mean", "var"),
    examine=("mean", "var", "y"),
    formula=train_formula,
    cases=_train_cases,
    section="forward-training",
    mistakes=(
        *VARIANCE_MISTAKES,
        # As above, but with another variance to return, which is right.
        Mistake(VARIANCE_MISTAKES[0].message, {"normalised_by": "unbiased"}),
        Mistake(
            "You normalise each sample over its features: that is layer norm. Batch "
            "norm takes the statistics of each feature over the batch: axis=0.",
            {"statistics": "rows"},
        ),
        Mistake(
            "You take the mean over axis 1, the features. Batch norm takes the "
            "statistics of each feature over the batch: axis=0.",
            {"statistics": "rows, axes dropped"},
        ),
        Mistake(
            "One mean and one variance for the whole array. Each feature has its own: "
            "take them over the batch with axis=0.",
            {"statistics": "all"},
        ),
        Mistake(
            "The mean is one number for the whole array. Each feature has its own: "
            "x.mean(axis=0).",
            {"statistics": "pooled mean"},
        ),
        Mistake(
            "You divide the sums by the number of features. There are N values behind "
            "each mean, and N is x.shape[0].",
            {"statistics": "columns, / D"},
        ),
        Mistake(
            "Your mean is a sum: divide it by N, or use `.mean` instead of `.sum`.",
            {"statistics": "columns, sum"},
        ),
        *finish_mistakes(),
        *RETURNED_MISTAKES,
        Mistake(
            "You return the unbiased variance. It is true that the running variance "
            "stores it, but that correction belongs to the next exercise; here return "
            "the biased variance, by which you normalise.",
            {"returned": "unbiased"},
        ),
    ),
)
