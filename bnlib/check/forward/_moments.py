"""Exercise 6a: mean and variance of any float."""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check._inputs import draw_batch
from bnlib.check.forward._shared import (
    CANCELLATION,
    HALF,
    SINGLE,
    VARIANCE_MISTAKES,
    variance_of,
    widen,
)


def _moments(x, *, axis=0, variance="biased", rounded=False, order=(0, 1)):
    [wide] = widen(x)
    mean = wide.mean(axis=axis, keepdims=True)
    var = variance_of(wide, mean, axis, kind=variance).squeeze()
    mean = mean.squeeze()
    if rounded:
        mean, var = (a.astype(x.dtype).astype(np.float64) for a in (mean, var))
    return tuple((mean, var)[i] for i in order)


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
            # Not around 0: a mean that is all rounding has no right digits.
            x = x - x.mean(axis=0) + std * rng.uniform(0.5, 2.0, size=d)
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
        Mistake(
            "You take the mean over axis 1, the features. The moments are those of "
            "each column: axis=0.",
            {"axis": 1},
        ),
        Mistake(
            "One mean and one variance for the whole array. Each column has its own: "
            "axis=0.",
            {"axis": (0, 1)},
        ),
        *VARIANCE_MISTAKES,
        ORDER_OF_MOMENTS,
    ),
)
