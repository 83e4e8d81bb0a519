"""Exercise: a step of gradient descent with momentum, and decay where it belongs."""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.capstone._layers import CHANGED

NAMES = ("a kernel", "gamma", "a matrix", "a bias")
OUTPUTS = (*NAMES, *(f"the velocity of {name}" for name in NAMES))


def _step(
    values,
    gradients,
    rates,
    momentum=0.9,
    decay=1e-4,
    *,
    decays="matrices",
    joins="gradient",
    velocity="kept",
    gradient="whole",
    rate="outside",
    sign=1.0,
    moves="by velocity",
    factor=1.0,
    fixed=None,
    order="velocity first",
):
    options = {"momentum": momentum, "decay": decay} | (fixed or {})
    momentum, decay = options["momentum"], options["decay"]
    new, kept = [], []
    for k, w in enumerate(values):
        decayed = {
            "matrices": w.ndim > 1,
            "all": True,
            "none": False,
            "vectors": w.ndim == 1,
            "kernels": w.ndim > 2,
            "two axes": w.ndim == 2,
        }[decays]
        v = np.zeros_like(w)
        for grads, lr in zip(gradients, rates, strict=True):
            g, pull = grads[k], factor * decay * w * decayed
            if joins == "gradient":
                g = g + pull
            elif joins == "minus":
                g = g - pull
            before = v
            if gradient == "damped":
                g = (1 - momentum) * g
            if velocity == "forgotten":
                v = np.zeros_like(v)
            v = momentum * v + (lr * g if rate == "inside" else g)
            if gradient == "old and new":
                v = momentum * (before + g)
            if velocity == "no momentum":
                v = g
            by = before if order == "value first" else v
            if moves == "nesterov":
                by = g + momentum * v
            elif moves == "gradient":
                by = g
            w = w - sign * by * (1 if rate == "inside" else lr)
            if joins == "decoupled":
                w = w - lr * pull
            elif joins == "no rate":
                w = w - pull
        new.append(w)
        kept.append(-v if velocity == "negative" else v)
    return (*new, *kept)


def _drive(step, values, gradients, rates, **options):
    """Take a step for each gradient; return the last values and velocities."""
    velocity = [np.zeros_like(w) for w in values]
    for grads, rate in zip(gradients, rates, strict=True):
        result = step(values, grads, velocity, rate, **options)
        if not isinstance(result, tuple | list) or len(result) != 2:
            return result
        values, velocity = result
    return (*values, *velocity)


def _cases(rng):
    cases = []
    for steps, options in (
        (1, {}),
        (3, {"momentum": 0.5, "decay": 0.1}),
        (4, {"momentum": 0.8, "decay": 0.03}),
    ):
        shapes = ((3, 2, 3, 3), (3,), (4, 3), (4,))
        values = [rng.normal(size=shape) for shape in shapes]
        gradients = [[rng.normal(size=s) for s in shapes] for _ in range(steps)]
        rates = list(np.linspace(0.3, 0.1, steps))
        what = f"{steps} step{'s' * (steps > 1)}, the rate falling"
        cases.append(Case(what, (values, gradients, rates), options))
    return cases


class _Step(Exercise):
    def _unpack(self, result, case):
        if isinstance(result, tuple | list) and len(result) == len(OUTPUTS):
            return super()._unpack(result, case)
        kind = type(result).__name__
        raise self._failure(
            f"It returns {'None' if result is None else f'a {kind}'} where two lists "
            "are expected: the new values and the new velocities, as many as there "
            "were. `return new_values, new_velocity`."
        )


step = _Step(
    name="sgd_step",
    outputs=OUTPUTS,
    formula=_step,
    cases=_cases,
    run=_drive,
    section="capstone-training",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "Gamma, beta and biases are decayed too. Weight decay is for what has more "
            "than one axis: kernels and matrices.",
            {"decays": "all"},
        ),
        Mistake(
            "Nothing is decayed. Kernels and matrices are: add decay·w to their "
            "gradient.",
            {"decays": "none"},
        ),
        Mistake(
            "The decay is the wrong way round: gamma, beta and biases are decayed, "
            "kernels and matrices are not.",
            {"decays": "vectors"},
        ),
        Mistake(
            "Only kernels are decayed. The head's matrix has two axes, and is decayed "
            "as well.",
            {"decays": "kernels"},
        ),
        Mistake(
            "Only matrices with two axes are decayed. Kernels have four, and are "
            "decayed as well.",
            {"decays": "two axes"},
        ),
        Mistake(
            "The decay is subtracted from the gradient, which makes weights grow. Add "
            "decay·w.",
            {"joins": "minus"},
        ),
        Mistake(
            "The decay passes by the velocity: that is decoupled weight decay, of "
            "AdamW. Here it joins the gradient before the velocity does.",
            {"joins": "decoupled"},
        ),
        Mistake(
            "The decay is not multiplied by the rate. It joins the gradient: g + "
            "decay·w.",
            {"joins": "no rate"},
        ),
        Mistake("The decay counts twice: add decay·w, not 2·decay·w.", {"factor": 2.0}),
        Mistake("The decay counts half: add decay·w.", {"factor": 0.5}),
        Mistake(
            "The gradient is damped by 1 − momentum. Here the velocity is momentum·v + "
            "g, with the whole gradient.",
            {"gradient": "damped"},
        ),
        Mistake(
            "The gradient is multiplied by the momentum as well: it is momentum·v + g.",
            {"gradient": "old and new"},
        ),
        Mistake(
            "There is no momentum: the velocity is momentum·v + g, and the caller "
            "hands back the old one.",
            {"velocity": "no momentum"},
        ),
        Mistake(
            "The value moves by the gradient alone. It moves by the velocity.",
            {"moves": "gradient"},
        ),
        Mistake(
            "That is Nesterov's step, by g + momentum·v. Here the value moves by the "
            "velocity.",
            {"moves": "nesterov"},
        ),
        Mistake(
            "The rate is inside the velocity. When the rate falls, old steps keep "
            "their old rate then. The velocity is of gradients; w − rate·v.",
            {"rate": "inside"},
        ),
        Mistake("You go uphill: w − rate·v.", {"sign": -1.0}),
        Mistake(
            "The value moves by the *old* velocity. Renew it first, then move.",
            {"order": "value first"},
        ),
        Mistake(
            "The momentum is 0.9 in your function whatever the caller passes.",
            {"fixed": {"momentum": 0.9}},
        ),
        Mistake(
            "The decay is 1e-4 in your function whatever the caller passes.",
            {"fixed": {"decay": 1e-4}},
        ),
        Mistake(
            "The velocity that you return has the wrong sign.", {"velocity": "negative"}
        ),
    ),
)
