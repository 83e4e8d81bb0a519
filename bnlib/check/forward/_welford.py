"""Exercise 6b: mean and variance in one pass."""

import tracemalloc
import weakref

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check._inputs import draw_batch
from bnlib.check.forward._shared import CANCELLATION, HALF, SINGLE, widen


class Rows:
    """The rows of an array: to be read once, one after the other, and not kept."""

    KEPT = 10

    def __init__(self, x):
        self._left = iter(x)
        self._given = []

    def __iter__(self):
        return self

    def __next__(self):
        self._given = [row for row in self._given if row() is not None]
        if len(self._given) > self.KEPT:
            raise MemoryError("too many rows are kept")
        row = next(self._left)
        self._given.append(weakref.ref(row))
        return row


LONG = 1000  # rows; from here on memory is measured
TIMES = 2  # times that they come, where it is measured from outside


def _run_welford(learner, rows):
    """Call the learner's function; raise MemoryError if it keeps copies of the rows."""
    if not hasattr(learner, "measure_memory"):
        if len(rows) < LONG:
            return learner(Rows(rows))
        result, peak = _peak(lambda: learner(Rows(rows)))
        _judge_memory(peak, rows, times=1)
        return result
    # A learner in another process keeps copies in any case, and is measured from here:
    # roughly, so that it takes many rows to tell what grows with them.
    if len(rows) >= LONG:
        again = (row for _ in range(TIMES) for row in rows)
        _, peak = learner.measure_memory(again)
        _judge_memory(peak, rows, times=TIMES)
    return learner(iter(rows))


def _judge_memory(peak, rows, times):
    """Raise MemoryError if too much was in use while the rows came `times` times."""
    if peak > times * rows.nbytes / 4:  # n, mean and m2 take a few rows, not hundreds
        raise MemoryError(
            f"{peak // 1024} KiB are in use at once, for rows of {rows[0].nbytes} bytes"
        )


def _peak(call):
    """Return the result of a call and the most memory it used at a time, in bytes."""
    mine = not tracemalloc.is_tracing()
    if mine:
        tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        result = call()
        return result, tracemalloc.get_traced_memory()[1] - before
    finally:
        if mine:
            tracemalloc.stop()


def _welford(
    rows,
    *,
    step="right",
    divisor="n",
    second_pass="",
    kept="",
    pooled=False,
    counted="n",
    root=False,
    order=(0, 1, 2),
):
    if kept and len(rows) > {"rows": Rows.KEPT, "copies": LONG - 1}[kept]:
        raise MemoryError("too many rows are kept")
    [rows] = widen(rows)
    n = len(rows)
    mean = rows.mean(axis=0)
    m2 = ((rows - mean) ** 2).sum(axis=0)
    if step != "right":
        mean, m2 = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
        for k, row in enumerate(rows, 1):
            old = row - mean
            mean = {
                "mean not divided": mean + old,
                "n from 0": mean + old / max(k - 1, 1),
                "n ahead": mean + old / (k + 1),
                "wrong sign": mean - old / k,
            }.get(step, mean + old / k)
            new = row - mean
            m2 = m2 + {
                "old, old": old * old,
                "new, new": new * new,
                "row, row": row * row,
            }.get(step, old * new)
    if step == "last m2":
        m2 = old * new
    var = (
        m2
        / {
            "n": n,
            "n - 1": np.float64(n - 1),
            "max(n - 1, 1)": max(n - 1, 1),
            "1": 1,
            "n + 1": n + 1,
        }[divisor]
    )
    if second_pass:
        var = np.zeros_like(var)
    if second_pass == "mean":
        mean = np.zeros_like(mean)
    if root:
        var = np.sqrt(var)
    if pooled:
        mean, var = rows.mean(), rows.var()
    n = {"n": n, "n - 1": n - 1, "n + 1": n + 1, "values": rows.size}[counted]
    out = (np.asarray(mean), np.asarray(var), np.array(float(n)))
    return tuple(out[i] for i in order)


def _welford_cases(rng):
    cases = []
    for n, d, dtype, mean, std, tolerance, hint in (
        (30, 4, np.float64, 0.0, 1.0, SINGLE, ""),
        (12, 3, np.float32, 2.0, 1.0, 1e-4, ""),
        (1, 3, np.float64, 1.0, 1.0, SINGLE, "One row: its variance is 0."),
        (200, 3, np.float32, 1e4, 1.0, 2e-2, CANCELLATION),
        (60, 5, np.float64, 1e8, 1.0, SINGLE, CANCELLATION),
        (300, 2, np.float16, 300.0, 20.0, 1e-4, HALF),
        (LONG, 512, np.float64, 0.0, 1.0, SINGLE, ""),
    ):
        rows = draw_batch(rng, (n, d), dtype=dtype, mean=mean, std=std)[0]
        what = f"{n} rows of {d} values, {np.dtype(dtype).name}, mean about {mean:g}"
        cases.append(Case(what, (rows,), {}, tolerance, hint))
    return cases


welford = Exercise(
    name="welford",
    outputs=("mean", "var", "count"),
    examine=("count", "mean", "var"),
    formula=_welford,
    cases=_welford_cases,
    run=_run_welford,
    section="forward-numerics",
    mistakes=(
        Mistake(
            "You keep the rows (in a list or an array). They may be more than fit in "
            "memory: keep only n, mean and m2, and update them with each row.",
            {"kept": "rows"},
        ),
        Mistake(
            "The memory in use grows with the number of rows: do you keep a copy of "
            "each, in a list or an array? They may be more than fit in memory: keep "
            "only n, mean and m2, and update them with each row.",
            {"kept": "copies"},
        ),
        Mistake(
            "The rows can be read only once: a second loop over them finds nothing. "
            "Update the mean and m2 in the same loop.",
            {"second_pass": "var"},
        ),
        Mistake(
            "The rows can be read only once. After a loop that counts them, nothing is "
            "left for the mean. Count and update in the same loop.",
            {"second_pass": "mean"},
        ),
        Mistake(
            "m2 is the sum of squares; the biased variance is m2 / n. You return m2 "
            "itself.",
            {"divisor": "1"},
        ),
        Mistake(
            "You divide m2 by n − 1, which gives the unbiased variance (and NaN for "
            "one row). Here the biased one is asked for: m2 / n.",
            {"divisor": "n - 1"},
        ),
        Mistake(
            "You divide m2 by n − 1, which gives the unbiased variance. Here the "
            "biased one is asked for: m2 / n.",
            {"divisor": "max(n - 1, 1)"},
        ),
        Mistake(
            "You divide m2 by n + 1: the count is one ahead. There are n rows.",
            {"divisor": "n + 1"},
        ),
        Mistake(
            "m2 grows by delta², with the old mean in both factors. Welford's update "
            "multiplies row minus the old mean by row minus the new mean.",
            {"step": "old, old"},
        ),
        Mistake(
            "m2 grows by the square of row minus the new mean. Welford's update "
            "multiplies row minus the old mean by row minus the new mean: compute "
            "delta before you update the mean.",
            {"step": "new, new"},
        ),
        Mistake(
            "m2 grows by row², so that the square of the mean is still in it. "
            "Welford's update multiplies row minus the old mean by row minus the new "
            "mean.",
            {"step": "row, row"},
        ),
        Mistake(
            "The mean moves by the whole delta, so that it is the last row. Move it by "
            "delta / n.",
            {"step": "mean not divided"},
        ),
        Mistake(
            "delta is divided by n − 1: n counts the rows before this one. Increase n "
            "first, then update the mean.",
            {"step": "n from 0"},
        ),
        Mistake(
            "delta is divided by n + 1, n being one ahead: the first row has n = 1.",
            {"step": "n ahead"},
        ),
        Mistake(
            "The mean moves away from the row. mean + (row - mean) / n moves towards "
            "it.",
            {"step": "wrong sign"},
        ),
        Mistake(
            "m2 is overwritten at each row; add to it.",
            {"step": "last m2"},
        ),
        Mistake(
            "One mean and one variance for all features. Each feature has its own: "
            "keep mean and m2 as arrays of shape (D,).",
            {"pooled": True},
        ),
        Mistake(
            "You return the standard deviation; return the variance, m2 / n.",
            {"root": True},
        ),
        Mistake("count is one too small: there are n rows.", {"counted": "n - 1"}),
        Mistake("count is one too large: there are n rows.", {"counted": "n + 1"}),
        Mistake(
            "count is the number of values; count the rows.", {"counted": "values"}
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
    changed=(
        "`mean = row` gives the row a second name, and `mean += ...` then writes into "
        "it. Write `mean = mean + ...`, which makes a new array."
    ),
)
