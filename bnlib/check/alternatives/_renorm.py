"""Exercise 7: batch renormalisation of (N, D), forwards and backwards."""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.alternatives._batches import (
    EPS,
    LARGE,
    LAYOUT,
    SMALL,
    draw,
    draw_gradient,
)
from bnlib.check.alternatives._formula import Sets, gradients, over, standardise, widen
from bnlib.check.alternatives._mistakes import (
    CHANGED,
    denominators,
    inputs,
    variances,
)
from bnlib.check.backward._mistakes import GAMMA_BY_SAMPLE, PARAMETERS
from bnlib.check.backward._training import in_order, standard_deviation


def _sets(x, kind="column"):
    return Sets(x.shape, {"column": (0,), "row": (1,)}[kind])


def _forward(
    x,
    gamma,
    beta,
    running_mean,
    running_var,
    r_max,
    d_max,
    momentum=None,
    eps=1e-5,
    *,
    default_momentum=0.1,
    sets="column",
    root="sqrt(v + eps)",
    ratio="s / s_r",
    r_bounds="both",
    shift="over s_r",
    d_bounds="both",
    corrected="r xhat + d",
    affine_kind="all",
    updated="after",
    weights="new",
    stored="unbiased",
    order="y, r, d, running_mean, running_var",
    **statistics,
):
    x, gamma, beta, m_r, v_r = widen(x, gamma, beta, running_mean, running_var)
    index = _sets(x, sets)
    _, s = standardise(x, index, eps, **statistics)
    mean = over(index, x)
    top = x - mean
    v = over(index, top**2)
    n = len(x)
    if momentum is None:
        momentum = default_momentum
    if sets == "column":
        mean, v, s = mean[0], v[0], s[0] if s.ndim == 2 else s
    new_var = {
        "unbiased": lambda: v * n / (n - 1),
        "biased": lambda: v,
        "std": lambda: np.sqrt(v),
        "sqrt(v + eps)": lambda: s,
        "s_r": lambda: v * n / (n - 1),
        "features": lambda: v * x.shape[1] / (x.shape[1] - 1),
        "inverse": lambda: v * (n - 1) / n,
    }[stored]()
    a = {
        "new": momentum,
        "old": 1 - momentum,
        "one": 1.0,
        "none": 0.0,
        "fixed": 0.1,
    }.get(weights, momentum)
    after = (1 - a) * m_r + a * mean, (1 - a) * v_r + a * new_var
    if weights == "no decay":
        after = m_r + a * mean, v_r + a * new_var
    elif weights == "mean only":
        after = after[0], v_r
    elif weights == "var only":
        after = m_r, after[1]
    if updated == "before":
        m_r, v_r = after
    s_r = v_r if root == "v" else standard_deviation(v_r, eps, root)
    r = {
        "s / s_r": lambda: s / s_r,
        "s_r / s": lambda: s_r / s,
        "v / v_r": lambda: (v + eps) / (v_r + eps),
        "s": lambda: s,
        "1 / s_r": lambda: 1 / s_r,
    }[ratio]()
    r = {
        "both": lambda: np.clip(r, 1 / r_max, r_max),
        "upper": lambda: np.minimum(r, r_max),
        "lower": lambda: np.maximum(r, 1 / r_max),
        "from 1": lambda: np.clip(r, 1, r_max),
        "2 - r_max": lambda: np.clip(r, 2 - r_max, r_max),
        "none": lambda: r,
        "d_max": lambda: np.clip(r, -d_max, d_max),
        "swapped": lambda: np.clip(r, r_max, 1 / r_max),
    }[r_bounds]()
    d = {
        "over s_r": lambda: (mean - m_r) / s_r,
        "over s": lambda: (mean - m_r) / s,
        "minus": lambda: (m_r - mean) / s_r,
        "not divided": lambda: mean - m_r,
        "over v_r": lambda: (mean - m_r) / (v_r + eps),
        "times r": lambda: (mean - m_r) / s_r * r,
        "mean": lambda: mean / s_r,
        "clipped first": lambda: np.clip(mean - m_r, -d_max, d_max) / s_r,
    }[shift]()
    d = {
        "both": lambda: np.clip(d, -d_max, d_max),
        "upper": lambda: np.minimum(d, d_max),
        "from 0": lambda: np.clip(d, 0, d_max),
        "none": lambda: d,
        "1 / d_max": lambda: (
            np.clip(d, 1 / d_max, d_max) if d_max else np.clip(d, 0, 0)
        ),
        "r_max": lambda: np.clip(d, 1 / r_max, r_max),
    }[d_bounds]()
    xhat = top / s
    z = {
        "r xhat + d": lambda: xhat * r + d,
        "r (xhat + d)": lambda: (xhat + d) * r,
        "xhat / r + d": lambda: xhat / r + d,
        "r xhat - d": lambda: xhat * r - d,
        "xhat + d": lambda: xhat + d,
        "r xhat": lambda: xhat * r,
        "xhat": lambda: xhat,
        "d xhat + r": lambda: xhat * d + r,
        "running": lambda: (x - m_r) / s_r,
        "running, r and d": lambda: (x - m_r) / s_r * r + d,
        "r twice": lambda: top / s_r * r + d,
    }[corrected]()
    y = {
        "all": lambda: gamma * z + beta,
        "none": lambda: z,
        "no gamma": lambda: z + beta,
        "no beta": lambda: gamma * z,
        "before r and d": lambda: (gamma * xhat + beta) * r + d,
    }[affine_kind]()
    if stored == "s_r":
        after = after[0], np.sqrt(after[1] + eps)
    return in_order(order, y=y, r=r, d=d, running_mean=after[0], running_var=after[1])


def _backward(
    dy,
    x,
    gamma,
    r,
    d,
    eps=1e-5,
    *,
    sets="column",
    means="column",
    corrected="r xhat + d",
    factor="r",
    order="dx, dgamma, dbeta",
    **knobs,
):
    dy, x, gamma, r, d = widen(dy, x, gamma, r, d)
    knobs["means"] = _sets(x, means)

    def corrected_by(scale, shift):
        return gradients(
            dy, x, gamma, _sets(x, sets), eps, scale=scale, shift=shift, **knobs
        )

    scale = {"r": r, "one": 1.0, "1 / r": 1 / r, "r^2": r**2}[factor]
    dx, dgamma, dbeta = corrected_by(scale, d)
    if (factor, corrected) != ("r", "r xhat + d"):
        scale, shift = {
            "r xhat + d": (r, d),
            "xhat": (1.0, 0.0),
            "r xhat": (r, 0.0),
            "xhat + d": (1.0, d),
            "r (xhat + d)": (r, r * d),
        }[corrected]
        _, dgamma, dbeta = corrected_by(scale, shift)
    return in_order(order, dx=dx, dgamma=dgamma, dbeta=dbeta)


def _running(rng, x, eps):
    """Return running statistics with r and d below, within and above 2 and 1."""
    count = x.shape[1]
    s = np.sqrt(x.var(0, dtype=np.float64) + eps)
    ratios = np.resize([3.5, 1.3, 0.7, 0.2], count) * rng.uniform(0.9, 1.1, count)
    shifts = np.resize([0.4, -2.5, 2.5, -0.4], count) * rng.uniform(0.9, 1.1, count)
    std = s / ratios
    mean = x.mean(0, dtype=np.float64) - shifts * std
    # With an eps that is large, a ratio may be out of reach.
    var = np.maximum(std**2 - eps, 0.1 * std**2)
    return mean.astype(x.dtype), var.astype(x.dtype)


def _cases(rng):
    cases = []
    for n, d, dtype, mean, std, bounds, options, tolerance, hint in (
        (8, 5, np.float64, 0.5, 1.0, (2.0, 1.0), {}, 1e-9, ""),
        (6, 6, np.float64, -1.0, 2.0, (2.0, 1.0), {}, 1e-9, ""),
        (9, 4, np.float64, 0.5, 1.0, (3.0, 5.0), {}, 1e-9, ""),
        (7, 4, np.float64, 0.5, 1.0, (1.0, 0.0), {}, 1e-9, "That is batch norm."),
        (
            7,
            4,
            np.float64,
            0.5,
            1.0,
            (1e3, 1e3),
            {},
            1e-9,
            "There no bound is reached.",
        ),
        (8, 4, np.float64, 0.01, 1e-2, (2.0, 1.0), {}, 1e-9, SMALL),
        (8, 3, np.float64, 0.5, 1.0, (2.0, 1.0), {"eps": 0.1}, 1e-9, EPS),
        (8, 3, np.float64, 0.5, 1.0, (2.0, 1.0), {"momentum": 0.3}, 1e-9, ""),
        (9, 4, np.float32, 1.0, 1.0, (2.0, 1.0), {}, 2e-5, ""),
        (16, 4, np.float32, 3e3, 1.0, (3.0, 5.0), {}, 3e-2, LARGE),
    ):
        x, gamma, beta = draw(rng, (n, d), dtype=dtype, mean=mean, std=std)
        running = _running(rng, x, options.get("eps", 1e-5))
        what = f"x of shape ({n}, {d}), {np.dtype(dtype).name}, r_max={bounds[0]:g}, "
        what += f"d_max={bounds[1]:g}"
        what += "".join(f", {k}={value:g}" for k, value in options.items())
        arguments = (x, gamma, beta, *running, *bounds)
        cases.append(Case(what, arguments, options, tolerance, hint))
    return cases


def _backward_cases(rng):
    cases = []
    for n, d, dtype, mean, std, tolerance, hint in (
        (7, 5, np.float64, 0.0, 1.0, 1e-9, ""),
        (9, 4, np.float64, 3.0, 1.0, 1e-9, ""),
        (5, 5, np.float64, -2.0, 4.0, 1e-9, ""),  # N could be taken for D
        (8, 4, np.float64, 1e-3, 2e-3, 1e-9, SMALL),
        (9, 3, np.float32, 1.0, 1.0, 2e-5, ""),
        (16, 4, np.float32, 3e3, 1.0, 3e-2, LARGE),
    ):
        what = f"x of shape ({n}, {d}), {np.dtype(dtype).name}, mean about {mean:g}"
        arguments = draw_gradient(rng, (n, d), dtype=dtype, mean=mean, std=std)
        arguments += _corrections(rng, d, dtype)
        cases.append(Case(what, arguments, {}, tolerance, hint))
    arguments = (*draw_gradient(rng, (8, 3)), *_corrections(rng, 3))
    cases.append(Case("eps = 0.1", arguments, {"eps": 0.1}, hint=EPS))
    arguments = (*draw_gradient(rng, (8, 3)), *_corrections(rng, 3))
    arguments[1][:, 1] = 2.0
    hint = "There one feature is constant, so that s = sqrt(eps)."
    cases.append(Case("a feature that is constant", arguments, hint=hint))
    arguments = (*draw_gradient(rng, (6, 4)), *_corrections(rng, 4))
    arguments = tuple(np.asfortranarray(a) for a in arguments)
    cases.append(Case("arrays stored column by column", arguments, hint=LAYOUT))
    return cases


def _corrections(rng, d, dtype=np.float64):
    r = rng.uniform(0.4, 2.5, size=d)
    return r.astype(dtype), rng.normal(size=d).astype(dtype)


def _said(knob, texts, *, alone=()):
    return tuple(
        Mistake(text, {knob: kind}, alone=kind in alone) for kind, text in texts
    )


_R = "r = clip(s / s_r, 1/r_max, r_max)"
_D = "d = clip((mu − mu_r) / s_r, −d_max, d_max)"
_S_R = "s_r = sqrt(running_var + eps)"
_UPDATE = "(1 − momentum)·old + momentum·new"

renorm = Exercise(
    name="batch_renorm",
    outputs=("y", "r", "d", "running_mean", "running_var"),
    examine=("r", "d", "y", "running_mean", "running_var"),
    formula=_forward,
    cases=_cases,
    section="fixing-renorm",
    page="fixing_batch_norm",
    changed=(
        "Return new arrays, so that the caller decides what becomes of the old ones. "
        "`a = (1 - m) * a` makes a new array; `a *= 1 - m` and `a[:] = ...` write "
        "into the old one."
    ),
    mistakes=(
        Mistake(
            "The running statistics are updated before r and d are taken. r and d "
            "compare this batch with those before it: use the old ones, and update "
            "last.",
            {"updated": "before"},
        ),
        *_said(
            "ratio",
            (
                ("s_r / s", f"r is upside down: {_R}, the batch's over the running."),
                (
                    "v / v_r",
                    f"r is a ratio of variances. It is one of standard deviations: "
                    f"{_R}.",
                ),
                ("s", f"r is s itself, not yet divided by the running s_r: {_R}."),
                ("1 / s_r", f"The batch's s is missing from r: {_R}."),
            ),
        ),
        *_said(
            "r_bounds",
            (
                ("none", f"r is not clipped: {_R}."),
                (
                    "upper",
                    "r is clipped from above only. A ratio is bounded on both sides, "
                    f"by r_max and by 1/r_max: {_R}.",
                ),
                ("lower", f"r is clipped from below only: {_R}."),
                (
                    "from 1",
                    "r is kept from falling below 1. It may, down to 1/r_max, where "
                    f"the batch varies less than before: {_R}.",
                ),
                (
                    "2 - r_max",
                    "The lower bound of r is 2 − r_max. r is a ratio, so its bounds "
                    f"are reciprocal: {_R}.",
                ),
                ("d_max", f"r is clipped with d's bounds: {_R}."),
                (
                    "swapped",
                    "The bounds of r are in the wrong order. np.clip takes the lower "
                    f"one first: {_R}.",
                ),
            ),
            alone=("lower", "from 1", "2 - r_max", "d_max", "swapped"),
        ),
        *_said(
            "shift",
            (
                (
                    "over s",
                    "d is divided by the batch's s. It is measured in the running "
                    f"standard deviation: {_D}.",
                ),
                ("minus", f"d has the wrong sign: {_D}."),
                ("not divided", f"d is not divided by s_r: {_D}."),
                (
                    "over v_r",
                    f"d is divided by a variance; the square root is missing: {_D}.",
                ),
                ("times r", f"d is multiplied by r; it is not: {_D}."),
                ("mean", f"The running mean is not subtracted in d: {_D}."),
            ),
            alone=("over v_r", "times r", "mean"),
        ),
        Mistake(
            "mu − mu_r is clipped before it is divided by s_r. The bound is on the "
            f"quotient: {_D}.",
            {"shift": "clipped first", "d_bounds": "none"},
            alone=True,
        ),
        *_said(
            "d_bounds",
            (
                ("none", f"d is not clipped: {_D}."),
                (
                    "upper",
                    f"d is clipped from above only; it may be negative: {_D}.",
                ),
                ("from 0", f"d is kept from being negative; it may be: {_D}."),
                (
                    "1 / d_max",
                    "d is clipped to 1/d_max and d_max, as a ratio would be. It is a "
                    f"difference: {_D}.",
                ),
                ("r_max", f"d is clipped with r's bounds: {_D}."),
            ),
            alone=("upper", "from 0", "1 / d_max", "r_max"),
        ),
        *_said(
            "corrected",
            (
                (
                    "xhat",
                    "y is batch norm's: r and d are computed but not used. "
                    "y = gamma·(xhat·r + d) + beta.",
                ),
                (
                    "running",
                    "y is normalised by the running statistics themselves. That is the "
                    "same only within the bounds; beyond them the clipped r and d "
                    "count: y = gamma·(xhat·r + d) + beta.",
                ),
                (
                    "running, r and d",
                    "r and d correct an xhat that is normalised by the running "
                    "statistics already. xhat is the batch's, (x − mu)/s, and r and d "
                    "bring it to the running ones.",
                ),
                (
                    "r twice",
                    "x − mu is divided by s_r and multiplied by r = s/s_r as well. "
                    "xhat = (x − mu)/s, with the batch's s; then xhat·r + d.",
                ),
                (
                    "r (xhat + d)",
                    "r multiplies d as well. First scale, then shift: xhat·r + d.",
                ),
                ("xhat / r + d", "xhat is divided by r; multiply: xhat·r + d."),
                ("r xhat - d", "d is subtracted; it is added: xhat·r + d."),
                ("xhat + d", "r is missing from y: xhat·r + d."),
                ("r xhat", "d is missing from y: xhat·r + d."),
                ("d xhat + r", "r and d are swapped in y: xhat·r + d."),
            ),
            alone=("running, r and d", "r twice", "xhat / r + d", "d xhat + r"),
        ),
        *_said(
            "affine_kind",
            (
                ("none", "gamma and beta are not applied: gamma·(xhat·r + d) + beta."),
                ("no gamma", "gamma is missing from y: gamma·(xhat·r + d) + beta."),
                ("no beta", "beta is missing from y: gamma·(xhat·r + d) + beta."),
                (
                    "before r and d",
                    "gamma and beta are applied before r and d. They come last: "
                    "gamma·(xhat·r + d) + beta.",
                ),
            ),
        ),
        *_said(
            "weights",
            (
                (
                    "old",
                    "The momentum is the other way round. Here, as in PyTorch, it "
                    f"weighs the new value: {_UPDATE}.",
                ),
                ("none", f"The running statistics do not move: {_UPDATE}."),
                (
                    "one",
                    f"The running statistics are those of the last batch: {_UPDATE}.",
                ),
                ("no decay", f"The old value does not decay: {_UPDATE}."),
                ("fixed", "The momentum is 0.1 whatever the caller passes."),
                ("mean only", "running_var is not updated; both are."),
                ("var only", "running_mean is not updated; both are."),
            ),
            alone=("one", "no decay", "fixed", "mean only", "var only"),
        ),
        *_said(
            "default_momentum",
            (
                (m, f"The default of momentum is {m}; here it is 0.1.")
                for m in (0.9, 0.99, 0.01)
            ),
            alone=(0.9, 0.99, 0.01),
        ),
        *_said(
            "stored",
            (
                (
                    "biased",
                    "The running variance takes in the biased variance. It estimates "
                    "the population's, so v·N/(N − 1) is stored, as in problem set 1.",
                ),
                *(
                    (
                        kind,
                        "running_var holds a standard deviation. (The paper's σ is "
                        "one; here the variance is kept, and s_r is its root.)",
                    )
                    for kind in ("std", "sqrt(v + eps)", "s_r")
                ),
                (
                    "features",
                    "The unbiased variance is v·N/(N − 1) with N the number of "
                    "samples, not of features.",
                ),
                ("inverse", "The correction is upside down: v·N/(N − 1)."),
            ),
            alone=("std", "sqrt(v + eps)", "s_r", "features", "inverse"),
        ),
        *(
            Mistake(
                "The order of the results is y, r, d, running_mean, running_var.",
                {"order": order},
                alone=True,
            )
            for order in (
                "y, d, r, running_mean, running_var",
                "y, running_mean, running_var, r, d",
                "running_mean, running_var, y, r, d",
                "y, r, d, running_var, running_mean",
            )
        ),
        *_said(
            "root",
            (
                (
                    "sqrt(v)",
                    f"eps is missing from s_r: {_S_R}. With it in s only, r is off "
                    "where variances are small.",
                ),
                *(
                    (kind, f"The square root is missing: {_S_R}.")
                    for kind in ("v + eps", "v")
                ),
                ("sqrt(v) + eps", f"eps belongs inside the root: {_S_R}."),
            ),
        ),
        *(
            Mistake(
                f"eps {what}, in s = sqrt(v + eps) and in {_S_R}: it is the argument "
                "`eps`, inside the root.",
                {"root": kind, "denominator": kind},
                alone=True,
            )
            for kind, what in (
                ("sqrt(v)", "is missing"),
                ("sqrt(v) + eps", "is outside the root"),
                ("eps 1e-5", "is a fixed number"),
                ("eps 1e-3", "is a fixed number"),
                ("eps 1e-8", "is a fixed number"),
                ("default 1e-3", "is 1e-3 where none is given"),
                ("default 1e-6", "is 1e-6 where none is given"),
            )
        ),
        Mistake(
            "The batch's statistics are over axis 1, the features. Renormalisation is "
            "batch norm, corrected: axis 0.",
            {"sets": "row"},
        ),
        *(m for m in variances("each feature's", "N") if "variance" in m.knobs),
        *denominators("v"),
    ),
)

_DGAMMA = "dgamma = sum(dy·(xhat·r + d)): gamma multiplies the corrected xhat"

renorm_backward = Exercise(
    name="batch_renorm_backward",
    outputs=("dx", "dgamma", "dbeta"),
    examine=("dbeta", "dgamma", "dx"),
    formula=_backward,
    cases=_backward_cases,
    section="fixing-renorm",
    page="fixing_batch_norm",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "dx is gamma·r·dy/s: nothing is taken away. That is the gradient with "
            "fixed running statistics, and what comes out if r and d are "
            "differentiated: the stop-gradient is gone, and with it what keeps the "
            "layer before from running away. Only r and d are constants; the batch's "
            "mu and s, in xhat, are not: (g − mean(g) − xhat·mean(g·xhat)) / s with g "
            "= gamma·r·dy.",
            {"mean_term": "none", "xhat_term": "none"},
        ),
        Mistake(
            "r is missing from dx: that is batch norm's gradient. r is a constant "
            "factor between xhat and y, so it multiplies what flows back: "
            "gamma·r·dy arrives at xhat.",
            {"factor": "one"},
        ),
        Mistake(
            "dx is divided by r; multiply, as in the forward pass.",
            {"factor": "1 / r"},
        ),
        Mistake("r² is in dx; r came in twice. Once is right.", {"factor": "r^2"}),
        *_said(
            "xhat_term",
            (
                (
                    "dgamma",
                    "dgamma/N stands in dx for mean(dy·xhat). In batch norm the two "
                    "were the same; here r and d are in dgamma as well. Take the mean "
                    "of dy·xhat itself.",
                ),
                *(
                    (
                        kind,
                        "xhat·r + d stands in dx where xhat belongs. r and d are "
                        "constants: what moves with the batch's s is xhat itself.",
                    )
                    for kind in ("corrected", "corrected in front")
                ),
            ),
        ),
        *_said(
            "corrected",
            (
                ("xhat", f"dgamma lacks r and d: {_DGAMMA}."),
                ("r xhat", f"dgamma lacks d: {_DGAMMA}."),
                ("xhat + d", f"dgamma lacks r: {_DGAMMA}."),
                ("r (xhat + d)", f"r multiplies d in dgamma; {_DGAMMA}."),
            ),
        ),
        Mistake(
            "dgamma and dbeta are swapped: return dx, dgamma, dbeta.",
            {"order": "dx, dbeta, dgamma"},
        ),
        *(
            m
            for m in PARAMETERS
            if m.knobs.get("order") not in (None, "dx, dbeta, dgamma")
            or "dbeta" in m.knobs
            or m.knobs.get("dgamma") in ("mean", "total", "not summed")
        ),
        *(
            Mistake(
                "Statistics or means are over axis 1, the features. Renormalisation "
                "is batch norm, corrected: axis 0.",
                knobs,
            )
            for knobs in ({"sets": "row", "means": "row"}, {"means": "row"})
        ),
        *inputs("the batch's", "N", factor="gamma·r")[1:],
        GAMMA_BY_SAMPLE,
        *variances("each feature's", "N"),
        *denominators("v", forward=False),
    ),
)
