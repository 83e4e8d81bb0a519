"""Exercise: the gradients in evaluation mode, with running statistics as constants.

But: only for (N, D), and nothing flows back to the running statistics.
"""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.backward._batches import EPS, LAYOUT, SMALL, draw, draw_by_column
from bnlib.check.backward._mistakes import (
    CHANGED,
    GAMMA_BY_SAMPLE,
    PARAMETERS,
    STATISTICS,
)
from bnlib.check.backward._training import (
    in_order,
    parameter_gradients,
    standard_deviation,
)


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
    elif statistics == "rows":
        mean, var = x.mean(1, keepdims=True), x.var(1, keepdims=True)
    elif statistics == "corrected":
        var = var * len(x) / np.float64(len(x) - 1)
    elif statistics == "swapped":
        mean, var = var, mean
    s = standard_deviation(var, eps, denominator)
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
    if dgamma == "batch":
        mean, s = x.mean(0), np.sqrt(x.var(0) + eps)
    dgamma, dbeta = parameter_gradients(
        dy, x, x - mean, s, gamma, dx, (0,), dgamma, dbeta
    )
    return in_order(order, dx=dx, dgamma=dgamma, dbeta=dbeta)


def _evaluation_cases(rng):
    cases = []
    for n, d, dtype, mean, std, tolerance, options, hint in (
        (7, 5, np.float64, 0.0, 1.0, 1e-9, {}, ""),
        (5, 5, np.float64, -2.0, 3.0, 1e-9, {}, ""),
        (6, 4, np.float64, 3.0, 3e-3, 1e-9, {}, SMALL),
        (1, 4, np.float64, 1.0, 1.0, 1e-9, {}, "A batch of one is no problem here."),
        (9, 3, np.float32, 1.0, 1.0, 2e-5, {}, ""),
        (8, 3, np.float32, 1e3, 1.0, 1e-3, {}, ""),
        (8, 3, np.float64, 0.0, 1.0, 1e-9, {"eps": 0.1}, EPS),
    ):
        dy, x, gamma = draw(rng, (n, d), dtype=dtype, mean=mean, std=std)
        running_mean = (mean + std * rng.normal(size=d)).astype(dtype)
        running_var = (std**2 * rng.uniform(0.3, 3.0, size=d)).astype(dtype)
        what = f"x of shape ({n}, {d}), {np.dtype(dtype).name}, mean about {mean:g}"
        what += "".join(f", {k} = {v:g}" for k, v in options.items())
        arguments = (dy, x, gamma, running_mean, running_var)
        cases.append(Case(what, arguments, options, tolerance, hint))
    arguments = draw_by_column(rng)
    arguments += (rng.normal(size=3), rng.uniform(0.3, 3.0, size=3))
    cases.append(Case("x and dy stored column by column", arguments, hint=LAYOUT))
    arguments = (*draw(rng, (6, 3)), rng.normal(size=3), np.array([0.5, 0.0, 2.0]))
    cases.append(Case("a running variance that is 0", arguments, hint=_ZERO))
    return cases


_ZERO = "There s = sqrt(eps), since eps is added to every variance."
_AFFINE = "dx = gamma·dy / sqrt(running_var + eps)"

evaluation = Exercise(
    name="batch_norm_eval_backward",
    outputs=("dx", "dgamma", "dbeta"),
    examine=("dbeta", "dgamma", "dx"),
    formula=_evaluation,
    cases=_evaluation_cases,
    section="backward-evaluation",
    changed=CHANGED,
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
            "The mean and the variance are those of each sample over its features, as "
            "in layer norm. In evaluation mode they are running_mean and running_var.",
            {"statistics": "rows"},
        ),
        Mistake(
            "running_var is multiplied by N/(N − 1). It holds the unbiased variance "
            "already, from training; use it as it is.",
            {"statistics": "corrected"},
        ),
        Mistake(
            "running_mean and running_var are swapped.",
            {"statistics": "swapped"},
        ),
        *(m for m in PARAMETERS if "order" in m.knobs),
        *(
            Mistake(
                f"{name} is zero. Frozen statistics do not freeze gamma and beta: "
                "dgamma = sum(dy·xhat), dbeta = sum(dy).",
                {name: "zero"},
            )
            for name in ("dbeta", "dgamma")
        ),
        *(m for m in PARAMETERS if "order" not in m.knobs),
        Mistake(
            f"gamma is missing from dx: {_AFFINE}.",
            {"with_gamma": False},
        ),
        GAMMA_BY_SAMPLE,
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
        *(m for m in STATISTICS[1:] if "denominator" in m.knobs),
    ),
)
