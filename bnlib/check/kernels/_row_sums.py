"""Exercise 3: the sum of each row, a block a row.

But: one number a row; three at a time are in `_forward`.
"""

import numpy as np

from bnlib import emulator
from bnlib.check._exercise import Case, Mistake
from bnlib.check.kernels._kernel import Kernel
from bnlib.check.kernels._moments import counted


def _row_sums(x, block, *, threads="all", total="sum"):
    x = x.astype(np.float64)
    rows, n = x.shape
    if total == "columns":
        x = x.ravel()[np.arange(rows)[:, None] + rows * np.arange(n)]
    if total == "row 0":
        x = np.broadcast_to(x[0], x.shape)
    kept = x[:, counted(n, block, threads)]
    sums = {
        "sum": lambda: kept.sum(axis=1),
        "mean": lambda: kept.mean(axis=1),
        "mean of threads": lambda: kept.sum(axis=1) / block,
        "twice": lambda: 2 * kept.sum(axis=1),
        "squares": lambda: (kept**2).sum(axis=1),
        "32 times": lambda: 32 * kept.sum(axis=1),
        "first": lambda: x[:, 0],
        "last of each": lambda: _last_of_each(x, block),
        "whole numbers": lambda: _in_whole_numbers(x, block),
    }
    return (sums.get(total, sums["sum"])(),)


def _last_of_each(x, block):
    """Each thread keeps its last value: `mine = x[i]` where `mine += x[i]` belongs."""
    n = x.shape[1]
    return x[:, max(n - block, 0) :].sum(axis=1)


def _in_whole_numbers(x, block):
    """Each thread adds up in an int, which cuts off after every step."""
    rows, n = x.shape
    mine = np.zeros((rows, block))
    for i in range(n):
        mine[:, i % block] = np.trunc(mine[:, i % block] + x[:, i])
    return mine.sum(axis=1)


def _cases(rng):
    cases = []
    for rows, n, block in ((3, 200, 64), (2, 700, 96), (4, 37, 128), (5, 300, 32)):
        # Rows of different size, so that none is taken for another.
        x = rng.normal(rng.uniform(0.5, 2.0, (rows, 1)), 1.0, (rows, n))
        what = f"x of shape ({rows}, {n}) and {block} threads a block"
        cases.append(Case(what, (x.astype(np.float32), block), {}, 1e-5))
    return cases


def _plan(x, block):
    rows, n = x.shape
    return rows, block, [x, emulator.empty(rows, np.float32), n]


row_sums = Kernel(
    name="row_sums",
    outputs=("sums",),
    formula=_row_sums,
    cases=_cases,
    section="kernels-gpu",
    plan=_plan,
    places=(1,),
    mistakes=(
        Mistake(
            "Only the first warp's threads are in the sum. The warps' sums have to be "
            "added in a second stage: each warp writes its own into shared memory, and "
            "one warp adds those.",
            {"threads": "first warp"},
        ),
        Mistake(
            "Only thread 0's own values are in the sum. What the other threads hold "
            "has to get to it: by shuffles, or through shared memory.",
            {"threads": "thread 0"},
        ),
        Mistake(
            "Only lane 0 of each warp is in the sum: the warps are added up, but not "
            "the lanes within a warp.",
            {"threads": "lane 0"},
        ),
        Mistake(
            "Only the first half of each warp is in the sum. The first shuffle has to "
            "bridge 16 lanes: offsets 16, 8, 4, 2, 1, with the width of a whole warp.",
            {"threads": "half warps"},
        ),
        Mistake(
            "Only the first half of each warp is in the sum, and that twice: with "
            "width 16 a shuffle by 16 gives each lane its own value. Leave the width "
            "out: it is 32.",
            {"threads": "half warps", "total": "twice"},
            alone=True,
        ),
        Mistake(
            "Only the last warp's threads are in the sum: each warp writes its own "
            "over the others'. Give each a place in shared memory, and add those.",
            {"threads": "last warp"},
        ),
        Mistake(
            "Each thread takes one value, so a row longer than the block is cut off. "
            "Go on in steps of blockDim.x: `for (int i = threadIdx.x; i < n; i += "
            "blockDim.x)`.",
            {"threads": "no stride"},
        ),
        Mistake(
            "The values after the last whole round of the block are left out: n is "
            "not always a multiple of blockDim.x, and n / blockDim.x rounds down. Let "
            "the loop run while i < n.",
            {"threads": "whole rounds"},
        ),
        Mistake(
            "The halving loses threads where the block is no power of two: 96 threads "
            "go 48, 24, 12, 6, 3, 1, and the third of three is never added. Sum warps "
            "by shuffles, or halve with (size + 1) / 2.",
            {"threads": "tree"},
        ),
        Mistake(
            "Threads beyond the largest power of two in the block are left out. A "
            "block may have 96 threads.",
            {"threads": "power of two"},
            alone=True,
        ),
        Mistake(
            "The halving stops one step early: two partial sums are left, and only one "
            "of them is written. Go on while the offset is > 0.",
            {"threads": "short tree"},
            alone=True,
        ),
        Mistake(
            "That is the mean: the sum is not to be divided by n.", {"total": "mean"}
        ),
        Mistake(
            "The sum is divided by the number of threads.", {"total": "mean of threads"}
        ),
        Mistake(
            "Everything is in the sum twice. A shuffle whose source lane lies outside "
            "gives a thread its own value back; or are both halves added?",
            {"total": "twice"},
        ),
        Mistake(
            "Everything is in the sum 32 times: after the shuffles all lanes hold the "
            "warp's sum, and then all of them add it. One lane of a warp is enough.",
            {"total": "32 times"},
        ),
        Mistake("Those are sums of squares.", {"total": "squares"}, alone=True),
        Mistake(
            "Each thread keeps only the last of its values: `mine = ...` in the loop "
            "overwrites; `mine += ...` adds.",
            {"total": "last of each"},
        ),
        Mistake(
            "The sum is cut to whole numbers at each step: the variable that adds up "
            "is an int. Make it a float.",
            {"total": "whole numbers"},
        ),
        Mistake(
            "You walk down a column: entry i of row r is x[r * n + i]; rows lie one "
            "after the other.",
            {"total": "columns"},
        ),
        Mistake(
            "All blocks sum row 0: the row is blockIdx.x, and starts at blockIdx.x * "
            "n.",
            {"total": "row 0"},
        ),
        Mistake(
            "The result is the row's first value: nothing is added up.",
            {"total": "first"},
            alone=True,
        ),
    ),
)
