"""Exercise: loss range, gradient predictiveness, effective smoothness along a gradient.

But: no network; the losses are formulas whose gradients are exact.
"""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake


def along(
    loss_and_gradient,
    w,
    etas,
    *,
    way="down",
    include_start=False,
    spread="max - min",
    size="euclidean",
    change="from start",
    best="max",
    per="distance",
    order="R, P, B",
):
    """Walk along the negative gradient; a knob for each way to get it wrong."""
    start, g = loss_and_gradient(w)
    g = np.asarray(g, dtype=np.float64)
    norm = {
        "euclidean": lambda a: np.sqrt((a**2).sum()),
        "squared": lambda a: (a**2).sum(),
        "largest": lambda a: np.abs(a).max(),
        "sum": lambda a: np.abs(a).sum(),
        "spectral": lambda a: np.linalg.norm(a, 2),
        "mean square": lambda a: np.sqrt((a**2).mean()),
    }[size]
    direction = {"down": -g, "up": g, "unit": -g / norm(g)}.get(way, -g)
    losses, changes, slopes = [], [], []
    here, last = w, g
    for eta in etas:
        if way == "steps":  # gradient descent: each step from where the last one ended
            here = here - eta * last
        elif way == "added up":
            here = here + eta * direction
        else:
            here = w + eta * direction
        loss, new = loss_and_gradient(here)
        losses.append(loss)
        difference = {
            "from start": lambda new, last: norm(new - g),
            "from last": lambda new, last: norm(new - last),
            "lengths": lambda new, last: abs(norm(new) - norm(g)),
            "gradient itself": lambda new, last: norm(new),
            "relative": lambda new, last: norm(new - g) / norm(g),
        }[change](new, last)
        changes.append(difference)
        slopes.append(
            difference
            / {
                "distance": eta * norm(g),
                "eta": eta,
                "gradient": norm(g),
                "gradient there": eta * norm(new),
                "squared": (eta * norm(g)) ** 2,
                "eta times squared": eta * norm(g) ** 2,
            }.get(per, 1.0)
        )
        last = new
    losses, changes = np.array(losses), np.array(changes)
    if include_start:
        losses = np.append(losses, start)
    reach = {
        "max - min": lambda: losses.max() - losses.min(),
        "first - last": lambda: losses[0] - losses[-1],
        "start - min": lambda: start - losses.min(),
        "max - start": lambda: losses.max() - start,
        "from start": lambda: np.abs(losses - start).max(),
        "max": lambda: losses.max(),
        "min": lambda: losses.min(),
        "sd": lambda: losses.std(),
        "min - max": lambda: losses.min() - losses.max(),
    }[spread]()
    choose = {"max": np.max, "mean": np.mean, "last": lambda a: a[-1], "min": np.min}[
        best
    ]
    predictive = choose(changes)
    smooth = choose(slopes)
    if per == "longest":
        smooth = predictive / (np.max(etas) * norm(g))
    both = {"R": np.asarray(reach), "P": predictive, "B": smooth}
    return tuple(np.asarray(both[name]) for name in order.split(", "))


class Quadratic:
    """L(w) = ½ wᵀHw + bᵀw, of any shape of w."""

    def __init__(self, rng, shape, *, definite=False):
        size = int(np.prod(shape))
        root = rng.normal(size=(size, size)) / size**0.5
        self._h = root @ root.T if definite else (root + root.T) / 2
        self._b = rng.normal(size=size)

    def __call__(self, w):
        """Return the loss at `w` and its gradient, of the shape of `w`."""
        w = np.asarray(w, dtype=np.float64)
        v = w.ravel()
        slope = self._h @ v
        return float(v @ slope / 2 + self._b @ v), (slope + self._b).reshape(w.shape)


class Waves:
    """L(w) = Σ sin(k w) + w²/4: up and down along any line."""

    def __init__(self, rng, shape):
        self._k = rng.uniform(1.0, 3.0, size=shape)

    def __call__(self, w):
        """Return the loss at `w` and its gradient."""
        w = np.asarray(w, dtype=np.float64)
        loss = np.sum(np.sin(self._k * w) + w**2 / 4)
        return float(loss), self._k * np.cos(self._k * w) + w / 2


ETAS = (0.05, 0.1, 0.2, 0.4)


def _cases(rng):
    def case(what, loss, shape, etas, dtype=np.float64, tolerance=1e-7):
        w = rng.normal(size=shape).astype(dtype)
        return Case(what, (loss, w, np.array(etas)), {}, tolerance)

    return [
        case(
            "a quadratic bowl, 6 weights", Quadratic(rng, 6, definite=True), (6,), ETAS
        ),
        case("a quadratic saddle, 5 weights", Quadratic(rng, 5), (5,), (0.1, 0.5, 2.0)),
        case("waves, 4 weights, long steps", Waves(rng, 4), (4,), (0.3, 1.0, 3.0, 2.0)),
        case("a bowl, w of shape (3, 4)", Quadratic(rng, (3, 4)), (3, 4), ETAS),
        case("waves, w of shape (2, 3), many steps", Waves(rng, (2, 3)), (2, 3),
             np.linspace(0.02, 2.0, 25)),
        case("one step only", Quadratic(rng, 3), (3,), (0.3,)),
    ]  # fmt: skip


walk = Exercise(
    name="along_gradient",
    outputs=("loss_range", "gradient_change", "smoothness"),
    formula=along,
    cases=_cases,
    section="critiques-smooth",
    changed=(
        "The caller still trains from there. `w - eta * g` makes a new point each "
        "time; `w -= eta * g` moves w itself, and the next step then starts from the "
        "last."
    ),
    mistakes=(
        Mistake(
            "You walk up the gradient: w + η·g. Gradient descent goes to w − η·g.",
            {"way": "up"},
        ),
        Mistake(
            "You walk in steps of gradient descent, each from where the last one "
            "ended, with the gradient there. The walk is a straight line: every point "
            "is w − η·g with the one w and the one g of the start.",
            {"way": "steps"},
        ),
        Mistake(
            "Each point starts from the one before, so that the steps add up: is w "
            "overwritten in the loop? Every point is w − η·g, from the w of the start.",
            {"way": "added up"},
        ),
        Mistake(
            "You divide the direction by its length. The points are w − η·g with g as "
            "it is: η is a learning rate, not a distance.",
            {"way": "unit"},
        ),
        Mistake(
            "The loss at w itself is among those of the loss range. It runs over the "
            "points of the walk, η in etas; the start has η = 0.",
            {"include_start": True},
        ),
        Mistake(
            "loss_range is the loss at the first point minus that at the last. The "
            "largest and the smallest may lie anywhere: max − min.",
            {"spread": "first - last"},
        ),
        *(
            Mistake(
                "loss_range is measured from the loss at w. It is the largest loss of "
                "the walk minus the smallest, η in etas.",
                {"spread": kind},
            )
            for kind in ("start - min", "max - start", "from start")
        ),
        *(
            Mistake(
                f"loss_range is the {kind}imum alone. It is max − min over the walk.",
                {"spread": kind},
            )
            for kind in ("max", "min")
        ),
        Mistake(
            "loss_range is a standard deviation. It is max − min over the walk.",
            {"spread": "sd"},
        ),
        Mistake(
            "loss_range is min − max; the sign is wrong.",
            {"spread": "min - max"},
        ),
        Mistake(
            "gradient_change compares each gradient with that at the point before. "
            "The question is how well the gradient *at w* predicts: subtract g, the "
            "one of the start, each time.",
            {"change": "from last"},
        ),
        Mistake(
            "gradient_change compares the lengths of the two gradients, |‖g'‖ − ‖g‖|: "
            "a gradient that turns round unseen. Subtract first, then take the norm.",
            {"change": "lengths"},
        ),
        Mistake(
            "gradient_change is the largest gradient of the walk; g, the one at w, is "
            "not subtracted.",
            {"change": "gradient itself"},
        ),
        Mistake(
            "gradient_change is divided by ‖g‖. P itself is not relative (and that is "
            "one of the objections to it): max ‖∇L(w − ηg) − g‖.",
            {"change": "relative", "per": "distance"},
        ),
        Mistake(
            "Your norm lacks its root: it is the sum of the squares. `np.linalg.norm` "
            "is the Euclidean norm.",
            {"size": "squared"},
        ),
        Mistake(
            "Your norm is the largest entry. Take the Euclidean one, over all entries.",
            {"size": "largest"},
        ),
        Mistake(
            "Your norm is the sum of absolute values. Take the Euclidean one.",
            {"size": "sum"},
        ),
        Mistake(
            "Your norm divides by the number of weights (root mean *square*). Take the "
            "Euclidean one, `np.linalg.norm` of all entries.",
            {"size": "mean square"},
        ),
        Mistake(
            "The results are the mean over the walk. Each is the largest: the worst "
            "case is what limits a step.",
            {"best": "mean"},
        ),
        Mistake(
            "The results are those of the last point. The largest change need not be "
            "at the longest step.",
            {"best": "last"},
        ),
        Mistake(
            "The results are the smallest of the walk; take the largest.",
            {"best": "min"},
        ),
        Mistake(
            "smoothness is the change divided by η. Divide by the distance walked, "
            "η·‖g‖.",
            {"per": "eta"},
        ),
        Mistake(
            "smoothness is the change divided by ‖g‖, whatever the step. Divide by the "
            "distance walked, η·‖g‖.",
            {"per": "gradient"},
        ),
        Mistake(
            "smoothness is divided by η times the gradient at the *new* point. The "
            "distance walked is η·‖g‖, with the g of the start.",
            {"per": "gradient there"},
        ),
        Mistake(
            "smoothness is divided by the *square* of the distance; divide by η·‖g‖.",
            {"per": "squared"},
        ),
        Mistake(
            "smoothness is divided by η·‖g‖². The distance walked is η·‖g‖.",
            {"per": "eta times squared"},
        ),
        Mistake(
            "smoothness is not divided by anything: it is the change *per distance*, "
            "η·‖g‖.",
            {"per": "nothing"},
        ),
        Mistake(
            "smoothness is the largest change over the longest way. Divide each "
            "change by its own way, then take the largest.",
            {"per": "longest"},
        ),
        *(
            Mistake(
                "The results are in another order. Return loss_range, gradient_change, "
                "smoothness.",
                {"order": order},
            )
            for order in ("R, B, P", "P, R, B", "P, B, R", "B, P, R", "B, R, P")
        ),
        Mistake(
            "`np.linalg.norm(a, 2)` of a matrix is its largest singular value. Where w "
            "is a matrix the norm is still that of all entries: leave out the 2.",
            {"size": "spectral"},
        ),
    ),
)
