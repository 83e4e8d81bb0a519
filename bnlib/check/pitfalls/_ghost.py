"""Exercise: ghost batch norm, forwards, when the parts are not all of one size.

But: no running statistics and no gradient.
"""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check._inputs import draw_batch
from bnlib.check.pitfalls._shared import CHANGED, EPS, FINISH, LARGE, finish, wide


def _ghost(
    x,
    gamma,
    beta,
    ghost_size,
    eps=1e-5,
    *,
    parts="consecutive",
    rest="own",
    single="joins",
    variance="biased",
    along="samples",
    **knobs,
):
    """Ghost batch norm of (N, D); the knobs say which parts there are."""
    x, gamma, beta = wide(x, gamma, beta)
    n, size = len(x), ghost_size
    if parts == "whole batch":
        size = n
    if parts == "count":  # ghost_size taken for the number of parts
        groups = np.array_split(np.arange(n), min(size, n))
    elif parts == "equal":
        groups = np.array_split(np.arange(n), max(1, n // size))
    elif parts == "strided":
        count = -(-n // size)
        groups = [np.arange(k, n, count) for k in range(count)]
    else:
        groups = [np.arange(k, min(k + size, n)) for k in range(0, n, size)]
        short = len(groups[-1]) < size
        if short and rest in ("dropped", "untouched", "zero"):
            groups.pop()
        elif (
            short
            and len(groups) > 1
            and (rest == "joins" or (single == "joins" and len(groups[-1]) == 1))
        ):
            last = groups.pop()
            groups[-1] = np.concatenate([groups[-1], last])
    y = {
        "untouched": lambda: x.copy(),
        "zero": lambda: np.zeros_like(x),
    }.get(rest, lambda: np.full_like(x, np.nan))()
    for k, rows in enumerate(groups):
        part = x[rows]
        source = part
        if rest == "whole batch's" and len(rows) < size:
            source = x
        elif rest == "previous" and len(rows) < size and k:
            source = x[groups[k - 1]]
        elif rest == "overlapping" and len(rows) < size and n >= size:
            source = x[n - size :]
        elif parts == "first part's":
            source = x[groups[0]]
        axis, keep = (0, True) if along == "samples" else (1, True)
        mean = source.mean(axis, keepdims=keep)
        var = source.var(axis, keepdims=keep)
        if variance == "unbiased":
            var = var * len(source) / np.float64(len(source) - 1)
        elif variance == "whole batch's":
            var = x.var(0)
        elif variance == "mean square":
            var = (source**2).mean(0)
        elif variance == "pooled":
            var = source.var()
        elif variance == "sum / ghost_size":
            mean = source.sum(0) / ghost_size
            var = ((source - mean) ** 2).sum(0) / ghost_size
        if parts == "whole mean":
            mean = x.mean(0)
        y[rows] = finish(part, mean, var, gamma, beta, eps, **knobs)
    if rest == "dropped":
        y = y[: sum(map(len, groups))]
    return (y,)


def _ghost_cases(rng):
    unequal = "The last ghost batch is smaller there; it has statistics of its own."
    alone = (
        "One sample is left over there. By itself it would be normalised to 0, so it "
        "joins the ghost batch before it."
    )
    whole = "There is no more than one ghost batch there."
    cases = []
    for n, d, size, dtype, mean, tolerance, options, hint in (
        (12, 5, 4, np.float64, 1.0, 1e-9, {}, ""),
        (6, 6, 3, np.float64, -2.0, 1e-9, {}, ""),
        (11, 4, 4, np.float64, 1.0, 1e-9, {}, unequal),
        (14, 3, 4, np.float64, 2.0, 1e-9, {}, unequal),
        (13, 3, 4, np.float64, 1.0, 1e-9, {}, alone),
        (7, 2, 3, np.float64, 1.0, 1e-9, {}, alone),
        (5, 3, 8, np.float64, 0.0, 1e-9, {}, whole),
        (5, 3, 5, np.float64, 0.0, 1e-9, {}, whole),
        (20, 3, 8, np.float32, 1.0, 1e-4, {}, unequal),
        (12, 3, 4, np.float64, 1e7, 1e-5, {}, LARGE),
        (9, 3, 3, np.float64, 1.0, 1e-9, {"eps": 0.3}, EPS),
    ):
        x, gamma, beta = draw_batch(rng, (n, d), dtype=dtype, mean=mean)
        what = f"{n} samples, ghost_size = {size}, {np.dtype(dtype).name}"
        what += "".join(f", {k} = {v:g}" for k, v in options.items())
        if mean > 100:
            what += f", mean about {mean:g}"
        arguments = (x, gamma, beta, size)
        cases.append(Case(what, arguments, options, tolerance, hint))
    x, gamma, beta = draw_batch(rng, (8, 3), mean=1.0)
    x[:4, 1] = 2.0
    text = "a feature that is constant in one ghost batch"
    cases.append(Case(text, (x, gamma, beta, 4), hint="There y is beta, not NaN."))
    return cases


_OWN = "mean and variance of its own rows"

ghost = Exercise(
    name="ghost_batch_norm",
    outputs=("y",),
    formula=_ghost,
    cases=_ghost_cases,
    section="fixing-ghost",
    page="fixing_batch_norm",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "That is ordinary batch norm: one mean and one variance of the whole "
            f"batch. Each ghost batch is normalised by {_OWN}.",
            {"parts": "whole batch"},
        ),
        Mistake(
            "ghost_size is the number of samples in a ghost batch; you take it for the "
            "number of ghost batches.",
            {"parts": "count"},
        ),
        Mistake(
            "You cut the batch into parts of nearly equal size. All have ghost_size "
            "samples but the last, which takes what is left.",
            {"parts": "equal"},
        ),
        Mistake(
            "A ghost batch holds every k-th sample. It holds *consecutive* ones: "
            "x[0:ghost_size], then x[ghost_size:2*ghost_size], and so on (as a "
            "device would see them).",
            {"parts": "strided"},
        ),
        Mistake(
            f"All parts use the first part's statistics. Each uses {_OWN}.",
            {"parts": "first part's"},
        ),
        Mistake(
            "The mean is the whole batch's; only the variance is the ghost batch's. "
            "Both are the ghost batch's.",
            {"parts": "whole mean"},
        ),
        Mistake(
            "The variance is the whole batch's; only the mean is the ghost batch's. "
            "Both are the ghost batch's.",
            {"variance": "whole batch's"},
        ),
        Mistake(
            "One sample is left over and makes a ghost batch of its own: its variance "
            "is 0 and its y is beta, whatever x is. It joins the ghost batch before.",
            {"single": "own"},
        ),
        Mistake(
            "A smaller last part always joins the ghost batch before it. Only a single "
            f"sample does; from two samples on it is normalised by {_OWN}.",
            {"rest": "joins"},
        ),
        Mistake(
            "The samples left over are dropped: y is shorter than x. Every sample "
            "needs its y.",
            {"rest": "dropped"},
        ),
        Mistake(
            "The samples left over come out as they went in: your loop ends after the "
            f"last full part. Their ghost batch is smaller, with {_OWN}.",
            {"rest": "untouched"},
        ),
        Mistake(
            "The samples left over have y = 0: your loop ends after the last full "
            f"part. Their ghost batch is smaller, with {_OWN}.",
            {"rest": "zero"},
        ),
        Mistake(
            "The smaller last part uses the whole batch's statistics. It uses the "
            f"{_OWN}.",
            {"rest": "whole batch's"},
        ),
        Mistake(
            "The smaller last part uses the statistics of the part before. It uses the "
            f"{_OWN}.",
            {"rest": "previous"},
        ),
        Mistake(
            "The smaller last part uses the statistics of the last ghost_size samples, "
            f"some of which belong to the part before. It uses the {_OWN}.",
            {"rest": "overlapping"},
        ),
        Mistake(
            "Sums are divided by ghost_size even where the last part has fewer "
            "samples. Divide by the number that it has, or take `.mean`.",
            {"variance": "sum / ghost_size"},
        ),
        Mistake(
            "The variance is divided by one less than the number of samples (ddof=1). "
            "Batch norm normalises by the biased variance: divide by the number.",
            {"variance": "unbiased"},
        ),
        Mistake(
            "The variance is the mean of x². Subtract the mean first.",
            {"variance": "mean square"},
        ),
        Mistake(
            "The variance is that of all features together. Each has its own: axis 0.",
            {"variance": "pooled"},
        ),
        Mistake(
            "The statistics are over each sample's features, as in layer norm: in that "
            "case no ghost batch matters. They are over the ghost batch's samples, "
            "axis 0.",
            {"along": "features"},
        ),
        *FINISH,
    ),
)
