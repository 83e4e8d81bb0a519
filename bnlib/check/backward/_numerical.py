"""Exercise: a gradient by central differences, of any function.

But: it compares with nothing; that is `_gradient_error`.
"""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.backward._batches import LAYOUT


def _numerical(
    f,
    x,
    dy,
    h=1e-5,
    *,
    difference="central",
    divide="2h",
    weights="dy",
    step="h",
    total="sum",
    restored=True,
    together=False,
    written="always",
):
    """Central differences of sum(f(x) dy), entry by entry."""
    h = h if step == "h" else float(step)
    dy = np.ones_like(dy) if weights == "ones" else dy
    reduce = {"sum": np.sum, "mean": np.mean}[total]
    above, below = {"central": (h, -h), "forward": (h, 0.0), "backward": (0.0, -h)}[
        difference
    ]
    width = {
        "2h": above - below,
        "h": h,
        "2h, one-sided": 2 * h,
        "no": 1.0,
        "-2h": below - above,
        "/ 2 * h": 2 / h,
    }[divide]
    if together:  # all entries moved at once
        return ((f(x + above) - f(x + below)) * dy / width,)
    if written == "never" or (written == "C" and not x.flags.c_contiguous):
        return (np.zeros(x.shape),)  # x.ravel() was a copy; moving that moves nothing
    x = x.copy()
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + above
        high = reduce(f(x) * dy)
        x[index] = kept + below
        low = reduce(f(x) * dy)
        gradient[index] = (high - low) / width
        if restored:
            x[index] = kept
    return (gradient,)


def _residual(x):
    # The x keeps the gradient from zero where a learner takes dy = 1.
    return x + (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)


def _numerical_cases(rng):
    matrix = rng.normal(size=(3, 2))
    cases = []
    for what, f, x, dy_shape, options in (
        ("f(x) = x³, x of shape (4,), h = 0.1", _cube, (4,), (4,), {"h": 0.1}),
        ("f(x) = x + batch norm(x), shape (5, 4)", _residual, (5, 4), (5, 4), {}),
        ("f(x) = x @ A, x of shape (5, 3)", _times(matrix), (5, 3), (5, 2), {}),
        ("f(x) = exp(x), 3 axes, h = 0.5", np.exp, (2, 3, 4), (2, 3, 4), {"h": 0.5}),
        ("f(x) = sum(x³), h = 0.2", _sum_of_cubes, (3, 2), (), {"h": 0.2}),
    ):
        arguments = (f, rng.normal(size=x), np.asarray(rng.normal(size=dy_shape)))
        cases.append(Case(what, arguments, options, 1e-6))
    x = rng.normal(size=(3, 4)).T
    arguments = (_residual, x, rng.normal(size=(4, 3)))
    cases.append(Case("x that is stored column by column", arguments, {}, 1e-6, LAYOUT))
    return cases


def _cube(x):
    return x**3


def _sum_of_cubes(x):
    return np.sum(x**3)


def _times(matrix):
    return lambda x: x @ matrix


numerical = Exercise(
    name="numerical_gradient",
    outputs=("gradient",),
    formula=_numerical,
    cases=_numerical_cases,
    section="backward-check",
    changed=(
        "Whoever called it still needs x. If you move entries in place, keep the old "
        "value and put that back: `x[i] += h` and then `x[i] -= h` does not, since "
        "(x + h) − h is not exactly x in floating point; nor does it help to keep a "
        "row, `old = x[i]`, which is a view. Or work on a copy."
    ),
    mistakes=(
        Mistake(
            "That is a forward difference, (L(x + h) − L(x)) / h, whose error shrinks "
            "like h. Step to both sides, (L(x + h) − L(x − h)) / (2h): the error "
            "shrinks like h².",
            {"difference": "forward"},
        ),
        Mistake(
            "That is a backward difference, (L(x) − L(x − h)) / h, whose error shrinks "
            "like h. Step to both sides, (L(x + h) − L(x − h)) / (2h): the error "
            "shrinks like h².",
            {"difference": "backward"},
        ),
        Mistake(
            "You divide by h. From x − h to x + h it is 2h; the gradient is twice as "
            "large as it should be.",
            {"divide": "h"},
        ),
        Mistake(
            "Only one side is moved, but you divide by 2h. Step to both sides: "
            "(L(x + h) − L(x − h)) / (2h).",
            {"difference": "forward", "divide": "2h, one-sided"},
        ),
        Mistake(
            "`/ 2 * h` divides by 2 and then multiplies by h. Write `/ (2 * h)`.",
            {"divide": "/ 2 * h"},
        ),
        Mistake(
            "The division by 2h is missing: that is the change of L, not its rate of "
            "change.",
            {"divide": "no"},
        ),
        Mistake(
            "The sign is wrong: L(x + h) − L(x − h), in this order.",
            {"divide": "-2h"},
        ),
        Mistake(
            "dy is ignored, as if it were all ones. The loss is sum(f(x)·dy). (With "
            "ones, batch norm's gradient is zero whatever x is, and a check of it "
            "shows nothing.)",
            {"weights": "ones"},
        ),
        Mistake(
            "The loss is a mean; it must be the sum of f(x)·dy.",
            {"total": "mean"},
        ),
        Mistake(
            "You move all entries of x at once. Where an output depends on several "
            "entries, as in batch norm, that mixes their effects. Move one entry, "
            "measure, put it back, go on to the next.",
            {"together": True},
        ),
        Mistake(
            "An entry is not put back before the next one moves, so that the earlier "
            "entries are still displaced. Keep the old value and restore it.",
            {"restored": False},
        ),
        *(
            Mistake(
                "The argument h is ignored: the step is a fixed number.",
                {"step": step},
            )
            for step in ("1e-5", "1e-3")
        ),
        Mistake(
            "The gradient is zero: both losses are the same number. Either the second "
            "is not computed again after the second step (f must be called once for "
            "x + h and once for x − h), or f never sees the steps: `x.flatten()` is a "
            "copy, and `x.ravel()` and `x.reshape(-1)` may be copies; moving one moves "
            "nothing in x. Index x itself, for example with `np.ndindex(x.shape)`.",
            {"written": "never"},
        ),
        Mistake(
            "The gradient is zero where x is stored column by column: f never sees the "
            "step there. `x.ravel()` and `x.reshape(-1)` may be copies, and moving one "
            "moves nothing in x. Index x itself, for example with "
            "`np.ndindex(x.shape)`.",
            {"written": "C"},
        ),
    ),
)
