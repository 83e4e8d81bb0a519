"""Random batches (dy, x, gamma) to try a backward pass on, and hints about them.

But: the inputs with images or running statistics stand beside their exercises.
"""

import numpy as np

from bnlib.check._exercise import Case
from bnlib.check._inputs import draw_batch

SMALL = (
    "There the variance is as small as eps: is eps inside the root, with the variance?"
)
LARGE = (
    "There the mean is large: mean(x²) − mean(x)² loses its digits. Take the mean of "
    "(x − mu)²."
)
CONSTANT = "There one feature is constant, so that its variance is 0 and s = sqrt(eps)."
EPS = "Is every eps in it the argument?"
LAYOUT = "That array is not contiguous: does a `reshape` or `ravel` expect it to be?"


def draw(rng, shape, *, axis=-1, **options):
    """Draw dy, x, gamma; dy is random, with a mean: dy = 1 would make dx zero."""
    x, gamma, _ = draw_batch(rng, shape, axis=axis, **options)
    dy = rng.normal(0.4, 1.0, size=shape)
    return dy.astype(x.dtype), x, gamma


def draw_by_column(rng):
    """Draw dy and x that are not contiguous, and gamma."""
    dy, x, gamma = draw(rng, (10, 3), mean=1.0)
    return np.asfortranarray(dy), np.asfortranarray(x), gamma


def column_cases(rng):
    """Batches of shape (N, D), in which N is once D."""
    cases = []
    for n, d, dtype, mean, std, tolerance, hint in (
        (7, 5, np.float64, 0.0, 1.0, 1e-9, ""),
        (9, 4, np.float64, 3.0, 1.0, 1e-9, ""),
        (5, 5, np.float64, -2.0, 4.0, 1e-9, ""),  # N could be taken for D
        (6, 4, np.float64, 3.0, 3e-3, 1e-9, SMALL),
        (9, 3, np.float32, 1.0, 1.0, 2e-5, ""),
        (16, 4, np.float32, 3e3, 1.0, 3e-2, LARGE),
    ):
        what = f"x of shape ({n}, {d}), {np.dtype(dtype).name}, mean about {mean:g}"
        arguments = draw(rng, (n, d), dtype=dtype, mean=mean, std=std)
        cases.append(Case(what, arguments, {}, tolerance, hint))
    cases.append(Case("eps = 0.1", draw(rng, (8, 3)), {"eps": 0.1}, hint=EPS))
    dy, x, gamma = draw(rng, (8, 3))
    x[:, 1] = 2.0
    cases.append(Case("a feature that is constant", (dy, x, gamma), hint=CONSTANT))
    by_column = draw_by_column(rng)
    cases.append(Case("x and dy stored column by column", by_column, hint=LAYOUT))
    return cases
