"""Exercise: how far a batch's mean and variance scatter, in closed form.

But: of independent values; neighbouring pixels are not.
"""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.pitfalls._shared import CHANGED, wide


def _estimates(
    count,
    var,
    kurtosis=3.0,
    *,
    of_mean="var / M",
    of_var="biased",
    tails="kurtosis",
    square=True,
    root="none",
    order=(0, 1),
):
    """Variances of the batch mean and of the biased batch variance."""
    m, var, kurtosis = wide(count, var, kurtosis)
    mean_scatter = {
        "var / M": lambda: var / m,
        "var / M²": lambda: var / m**2,
        "var": lambda: var + 0 * m,
        "var / (M - 1)": lambda: var / (m - 1),
        "std / M": lambda: np.sqrt(var) / m,
        "biased var / M": lambda: var * (m - 1) / m**2,
        "var² / M": lambda: var**2 / m,
    }[of_mean]()
    k = {
        "kurtosis": lambda: kurtosis,
        "normal": lambda: 3.0,
        "excess": lambda: kurtosis + 3,
        "excess taken off": lambda: kurtosis - 3,
        "default 0": lambda: 0.0 if kurtosis.ndim == 0 and kurtosis == 3 else kurtosis,
    }[tails]()
    bracket = (m - 1) * k - (m - 3)
    v = var**2 if square else var
    var_scatter = (
        v
        * {
            "biased": lambda: (m - 1) / m**3 * bracket,
            "unbiased": lambda: bracket / (m * (m - 1)),
            "large M": lambda: (k - 1) / m,
            "2 / M": lambda: 2 / m,
            "M²": lambda: (m - 1) / m**2 * bracket,
            "no M - 1": lambda: bracket / m**3,
            "no M": lambda: (m - 1) * bracket,
            "plus": lambda: (m - 1) / m**3 * ((m - 1) * k + (m - 3)),
            "M - 1 for M - 3": lambda: (m - 1) / m**3 * ((m - 1) * k - (m - 1)),
            "M for M - 1": lambda: (m - 1) / m**3 * (m * k - (m - 3)),
            "square of E v": lambda: ((m - 1) / m) ** 2,
        }[of_var]()
    )
    shape = np.broadcast_shapes(mean_scatter.shape, np.shape(var_scatter))
    both = [np.broadcast_to(a, shape) for a in (mean_scatter, var_scatter)]
    if root != "none":
        both = [np.sqrt(a) for a in both]
    return tuple(both[i] for i in order)


def _estimate_cases(rng):
    def variances(d):
        return rng.uniform(0.3, 4.0, size=d)

    def kurtoses(d):
        return rng.uniform(1.5, 9.0, size=d)

    one = "A batch of one always has the biased variance 0, which does not scatter."
    array = (
        "count is an array of shape (M, 1) there. Does each step of the formula "
        "broadcast?"
    )
    counts = np.array([[1], [2], [4], [32]])
    return [
        Case("normal data, M = 8", (8, variances(5))),
        Case("normal data, M = 2", (2, variances(4))),
        Case("M = 16, a kurtosis for each feature", (16, variances(4), kurtoses(4))),
        Case("M = 3, kurtosis 1.8 (uniform data)", (3, variances(3), 1.8)),
        Case("M = 5, kurtosis 6", (5, variances(3), 6.0)),
        Case("M = 7, kurtosis 1 (a fair coin)", (7, variances(3), 1.0)),
        Case("M = 1000", (1000, variances(3), kurtoses(3))),
        Case("a batch of one", (1, variances(3), kurtoses(3)), hint=one),
        Case("four batch sizes at once", (counts, variances(3), 4.0), hint=array),
    ]


_FULL = "Var v = var²·(M − 1)/M³·[(M − 1)·kurtosis − (M − 3)]"

estimates = Exercise(
    name="estimate_variance",
    outputs=("of_mean", "of_var"),
    formula=_estimates,
    cases=_estimate_cases,
    section="small-batches-statistics",
    page="small_batches",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "of_mean is a standard deviation over M. The variance of a mean of M "
            "independent values is their variance over M.",
            {"of_mean": "std / M"},
        ),
        Mistake(
            "The mean's scatter is divided by M². Each value enters with weight 1/M, "
            "squared 1/M²; but there are M of them: var/M is left.",
            {"of_mean": "var / M²"},
        ),
        Mistake(
            "of_mean is the variance of a single value. The mean of M of them scatters "
            "M times less: var/M.",
            {"of_mean": "var"},
        ),
        Mistake(
            "of_mean is var/(M − 1). `var` is the true variance, not an estimate: "
            "nothing needs a correction, var/M.",
            {"of_mean": "var / (M - 1)"},
        ),
        Mistake(
            "of_mean has the factor (M − 1)/M of the biased variance in it. `var` is "
            "the true variance: var/M.",
            {"of_mean": "biased var / M"},
        ),
        Mistake(
            "of_mean has var squared. It has the unit of x²: var/M.",
            {"of_mean": "var² / M"},
        ),
        Mistake(
            "The results are standard deviations. Return variances: no square root.",
            {"root": "both"},
        ),
        Mistake(
            "of_var has the unit of var. A variance of a variance has the unit of "
            f"var²: {_FULL}.",
            {"square": False},
        ),
        Mistake(
            "of_var ignores the kurtosis, as if all data were normal. With heavy tails "
            f"a batch's variance scatters far more: {_FULL}.",
            {"tails": "normal"},
        ),
        Mistake(
            "of_var is that of normal data and large M, 2·var²/M. It is to hold for "
            f"small M, and for any kurtosis: {_FULL}.",
            {"of_var": "2 / M"},
        ),
        Mistake(
            "You add 3 to the kurtosis, as if it were the *excess* kurtosis. It is the "
            "kurtosis itself: 3 for normal data.",
            {"tails": "excess"},
        ),
        Mistake(
            "You take 3 off the kurtosis. The formula is written with the kurtosis "
            "itself, which is 3 for normal data.",
            {"tails": "excess taken off"},
        ),
        Mistake(
            "Without a kurtosis you take 0. That is the *excess* kurtosis of normal "
            "data; the kurtosis itself is 3, which is to be the default.",
            {"tails": "default 0"},
        ),
        Mistake(
            "of_var is that of the *unbiased* variance. Batch norm divides by the "
            "biased one, which is (M − 1)/M times it, and so scatters "
            f"((M − 1)/M)² times as much: {_FULL}.",
            {"of_var": "unbiased"},
        ),
        Mistake(
            "of_var is the limit for large M, var²·(kurtosis − 1)/M. Small batches are "
            f"what this is about: {_FULL}.",
            {"of_var": "large M"},
        ),
        Mistake(
            f"of_var is divided by M², not by M³: {_FULL}.",
            {"of_var": "M²"},
        ),
        Mistake(
            "A factor M − 1 is missing from of_var. A batch of one shows it: its "
            f"variance is always 0. {_FULL}.",
            {"of_var": "no M - 1"},
        ),
        Mistake(
            f"of_var is not divided by M³: {_FULL}.",
            {"of_var": "no M"},
        ),
        Mistake(
            f"M − 3 is added in of_var; it is subtracted: {_FULL}.",
            {"of_var": "plus"},
        ),
        Mistake(
            f"In of_var you subtract M − 1 where it is M − 3: {_FULL}.",
            {"of_var": "M - 1 for M - 3"},
        ),
        Mistake(
            f"In of_var the kurtosis is multiplied by M; it is M − 1: {_FULL}.",
            {"of_var": "M for M - 1"},
        ),
        Mistake(
            "of_var is the square of the *expected* variance, ((M − 1)/M·var)². Asked "
            f"for is how far it scatters: {_FULL}.",
            {"of_var": "square of E v"},
        ),
        Mistake(
            "The results are in the wrong order: of_mean first, of_var second.",
            {"order": (1, 0)},
        ),
    ),
)
