"""PS1: the forward pass.

Each exercise's formula is the truth, in float64; its keyword-only arguments are the
knobs that make it wrong. Where a mistake makes learners' arrays broadcast wrongly or
raise, the formula is written as they write it, so that it does the same.
"""

import weakref
from dataclasses import replace

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check._inputs import draw_batch

EPS = 1e-5
SINGLE = 1e-5  # tolerance where float32 will do
CANCELLATION = (
    "The mean is large compared with the spread here. Do you compute E[x²] − E[x]²? It "
    "subtracts two large, nearly equal numbers, whose rounding is as large as the "
    "difference. Subtract the mean first, then square."
)


CONSTANT = (
    "One feature is constant here: x − mean and the variance are 0, and y is beta."
)
NEGATIVE = "A negative axis counts from the end: axis % x.ndim makes it positive."
_COLUMNS = {"affine": "gamma + beta in columns"}


def _wide(*arrays):
    return (a.astype(np.float64) for a in arrays)


def _finish(
    x,
    mean,
    var,
    gamma,
    beta,
    eps,
    *,
    centred="x - mean",
    scale="sqrt(v + eps)",
    affine="gamma xhat + beta",
    default_eps=EPS,
    fixed_eps=None,
):
    """Normalise, scale and shift: what training and evaluation have in common."""
    if fixed_eps is not None:
        eps = fixed_eps
    elif eps is None:
        eps = default_eps
    top = {
        "x - mean": lambda: x - mean,
        "x": lambda: x,
        "x + mean": lambda: x + mean,
        "mean - x": lambda: mean - x,
    }[centred]()
    bottom = {
        "sqrt(v + eps)": lambda: np.sqrt(var + eps),
        "sqrt(v) + eps": lambda: np.sqrt(var) + eps,
        "sqrt(v)": lambda: np.sqrt(var),
        "sqrt(max(v, eps))": lambda: np.sqrt(np.maximum(var, eps)),
        "sqrt(v + eps^2)": lambda: np.sqrt(var + eps**2),
        "sqrt(v + eps) + eps": lambda: np.sqrt(var + eps) + eps,
        "v + eps": lambda: var + eps,
        "v": lambda: var,
        "1 / sqrt(v + eps)": lambda: 1 / np.sqrt(var + eps),
        "1": lambda: np.ones_like(var),
    }[scale]()
    xhat = top / bottom
    return {
        "gamma xhat + beta": lambda: gamma * xhat + beta,
        "gamma (xhat + beta)": lambda: gamma * (xhat + beta),
        "beta xhat + gamma": lambda: beta * xhat + gamma,
        "gamma xhat - beta": lambda: gamma * xhat - beta,
        "xhat + beta": lambda: xhat + beta,
        "gamma xhat": lambda: gamma * xhat,
        "xhat": lambda: xhat,
        "gamma + beta in columns": lambda: (
            gamma.reshape(-1, 1) * xhat + beta.reshape(-1, 1)
        ),
    }[affine]()


def _finish_mistakes(mean="mean", var="var"):
    """Return the mistakes of `_finish`, the statistics called by these names."""
    return (
        Mistake(
            f"eps stands outside the square root: you divide by sqrt({var}) + eps. "
            f"The formula is sqrt({var} + eps); for a small variance they differ a "
            "lot.",
            {"scale": "sqrt(v) + eps"},
        ),
        Mistake(
            f"eps is missing: you divide by sqrt({var}). A constant feature, whose "
            f"variance is 0, then gives 0/0. Divide by sqrt({var} + eps).",
            {"scale": "sqrt(v)"},
        ),
        Mistake(
            f"You divide by {var} + eps, without the square root. The variance has "
            "the unit of x squared; divide by the standard deviation, "
            f"sqrt({var} + eps).",
            {"scale": "v + eps"},
        ),
        Mistake(
            f"You divide by {var} itself. Divide by the standard deviation, "
            f"sqrt({var} + eps).",
            {"scale": "v"},
        ),
        Mistake(
            f"You multiply by sqrt({var} + eps); divide by it, so that the result has "
            "standard deviation 1.",
            {"scale": "1 / sqrt(v + eps)"},
        ),
        Mistake(
            f"You take the larger of {var} and eps. It avoids the division by zero, "
            f"but the formula adds the two: sqrt({var} + eps).",
            {"scale": "sqrt(max(v, eps))"},
        ),
        Mistake(
            "eps is squared on its way into the square root. It is added to the "
            f"variance as it is: sqrt({var} + eps).",
            {"scale": "sqrt(v + eps^2)"},
        ),
        Mistake(
            f"eps is added twice, inside the square root and outside. Once is right: "
            f"sqrt({var} + eps).",
            {"scale": "sqrt(v + eps) + eps"},
        ),
        Mistake(
            "You subtract the mean but do not divide by the standard deviation, "
            f"sqrt({var} + eps).",
            {"scale": "1"},
        ),
        Mistake(
            f"You do not subtract {mean}: x itself is divided by the standard "
            "deviation. Centre it first.",
            {"centred": "x"},
        ),
        Mistake(
            f"You add {mean} where it has to be subtracted.", {"centred": "x + mean"}
        ),
        Mistake(
            f"You compute {mean} − x. It is x − {mean}: the order decides the sign of "
            "y.",
            {"centred": "mean - x"},
        ),
        Mistake(
            "Neither gamma nor beta is applied: you return xhat. The last step is "
            "y = gamma * xhat + beta.",
            {"affine": "xhat"},
        ),
        Mistake(
            "gamma is missing: you return xhat + beta instead of gamma * xhat + beta.",
            {"affine": "xhat + beta"},
        ),
        Mistake(
            "beta is missing: you return gamma * xhat instead of gamma * xhat + beta.",
            {"affine": "gamma xhat"},
        ),
        Mistake(
            "beta is multiplied by gamma as well: you compute gamma * (xhat + beta). "
            "Scale first, then shift: gamma * xhat + beta.",
            {"affine": "gamma (xhat + beta)"},
        ),
        Mistake(
            "gamma and beta are swapped: gamma is the scale, beta the shift, "
            "gamma * xhat + beta.",
            {"affine": "beta xhat + gamma"},
        ),
        Mistake(
            "beta is subtracted; it is added: gamma * xhat + beta.",
            {"affine": "gamma xhat - beta"},
        ),
        Mistake(
            "gamma and beta vary along the rows: a column vector such as "
            "gamma[:, None] pairs them with the samples (for N = D without any error). "
            "There is one per feature, so gamma * xhat broadcasts as it stands.",
            _COLUMNS,
        ),
        *(
            Mistake(
                f"eps is {value} whatever the caller passes. Use the argument eps.",
                {"fixed_eps": float(value)},
            )
            for value in ("1e-5", "1e-3", "1e-12", "1e-8", "1e-6")
        ),
        *(
            Mistake(
                f"The default of eps is {value} in your function. Here it is 1e-5, "
                "PyTorch's; each library has its own, and a model only gives the "
                "same results with the eps it was trained with.",
                {"default_eps": float(value)},
            )
            for value in ("1e-3", "1e-12", "1e-8", "1e-6")
        ),
    )


def _variance(x, mean, axes, *, kind="biased"):
    """Return the variance over axes (kept), or what learners take for it."""
    centred = x - mean
    total = (centred**2).sum(axis=axes, keepdims=True)
    n = centred.size // total.size
    return {
        "biased": lambda: total / n,
        "unbiased": lambda: total / np.float64(n - 1),
        "sum": lambda: total,
        "mean square": lambda: (x**2).mean(axis=axes, keepdims=True),
        "std": lambda: np.sqrt(total / n),
        "absolute": lambda: np.abs(centred).mean(axis=axes, keepdims=True),
        "absolute, squared": lambda: (
            np.abs(centred).mean(axis=axes, keepdims=True) ** 2
        ),
        "difference of means": lambda: (
            centred.mean(axis=axes, keepdims=True) ** 2  # forgot to square each entry
        ),
        "pooled": lambda: np.mean(centred**2, keepdims=True),
    }[kind]()


_ABSOLUTE = (
    "You use the mean absolute deviation, the mean of |x − mean|. The variance is the "
    "mean of the squares, (x − mean)²."
)
VARIANCE_MISTAKES = (
    Mistake(
        "The variance is the unbiased one: you divide by N − 1. A batch is normalised "
        "by its own, biased variance, divided by N, so that xhat has mean square 1. "
        "N − 1 belongs to the running variance only (and here makes NaN of a batch of "
        "one).",
        {"variance": "unbiased"},
    ),
    Mistake(
        "The variance is the mean of x², not of (x − mean)²: the square of the mean "
        "is still in it. Subtract the mean before you square.",
        {"variance": "mean square"},
    ),
    Mistake(
        "The variance is a sum of squares: divide it by the number of values, or use "
        "`.mean` instead of `.sum`.",
        {"variance": "sum"},
    ),
    Mistake(
        "You use the standard deviation where the variance belongs. `np.std` is "
        "already the square root; the variance is `np.var`.",
        {"variance": "std"},
    ),
    Mistake(_ABSOLUTE, {"variance": "absolute"}),
    Mistake(_ABSOLUTE, {"variance": "absolute, squared"}),
    Mistake(
        "You square after taking the mean. The mean of x − mean is 0; square each "
        "difference first, then take the mean.",
        {"variance": "difference of means"},
    ),
    Mistake(
        "The variance is one number for all features together. Each feature has its "
        "own: give the mean an axis.",
        {"variance": "pooled"},
    ),
)


# 1. Training


def _train(
    x,
    gamma,
    beta,
    eps=None,
    *,
    statistics="columns",
    variance="biased",
    returned="var",
    order=(0, 1, 2),
    **finish,
):
    x, gamma, beta = _wide(x, gamma, beta)
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
        var = _variance(x, mean, axis, kind=variance)
    else:
        var = ((x - mean) ** 2).mean(axis=1)
    y = _finish(x, mean, var, gamma, beta, eps, **finish)
    shown_eps = EPS if eps is None else eps
    shown = {
        "var": lambda: var,
        "std": lambda: np.sqrt(var),
        "sqrt(var + eps)": lambda: np.sqrt(var + shown_eps),
        "var + eps": lambda: var + shown_eps,
        "1 / sqrt(var + eps)": lambda: 1 / np.sqrt(var + shown_eps),
        "unbiased": lambda: var * len(x) / np.float64(len(x) - 1),
    }[returned]()
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


RETURNED_MISTAKES = (
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
    formula=_train,
    cases=_train_cases,
    section="forward-training",
    mistakes=(
        *VARIANCE_MISTAKES,
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
        *_finish_mistakes(),
        *RETURNED_MISTAKES,
        Mistake(
            "You return the unbiased variance. It is true that the running variance "
            "stores it, but that correction belongs to the next exercise; here return "
            "the biased variance, by which you normalise.",
            {"returned": "unbiased"},
        ),
    ),
)


# 2. Running statistics


def _update(
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
    rm, rv, mean, var = _wide(running_mean, running_var, mean, var)
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
    formula=_update,
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


# 3. Inference


def _eval(
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
    x, gamma, beta, mean, var = _wide(x, gamma, beta, running_mean, running_var)
    if uses in ("batch", "batch mean"):
        mean = x.mean(axis=0)
    if uses in ("batch", "batch var"):
        var = x.var(axis=0)
    if uses == "swapped":
        mean, var = var, mean
    if uses == "corrected again":
        var = var * len(x) / np.float64(len(x) - 1)
    return (_finish(x, mean, var, gamma, beta, eps, **finish),)


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
    formula=_eval,
    cases=_eval_cases,
    section="forward-inference",
    mistakes=(
        *USES_MISTAKES,
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
        *_finish_mistakes("running_mean", "running_var"),
    ),
    changed=(
        "The caller still needs that array. Write `x = x - running_mean`, which makes "
        "a new one, not `x -= running_mean`."
    ),
)


# 4. The layer


def _knobs(knobs, *formulas):
    """Return the knobs that these formulas know."""
    known = {name for formula in formulas for name in formula.__kwdefaults__}
    return {name: value for name, value in knobs.items() if name in known}


def _layer(
    train,
    test,
    more,
    gamma,
    beta,
    *,
    eps=None,
    momentum=None,
    start_mean=0.0,
    start_var=1.0,
    start_gamma=1.0,
    start_beta=0.0,
    starts_training=True,
    own_affine=False,
    updates="in training",
    training_uses="the batch",
    evaluation_uses="running statistics",
    in_training=None,
    in_evaluation=None,
    shared=False,
    **knobs,
):
    d = len(gamma)
    rm, rv = np.full(d, start_mean), np.full(d, start_var)
    new = [np.full(d, v) for v in (start_gamma, start_beta)]
    new += [rm, rv, np.array(float(starts_training))]
    if own_affine:
        gamma, beta = new[0], new[1]
    step = 0

    def call(x, training):
        nonlocal rm, rv, step
        trained = _knobs(knobs, _train, _finish) | (in_training or {})
        y, mean, var = _train(x, gamma, beta, eps, **trained)
        before = rm, rv
        if updates == "always" or training == (updates == "in training"):
            step += 1
            rm, rv = _update(
                rm,
                rv,
                mean,
                var,
                len(x),
                momentum,
                **{"step": step, **_knobs(knobs, _update)},
            )
        if training and training_uses == "the batch":
            return y
        mean, var = rm, rv
        if training and training_uses == "old running statistics":
            mean, var = before
        uses = "running statistics" if training else evaluation_uses
        if uses == "corrected":
            m = 0.1 if momentum is None else momentum
            mean, var = (a / (1 - (1 - m) ** step) for a in (mean, var))
            uses = "running statistics"
        options = {"uses": uses} | _knobs(knobs, _eval, _finish) | (in_evaluation or {})
        return _eval(x, gamma, beta, mean, var, eps, **options)[0]

    y_train = np.concatenate([call(x, starts_training) for x in train])
    after = rm, rv
    y_test = np.concatenate([call(x, training=False) for x in test])
    evaluated = rm, rv
    y_more = call(more, training=True)
    final = rm
    second = final if shared else new[2]
    return (*new, y_train, *after, y_test, *evaluated, y_more, final, second)


def _drive(layer_class, train, test, more, gamma, beta, **options):
    """Train, evaluate, and train again; return what is seen on the way."""

    def state(*names):
        return [np.array(getattr(layer, name)) for name in names]

    def call(x):
        y = layer(x)
        return np.array(y.detach() if hasattr(y, "detach") else y) if _numeric(y) else y

    def join(results):
        odd = [y for y in results if not isinstance(y, np.ndarray)]
        return odd[0] if odd else np.concatenate(results)

    layer = layer_class(len(gamma), **options)
    running = ("running_mean", "running_var")
    new = state("gamma", "beta", *running, "training")
    layer.gamma, layer.beta = gamma, beta
    y_train = join([call(x) for x in train])
    after = state(*running)
    layer.training = False
    y_test = join([call(x) for x in test])
    evaluated = state(*running)
    layer.training = True
    y_more = call(more)
    [final] = state("running_mean")
    second = np.array(layer_class(len(gamma), **options).running_mean)
    return (*new, y_train, *after, y_test, *evaluated, y_more, final, second)


def _numeric(y):
    return hasattr(y, "shape") and len(y.shape) > 0


def _layer_cases(rng):
    cases = []
    for d, sizes, std, what, options in (
        (5, (8, 6, 7), 2.0, "three batches", {}),
        (4, (4, 9, 4, 3), 2.0, "four batches, momentum = 0.3", {"momentum": 0.3}),
        (3, (5, 2, 6), 2.0, "three batches, eps = 0.1", {"eps": 0.1}),
        (6, (7, 6), 5e-3, "two batches, momentum = 1", {"momentum": 1.0}),
        (7, (8, 6), 2.0, "two batches, means about 1e8", {}),
    ):
        *train, more = (draw_batch(rng, (n, d), std=std)[0] for n in (*sizes, 6))
        alone = (1,) if options else ()
        test = [draw_batch(rng, (n, d), std=std)[0] for n in (d, *alone, 6)]
        _, gamma, beta = draw_batch(rng, (2, d))
        tolerance = SINGLE if std > 1 else 1e-3
        hint = ""
        if "1e8" in what:
            train, test = ([x + 1e8 for x in xs] for xs in (train, test))
            more, hint = more + 1e8, CANCELLATION
        arguments = (tuple(train), tuple(test), more, gamma, beta)
        cases.append(Case(what, arguments, options, tolerance, hint))
    return cases


def _in_one_mode(mode, mistakes):
    """Return mistakes made in one mode only."""
    return tuple(
        Mistake(
            f"{mode.replace('_', ' ').capitalize()}: {m.message}", {mode: m.knobs}, True
        )
        for m in mistakes
        if m.knobs != _COLUMNS
    )


layer = Exercise(
    name="BatchNorm",
    outputs=(
        "gamma of a new layer",
        "beta of a new layer",
        "running_mean of a new layer",
        "running_var of a new layer",
        "training of a new layer",
        "y in training",
        "running_mean after training",
        "running_var after training",
        "y in evaluation",
        "running_mean after evaluation",
        "running_var after evaluation",
        "y back in training",
        "running_mean back in training",
        "running_mean of a second layer",
    ),
    formula=_layer,
    cases=_layer_cases,
    run=_drive,
    section="forward-running",
    mistakes=(
        Mistake(
            "running_mean and running_var are updated in evaluation as well. They "
            "describe the training data: update them only while self.training is True, "
            "or test samples leak into one another.",
            {"updates": "always"},
        ),
        Mistake(
            "The running statistics are updated in evaluation instead of in training. "
            "It is the other way round.",
            {"updates": "in evaluation"},
        ),
        Mistake(
            "The running statistics never change. Perhaps the new values are computed "
            "but not stored: assign them to self.running_mean and self.running_var.",
            {"moved": "none"},
        ),
        Mistake(
            "In training you normalise by the running statistics. In training the "
            "batch's own mean and variance are used; the running ones are only kept "
            "up to date, for evaluation.",
            {"training_uses": "new running statistics"},
        ),
        Mistake(
            "In training you normalise by the running statistics. In training the "
            "batch's own mean and variance are used; the running ones are only kept "
            "up to date, for evaluation.",
            {"training_uses": "old running statistics"},
        ),
        *(
            Mistake(m.message, {"evaluation_uses": m.knobs["uses"]})
            for m in USES_MISTAKES
        ),
        Mistake(
            "In evaluation you divide the running statistics by "
            "1 - (1 - momentum)^t, Adam's bias correction. Batch norm uses them as "
            "they are.",
            {"evaluation_uses": "corrected"},
        ),
        Mistake(
            "running_var starts at zeros. It starts at ones, so that a layer that has "
            "seen nothing leaves its input alone.",
            {"start_var": 0.0},
        ),
        Mistake(
            "running_mean starts at ones. It starts at zeros.", {"start_mean": 1.0}
        ),
        Mistake(
            "gamma starts at zeros, and every output is beta. It starts at ones.",
            {"start_gamma": 0.0},
        ),
        Mistake(
            "beta starts at ones. It starts at zeros: a new layer only normalises.",
            {"start_beta": 1.0},
        ),
        Mistake(
            "A new layer is in evaluation mode. self.training starts as True.",
            {"starts_training": False},
        ),
        Mistake(
            "Changing layer.gamma or layer.beta changes nothing, although an optimiser "
            "will do just that. Use self.gamma and self.beta as they are at each call.",
            {"own_affine": True},
        ),
        Mistake(
            "Two layers share their running statistics: after the first was trained, a "
            "new one does not start at zeros. Make the arrays in __init__, as "
            "self.running_mean = ..., not in the class's body.",
            {"shared": True},
        ),
        *UPDATE_MISTAKES,
        *VARIANCE_MISTAKES,
        *(replace(m, alone=True) for m in _finish_mistakes() if m.knobs != _COLUMNS),
        *_in_one_mode("in_evaluation", _finish_mistakes("running_mean", "running_var")),
        *_in_one_mode("in_training", _finish_mistakes()),
        Mistake(
            "The momentum is 0.1 whatever the caller passes. Use self.momentum.",
            {"fixed_momentum": 0.1},
        ),
    ),
    changed=(
        "The caller still needs that array. `x = x - mean` makes a new one; "
        "`x -= mean` writes into the old one."
    ),
)


# 5. Convolutions


def _nd(
    x,
    gamma,
    beta,
    axis=None,
    eps=None,
    *,
    axes="all but the channel's",
    parameters="channel axis",
    fixed_axis=None,
    variance="biased",
    path="in place",
    returned="var",
    order=(0, 1, 2),
    **finish,
):
    x, gamma, beta = _wide(x, gamma, beta)
    given = 1 if axis is None else axis
    if fixed_axis is not None:
        given = fixed_axis
    channel = given % x.ndim
    if path == "reshaped" and channel != x.ndim - 1:
        return _nd_reshaped(x, gamma, beta, eps, channel, variance, **finish)
    others = tuple(a for a in range(x.ndim) if a != channel)
    reduced = {
        "all but the channel's": others,
        "negative": tuple(a for a in range(x.ndim) if a != given),
        "(0, 2, 3)": (0, 2, 3),
        "(0, 2, ...)": tuple(a for a in range(x.ndim) if a != 1),
        "(2, 3)": (2, 3),
        "(2, ...)": tuple(range(2, x.ndim)),
        "space": tuple(a for a in others if a != 0),
        "samples": (0,),
        "0": (0,),
        "layer": tuple(range(1, x.ndim)),
        "channel": (channel,),
        "all": tuple(range(x.ndim)),
    }[axes]
    along = tuple(len(gamma) if a == channel else 1 for a in range(x.ndim))
    if parameters == "channel axis":
        gamma, beta = gamma.reshape(along), beta.reshape(along)
    elif parameters == "axis 1":
        shape = (1, -1, *(1 for _ in x.shape[2:]))
        gamma, beta = gamma.reshape(shape), beta.reshape(shape)
    mean = x.mean(axis=reduced, keepdims=True)
    kind = variance if variance in _KINDS else "biased"
    var = _variance(x, mean, reduced, kind=kind)
    if variance == "unbiased by N":
        var = var * len(x) / np.float64(len(x) - 1)
    elif variance == "mean of variances":
        inside = others[1:]
        own = x.mean(axis=inside, keepdims=True)
        var = ((x - own) ** 2).mean(axis=reduced, keepdims=True)
    y = _finish(x, mean, var, gamma, beta, eps, **finish)
    if path == "channels last":
        y = np.moveaxis(y, channel, -1)
    elif path == "scrambled":
        y = np.moveaxis(y, channel, -1).reshape(x.shape)
    if returned == "std":
        var = np.sqrt(var)
    if mean.size == x.shape[channel]:
        mean, var = mean.reshape(-1), var.reshape(-1) if var.size > 1 else var
    return tuple((y, mean, var)[i] for i in order)


_KINDS = (
    "biased",
    "unbiased",
    "sum",
    "mean square",
    "std",
    "absolute",
    "absolute, squared",
    "difference of means",
    "pooled",
)


def _nd_reshaped(x, gamma, beta, eps, channel, variance, **finish):
    """Do what reshape(-1, C) does where the channels are not on the last axis."""
    rows = x.reshape(-1, x.shape[channel])
    mean = rows.mean(axis=0)
    kind = variance if variance in _KINDS else "biased"
    var = _variance(rows, mean, 0, kind=kind)[0]
    y = _finish(rows, mean, var, gamma, beta, eps, **finish)
    return y.reshape(x.shape), mean, var


def _nd_cases(rng):
    other = (
        "The channels are on another axis here: keep the axis that `axis` names, and "
        "shape gamma to lie along it."
    )
    dims = (
        "Here x does not have four dimensions: take the axes from x.ndim and `axis` "
        "rather than writing them out."
    )
    cases = []
    for shape, axis, dtype, options, hint in (
        ((4, 3, 5, 6), 1, np.float64, {}, ""),
        ((3, 4, 2, 4), 1, np.float64, {}, "Here C = W."),
        ((2, 5, 3, 4), 1, np.float32, {}, ""),
        ((1, 3, 4, 5), 1, np.float64, {}, "Here N = 1."),
        ((3, 4, 2, 5), 1, np.float64, {"eps": 0.1}, "Here eps = 0.1."),
        ((3, 4, 5, 2), 1, np.float64, {}, "The variances here are as small as eps."),
        ((4, 3, 5, 2), 1, np.float64, {}, CONSTANT),
        ((2, 3, 4, 5), 1, np.float64, {}, CANCELLATION),
        ((3, 4, 5, 6), -1, np.float64, {"axis": -1}, f"{other} {NEGATIVE}"),
        ((3, 4, 5, 2), 3, np.float32, {"axis": 3}, other),
        ((7, 4), 1, np.float64, {}, dims),
        ((5, 3, 6), 1, np.float64, {}, dims),
        ((2, 3, 4, 2, 5), 1, np.float64, {}, dims),
        ((5, 3, 4), 0, np.float64, {"axis": 0}, other),
        ((2, 3, 5, 4), -2, np.float64, {"axis": -2}, f"{other} {NEGATIVE}"),
    ):
        tiny = "small" in hint
        x, gamma, beta = draw_batch(
            rng, shape, dtype=dtype, axis=axis, std=1e-3 if tiny else 1.0
        )
        if hint == CANCELLATION:
            x = x + 1e8
        if hint == CONSTANT:
            x[:, 1] = 2.0
        if shape == (2, 5, 3, 4):  # channels-last in memory, as a view
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        what = f"x of shape {shape}, {np.dtype(dtype).name}"
        what += "".join(f", {name} = {value}" for name, value in options.items())
        tolerance = 1e-3 if tiny else SINGLE
        cases.append(Case(what, (x, gamma, beta), options, tolerance, hint))
    return cases


def _several(message, *knobs):
    """Return the same mistake in several guises."""
    return tuple(Mistake(message, k) for k in knobs)


convolution = Exercise(
    name="batch_norm_nd",
    outputs=("y", "mean", "var"),
    examine=("mean", "var", "y"),
    formula=_nd,
    cases=_nd_cases,
    section="forward-convolution",
    mistakes=(
        Mistake(
            "x.reshape(-1, C) without moving the channels last first: its columns mix "
            "values of different channels. Use "
            "np.moveaxis(x, axis, -1).reshape(-1, C), and undo both on the way back.",
            {"path": "reshaped"},
        ),
        *_several(
            "Each sample is normalised by itself, over H and W only: that is instance "
            "norm. Batch norm pools over the samples as well: over every axis but the "
            "channels', (0, 2, 3) for (N, C, H, W).",
            {"axes": "space"},
            {"axes": "(2, ...)"},
            {"axes": "(2, 3)"},
            {"axes": "(2, ...)", "parameters": "axis 1"},
            {"axes": "(2, 3)", "parameters": "axis 1"},
        ),
        *_several(
            "The statistics are taken over axes (0, 2, 3) wherever the channels are. "
            "That fits (N, C, H, W) only; for channels-last, (N, H, W, C), it keeps H "
            "and mixes the channels. Take every axis but `axis`.",
            {"axes": "(0, 2, 3)"},
            {"axes": "(0, 2, ...)"},
            {"axes": "(0, 2, 3)", "parameters": "axis 1"},
        ),
        *_several(
            "The channels are taken to be on axis 1, whatever `axis` says. For "
            "channels-last, (N, H, W, C), the statistics then mix the channels, or "
            "gamma and beta do not fit. Take the mean over every axis but `axis`, and "
            "give gamma its C on `axis`.",
            {"fixed_axis": 1},
            {"parameters": "axis 1"},
        ),
        *_several(
            "A negative axis is not found among 0, 1, 2, ..., so no axis is left out "
            "and all channels share their statistics. Make it positive first: "
            "axis % x.ndim.",
            {"axes": "negative"},
        ),
        Mistake(
            "The statistics are taken over the samples only, one mean per position. A "
            "channel is one feature wherever it is found: pool over the positions too.",
            {"axes": "0"},
        ),
        Mistake(
            "The statistics are taken over each sample by itself, all its channels "
            "together: that is layer norm. Take them per channel, over everything "
            "else.",
            {"axes": "layer"},
        ),
        Mistake(
            "The statistics are taken over the channels. It is the other way round: "
            "take them over every axis but the channels'.",
            {"axes": "channel"},
        ),
        Mistake(
            "One mean and one variance for the whole array. Each channel has its own: "
            "take them over every axis but the channels'.",
            {"axes": "all"},
        ),
        Mistake(
            "The variance is a mean of each sample's own variance. The spread of the "
            "samples' means belongs to it too: subtract the mean over all samples.",
            {"variance": "mean of variances"},
        ),
        Mistake(
            "The variance is multiplied by N / (N − 1). A batch is normalised by its "
            "own, biased variance; and where a correction belongs, in the running "
            "variance, it counts all the values of a channel, N·H·W.",
            {"variance": "unbiased by N"},
        ),
        *_several(
            "gamma and beta lie along the last axis, as broadcasting puts them (for "
            "C = W without any error). Give them a shape with C on the channel axis "
            "and 1 elsewhere, such as (1, C, 1, 1).",
            {"parameters": "last axis"},
        ),
        Mistake(
            "y still has its channels on the last axis. Move them back: "
            "np.moveaxis(y, -1, axis).",
            {"path": "channels last"},
        ),
        Mistake(
            "y is reshaped to x's shape while its channels are still last, which "
            "scrambles it. First undo the reshape, then move the axis back.",
            {"path": "scrambled"},
        ),
        *VARIANCE_MISTAKES,
        *(m for m in _finish_mistakes() if m.knobs != _COLUMNS),
        Mistake(
            "You return the standard deviation as var. Return the variance itself.",
            {"returned": "std"},
        ),
        Mistake(
            "The order of the results is y, mean, var; you return the variance before "
            "the mean.",
            {"order": (0, 2, 1)},
        ),
    ),
)


# 6. Numerics


def _moments(x, *, variance="biased", rounded=False, order=(0, 1)):
    [wide] = _wide(x)
    mean = wide.mean(axis=0, keepdims=True)
    var = _variance(wide, mean, 0, kind=variance)[0]
    mean = mean[0]
    if rounded:
        mean, var = (a.astype(x.dtype).astype(np.float64) for a in (mean, var))
    return tuple((mean, var)[i] for i in order)


HALF = (
    "float16 holds three digits, and nothing above 65504: the square of 256 is "
    "already infinite, and a sum stops growing when its terms fall below its last "
    "digit. Convert first, x.astype(np.float32), then compute."
)


def _moments_cases(rng):
    cases = []
    for n, d, dtype, mean, std, tolerance, hint in (
        (7, 4, np.float64, 0.0, 1.0, SINGLE, ""),
        (50, 3, np.float32, 1e4, 1.0, 5e-3, CANCELLATION),
        (5, 5, np.float64, 1e8, 1.0, SINGLE, CANCELLATION),
        (40, 3, np.float16, 300.0, 20.0, SINGLE, HALF),
        (40, 3, np.float16, 0.0, 1e-3, SINGLE, HALF),
        (4000, 2, np.float16, 5.0, 0.5, 1e-4, HALF),
    ):
        what = f"x of shape ({n}, {d}), {np.dtype(dtype).name}, mean about {mean:g}"
        x = draw_batch(rng, (n, d), mean=mean, std=std)[0]
        if std == 1e-3:
            x = x - x.mean(axis=0)
        cases.append(Case(what, (x.astype(dtype),), {}, tolerance, hint))
    return cases


ORDER_OF_MOMENTS = Mistake(
    "The mean comes first, then the variance; yours are the other way round.",
    {"order": (1, 0)},
)

moments = Exercise(
    name="batch_moments",
    outputs=("mean", "var"),
    formula=_moments,
    cases=_moments_cases,
    section="forward-numerics",
    mistakes=(
        Mistake(
            "The result is rounded to float16. (NumPy's x.mean() of a float16 x is "
            "float16 again, and so is all that you compute with it; squares above "
            "65504 are then infinite.) Convert x first, x.astype(np.float32), and do "
            "not convert back.",
            {"rounded": True},
        ),
        *VARIANCE_MISTAKES,
        ORDER_OF_MOMENTS,
    ),
)


class Rows:
    """The rows of an array: to be read once, one after the other, and not kept."""

    KEPT = 10

    def __init__(self, x):
        self._left = iter(x)
        self._given = []

    def __iter__(self):
        return self

    def __next__(self):
        self._given = [row for row in self._given if row() is not None]
        if len(self._given) > self.KEPT:
            raise MemoryError("too many rows are kept")
        row = next(self._left)
        self._given.append(weakref.ref(row))
        return row


def _run_welford(learner, rows):
    return learner(Rows(rows))


def _welford(
    rows,
    *,
    step="right",
    divisor="n",
    second_pass="",
    kept=False,
    pooled=False,
    counted="n",
    root=False,
    order=(0, 1, 2),
):
    if kept and len(rows) > Rows.KEPT:
        raise MemoryError("too many rows are kept")
    [rows] = _wide(rows)
    n = len(rows)
    mean = rows.mean(axis=0)
    m2 = ((rows - mean) ** 2).sum(axis=0)
    if step != "right":
        mean, m2 = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
        for k, row in enumerate(rows, 1):
            old = row - mean
            mean = {
                "mean not divided": mean + old,
                "n from 0": mean + old / max(k - 1, 1),
                "n ahead": mean + old / (k + 1),
                "wrong sign": mean - old / k,
            }.get(step, mean + old / k)
            new = row - mean
            m2 = m2 + {"old, old": old * old, "new, new": new * new}.get(
                step, old * new
            )
    if step == "last m2":
        m2 = old * new
    var = m2 / {"n": n, "n - 1": np.float64(n - 1), "1": 1, "n + 1": n + 1}[divisor]
    if second_pass:
        var = np.zeros_like(var)
    if second_pass == "mean":
        mean = np.zeros_like(mean)
    if root:
        var = np.sqrt(var)
    if pooled:
        mean, var = rows.mean(), rows.var()
    n = {"n": n, "n - 1": n - 1, "n + 1": n + 1, "values": rows.size}[counted]
    out = (np.asarray(mean), np.asarray(var), np.array(float(n)))
    return tuple(out[i] for i in order)


def _welford_cases(rng):
    cases = []
    for n, d, dtype, mean, std, tolerance, hint in (
        (30, 4, np.float64, 0.0, 1.0, SINGLE, ""),
        (12, 3, np.float32, 2.0, 1.0, 1e-4, ""),
        (1, 3, np.float64, 1.0, 1.0, SINGLE, "One row: its variance is 0."),
        (200, 3, np.float32, 1e4, 1.0, 2e-2, CANCELLATION),
        (60, 5, np.float64, 1e8, 1.0, SINGLE, CANCELLATION),
        (300, 2, np.float16, 300.0, 20.0, 1e-4, HALF),
    ):
        rows = draw_batch(rng, (n, d), dtype=dtype, mean=mean, std=std)[0]
        what = f"{n} rows of {d} values, {np.dtype(dtype).name}, mean about {mean:g}"
        cases.append(Case(what, (rows,), {}, tolerance, hint))
    return cases


welford = Exercise(
    name="welford",
    outputs=("mean", "var", "count"),
    examine=("count", "mean", "var"),
    formula=_welford,
    cases=_welford_cases,
    run=_run_welford,
    section="forward-numerics",
    mistakes=(
        Mistake(
            "You keep the rows (in a list or an array). They may be more than fit in "
            "memory: keep only n, mean and m2, and update them with each row.",
            {"kept": True},
        ),
        Mistake(
            "The rows can be read only once: a second loop over them finds nothing. "
            "Update the mean and m2 in the same loop.",
            {"second_pass": "var"},
        ),
        Mistake(
            "The rows can be read only once. After a loop that counts them, nothing is "
            "left for the mean. Count and update in the same loop.",
            {"second_pass": "mean"},
        ),
        Mistake(
            "m2 is the sum of squares; the biased variance is m2 / n. You return m2 "
            "itself.",
            {"divisor": "1"},
        ),
        Mistake(
            "You divide m2 by n − 1, which gives the unbiased variance (and NaN for "
            "one row). Here the biased one is asked for: m2 / n.",
            {"divisor": "n - 1"},
        ),
        Mistake(
            "You divide m2 by n + 1: the count is one ahead. There are n rows.",
            {"divisor": "n + 1"},
        ),
        Mistake(
            "m2 grows by delta², with the old mean in both factors. Welford's update "
            "multiplies row minus the old mean by row minus the new mean.",
            {"step": "old, old"},
        ),
        Mistake(
            "m2 grows by the square of row minus the new mean. Welford's update "
            "multiplies row minus the old mean by row minus the new mean: compute "
            "delta before you update the mean.",
            {"step": "new, new"},
        ),
        Mistake(
            "The mean moves by the whole delta, so that it is the last row. Move it by "
            "delta / n.",
            {"step": "mean not divided"},
        ),
        Mistake(
            "delta is divided by n − 1: n counts the rows before this one. Increase n "
            "first, then update the mean.",
            {"step": "n from 0"},
        ),
        Mistake(
            "delta is divided by n + 1, n being one ahead: the first row has n = 1.",
            {"step": "n ahead"},
        ),
        Mistake(
            "The mean moves away from the row. mean + (row - mean) / n moves towards "
            "it.",
            {"step": "wrong sign"},
        ),
        Mistake(
            "m2 is overwritten at each row; add to it.",
            {"step": "last m2"},
        ),
        Mistake(
            "One mean and one variance for all features. Each feature has its own: "
            "keep mean and m2 as arrays of shape (D,).",
            {"pooled": True},
        ),
        Mistake(
            "You return the standard deviation; return the variance, m2 / n.",
            {"root": True},
        ),
        Mistake("count is one too small: there are n rows.", {"counted": "n - 1"}),
        Mistake("count is one too large: there are n rows.", {"counted": "n + 1"}),
        Mistake(
            "count is the number of values; count the rows.", {"counted": "values"}
        ),
        Mistake(
            "The order of the results is mean, var, count; you return the variance "
            "before the mean.",
            {"order": (1, 0, 2)},
        ),
        Mistake(
            "The order of the results is mean, var, count; you return the count first.",
            {"order": (2, 0, 1)},
        ),
    ),
    changed=(
        "`mean = row` gives the row a second name, and `mean += ...` then writes into "
        "it. Write `mean = mean + ...`, which makes a new array."
    ),
)


def _merge(
    a,
    b,
    *,
    between="delta² na nb / n²",
    within="weighted",
    mean_weights="counts",
    merged_n="sum",
    empty="ignored",
):
    (mean_a, var_a, n_a), (mean_b, var_b, n_b) = a, b
    mean_a, var_a, mean_b, var_b = _wide(mean_a, var_a, mean_b, var_b)
    n = np.float64(n_a + n_b)
    if empty == "ignored" and n_a == 0:
        return mean_b, var_b, np.array(n)
    if empty == "ignored" and n_b == 0:
        return mean_a, var_a, np.array(n)
    delta = mean_b - mean_a
    mean = {
        "counts": mean_a + delta * (n_b / n),
        "equal": (mean_a + mean_b) / 2,
        "crossed": mean_a + delta * (n_a / n),
        "wrong sign": mean_a - delta * (n_b / n),
        "sum": mean_a + mean_b,
    }[mean_weights]
    inside = {
        "weighted": (n_a * var_a + n_b * var_b) / n,
        "equal": (var_a + var_b) / 2,
        "crossed": (n_b * var_a + n_a * var_b) / n,
        "sum": var_a + var_b,
        "m2": n_a * var_a + n_b * var_b,
        "std": ((n_a * np.sqrt(var_a) + n_b * np.sqrt(var_b)) / n) ** 2,
        "n - 1": ((n_a - 1) * var_a + (n_b - 1) * var_b) / (n - 2),
        "over n - 1": (n_a * var_a + n_b * var_b) / (n - 1),
    }[within]
    extra = {
        "delta² na nb / n²": delta**2 * n_a * n_b / n**2,
        "none": 0.0,
        "delta": delta * n_a * n_b / n**2,
        "delta² na nb / n": delta**2 * n_a * n_b / n,
        "delta²": delta**2,
        "delta² / 4": delta**2 / 4,
        "minus": -(delta**2) * n_a * n_b / n**2,
        "delta² na nb / n / (n - 1)": delta**2 * n_a * n_b / n / (n - 1),
    }[between]
    n = {"sum": n, "max": max(n_a, n_b), "mean": n / 2, "product": n_a * n_b}[merged_n]
    return mean, inside + extra, np.array(float(n))


def _merge_cases(rng):
    empty = (
        "Here a set is empty: n = 0 and, as NumPy has it, mean and var are NaN. "
        "NaN * 0 is NaN, so return the other set as it is."
    )
    cases = []
    for d, n_a, n_b, mean, dtype, tolerance, hint in (
        (4, 7, 7, 0.0, np.float64, SINGLE, ""),
        (3, 30, 10, 2.0, np.float64, SINGLE, "The counts differ: 30 and 10."),
        (5, 1, 6, 0.0, np.float64, SINGLE, "One set is a single value."),
        (3, 5, 12, 1.0, np.float32, 1e-4, "The counts differ: 5 and 12."),
        (3, 20, 50, 1e8, np.float64, SINGLE, CANCELLATION),
        (3, 8, 0, 1.0, np.float64, SINGLE, empty),
        (3, 0, 5, 1.0, np.float64, SINGLE, empty),
    ):
        sets = []
        for n in (n_a, n_b):
            moments = rng.normal(size=d) + mean, rng.uniform(0.5, 2.0, size=d)
            if n == 1:
                moments = moments[0], np.zeros(d)
            if n == 0:
                moments = np.full(d, np.nan), np.full(d, np.nan)
            sets.append((*(m.astype(dtype) for m in moments), n))
        what = f"counts of {n_a} and {n_b}, {d} features, {np.dtype(dtype).name}"
        if mean > 100:
            what += f", means about {mean:g}"
        cases.append(Case(what, tuple(sets), {}, tolerance, hint))
    return cases


merge = Exercise(
    name="merge_moments",
    outputs=("mean", "var", "n"),
    examine=("n", "mean", "var"),
    formula=_merge,
    cases=_merge_cases,
    section="forward-numerics",
    mistakes=(
        Mistake(
            "The variance of the means is missing: you return the mean of the "
            "variances only. Where the two means differ, the union is wider than "
            "either set: add delta² · n_a · n_b / n².",
            {"between": "none"},
        ),
        Mistake(
            "An empty set spoils the result: its mean and var are NaN, as NumPy has "
            "it, and NaN * 0 is NaN. If a count is 0, return the other set as it is.",
            {"empty": "NaN"},
        ),
        Mistake(
            "The two means count equally, whatever the counts. Weigh them by n_a / n "
            "and n_b / n.",
            {"mean_weights": "equal"},
        ),
        Mistake(
            "The weights of the means are crossed: a's mean is weighed by n_a, b's by "
            "n_b. From mean_a, move by delta * n_b / n.",
            {"mean_weights": "crossed"},
        ),
        Mistake(
            "The mean moves the wrong way: mean_a + (mean_b - mean_a) * n_b / n.",
            {"mean_weights": "wrong sign"},
        ),
        Mistake(
            "The means are added. The mean of the union lies between them.",
            {"mean_weights": "sum"},
        ),
        Mistake(
            "The two variances count equally, whatever the counts. Weigh them by "
            "n_a / n and n_b / n.",
            {"within": "equal"},
        ),
        Mistake(
            "The weights of the variances are crossed: a's is weighed by n_a, b's by "
            "n_b.",
            {"within": "crossed"},
        ),
        Mistake(
            "The two variances are added. Take their mean, weighed by the counts, and "
            "add the variance of the means.",
            {"within": "sum"},
        ),
        Mistake(
            "You return a sum of squares. Divide by n = n_a + n_b.",
            {"within": "m2", "between": "delta² na nb / n"},
        ),
        Mistake(
            "You average standard deviations. Variances can be averaged, their square "
            "roots cannot.",
            {"within": "std"},
        ),
        Mistake(
            "You pool the variances with n_a − 1 and n_b − 1, as for unbiased ones. "
            "These are biased: weigh them by n_a and n_b, and divide by n.",
            {"within": "n - 1"},
        ),
        Mistake(
            "You divide by n − 1. The result is the biased variance of the union: "
            "divide by n.",
            {"within": "over n - 1", "between": "delta² na nb / n / (n - 1)"},
        ),
        Mistake(
            "delta is not squared in the variance of the means: "
            "delta² · n_a · n_b / n².",
            {"between": "delta"},
        ),
        Mistake(
            "The variance of the means is divided by n once only. It is "
            "delta² · n_a · n_b / n²; with a single n it belongs to a sum of squares, "
            "not to a variance.",
            {"between": "delta² na nb / n"},
        ),
        Mistake(
            "delta² is added unweighed. The variance of the means is "
            "delta² · n_a · n_b / n².",
            {"between": "delta²"},
        ),
        Mistake(
            "delta² / 4 is the variance of the means for equal counts only. In general "
            "it is delta² · n_a · n_b / n².",
            {"between": "delta² / 4"},
        ),
        Mistake(
            "The variance of the means is subtracted. Different means make the union "
            "wider: add it.",
            {"between": "minus"},
        ),
        *(
            Mistake("n is the sum of the two counts, n_a + n_b.", {"merged_n": k})
            for k in ("max", "mean", "product")
        ),
    ),
    changed="Return new arrays: `mean = mean + ...` makes one, `mean += ...` does not.",
)


# 7. Folding


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
    w, b, gamma, beta, rm, rv = _wide(w, b, gamma, beta, running_mean, running_var)
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
            "eps is missing in the scale: it is gamma / sqrt(running_var + eps), with "
            "the same eps as the batch norm. Without it the outputs are slightly, and "
            "always, wrong.",
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
            for value in ("1e-5", "1e-3", "1e-12", "1e-8")
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
