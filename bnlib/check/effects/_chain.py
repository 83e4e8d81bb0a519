"""Exercise: squared gradients, layer by layer, in a batch-normalised ReLU network.

But: the weights are given; a random network is `_growth`.
"""

from itertools import pairwise

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake

EPS = 1e-5


def layer_gradients(
    x,
    weights,
    dy,
    *,
    forward="batch norm",
    enters="relu",
    leaves="relu",
    mask="xhat",
    back="all",
    transposed=True,
    seen="z",
    size="squared",
    order="first to last",
):
    """Squared gradients by z of each layer; a knob for each way to get it wrong."""
    a = np.maximum(x, 0) if enters == "relu" else np.asarray(x, dtype=np.float64)
    kept = []
    for w in weights:
        z = a @ w
        axis = {"batch norm": 0, "layer norm": 1}.get(forward)
        centre = z.mean(axis, keepdims=True) if axis is not None else 0.0
        var = z.var(axis, keepdims=True) if axis is not None else 1.0
        s = np.sqrt(var + EPS) if axis is not None else 1.0
        hat = (z - centre) / s
        kept.append((a, z, hat, s))
        a = hat if mask == "none, forward" else np.maximum(hat, 0)
    found = []
    d = np.asarray(dy, dtype=np.float64)
    for k in reversed(range(len(weights))):
        a, z, hat, s = kept[k]
        passes = {
            "xhat": hat > 0,
            "z": z > 0,
            "gradient": d > 0,
            "none": True,
            "none, forward": True,
        }[mask]
        top = k == len(weights) - 1
        d_hat = d if top and leaves == "no relu" else d * passes
        if forward == "layer norm":
            dz = _back(d_hat, hat, s, "all", axis=1)
        else:
            dz = _back(d_hat, hat, s, "skipped" if forward == "none" else back)
        through = d_hat if back == "not carried on" else dz
        below = through @ (weights[k].T if transposed else weights[k])
        at = {
            "z": dz,
            "xhat": d_hat,
            "output": d,
            "input": below,
            "weights": a.T @ dz,
        }[seen]
        found.append(
            {
                "squared": lambda g: (g**2).sum(),
                "length": lambda g: np.sqrt((g**2).sum()),
                "mean": lambda g: (g**2).mean(),
                "by example": lambda g: (g**2).sum() / len(g),
                "sum": lambda g: g.sum() ** 2,
                "absolute": lambda g: np.abs(g).sum(),
            }[size if size != "relative" else "squared"](at)
        )
        d = below
    found = np.array(found if order == "last to first" else found[::-1])
    if size == "relative":
        found = found / found[-1]
    return (found,)


def _back(d, hat, s, kind, axis=0):
    """Return the gradient before the normalisation."""
    mean = d.mean(axis, keepdims=True)
    along = hat * (d * hat).mean(axis, keepdims=True)
    return {
        "all": lambda: (d - mean - along) / s,
        "not carried on": lambda: (d - mean - along) / s,
        "constants": lambda: d / s,
        "skipped": lambda: d,
        "no s": lambda: d - mean - along,
        "no xhat term": lambda: (d - mean) / s,
        "no mean": lambda: (d - along) / s,
    }[kind]()


def _cases(rng):
    def case(what, n, widths):
        x = rng.normal(size=(n, widths[0])) + 0.3
        # Large, so that it does not matter which eps, or none, a learner adds.
        weights = [
            10 * rng.normal(size=(i, o)) / np.sqrt(i) for i, o in pairwise(widths)
        ]
        dy = rng.normal(0.3, 1.0, size=(n, widths[-1]))
        return Case(what, (x, weights, dy), {}, 2e-3)

    return [
        case("one layer of 4 units, 12 examples", 12, (5, 4)),
        case("two layers, of 6 and 3 units", 16, (4, 6, 3)),
        case("four layers of 5 units", 20, (5, 5, 5, 5, 5)),
        case("six layers of different widths", 32, (3, 8, 4, 6, 7, 5, 9)),
    ]


chain = Exercise(
    name="layer_gradients",
    outputs=("squares",),
    formula=layer_gradients,
    cases=_cases,
    section="mechanisms-depth",
    changed=(
        "The caller still needs it. `d = d * mask` makes a new array; `d *= mask` "
        "writes into the old one, which may be dy itself."
    ),
    mistakes=(
        Mistake(
            "The order is from the last layer to the first, as the backward pass meets "
            "them. Return the first layer's first: turn the list round.",
            {"order": "last to first"},
        ),
        Mistake(
            "Those are lengths; return their squares. (Squares are what theory "
            "predicts: they add up and multiply on average.)",
            {"size": "length"},
        ),
        Mistake(
            "Those are means of the squares; return their sum over all entries.",
            {"size": "mean"},
        ),
        Mistake(
            "The squares are averaged over the examples; return the sum over all "
            "entries.",
            {"size": "by example"},
        ),
        Mistake(
            "You sum first and square then. Square each entry, then sum.",
            {"size": "sum"},
        ),
        Mistake(
            "You sum absolute values; the squared norm is the sum of the squares.",
            {"size": "absolute"},
        ),
        Mistake(
            "The squares are divided by the last one. Return them as they are; "
            "gradient_growth takes ratios.",
            {"size": "relative"},
        ),
        Mistake(
            "The gradient goes through batch norm as if mean and standard deviation "
            "were constants, d/s. They move with every example; batch_norm_backward, "
            "which is given, takes that into account.",
            {"back": "constants"},
        ),
        Mistake(
            "The gradient does not go back through batch norm at all: where z became "
            "xhat, use batch_norm_backward.",
            {"back": "skipped"},
        ),
        Mistake(
            "The gradient by z is right where you measure it, but what goes on down, "
            "through the weights, is the gradient by xhat. It is dz that z = a @ W "
            "receives: da = dz @ W.T.",
            {"back": "not carried on"},
        ),
        Mistake(
            "Batch norm's gradient is not divided by s. That division is what makes "
            "gradients grow.",
            {"back": "no s"},
        ),
        *(
            Mistake(
                f"Batch norm's gradient lacks the term {term}. batch_norm_backward, "
                "which is given, has it.",
                {"back": kind},
            )
            for kind, term in (
                ("no xhat term", "− xhat·mean(d·xhat)"),
                ("no mean", "− mean(d)"),
            )
        ),
        Mistake(
            "There is no batch norm in your network, forwards or backwards.",
            {"forward": "none"},
        ),
        Mistake(
            "You normalise along the features (axis 1): that is layer norm. Batch norm "
            "takes its statistics over the examples, axis 0.",
            {"forward": "layer norm"},
        ),
        Mistake(
            "The ReLU's mask is missing on the way back: where xhat was negative "
            "nothing passes.",
            {"mask": "none"},
        ),
        Mistake(
            "There is no ReLU behind the batch norms, forwards or backwards.",
            {"mask": "none, forward"},
        ),
        Mistake(
            "The ReLU's mask is made of z. The ReLU sees xhat, whose mean was taken "
            "off: the mask is xhat > 0.",
            {"mask": "z"},
        ),
        Mistake(
            "The ReLU is applied to the *gradient* (its positive part is kept). Back "
            "through a ReLU passes what arrives where its *input*, xhat, was positive.",
            {"mask": "gradient"},
        ),
        Mistake(
            "The input does not go through a ReLU. Here x stands for what a batch norm "
            "would return: the first layer sees max(x, 0).",
            {"enters": "x"},
        ),
        Mistake(
            "The last ReLU is missing on the way back: dy arrives at the network's "
            "output, behind the last ReLU.",
            {"leaves": "no relu"},
        ),
        Mistake(
            "The gradient goes back through W, not through its transpose: z = a @ W, "
            "so da = dz @ W.T. With square matrices no shape complains.",
            {"transposed": False},
        ),
        Mistake(
            "Those are the gradients by xhat, before they go back through batch norm. "
            "Take the gradients by z.",
            {"seen": "xhat"},
        ),
        Mistake(
            "Those are the gradients by the layers' outputs, behind the ReLU. Take the "
            "gradients by z, before batch norm.",
            {"seen": "output"},
        ),
        Mistake(
            "Those are the gradients by the layers' inputs. Take those by z, before "
            "they are multiplied by W.T.",
            {"seen": "input"},
        ),
        Mistake(
            "Those are the gradients by the *weights*, aᵀ·dz. Take the gradients by z.",
            {"seen": "weights"},
        ),
    ),
)
