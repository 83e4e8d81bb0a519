"""Random inputs on which no wrong version hides, and hints about them.

Every sample and every feature has a mean and a scale of its own, so that statistics
over other entries are other numbers. All are in proportion to `std`, so that the
variance of any set is of the order of std².
"""

import numpy as np

from bnlib.check._exercise import Case

SMALL = (
    "There the variances are as small as eps: is eps inside the root, with the "
    "variance?"
)
LARGE = (
    "There the mean is large: mean(x²) − mean(x)² loses its digits. Take the mean of "
    "(x − mu)²."
)
EPS = "Is every eps in it the argument?"
LAYOUT = "That array is not contiguous: does a `reshape` or `ravel` expect it to be?"


def draw(rng, shape, *, dtype=np.float64, mean=0.0, std=1.0):
    """Draw x of shape (N, C, ...), gamma (of both signs) and beta of shape (C,)."""
    n, c, *positions = shape
    ones = (1,) * len(positions)
    samples = rng.normal(size=(n, 1, *ones))
    features = rng.normal(size=(1, c, *ones))
    scale = rng.uniform(0.5, 2.0, (n, 1, *ones)) * rng.uniform(0.5, 2.0, (1, c, *ones))
    x = mean + std * (samples + features + scale * rng.normal(size=shape))
    gamma = rng.uniform(0.5, 2.0, size=c) * np.where(np.arange(c) % 2, -1, 1)
    beta = rng.normal(size=c)
    return x.astype(dtype), gamma.astype(dtype), beta.astype(dtype)


def draw_gradient(rng, shape, *, dtype=np.float64, **options):
    """Draw dy, x and gamma; dy is random, with a mean: dy = 1 would make dx zero."""
    x, gamma, _ = draw(rng, shape, dtype=dtype, **options)
    return rng.normal(0.4, 1.0, size=shape).astype(dtype), x, gamma


def row_cases(rng, drawn, *, x_at=0, centred=True):
    """Cases of shape (N, D) for statistics of rows; N is once D.

    `drawn` draws the arguments, and `x_at` is the place of x among them. Where nothing
    is centred (`centred` false) the row with variance 0 is zero, not constant.
    """
    cases = []
    for n, d, dtype, mean, std, tolerance, hint in (
        (7, 5, np.float64, 0.0, 1.0, 1e-9, ""),
        (4, 9, np.float64, 3.0, 1.0, 1e-9, ""),
        (5, 5, np.float64, -2.0, 4.0, 1e-9, ""),  # N could be taken for D
        (6, 4, np.float64, 1e-3, 1e-3, 1e-9, SMALL),
        (1, 6, np.float64, 1.0, 1.0, 1e-9, "A batch of one is no problem here."),
        (3, 8, np.float32, 1.0, 1.0, 2e-5, ""),
        (4, 16, np.float32, 3e3, 1.0, 3e-2, LARGE if centred else ""),
    ):
        what = f"x of shape ({n}, {d}), {np.dtype(dtype).name}, mean about {mean:g}"
        arguments = drawn(rng, (n, d), dtype=dtype, mean=mean, std=std)
        cases.append(Case(what, arguments, {}, tolerance, hint))
    cases.append(Case("eps = 0.1", drawn(rng, (3, 8)), {"eps": 0.1}, hint=EPS))
    arguments = drawn(rng, (4, 6))
    arguments[x_at][1] = 2.0 if centred else 0.0
    kind = "constant" if centred else "zero everywhere"
    hint = f"There one sample is {kind}, so that s = sqrt(eps)."
    cases.append(Case(f"a sample that is {kind}", arguments, hint=hint))
    arguments = tuple(np.asfortranarray(a) for a in drawn(rng, (6, 4)))
    cases.append(Case("arrays stored column by column", arguments, hint=LAYOUT))
    return cases


def group_cases(rng, drawn, *, x_at=0):
    """Cases of shape (N, C, H, W) and a number of groups: one, some, or C."""
    cases = []
    for shape, groups, dtype, mean, std, tolerance, hint in (
        ((3, 6, 4, 5), 2, np.float64, 0.5, 1.0, 1e-9, ""),
        ((2, 6, 5, 3), 3, np.float64, -1.0, 2.0, 1e-9, ""),
        ((3, 4, 2, 5), 1, np.float64, 1.0, 1.0, 1e-9, "One group holds all channels."),
        ((2, 3, 4, 5), 3, np.float64, 1.0, 1.0, 1e-9, "C groups: one channel each."),
        ((4, 4, 4, 4), 2, np.float64, 1.0, 2.0, 1e-9, ""),
        ((1, 8, 3, 2), 4, np.float64, 0.0, 1.0, 1e-9, "A batch of one is no problem."),
        ((3, 8, 1, 1), 2, np.float64, 0.5, 1.0, 1e-9, "One position is no problem."),
        ((3, 6, 4, 5), 2, np.float64, 1e-3, 1e-3, 1e-9, SMALL),
        ((3, 6, 2, 4), 3, np.float32, 1.0, 1.0, 2e-5, ""),
        ((2, 4, 3, 5), 2, np.float32, 3e3, 1.0, 3e-2, LARGE),
    ):
        what = f"x of shape {shape}, num_groups={groups}, {np.dtype(dtype).name}"
        arguments = (*drawn(rng, shape, dtype=dtype, mean=mean, std=std), groups)
        cases.append(Case(what, arguments, {}, tolerance, hint))
    arguments = (*drawn(rng, (2, 6, 3, 4)), 3)
    cases.append(Case("eps = 0.1", arguments, {"eps": 0.1}, hint=EPS))
    arguments = (*drawn(rng, (3, 6, 2, 4)), 3)
    arguments[x_at][1, 2:4] = 2.0
    hint = "There one group is constant, so that s = sqrt(eps)."
    cases.append(Case("a group that is constant", arguments, hint=hint))
    arguments = drawn(rng, (2, 4, 3, 5))
    view = [np.ascontiguousarray(a.T).T if a.ndim > 1 else a for a in arguments]
    cases.append(Case("arrays stored channels last", (*view, 2), hint=LAYOUT))
    return cases
