"""Exercise 4: forward in one kernel, statistics in one walk.

But: how often x is read is counted; how they are gathered in one walk is free.
"""

import numpy as np

from bnlib import emulator
from bnlib.check._exercise import Case, Mistake
from bnlib.check.alternatives._formula import affine
from bnlib.check.alternatives._mistakes import AFFINE, denominators
from bnlib.check.backward._training import standard_deviation
from bnlib.check.kernels._kernel import Kernel
from bnlib.check.kernels._moments import back, channels, counted

LARGE = (
    "There the mean is large: mean(x²) − mean(x)² loses its digits in float32. Gather "
    "mean and m2 by Welford's steps, or of x minus the channel's first value."
)
EMPTY = (
    "There the block has more threads than the channel has values: some threads "
    "have seen none, and merging two counts of 0 divides by zero."
)


def normalise(
    x,
    gamma,
    beta,
    block,
    eps,
    *,
    layout="NCS",
    threads="all",
    variance="biased",
    denominator="sqrt(v + eps)",
    centre="right",
    affine_kind="gamma xhat + beta",
    wide="",
):
    """Return y, mean and var of (N, C, S), right or wrong."""
    rows = channels(x, layout)
    kept = rows[:, counted(rows.shape[1], block, threads)]
    count = max(kept.shape[1], 1)
    mean = kept.sum(axis=1, keepdims=True) / count
    square = ((kept - mean) ** 2).sum(axis=1, keepdims=True) / count
    var = {
        "biased": lambda: square,
        "unbiased": lambda: square * count / np.float64(count - 1),
        "sum": lambda: square * count,
        "by threads": lambda: square * count / block,
        "std": lambda: np.sqrt(square),
        "raw": lambda: square + mean**2,
        "within threads": lambda: _within_threads(kept, block),
        "thread 0": lambda: _of_thread_0(kept, block),
    }[variance]()
    top = rows - mean
    top = {"none": rows, "plus": rows + mean, "minus": -top}.get(centre, top)
    s = {
        "v": lambda: var,
        "1 / s": lambda: 1 / np.sqrt(var + eps),
        "none": lambda: np.ones_like(var),
    }.get(denominator, lambda: standard_deviation(var, eps, denominator))()
    if wide == "all channels":
        mean, var = np.full_like(mean, rows.mean()), np.full_like(var, rows.var())
        top, s = rows - mean, np.sqrt(var + eps)
    y = affine((top / s).T, gamma.astype(float), beta.astype(float), affine_kind).T
    return back(y, x.shape, layout), mean[:, 0], var[:, 0]


def _within_threads(rows, block):
    """Merge without the means' distance: squares about each thread's own mean."""
    parts = [rows[:, t::block] for t in range(min(block, rows.shape[1]))]
    squares = [((p - p.mean(axis=1, keepdims=True)) ** 2).sum(axis=1) for p in parts]
    return np.sum(squares, axis=0)[:, None] / rows.shape[1]


def _of_thread_0(rows, block):
    own = rows[:, ::block]
    return own.var(axis=1, keepdims=True)


def cases(rng, shapes):
    """Draw x, gamma and beta for each of `shapes`."""
    drawn = []
    for n, c, s, block, mean, std, tolerance, hint in shapes:
        means = mean + std * rng.normal(size=(1, c, 1))
        scale = std * rng.uniform(0.5, 2.0, (1, c, 1))
        samples = 1 + 0.3 * std * rng.normal(size=(n, 1, 1))
        x = means + scale * samples * rng.normal(size=(n, c, s))
        gamma = rng.uniform(0.5, 2.0, c) * np.where(np.arange(c) % 2, -1, 1)
        arrays = (a.astype(np.float32) for a in (x, gamma, rng.normal(size=c)))
        what = f"x of shape ({n}, {c}, {s}) and {block} threads a block"
        eps = 1e-5 if mean else 3e-5
        drawn.append(Case(what, (*arrays, block, eps), {}, tolerance, hint))
    return drawn


SMALL = "There the variance is as small as eps: is eps inside the root?"
SHAPES = (
    (3, 5, 50, 96, 1.0, 1.0, 3e-5, ""),
    (5, 4, 9, 32, 0.7, 1.0, 3e-5, ""),
    (4, 3, 7, 64, 0.5, 1.0, 3e-5, EMPTY),
    (6, 2, 65, 64, 0.0, 4e-3, 3e-5, SMALL),
    (2, 3, 400, 128, 3000.0, 1.0, 5e-3, LARGE),
)


def plan(x, gamma, beta, block, eps):
    """Return grid, block and arguments of the kernel."""
    n, c, s = x.shape
    outputs = [emulator.empty(shape, np.float32) for shape in (x.shape, c, c)]
    return c, block, [x, gamma, beta, *outputs, n, c, s, eps]


MISTAKES = (
    Mistake(
        "The variance is divided by N·S − 1. Batch norm normalises by the biased "
        "variance: m2 / (N·S). (The unbiased one belongs into running_var only.)",
        {"variance": "unbiased"},
    ),
    Mistake(
        "var is m2 itself: divide it by the number of values, N·S.", {"variance": "sum"}
    ),
    Mistake(
        "m2 is divided by the number of threads. It is divided by the number of "
        "values: N·S.",
        {"variance": "by threads"},
    ),
    Mistake(
        "The standard deviation is where the variance belongs.", {"variance": "std"}
    ),
    Mistake(
        "The variance is the mean of x²: the square of the mean is still in it.",
        {"variance": "raw"},
    ),
    Mistake(
        "Merging forgets that two means differ: m2 = m2_a + m2_b + "
        "delta²·n_a·n_b/n, with delta the difference of the means. Without the last "
        "term only the spread within each thread counts.",
        {"variance": "within threads"},
    ),
    Mistake(
        "The mean is merged, but m2 is thread 0's own: what the others hold has to be "
        "merged as well.",
        {"variance": "thread 0"},
        alone=True,
    ),
    Mistake(
        "The statistics are of the first warp's values only. The second stage is "
        "missing: each warp writes n, mean and m2 into shared memory, and then those "
        "are merged.",
        {"threads": "first warp"},
    ),
    Mistake(
        "The statistics are of thread 0's own values only: those of the other threads "
        "have to be merged with them.",
        {"threads": "thread 0"},
    ),
    Mistake(
        "Each thread takes one value into the statistics, so that a channel longer "
        "than the block is cut off. Go on in steps of blockDim.x while i < N·S.",
        {"threads": "no stride"},
    ),
    Mistake(
        "The values after the last whole round of the block are left out of the "
        "statistics: N·S is not always a multiple of blockDim.x.",
        {"threads": "whole rounds"},
    ),
    Mistake(
        "The halving loses threads where the block is no power of two (96 goes 48, 24, "
        "12, 6, 3, 1). Merge by warps, or halve with (size + 1) / 2.",
        {"threads": "tree"},
    ),
    Mistake(
        "You take N·S values that lie one after the other for a channel. In memory, "
        "channels alternate within each sample: entry i of channel c is "
        "x[(i / S * C + c) * S + i % S].",
        {"layout": "CNS"},
    ),
    Mistake(
        "You take every C-th value for a channel, as if x were channels-last. Here "
        "entry (n, c, s) is x[(n * C + c) * S + s].",
        {"layout": "NSC"},
    ),
    Mistake("The mean is not subtracted from x.", {"centre": "none"}),
    Mistake("The mean is added; subtract it.", {"centre": "plus"}),
    Mistake("You compute mean − x; it is x − mean.", {"centre": "minus"}),
    Mistake("x − mean is not divided by s = sqrt(var + eps).", {"denominator": "none"}),
    Mistake(
        "One mean and one variance serve all channels. Each channel has its own.",
        {"wide": "all channels"},
        alone=True,
    ),
    *AFFINE,
    *denominators("var"),
)

forward = Kernel(
    name="bn_forward",
    outputs=("y", "mean", "var"),
    examine=("mean", "var", "y"),
    formula=normalise,
    cases=lambda rng: cases(rng, SHAPES),
    section="kernels-ladder",
    plan=plan,
    places=(3, 4, 5),
    once=(
        "A walk for the mean, one for the squares and one for y are three. Welford's "
        "steps gather mean and m2 in one walk, so that two are enough."
    ),
    mistakes=MISTAKES,
)
