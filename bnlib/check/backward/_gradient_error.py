"""Exercise: how far two gradients are apart, as one number.

But: no tolerance; whether the number is small enough, its caller decides.
"""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake


def relative_error(
    analytic,
    numeric,
    *,
    kind="norms",
    guard=0.0,
    larger=None,
    zeros="0",
    shapes="inf",
):
    """Distance of two gradients, relative to their norms."""
    a, n = (np.asarray(z, dtype=np.float64) for z in (analytic, numeric))
    differ = {
        "inf": lambda: a.shape != n.shape,
        "ndim": lambda: a.ndim != n.ndim,
        "size": lambda: a.size != n.size,
        "len": lambda: a.shape[:1] != n.shape[:1],
        "caught": lambda: not _broadcast(a, n),
        "broadcast": lambda: False,
    }[shapes]()
    if differ:
        return (np.float64(np.inf),)
    norm = np.linalg.norm
    above, below = {
        "norms": lambda: (norm(a - n), norm(a) + norm(n)),
        "entries max": lambda: (abs(a - n), abs(a) + abs(n)),
        "entries mean": lambda: (abs(a - n), abs(a) + abs(n)),
        "entries sum": lambda: (abs(a - n), abs(a) + abs(n)),
        "absolute": lambda: (norm(a - n), 1.0),
        "absolute max": lambda: (abs(a - n).max(), 1.0),
        "by numeric": lambda: (norm(a - n), norm(n)),
        "by analytic": lambda: (norm(a - n), norm(a)),
        "by larger": lambda: (norm(a - n), max(norm(a), norm(n))),
        "by sum": lambda: (norm(a - n), norm(a + n)),
        "squares": lambda: (norm(a - n) ** 2, norm(a) ** 2 + norm(n) ** 2),
        "largest": lambda: (abs(a - n).max(), (abs(a) + abs(n)).max()),
        "largest each": lambda: (abs(a - n).max(), abs(a).max() + abs(n).max()),
        "means": lambda: (abs(a - n).mean(), (abs(a) + abs(n)).mean()),
        "signed": lambda: ((a - n).sum(), (abs(a) + abs(n)).sum()),
        "signed everywhere": lambda: ((a - n).sum(), (a + n).sum()),
        "signed entries": lambda: (a - n, abs(a) + abs(n)),
        "norms apart": lambda: (abs(norm(a) - norm(n)), norm(a) + norm(n)),
        "norms apart, signed": lambda: (norm(a) - norm(n), norm(a) + norm(n)),
    }[kind]()
    below = below + guard if larger is None else np.maximum(below, larger)
    ratio = np.asarray(above) / below
    if zeros == "0" and kind != "absolute":
        ratio = np.where(below == 0, 0.0, ratio)
    elif zeros == "1":
        ratio = np.where(below == 0, 1.0, ratio)
    reduce = {"entries mean": np.mean, "entries sum": np.sum}.get(kind, np.max)
    return (reduce(ratio),)


def _broadcast(a, n):
    try:
        np.broadcast_shapes(a.shape, n.shape)
    except ValueError:
        return False
    return True


def _error_cases(rng):
    a = rng.normal(size=(4, 3))
    near = a + 1e-3 * rng.normal(size=a.shape)
    other = rng.normal(size=a.shape)
    images = rng.normal(size=(2, 3, 4, 2))
    row = rng.normal(size=5)
    # A guard of 1e-12 is 3e-4 of these gradients and welcome; 1e-8 is not.
    small = "Is a constant in the denominator larger than the gradients are?"
    return [
        Case("two gradients that are close", (a, near)),
        Case("two that have nothing in common", (a, other)),
        Case("a factor of two", (2 * a, a)),
        Case("opposite signs", (a, -a)),
        Case("4 axes", (images, images + 0.1)),
        Case("two equal ones", (a, a.copy())),
        Case("both zero", (np.zeros((2, 3)), np.zeros((2, 3)))),
        Case("analytic zero, numeric not", (np.zeros((4, 3)), a)),
        Case("numeric zero, analytic not", (a, np.zeros((4, 3)))),
        Case("both tiny, of size 1e-9", (1e-9 * a, 1e-9 * other), {}, 1e-2, small),
        Case("shapes (1, 5) and (5,)", (row[None], row)),
        Case("shapes (5,) and ()", (row, np.float64(0.3))),
        *(
            Case(
                f"shapes {one} and {two}",
                (rng.normal(size=one), rng.normal(size=two)),
                hint=_SHAPES,
            )
            for one, two in (
                ((1, 5), (4, 5)),
                ((4, 3), (4, 1)),
                ((3,), (4,)),
                ((4, 3), (3, 4)),
            )
        ),
    ]


_SHAPES = (
    "Two gradients of different shapes have nothing to subtract, and whoever asks "
    "wants an answer, not an exception: compare `.shape` first, and return `np.inf` if "
    "they differ."
)


_RELATIVE = "‖a − n‖ / (‖a‖ + ‖n‖)"

_ERROR_KINDS = (
    *(
        Mistake(
            f"That is the {word} over the entries of |a − n| / (|a| + |n|). A "
            "single entry that is nearly zero then decides, although nobody "
            "needs its digits. Take norms of the whole arrays first: "
            f"{_RELATIVE}.",
            {"kind": f"entries {kind}"},
        )
        for kind, word in (("max", "largest"), ("mean", "mean"), ("sum", "sum"))
    ),
    *(
        Mistake(
            "That is an absolute error: whether 0.01 is small depends on the size "
            f"of the gradients. Divide by it: {_RELATIVE}.",
            {"kind": kind},
        )
        for kind in ("absolute", "absolute max")
    ),
    *(
        Mistake(
            "You divide by the norm of one of the two only. If that one is zero, "
            f"so is the denominator. Divide by the sum of both: {_RELATIVE}.",
            {"kind": kind},
        )
        for kind in ("by numeric", "by analytic")
    ),
    Mistake(
        "You divide by the larger norm; here it is the sum of both, "
        f"{_RELATIVE}, so that 1 means nothing in common.",
        {"kind": "by larger"},
    ),
    Mistake(
        "You divide by ‖a + n‖, which is zero where the two are opposite. Take the "
        f"norms first, then add: {_RELATIVE}.",
        {"kind": "by sum"},
    ),
    *(
        Mistake(
            "The differences keep their signs, so that positive ones cancel "
            "negative ones and a wrong gradient can have error 0 or less. Take "
            f"absolute values, or the norm: {_RELATIVE}.",
            {"kind": kind},
        )
        for kind in ("signed", "signed everywhere", "signed entries")
    ),
    *(
        Mistake(
            "You compare the lengths of the two gradients, not the gradients: one "
            "of the right length in a wrong direction would pass. Subtract first, "
            f"then take the norm: {_RELATIVE}.",
            {"kind": kind},
        )
        for kind in ("norms apart", "norms apart, signed")
    ),
    Mistake(
        "Those are squares: an error of 1e-3 would show as 1e-6. Take the roots: "
        f"{_RELATIVE}.",
        {"kind": "squares"},
    ),
    *(
        Mistake(
            "You use another size than the Euclidean norm. With "
            f"`np.linalg.norm`: {_RELATIVE}.",
            {"kind": kind},
        )
        for kind in ("largest", "largest each", "means")
    ),
)

error = Exercise(
    name="gradient_error",
    outputs=("error",),
    formula=relative_error,
    cases=_error_cases,
    section="backward-check",
    mistakes=(
        Mistake(
            "Two gradients that are both zero agree, but 0/0 gives nan (and nan < 1e-6 "
            "is False). Return 0 where both norms are zero.",
            {"zeros": "nan"},
        ),
        Mistake(
            "Two gradients that are both zero agree: their error is 0.",
            {"zeros": "1"},
        ),
        Mistake(
            "Arrays of shapes (1, D) and (D,) broadcast, so that a gradient of the "
            "wrong shape goes unseen. Compare the shapes first and return `np.inf` if "
            "they differ.",
            {"shapes": "broadcast"},
        ),
        *(
            Mistake(
                f"You compare {what} only. Shapes such as {shapes} get through and "
                "broadcast, so that a gradient of the wrong shape goes unseen. Compare "
                "the whole `.shape` and return `np.inf` if they differ.",
                {"shapes": kind},
            )
            for kind, what, shapes in (
                ("ndim", "the number of axes", "(1, D) and (N, D)"),
                ("size", "the number of entries", "(1, D) and (D,)"),
                ("len", "the lengths", "(N, D) and (N, 1)"),
            )
        ),
        Mistake(
            "You wait for NumPy to raise on different shapes. Shapes such as (1, D) "
            "and (D,) broadcast without an error, so that a gradient of the wrong "
            "shape goes unseen. Compare the shapes first and return `np.inf` if they "
            "differ.",
            {"shapes": "caught"},
        ),
        *(
            Mistake(
                "The constant in your denominator is there against 0/0, but gradients "
                "of its size or below then always seem to agree: it is an absolute "
                "tolerance in disguise. Handle the case of two zeros by itself, or "
                "make the constant tiny (1e-30).",
                {name: value},
            )
            for value in (1e-8, 1e-7, 1e-6, 1e-5)
            for name in ("guard", "larger")
        ),
        *_ERROR_KINDS,
        *(  # whoever takes another formula often guards neither zeros nor shapes
            Mistake(m.message, m.knobs | more | {"shapes": "broadcast"})
            for m in _ERROR_KINDS
            for more in ({"zeros": "nan"}, {"guard": 1e-8}, {"larger": 1e-8})
        ),
    ),
)
