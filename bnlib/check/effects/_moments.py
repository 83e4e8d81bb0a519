"""Exercise: how far the mean and the spread of each feature moved, in its own units.

But: no distance of distributions (`_wasserstein`).
"""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake

INPUTS = (
    "Both samples belong to the caller, who measures more of them. `before - mean` "
    "makes a new array; `before -= mean` and `before.sort()` write into this one."
)


def moment_shift(
    before,
    after,
    *,
    axis=0,
    unit="sd",
    divisor="N",
    guard=0.0,
    inside=0.0,
    mean="moved",
    spread="log ratio",
    keepdims=False,
    order="mean, spread",
):
    """Change of mean and standard deviation; a knob for each way to get it wrong."""
    before, after = (np.asarray(a, dtype=np.float64) for a in (before, after))

    def moments(a):
        off = {"N": 0, "N - 1": 1}[divisor]
        along = {0: 0, 1: 1, "all": None}[axis]
        return a.mean(along), np.sqrt(a.var(along, ddof=off) + inside)

    (m, s), (m_after, s_after) = moments(before), moments(after)
    u = {
        "sd": lambda: s,
        "sd after": lambda: s_after,
        "variance": lambda: s**2,
        "none": lambda: 1.0,
        "mean": lambda: np.abs(m),
        "pooled": lambda: np.sqrt((s**2 + s_after**2) / 2),
        "standard error": lambda: s / np.sqrt(len(before)),
        "sd of everything": lambda: before.std(),
    }[unit]()
    d_mean = {
        "moved": lambda: np.abs(m_after - m) / (u + guard),
        "signed": lambda: (m_after - m) / (u + guard),
        "standardised": lambda: np.abs(m_after / s_after - m / s),
        "squared": lambda: ((m_after - m) / (u + guard)) ** 2,
        "examples": lambda: np.abs(after - before).mean(0) / (u + guard),
    }[mean]()
    ratio = s_after / (s + guard)
    d_spread = {
        "log ratio": lambda: np.abs(np.log(ratio)),
        "signed": lambda: np.log(ratio),
        "ratio": lambda: ratio,
        "ratio - 1": lambda: np.abs(ratio - 1),
        "difference": lambda: np.abs(s_after - s),
        "variances": lambda: np.abs(np.log(ratio**2)),
        "log2": lambda: np.abs(np.log2(ratio)),
        "log10": lambda: np.abs(np.log10(ratio)),
        "log1p": lambda: np.log1p(np.abs(ratio - 1)),
        "difference of variances": lambda: np.abs(s_after**2 - s**2) / s**2,
    }[spread]()
    if keepdims:
        d_mean, d_spread = d_mean[None], d_spread[None]
    both = {"mean": np.asarray(d_mean), "spread": np.asarray(d_spread)}
    return tuple(both[name] for name in order.split(", "))


def draw_samples(rng, n, m, d):
    """Draw two samples of d features whose means and spreads differ, up and down."""
    way = np.where(np.arange(d) % 2, -1, 1)
    sd = rng.uniform(0.5, 2.0, size=d)
    before = rng.normal(size=d) * 2 + sd * rng.normal(size=(n, d))
    after = before[rng.integers(n, size=m)] + 0.2 * rng.normal(size=(m, d))
    after = before.mean(0) + rng.uniform(1.3, 2.5, size=d) ** way * (
        after - before.mean(0)
    )
    return before, after + way * sd * rng.uniform(0.3, 1.0, size=d)


def _cases(rng):
    same = draw_samples(rng, 40, 40, 3)
    other = draw_samples(rng, 24, 60, 4)
    single = tuple(a.astype(np.float32) for a in draw_samples(rng, 50, 50, 2))
    small = tuple(1e-3 * a for a in draw_samples(rng, 30, 30, 5))
    return [
        Case("two samples of shape (40, 3)", same, tolerance=1e-7),
        Case("samples of shapes (24, 4) and (60, 4)", other, tolerance=1e-7),
        Case("samples of shape (50, 2), float32", single, tolerance=1e-4),
        Case(
            "samples of shape (30, 5), values of about 0.001",
            small,
            tolerance=1e-7,
            hint="The result must not depend on the unit in which x is measured.",
        ),
    ]


moments = Exercise(
    name="moment_shift",
    outputs=("d_mean", "d_sd"),
    formula=moment_shift,
    cases=_cases,
    section="hypothesis-definitions",
    changed=INPUTS,
    mistakes=(
        Mistake(
            "d_mean is not divided by anything. Whether a mean that moved by 0.1 moved "
            "far depends on how wide the feature is: halve a layer's outputs, double "
            "the weights that read them, and nothing has changed but your number. "
            "Divide by the standard deviation before.",
            {"unit": "none"},
        ),
        Mistake(
            "d_mean is divided by the standard deviation *after*. The unit of length "
            "is the one before the step: otherwise a feature that spreads out would "
            "seem to have moved less.",
            {"unit": "sd after"},
        ),
        Mistake(
            "d_mean is divided by the variance. A mean has the unit of x, the variance "
            "that of x²: divide by its square root.",
            {"unit": "variance"},
        ),
        Mistake(
            "d_mean is divided by the mean itself. A mean may be 0, and adding a "
            "constant to all of x would change the result. The unit of length is the "
            "standard deviation before.",
            {"unit": "mean"},
        ),
        Mistake(
            "d_mean is divided by a standard deviation pooled over before and after, "
            "as for Cohen's d. Here the unit is the one before the step.",
            {"unit": "pooled"},
        ),
        Mistake(
            "d_mean is divided by the standard error, σ/√N: that is a t statistic, "
            "which grows with the number of examples. The question is how far the "
            "distribution moved, not how sure we are: divide by σ.",
            {"unit": "standard error"},
        ),
        Mistake(
            "d_mean is divided by the standard deviation of the whole array. Each "
            "feature has its own: axis=0.",
            {"unit": "sd of everything"},
        ),
        Mistake(
            "d_mean has a sign. It is a distance, |μ' − μ| / σ: otherwise features "
            "that move up and features that move down cancel in the average.",
            {"mean": "signed"},
        ),
        Mistake(
            "d_mean is the difference of two ratios, μ'/σ' − μ/σ. Subtract the means "
            "first, then divide by one σ, the one before.",
            {"mean": "standardised"},
        ),
        Mistake(
            "d_mean is squared. A distance is |μ' − μ| / σ, not its square.",
            {"mean": "squared"},
        ),
        Mistake(
            "d_mean is the average move of the examples, mean |x' − x|. Examples may "
            "change places while the mean stands still: take the means first, then "
            "subtract.",
            {"mean": "examples"},
        ),
        Mistake(
            "d_sd has a sign. It is |ln(σ'/σ)|: a feature that doubled and one that "
            "halved changed by as much.",
            {"spread": "signed"},
        ),
        Mistake(
            "d_sd is the ratio σ'/σ, which is 1 where nothing has changed. Take "
            "|ln(σ'/σ)|, which is 0 there.",
            {"spread": "ratio"},
        ),
        Mistake(
            "d_sd is |σ'/σ − 1|: doubling gives 1, halving 1/2. With |ln(σ'/σ)| both "
            "give 0.69, as going there and back should.",
            {"spread": "ratio - 1"},
        ),
        Mistake(
            "d_sd is the difference |σ' − σ|, in the unit of x. Take the ratio, then "
            "|ln(σ'/σ)|.",
            {"spread": "difference"},
        ),
        Mistake(
            "d_sd is made of variances, and ln(v'/v) is 2 ln(σ'/σ): twice as much. "
            "Take standard deviations.",
            {"spread": "variances"},
        ),
        *(
            Mistake(
                f"d_sd has the logarithm to base {base}. Here it is the natural one, "
                "`np.log`.",
                {"spread": f"log{base}"},
            )
            for base in (2, 10)
        ),
        Mistake(
            "d_sd is |v' − v|/v, a relative change of variances. Take standard "
            "deviations, and |ln(σ'/σ)|.",
            {"spread": "difference of variances"},
        ),
        Mistake(
            "The statistics are taken over everything: mean and standard deviation of "
            "the whole array. Each feature has its own: axis=0.",
            {"axis": "all"},
        ),
        Mistake(
            "The statistics are taken along the features (axis 1). The distribution "
            "of a feature is that over the examples: axis=0.",
            {"axis": 1},
        ),
        Mistake(
            "The variance is divided by N − 1. Here, as in batch norm, it is the "
            "biased one, divided by N (np.std without ddof).",
            {"divisor": "N - 1"},
        ),
        *(
            Mistake(
                f"A constant of about {guard:g} in the denominator is there against "
                "0/0, but where x itself is small it decides the result, which must "
                "not depend on the unit of x. Leave it out (or make it 1e-30).",
                {"guard": guard},
            )
            for guard in (1e-8, 1e-6, 1e-5)
        ),
        Mistake(
            "There is an eps under the root, as in batch norm. There it guards a "
            "division in a network; in a measurement it makes the result depend on "
            "the unit of x, which it must not. Leave it out.",
            {"inside": 1e-5},
        ),
        Mistake(
            "The two results are swapped: return d_mean, then d_sd.",
            {"order": "spread, mean"},
        ),
    ),
)
