"""Exercise 6c: merging the moments of two sets."""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.forward._shared import CANCELLATION, SINGLE, widen


def _merge(
    a,
    b,
    *,
    between="delta² na nb / n²",
    within="weighted",
    mean_weights="counts",
    merged_n="sum",
    empty="ignored",
    order=(0, 1, 2),
):
    (mean_a, var_a, n_a), (mean_b, var_b, n_b) = a, b
    mean_a, var_a, mean_b, var_b = widen(mean_a, var_a, mean_b, var_b)
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
    out = mean, inside + extra, np.array(float(n))
    return tuple(out[i] for i in order)


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
        Mistake(
            "The order of the results is mean, var, n; you return the variance before "
            "the mean.",
            {"order": (1, 0, 2)},
        ),
        *(
            Mistake("n is the sum of the two counts, n_a + n_b.", {"merged_n": k})
            for k in ("max", "mean", "product")
        ),
    ),
    changed="Return new arrays: `mean = mean + ...` makes one, `mean += ...` does not.",
)
