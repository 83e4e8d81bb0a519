"""Bug hunt: weight decay on everything."""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.pitfalls._shared import CHANGED

NAMES = ("conv.weight", "norm.gamma", "norm.beta", "linear.weight")
WEIGHTS = ("conv.weight", "linear.weight")


def _decay(parameters, gradients, *, on=WEIGHTS, kind="coupled", sign=1, rate=True):
    """Parameters after the steps; `on` names those that decay."""
    values = {name: parameters[name].astype(np.float64) for name in NAMES}
    for step in gradients:
        for name in NAMES:
            p, g = values[name], step[name]
            decay = sign * 0.05 * p if name in on else 0.0
            if kind == "gamma to 1" and name == "norm.gamma":
                decay = 0.05 * (p - 1)
            if kind == "decoupled" and name in on:
                values[name] = p - 0.1 * g - decay
            else:
                values[name] = p - 0.1 * (g + decay) * (1 if rate else 10)
    return tuple(values[name] for name in NAMES)


def _cases(rng):
    def draw(c):
        shapes = ((c, 2, 3, 3), (c,), (c,), (4, c))
        return {
            name: rng.normal(size=shape)
            for name, shape in zip(NAMES, shapes, strict=True)
        }

    return [
        Case(f"{k} steps, {c} channels", (draw(c), [draw(c) for _ in range(k)]))
        for k, c in ((1, 3), (5, 4), (20, 2))
    ]


def _run(learner, parameters, gradients):
    result = learner(parameters, gradients)
    if isinstance(result, dict) and result.keys() == set(NAMES):
        return tuple(result[name] for name in NAMES)
    return result


_EACH = "gamma and beta are left out of weight decay"

decay = Exercise(
    name="descend",
    outputs=NAMES,
    formula=_decay,
    cases=_cases,
    run=_run,
    section="company-decay",
    page="bad_company",
    changed=CHANGED,
    examine=("norm.gamma", "norm.beta", "conv.weight", "linear.weight"),
    mistakes=(
        Mistake(
            "The fault is still there: where the gradient is small, gamma "
            "shrinks towards 0 from step to step, and with it the layer's output: in "
            "a long training whole channels fade. Which parameters should weight "
            "decay pull to 0, and which have no business there?",
            {"on": NAMES},
        ),
        Mistake(
            f"Nothing decays now. The weights should: only {_EACH}.",
            {"on": ()},
        ),
        Mistake(
            f"gamma is spared now; beta still decays. Both: {_EACH}.",
            {"on": (*WEIGHTS, "norm.beta")},
        ),
        Mistake(
            f"beta is spared now; gamma still decays. Both: {_EACH}.",
            {"on": (*WEIGHTS, "norm.gamma")},
        ),
        Mistake(
            "It is the other way round: gamma and beta decay, the weights do not.",
            {"on": ("norm.gamma", "norm.beta")},
        ),
        Mistake(
            f"The linear layer no longer decays. Its weights do; only {_EACH}.",
            {"on": ("conv.weight",)},
        ),
        Mistake(
            f"The convolution no longer decays. Its weights do; only {_EACH}.",
            {"on": ("linear.weight",)},
        ),
        Mistake(
            "The norm's parameters do not follow their gradients any more, or the "
            "decay is no longer multiplied by the learning rate. Only the decay of "
            "gamma and beta is to go.",
            {"kind": "decoupled"},
        ),
        Mistake(
            f"gamma decays towards 1 now. It should not decay at all: {_EACH}.",
            {"kind": "gamma to 1"},
        ),
        Mistake("The decay has the wrong sign: weights grow.", {"sign": -1}),
    ),
)
