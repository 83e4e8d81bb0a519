"""Exercise: the statistics of a batch from those of its parts, of any sizes.

But: the parts' samples are not there any more; only (count, mean, biased variance).
"""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.pitfalls._shared import CHANGED, LARGE, wide


def _workers(
    counts,
    means,
    variances,
    *,
    weights="counts",
    within="weighted",
    between="all",
    empty="ignored",
    total="sum",
    along="workers",
    order=(0, 1, 2),
):
    """Merge (count, mean, biased variance) of K workers."""
    counts, means, variances = wide(counts, means, variances)
    n = counts[:, None]
    if empty == "ignored":
        means, variances = np.where(n > 0, means, 0.0), np.where(n > 0, variances, 0.0)
    k = len(counts)
    alive = counts > 0
    w = {
        "counts": lambda: n / n.sum(),
        "equal": lambda: np.where(n > 0, 1.0, 0.0) / alive.sum(),
        "equal, empty too": lambda: np.full_like(n, 1 / k),
        "largest": lambda: (np.arange(k) == counts.argmax())[:, None] * 1.0,
        "first": lambda: (np.arange(k) == 0)[:, None] * 1.0,
        "squared": lambda: n**2 / (n**2).sum(),
        "roots": lambda: np.sqrt(n) / np.sqrt(n).sum(),
    }[weights]()
    mean = (w * means).sum(0)
    m = n.sum()
    inner = {
        "weighted": lambda: (w * variances).sum(0),
        "equal": lambda: variances.sum(0) / alive.sum(),
        "std": lambda: (w * np.sqrt(variances)).sum(0) ** 2,
        "sum": lambda: variances.sum(0),
        "sums of squares": lambda: (n * variances).sum(0),
        "n - 1": lambda: (
            (np.maximum(n - 1, 0) * variances).sum(0) / np.maximum(n - 1, 0).sum()
        ),
        "unbiased parts": lambda: (np.maximum(n - 1, 0) * variances).sum(0) / m,
        "over M - 1": lambda: (n * variances).sum(0) / (m - 1),
    }[within]()
    if between == "equal mean":
        gap = np.where(n > 0, means - means[alive].mean(0), 0.0)
    elif empty == "ignored":
        gap = np.where(n > 0, means - mean, 0.0)
    else:
        gap = means - mean
    outer = {
        "all": lambda: (w * gap**2).sum(0),
        "equal mean": lambda: (w * gap**2).sum(0),
        "none": lambda: 0.0,
        "equal": lambda: (gap**2).sum(0) / alive.sum(),
        "not squared": lambda: (w * np.abs(gap)).sum(0),
        "minus": lambda: -(w * gap**2).sum(0),
        "var of means": lambda: means[alive].var(0),
        "sum": lambda: (gap**2).sum(0),
        "sums of squares": lambda: (n * gap**2).sum(0),
        "over M - 1": lambda: (n * gap**2).sum(0) / (m - 1),
        "mean squares": lambda: (w * means**2).sum(0),
    }[between]()
    count = {
        "sum": lambda: m,
        "max": lambda: counts.max(),
        "mean": lambda: counts.mean(),
        "workers": lambda: float(k),
        "alive": lambda: float(alive.sum()),
    }[total]()
    var = inner + outer
    if along == "features":
        mean, var = mean.mean(), var.mean()
    out = mean, var, np.array(float(count))
    return tuple(np.asarray(out[i]) for i in order)


def _worker_cases(rng):
    zero = (
        "One worker is empty: its count is 0, its mean and variance NaN. NaN * 0 is "
        "NaN: leave such workers out before you multiply."
    )
    cases = []
    for counts, d, at, tolerance, hint in (
        ((8, 8, 8, 8), 5, 0.0, 1e-9, ""),
        ((32, 32, 32, 5), 3, 1.0, 1e-9, "The last worker has 5 samples, others 32."),
        (
            (4, 2, 9),
            3,
            2.0,
            1e-9,
            "As many workers as features, but not the same axis.",
        ),
        ((1, 7), 4, 0.0, 1e-9, "One worker has a single sample."),
        ((100_000, 3, 40), 2, 1.0, 1e-9, ""),
        ((6, 0, 10), 4, 1.0, 1e-9, zero),
        ((0, 0, 5, 1), 2, 1.0, 1e-9, zero),
        ((12,), 3, 1.0, 1e-9, "There is one worker."),
        ((6, 10, 3), 4, 1e8, 1e-6, LARGE),
    ):
        counts = np.array(counts)
        means = at + 1.5 * rng.normal(size=(len(counts), d))
        variances = rng.uniform(0.3, 3.0, size=(len(counts), d))
        variances[counts == 1] = 0.0
        means[counts == 0] = variances[counts == 0] = np.nan
        what = f"{d} features, counts {', '.join(map(str, counts))}"
        if at > 100:
            what += f", means about {at:g}"
        cases.append(Case(what, (counts, means, variances), {}, tolerance, hint))
    return cases


workers = Exercise(
    name="merge_workers",
    outputs=("mean", "var", "count"),
    examine=("count", "mean", "var"),
    formula=_workers,
    cases=_worker_cases,
    section="fixing-sync",
    page="fixing_batch_norm",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "The variance of the means is missing: you average the workers' variances. "
            "Each of them is about its *own* mean. The batch is wider by how far these "
            "lie apart: add the weighted mean of (mean_k − mean)².",
            {"between": "none"},
        ),
        *(
            Mistake(
                "All workers count alike, whatever their counts. A worker with 5 "
                "samples then weighs as much as one with 32. Weigh by counts / total.",
                {"weights": weights},
            )
            for weights in ("equal", "equal, empty too")
        ),
        *(
            Mistake(
                "All workers count alike, whatever their counts, and the variance of "
                "the means is missing besides. Weigh by counts / total, and add the "
                "weighted mean of (mean_k − mean)².",
                {"weights": weights, "between": "none"},
            )
            for weights in ("equal", "equal, empty too")
        ),
        Mistake(
            "An empty worker spoils the result: its mean and variance are NaN, and "
            "NaN * 0 is NaN. Leave out workers whose count is 0.",
            {"empty": "NaN"},
        ),
        Mistake(
            "The result is the largest worker's. All samples count alike: weigh by "
            "counts / total.",
            {"weights": "largest", "between": "none"},
        ),
        Mistake(
            "The result is the first worker's, as where only rank 0 is saved. Weigh "
            "all workers by counts / total.",
            {"weights": "first", "between": "none"},
        ),
        Mistake(
            "The weights are the squared counts: large workers dominate. Weigh by "
            "counts / total.",
            {"weights": "squared"},
        ),
        Mistake(
            "The weights are roots of the counts. Weigh by counts / total.",
            {"weights": "roots"},
        ),
        *(
            Mistake(
                "The means are weighed by the counts; the workers' variances are not. "
                "Weigh both.",
                {"within": "equal"} | knobs,
            )
            for knobs in ({}, {"between": "equal"})
        ),
        Mistake(
            "You average standard deviations. Variances can be averaged, their roots "
            "cannot.",
            {"within": "std"},
        ),
        Mistake(
            "The variances are added up. Take their mean, weighed by the counts.",
            {"within": "sum"},
        ),
        Mistake(
            "You return a sum of squares: divide by the total count.",
            {"within": "sums of squares", "between": "sums of squares"},
        ),
        Mistake(
            "You pool with counts − 1, as for unbiased variances. These are biased: "
            "weigh by the counts, and divide by the total.",
            {"within": "n - 1"},
        ),
        Mistake(
            "You multiply the variances by counts − 1. These are biased: the sum of "
            "squares of a worker is count·variance.",
            {"within": "unbiased parts"},
        ),
        Mistake(
            "You divide by the total − 1. Asked for is the biased variance: divide by "
            "the total.",
            {"within": "over M - 1", "between": "over M - 1"},
        ),
        *(
            Mistake(
                "The squares (mean_k − mean)² all weigh alike. Weigh them by the "
                "counts too.",
                {"between": between},
            )
            for between in ("equal", "var of means")
        ),
        Mistake(
            "The workers' means are compared with their plain average. Compare them "
            "with the mean of the whole batch, the weighted one.",
            {"between": "equal mean"},
        ),
        Mistake(
            "The distances of the means are not squared: (mean_k − mean)².",
            {"between": "not squared"},
        ),
        Mistake(
            "The variance of the means is subtracted. Different means make the batch "
            "wider: add it.",
            {"between": "minus"},
        ),
        Mistake(
            "The squares (mean_k − mean)² are added up. Take their mean, weighed by "
            "the counts.",
            {"between": "sum"},
        ),
        Mistake(
            "You add mean_k² without taking mean² off: that is E[x²], not a variance. "
            "Add (mean_k − mean)² instead, which loses no digits either.",
            {"between": "mean squares"},
        ),
        Mistake(
            "Features are averaged too. Each feature has its own mean and variance: "
            "reduce over axis 0 only.",
            {"along": "features"},
        ),
        *(
            Mistake(
                "count is the number of samples in all: the sum of counts.",
                {"total": total},
            )
            for total in ("max", "mean", "workers", "alive")
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
)
