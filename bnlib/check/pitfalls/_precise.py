"""Exercise: exact statistics over given batches, in place of running ones (PreciseBN).

But: of one layer, whose inputs are given; the network that made them stands still.
"""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.pitfalls._shared import CHANGED, LARGE, wide


def _precise(
    batches,
    *,
    weights="counts",
    between="all",
    within="biased",
    stored="unbiased",
    keep="all",
    momentum=None,
    centre="weighted",
    count_is="M",
    pooled=False,
    order=(0, 1),
):
    """Mean and unbiased variance of everything in the batches."""
    batches = wide(*batches)
    if keep == "first":
        batches = batches[:1]
    elif keep == "last":
        batches = batches[-1:]
    elif keep == "all but the last":
        batches = batches[:-1] or batches
    elif keep == "full":
        batches = [b for b in batches if len(b) == max(map(len, batches))]
    elif keep == "no ones":
        batches = [b for b in batches if len(b) > 1]
    n = np.array([len(b) for b in batches], dtype=np.float64)[:, None]
    means = np.stack([b.mean(0) for b in batches])
    variances = np.stack([b.var(0) for b in batches])
    m = n.sum()
    if within == "unbiased":
        variances = variances * n / (n - 1)
    elif within == "unbiased, 0 for one":
        variances = variances * n / np.maximum(n - 1, 1)
    elif within == "std":
        variances = np.sqrt(variances)
    if momentum is not None:
        mean, var = np.zeros_like(means[0]), np.ones_like(means[0])
        for mu, v in zip(means, variances, strict=True):
            mean = (1 - momentum) * mean + momentum * mu
            var = (1 - momentum) * var + momentum * v
        return mean, var
    w = n / m if weights == "counts" else np.full_like(n, 1 / len(n))
    mean = means.mean(0) if centre == "plain mean" else (w * means).sum(0)
    middle = means.mean(0) if centre == "plain" else mean
    gaps = {
        "all": lambda: (w * (means - middle) ** 2).sum(0),
        "none": lambda: 0.0,
        "plain": lambda: means.var(0),
        "not squared": lambda: (w * np.abs(means - middle)).sum(0),
    }[between]()
    var = (w * variances).sum(0) + gaps
    if within == "std":
        var = (w * variances).sum(0) ** 2 + gaps
    count = {"M": m, "batches": np.float64(len(n)), "D": np.float64(len(mean))}[
        count_is
    ]
    var = {
        "unbiased": lambda: var * count / (count - 1),
        "biased": lambda: var,
        "inverse": lambda: var * (m - 1) / m,
        "std": lambda: np.sqrt(var * m / (m - 1)),
        "sum": lambda: var * m,
        "mean square": lambda: (var + mean**2) * m / (m - 1),
    }[stored]()
    if pooled:
        everything = np.concatenate(batches)
        mean, var = (
            np.full_like(mean, everything.mean()),
            np.full_like(
                var, everything.var() * everything.size / (everything.size - 1)
            ),
        )
    out = mean, var
    return tuple(out[i] for i in order)


def _precise_cases(rng):
    one = "A batch has a single sample there: its variance is 0, its mean is not."
    small = "The last batch is smaller there. Does each *sample* count alike?"
    cases = []
    for counts, d, at, tolerance, hint in (
        ((8, 8, 8), 4, 0.0, 1e-9, ""),
        ((16, 16, 5), 3, 1.0, 1e-9, small),
        ((3, 9, 2, 6), 4, -2.0, 1e-9, small),
        ((8, 8, 1), 3, 1.0, 1e-9, one),
        ((2, 2, 2, 2, 2), 5, 1.0, 1e-9, ""),
        ((1, 1, 1), 2, 1.0, 1e-9, one),
        ((12,), 3, 2.0, 1e-9, "There is one batch."),
        ((6, 10, 3), 3, 1e8, 1e-6, LARGE),
    ):
        scale = rng.uniform(0.5, 2.0, size=d)
        batches = [
            at + 1.5 * rng.normal(size=d) + scale * rng.normal(size=(n, d))
            for n in counts
        ]
        what = f"batches of {', '.join(map(str, counts))} samples, {d} features"
        if at > 100:
            what += f", mean about {at:g}"
        cases.append(Case(what, (batches,), {}, tolerance, hint))
    return cases


_BETWEEN = (
    "A batch's variance is about its *own* mean; how far the means lie apart is missing"
)

precise = Exercise(
    name="precise_statistics",
    outputs=("running_mean", "running_var"),
    formula=_precise,
    cases=_precise_cases,
    section="train-eval-stale",
    page="train_is_not_eval",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "The mean is the plain average of the batches' means, whatever their "
            "sizes. Each *sample* counts alike: weigh a batch by its size.",
            {"centre": "plain mean"},
        ),
        *(
            Mistake(
                "The variance is an average of the batches' unbiased variances. "
                f"{_BETWEEN}, and batches of all sizes weigh alike. Take the variance "
                "of all samples about the one common mean.",
                {"weights": weights, "between": "none", "stored": "biased"}
                | {"within": within},
            )
            for weights in ("equal",)
            for within in ("unbiased", "unbiased, 0 for one")
        ),
        *(
            Mistake(
                "The variance is the weighted average of the batches' unbiased "
                f"variances. {_BETWEEN}. Take the variance of all samples about the "
                "one common mean.",
                {"between": "none", "stored": "biased", "within": within},
            )
            for within in ("unbiased", "unbiased, 0 for one")
        ),
        *(
            Mistake(
                f"The variance is an average of the batches' variances. {_BETWEEN}. "
                "Take the variance of all samples about the one common mean.",
                {"between": "none", "stored": stored},
            )
            for stored in ("biased", "unbiased")
        ),
        *(
            Mistake(
                "All batches count alike, whatever their sizes, and the variance is an "
                f"average of the batches' variances. {_BETWEEN}. Each sample counts "
                "alike, about the one common mean.",
                {"weights": "equal", "between": "none", "stored": stored},
            )
            for stored in ("biased", "unbiased")
        ),
        *(
            Mistake(
                "All batches count alike, whatever their sizes. Each *sample* counts "
                "alike: weigh a batch by its size.",
                {"weights": "equal", "stored": stored},
            )
            for stored in ("unbiased", "biased")
        ),
        *(
            Mistake(
                f"This is a running average again, with momentum {momentum:g}: it "
                "remembers its start, and recent batches weigh more. All samples count "
                "alike.",
                {"momentum": momentum, "within": within},
            )
            for momentum in (0.1, 0.01, 0.9)
            for within in ("unbiased", "biased", "unbiased, 0 for one")
        ),
        Mistake(
            "running_var is the biased variance. It is to be the unbiased one, "
            "of all M samples: multiply by M/(M − 1).",
            {"stored": "biased"},
        ),
        Mistake(
            "The correction is upside down: multiply by M/(M − 1).",
            {"stored": "inverse"},
        ),
        Mistake(
            "The correction uses the number of batches. The variance is of M samples: "
            "M/(M − 1).",
            {"count_is": "batches"},
        ),
        Mistake(
            "The correction uses the number of features. The variance is of M samples: "
            "M/(M − 1).",
            {"count_is": "D"},
        ),
        Mistake(
            "You return a standard deviation. running_var is a variance.",
            {"stored": "std"},
        ),
        Mistake("You return a sum of squares: divide by M − 1.", {"stored": "sum"}),
        Mistake(
            "running_var is the mean of x². Subtract the mean first.",
            {"stored": "mean square"},
        ),
        Mistake(
            "You correct each batch's variance with its own n/(n − 1), and then the "
            "whole again. Use biased variances inside, and M/(M − 1) once.",
            {"within": "unbiased, 0 for one"},
        ),
        Mistake(
            "You average standard deviations. Their squares can be averaged, they "
            "cannot.",
            {"within": "std"},
        ),
        *(
            Mistake(
                "The batches' means are compared with, or averaged to, their plain "
                "average. Weigh them by the sizes.",
                knobs,
            )
            for knobs in ({"between": "plain"}, {"centre": "plain"})
        ),
        Mistake(
            "The distances of the means are not squared: (mean_k − mean)².",
            {"between": "not squared"},
        ),
        Mistake(
            "Only the first batch counts. Is the `return` inside the loop?",
            {"keep": "first"},
        ),
        Mistake(
            "Only the last batch counts: each replaces the one before.",
            {"keep": "last"},
        ),
        *(
            Mistake(
                "The last batch is left out. It is smaller, but its samples count like "
                "all others.",
                {"keep": keep},
            )
            for keep in ("all but the last", "full")
        ),
        Mistake(
            "Batches of one sample are left out. One sample has no variance of its "
            "own, but it has a place in the whole's.",
            {"keep": "no ones"},
        ),
        Mistake(
            "Features are pooled. Each feature has its own mean and variance: axis 0.",
            {"pooled": True},
        ),
        Mistake(
            "The results are swapped: running_mean first, running_var second.",
            {"order": (1, 0)},
        ),
    ),
)
