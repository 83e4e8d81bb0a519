"""Exercise: what the length of weights before batch norm does, unit by unit.

But: no gradient is computed here; the learner gets one that is orthogonal to w.
"""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake


def weight_lengths(
    W,
    G,
    lr,
    decay,
    *,
    over=0,
    rate="lr / w2",
    after="pythagoras",
    settled="exact",
    without=np.inf,
    order="rate, after, settled",
):
    """Effective rate, next and settled squared length; a knob for each mistake."""
    W, G = (np.asarray(a, dtype=np.float64) for a in (W, G))
    w2, g2 = (W**2).sum(over), (G**2).sum(over)
    shrink = 1 - lr * decay
    unit = w2 * g2  # the squared gradient at unit length
    found_rate = {
        "lr / w2": lambda: lr / w2,
        "lr / w": lambda: lr / np.sqrt(w2),
        "lr w2": lambda: lr * w2,
        "w2 / lr": lambda: w2 / lr,
        "relative step": lambda: lr * np.sqrt(g2 / w2),
        "mean square": lambda: lr / (W**2).mean(over),
        "with decay": lambda: lr * decay / w2,
        "lr": lambda: lr + 0 * w2,
    }[rate]()
    found_after = {
        "pythagoras": lambda: shrink**2 * w2 + lr**2 * g2,
        "not squared": lambda: shrink * w2 + lr**2 * g2,
        "decay alone": lambda: (1 - decay) ** 2 * w2 + lr**2 * g2,
        "no decay": lambda: w2 + lr**2 * g2,
        "minus": lambda: shrink**2 * w2 - lr**2 * g2,
        "lr once": lambda: shrink**2 * w2 + lr * g2,
        "no gradient": lambda: shrink**2 * w2,
        "length": lambda: np.sqrt(shrink**2 * w2 + lr**2 * g2),
        "of lengths": lambda: (shrink * np.sqrt(w2) - lr * np.sqrt(g2)) ** 2,
        "decay last": lambda: shrink**2 * (w2 + lr**2 * g2),
        "double decay": lambda: (1 - 2 * lr * decay) * w2 + lr**2 * g2,
        "grows": lambda: (1 + lr * decay) ** 2 * w2 + lr**2 * g2,
        "unit gradient": lambda: shrink**2 * w2 + lr**2 * unit,
        "growth": lambda: shrink**2 * w2 + lr**2 * g2 - w2,
    }[after]()
    with np.errstate(all="ignore"):
        per = np.float64(lr) / (decay * (2 - lr * decay))
        rough = np.float64(lr) / (2 * decay)
        found_settled = {
            "exact": lambda: np.sqrt(unit * per),
            "rough": lambda: np.sqrt(unit * rough),
            "fourth": lambda: unit * per,
            "rough fourth": lambda: unit * rough,
            "length": lambda: (unit * per) ** 0.25,
            "rough length": lambda: (unit * rough) ** 0.25,
            "plain gradient": lambda: np.sqrt(g2 * per),
            "rough, plain gradient": lambda: np.sqrt(g2 * rough),
            "divided gradient": lambda: np.sqrt(g2 / w2 * per),
            "no 2": lambda: np.sqrt(unit * 2 * rough),
            "inverted": lambda: np.sqrt(unit / per),
            "lr decay": lambda: np.sqrt(unit * lr * decay / 2),
            "gradient stays": lambda: lr**2 * g2 / (1 - shrink**2),
            "gradient stays, rough": lambda: lr * g2 / (2 * decay),
        }[settled]()
    if decay == 0:
        found_settled = np.full_like(w2, without)
    found = {"rate": found_rate, "after": found_after, "settled": found_settled}
    return tuple(np.asarray(found[name]) for name in order.split(", "))


def _cases(rng):
    def case(shape, lr, decay, what="", hint=""):
        W = rng.normal(size=shape) * rng.uniform(0.3, 2.0, size=shape[1])
        G = rng.normal(size=shape)
        G -= W * (W * G).sum(0) / (W**2).sum(0)  # orthogonal, as before batch norm
        G *= rng.uniform(0.5, 1.5)
        what = what or f"W of shape {shape}, lr = {lr:g}, decay = {decay:g}"
        return Case(what, (W, G, lr, decay), {}, 1e-8, hint)

    rough = "Is something of the order of lr·decay dropped?"
    return [
        case((6, 3), 0.5, 0.2),
        case((4, 4), 0.1, 0.01, hint=rough),
        case((5, 7), 2.0, 0.3),
        case((9, 2), 0.02, 5e-4, hint=rough),
        case((3, 1), 1.0, 1.0, "lr·decay = 1, one unit"),
        case(
            (6, 2),
            0.1,
            0.0,
            "decay = 0",
            "Without decay the length never settles: np.inf. Python's 1 / 0.0 raises; "
            "ask for `decay == 0` first.",
        ),
    ]


lengths = Exercise(
    name="weight_lengths",
    outputs=("rate", "after", "settled"),
    formula=weight_lengths,
    cases=_cases,
    section="mechanisms-equilibrium",
    changed=(
        "They are the layer's weights. `W = W - lr * G` makes a new array; `W -= ...` "
        "makes the step for good."
    ),
    mistakes=(
        Mistake(
            "The sums run over everything: one length for the whole layer. Batch norm "
            "follows each unit by itself, so each has its own length: sum over axis 0.",
            {"over": None},
        ),
        Mistake(
            "The sums run along axis 1. In z = x @ W a unit's weights are a *column* "
            "of W: sum over axis 0.",
            {"over": 1},
        ),
        Mistake(
            "rate is lr/‖w‖. The step is lr·‖g‖ long, where ‖g‖ falls like 1/‖w‖, and "
            "it turns a vector of length ‖w‖: together lr/‖w‖².",
            {"rate": "lr / w"},
        ),
        Mistake(
            "rate is lr·‖w‖². Long weights turn *less*: divide.",
            {"rate": "lr w2"},
        ),
        Mistake("rate is upside down: it is lr/‖w‖².", {"rate": "w2 / lr"}),
        Mistake(
            "rate is lr·‖g‖/‖w‖, the angle of this step. The effective learning rate "
            "is what remains when the gradient is measured at unit length: lr/‖w‖².",
            {"rate": "relative step"},
        ),
        Mistake(
            "rate has the *mean* of the squares below; ‖w‖² is their sum.",
            {"rate": "mean square"},
        ),
        Mistake("rate has the decay in it; it is lr/‖w‖².", {"rate": "with decay"}),
        Mistake("rate is lr itself; divide by ‖w‖².", {"rate": "lr"}),
        Mistake(
            "In after, 1 − lr·decay is not squared. The weights shrink by that factor, "
            "their squared length by its square.",
            {"after": "not squared"},
        ),
        Mistake(
            "In after, the weights shrink by 1 − decay. Weight decay is multiplied by "
            "the learning rate: w' = (1 − lr·decay)·w − lr·g.",
            {"after": "decay alone"},
        ),
        Mistake("after is without decay.", {"after": "no decay"}),
        Mistake(
            "after subtracts lr²‖g‖². The gradient stands at right angles to w, so by "
            "Pythagoras any step, whatever its direction, makes w *longer*.",
            {"after": "minus"},
        ),
        Mistake(
            "In after, lr is not squared: the step is lr·g, its squared length "
            "lr²‖g‖².",
            {"after": "lr once"},
        ),
        Mistake(
            "after is the shrinking alone; the step adds lr²‖g‖².",
            {"after": "no gradient"},
        ),
        Mistake(
            "after is the length; return the *squared* length.",
            {"after": "length"},
        ),
        Mistake(
            "after subtracts lengths, as if g pointed along w. It stands at right "
            "angles: Pythagoras adds the squares.",
            {"after": "of lengths"},
        ),
        Mistake(
            "In after, the decay shrinks the gradient's step as well. "
            "w' = (1 − lr·decay)·w − lr·g: only the old weights shrink.",
            {"after": "decay last"},
        ),
        Mistake(
            "In after, (1 − lr·decay)² is replaced by 1 − 2·lr·decay. That is good for "
            "small lr·decay; here it is to be exact.",
            {"after": "double decay"},
        ),
        Mistake(
            "In after, the weights grow with the decay: the factor is 1 − lr·decay.",
            {"after": "grows"},
        ),
        Mistake(
            "In after, the gradient is the one at unit length. The step from w uses "
            "the gradient at w, which is G as it is.",
            {"after": "unit gradient"},
        ),
        Mistake(
            "after is the *growth* of ‖w‖²; return ‖w‖² after the step.",
            {"after": "growth"},
        ),
        Mistake(
            "settled is the chapter's approximation, ‖g̃‖·√(lr/(2·decay)), which drops "
            "lr·decay. Here it is to be exact: set ‖w'‖² = ‖w‖² in the line before, "
            "and do not expand the square.",
            {"settled": "rough"},
        ),
        *(
            Mistake(
                "settled is the fourth power, ‖w‖⁴. Take the root: the squared length "
                "is wanted.",
                {"settled": kind},
            )
            for kind in ("fourth", "rough fourth")
        ),
        *(
            Mistake(
                "settled is the length ‖w‖; return its square.",
                {"settled": kind},
            )
            for kind in ("length", "rough length")
        ),
        *(
            Mistake(
                "In settled, the gradient is taken as it is at w. When the length "
                "changes, it changes as well: what stays is the gradient at *unit "
                "length*, ‖g̃‖ = ‖w‖·‖g‖.",
                {"settled": kind},
            )
            for kind in (
                "plain gradient",
                "rough, plain gradient",
                "gradient stays",
                "gradient stays, rough",
            )
        ),
        Mistake(
            "In settled, the gradient at unit length is g/‖w‖. Longer weights have "
            "*smaller* gradients, so at unit length it is ‖w‖·g.",
            {"settled": "divided gradient"},
        ),
        Mistake(
            "In settled, a 2 is missing: (1 − a)² is about 1 − 2a, so the decay takes "
            "off twice lr·decay.",
            {"settled": "no 2"},
        ),
        Mistake(
            "In settled, lr and decay are upside down: more decay means *shorter* "
            "weights.",
            {"settled": "inverted"},
        ),
        Mistake(
            "In settled, lr·decay stands where lr/decay belongs. (The product is in "
            "the effective *rate* at the equilibrium.)",
            {"settled": "lr decay"},
        ),
        *(
            Mistake(
                f"settled is {value} where decay is 0. Without decay the length grows "
                "by lr²‖g‖² in every step and never settles: np.inf.",
                {"without": value},
            )
            for value in (0.0, np.nan)
        ),
        *(
            Mistake(
                "The results are in another order. Return rate, after, settled.",
                {"order": order},
            )
            for order in ("rate, settled, after", "after, rate, settled")
        ),
    ),
)
