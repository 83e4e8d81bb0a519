"""Exercise: the Wasserstein-1 distance of two samples, of equal and unequal size.

But: no unit of length; whoever wants one divides by a standard deviation.
"""

from dataclasses import replace

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.effects._moments import INPUTS, draw_samples


def distance(
    before, after, *, match="sorted", total="mean", unequal="split", over="examples"
):
    """Wasserstein distance by column; a knob for each way to get it wrong."""
    before, after = (np.asarray(a, dtype=np.float64) for a in (before, after))
    columns = before.shape[1]
    if over == "features":  # np.sort's default axis is the last
        before, after = np.sort(before), np.sort(after)
    elif over == "everything":
        before, after = before.reshape(-1, 1), after.reshape(-1, 1)
    if unequal == "first rows":
        short = min(len(before), len(after))
        before, after = before[:short], after[:short]
    elif unequal == "repeated":
        size = max(len(before), len(after))
        before, after = (np.resize(a, (size, columns)) for a in (before, after))
    if match == "sorted" and over != "features":
        before, after = np.sort(before, 0), np.sort(after, 0)
    elif match == "one of two":
        before = np.sort(before, 0)
    elif match == "other of two":
        after = np.sort(after, 0)
    elif match == "reversed":
        before, after = np.sort(before, 0), np.sort(after, 0)[::-1]
    elif match == "by size":
        before, after = np.sort(np.abs(before), 0), np.sort(np.abs(after), 0)

    if match in ("distribution functions", "largest difference"):
        return (_between(before, after, match, total),)
    gaps, weights = _pairs(before, after, unequal)
    gaps = gaps if total == "signed" else np.abs(gaps)
    reduce = {
        "mean": lambda g: (weights[:, None] * g).sum(0),
        "signed": lambda g: np.abs((weights[:, None] * g).sum(0)),
        "sum": lambda g: g.sum(0),
        "max": lambda g: g.max(0),
        "median": lambda g: np.median(g, axis=0),
        "over all": lambda g: (weights[:, None] * g).sum() / columns,
        "in sd": lambda g: (weights[:, None] * g).sum(0) / before.std(0),
        "over size": lambda g: (weights[:, None] * g).sum(0) / columns,
        "half": lambda g: (weights[:, None] * g).sum(0) / 2,
        "square": lambda g: (weights[:, None] * g**2).sum(0),
        "root of square": lambda g: np.sqrt((weights[:, None] * g**2).sum(0)),
    }[total]
    return (reduce(gaps),)


def _pairs(before, after, unequal):
    """Return what is carried how far, and the share of the mass that each is."""
    n, m = len(before), len(after)
    if n == m:
        return after - before, np.full(n, 1 / n)
    if unequal == "split":
        levels = np.union1d(np.arange(1, n + 1) / n, np.arange(1, m + 1) / m)
        weights = np.diff(levels, prepend=0.0)
        middles = levels - weights / 2
        i, j = (middles * n).astype(int), (middles * m).astype(int)
        return after[j] - before[i], weights
    short = min(n, m)
    return {
        "first": lambda: (after[:short] - before[:short], np.full(short, 1 / short)),
        "padded": lambda: _padded(before, after),
        "interpolated": lambda: _interpolated(before, after, short),
        "interpolated, long": lambda: _interpolated(before, after, max(n, m)),
        "percentiles": lambda: _interpolated(before, after, 101),
    }[unequal]()


def _padded(before, after):
    size = max(len(before), len(after))
    before, after = (
        np.concatenate([a, np.zeros((size - len(a), a.shape[1]))])
        for a in (before, after)
    )
    return after - before, np.full(size, 1 / size)


def _interpolated(before, after, size):
    levels = np.linspace(0, 1, size)
    gaps = np.quantile(after, levels, axis=0) - np.quantile(before, levels, axis=0)
    return gaps, np.full(size, 1 / size)


def _between(before, after, match, total):
    """Compare distribution functions."""
    found = []
    for a, b in zip(before.T, after.T, strict=True):
        a, b = np.sort(a), np.sort(b)
        points = np.sort(np.concatenate([a, b]))
        f = np.searchsorted(a, points, side="right") / len(a)
        g = np.searchsorted(b, points, side="right") / len(b)
        gap = np.abs(f - g)
        if match == "largest difference":
            found.append(gap.max())
        elif total == "trapezoids":
            found.append(np.sum((gap[1:] + gap[:-1]) / 2 * np.diff(points)))
        elif total == "right ends":
            found.append(np.sum(gap[1:] * np.diff(points)))
        else:
            found.append(gap.mean())
    return np.array(found)


def _equal_cases(rng):
    gap = np.linspace(0, 1, 12)[:, None] + rng.uniform(size=(1, 2))
    moved = np.where(np.arange(12)[:, None] == 11, gap + 1, gap)
    return [
        Case("two samples of shape (40, 3)", draw_samples(rng, 40, 40, 3)),
        Case("two samples of shape (5, 7)", draw_samples(rng, 5, 5, 7)),
        Case("one of 12 moved by 1, all shuffled", (gap, rng.permutation(moved))),
        Case("a sample and the same moved by 10", (gap, gap + 10)),
        Case(
            "samples of shape (50, 2), float32",
            tuple(a.astype(np.float32) for a in draw_samples(rng, 50, 50, 2)),
            tolerance=1e-4,
        ),
        Case("one example each", (rng.normal(size=(1, 3)), rng.normal(size=(1, 3)))),
    ]


def _cases(rng):
    hint = (
        "Each of N grains weighs 1/N and each of M grains 1/M, so that some have to be "
        "split."
    )
    return [
        *_equal_cases(rng),
        *(
            Case(
                f"samples of shapes ({n}, {d}) and ({m}, {d})",
                draw_samples(rng, n, m, d),
                hint=hint,
            )
            for n, m, d in ((4, 8, 3), (12, 5, 2), (1, 6, 3), (9, 6, 4), (20, 32, 2))
        ),
    ]


_EVERY = (
    Mistake(
        "The samples are not sorted: each example is compared with the one in the same "
        "row. Those are the moves of the *examples*; they may change places while the "
        "distribution stands still. The cheapest plan carries the smallest value to "
        "the smallest, the second to the second, ...: sort both.",
        {"match": "as they come"},
    ),
    *(
        Mistake(
            "Only one of the two samples is sorted. Sort both, each by itself.",
            {"match": kind},
        )
        for kind in ("one of two", "other of two")
    ),
    Mistake(
        "One sample is sorted upwards, the other downwards: the *dearest* plan. "
        "Sort both upwards.",
        {"match": "reversed"},
    ),
    Mistake(
        "You sort absolute values, so that −3 and 3 count as the same place. Sort the "
        "values; take the absolute value of the differences.",
        {"match": "by size"},
    ),
    Mistake(
        "You sort along the features: `np.sort(x)` sorts along the *last* axis. Each "
        "feature's values are to be sorted over the examples: `np.sort(x, axis=0)`.",
        {"over": "features"},
    ),
    Mistake(
        "All features are thrown together. Each has its own distribution and its own "
        "distance: sort with axis=0 and average over axis 0 only.",
        {"over": "everything"},
    ),
    Mistake(
        "You average over the features as well; return one distance for each, of shape "
        "(D,): `.mean(axis=0)`.",
        {"total": "over all"},
    ),
    Mistake(
        "You divide by the number of *all* values, N·D (`.size`). Each unit has N of "
        "them: divide by N (`len`, `.mean(axis=0)`).",
        {"total": "over size"},
    ),
    Mistake(
        "The differences keep their signs, so that what moved up cancels what moved "
        "down: that is only how far the *mean* moved. Take absolute values before the "
        "average.",
        {"total": "signed"},
    ),
    Mistake(
        "You add up the distances; W1 is their mean. All grains together weigh 1, so "
        "each weighs 1/N.",
        {"total": "sum"},
    ),
    Mistake(
        "That is the largest distance that anything moves (W∞). W1 is the mean.",
        {"total": "max"},
    ),
    Mistake(
        "That is the median of the distances. The work is distance times mass, summed: "
        "the mean.",
        {"total": "median"},
    ),
    Mistake(
        "That is the root of the mean square, W2. In W1 work is distance times mass: "
        "the mean of absolute differences.",
        {"total": "root of square"},
    ),
    Mistake(
        "That is the mean of *squared* differences. In W1 work is distance times mass: "
        "the mean of absolute differences.",
        {"total": "square"},
    ),
    Mistake(
        "You divide by the standard deviation. Here the distance is wanted in the unit "
        "of x; whoever needs it in standard deviations divides.",
        {"total": "in sd"},
    ),
    Mistake(
        "The result is half of what it should be: nothing is counted twice here.",
        {"total": "half"},
    ),
    Mistake(
        "That is the largest difference of the two distribution functions (Kolmogorov "
        "and Smirnov): it is never above 1, however far apart the samples are. W1 is "
        "the *area* between them.",
        {"match": "largest difference"},
    ),
    Mistake(
        "You average |F − G| over the points, as if they were equally far apart. W1 is "
        "the area: multiply each |F − G| by the width of its interval, and add up.",
        {"match": "distribution functions"},
    ),
    Mistake(
        "|F − G| is a step function, and trapezoids cut its corners. Between two "
        "neighbouring points it is constant: height at the left one times the width.",
        {"match": "distribution functions", "total": "trapezoids"},
    ),
    Mistake(
        "|F − G| is constant between two points, with the value at the *left* one; you "
        "take the value at the right end.",
        {"match": "distribution functions", "total": "right ends"},
    ),
)

_UNEQUAL = (
    *(
        Mistake(
            "Where the sizes differ you leave away what is over in the larger sample: "
            f"its {which} are ignored. Every grain has to be carried somewhere: N "
            "grains of 1/N become M grains of 1/M, so some are split.",
            {"unequal": kind},
        )
        for kind, which in (("first", "largest values"), ("first rows", "last rows"))
    ),
    Mistake(
        "Where the sizes differ you fill up with zeros: grains that nobody has. Split "
        "those that are there: N grains of 1/N become M grains of 1/M.",
        {"unequal": "padded"},
    ),
    *(
        Mistake(
            "Where the sizes differ you interpolate between the sample's values "
            "(`np.quantile` and `np.interp` do so by default). That invents values in "
            "between: a sample's quantile function is a staircase. Split the grains "
            "instead, or take the area between the two distribution functions.",
            {"unequal": kind},
        )
        for kind in ("interpolated", "interpolated, long", "percentiles")
    ),
    Mistake(
        "Where the sizes differ you repeat values of the smaller sample until there "
        "are enough. Some are then there more often than others, unless the sizes "
        "divide. Repeat *both*, each value of `before` M times and each of `after` N "
        "times: then both have N·M.",
        {"unequal": "repeated"},
    ),
)

wasserstein = Exercise(
    name="wasserstein",
    outputs=("distance",),
    formula=distance,
    cases=_cases,
    section="hypothesis-definitions",
    changed=INPUTS,
    mistakes=(*_EVERY, *_UNEQUAL),
)
wasserstein_equal = replace(wasserstein, cases=_equal_cases, mistakes=_EVERY)
