"""Exercise 2: one text for NumPy and CuPy, forward and backward.

Where there is no GPU, `_beside.Strict` stands for one: arrays that take no function but
their own namespace's.
"""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.alternatives._batches import SMALL
from bnlib.check.alternatives._formula import (
    Sets,
    affine,
    gradients,
    standardise,
    widen,
)
from bnlib.check.alternatives._mistakes import (
    AFFINE,
    CHANGED,
    SIGNS,
    denominators,
    inputs,
    variances,
)
from bnlib.check.backward._mistakes import PARAMETERS
from bnlib.check.kernels._blocked import _draw
from bnlib.check.kernels._gpu import gpu_is_there
from bnlib.check.kernels._launch import is_here
from bnlib.check.kernels._run_beside import beside

AXES = {"channel": (0, 2, 3), "sample": (2, 3), "batch": (0,), "layer": (1, 2, 3)}


def _forward(
    x,
    gamma,
    beta,
    eps=1e-5,
    *,
    sets="channel",
    affine_kind="gamma xhat + beta",
    **statistics,
):
    x, gamma, beta = widen(x, gamma, beta)
    top, s = standardise(x, Sets(x.shape, AXES[sets]), eps, **statistics)
    return (affine(top / s, gamma, beta, affine_kind),)


def _backward(
    dy, x, gamma, eps=1e-5, *, sets="channel", means="channel", parameters=None, **knobs
):
    dy, x, gamma = widen(dy, x, gamma)
    own, over = (Sets(x.shape, AXES[kind]) for kind in (sets, means))
    parameters = parameters or (0, 2, 3)
    return gradients(dy, x, gamma, own, eps, means=over, parameters=parameters, **knobs)


def _cases(rng, drawn, x_at):
    cases = []
    for shape, mean, std, hint in (
        ((3, 4, 5, 6), 0.5, 1.0, ""),
        ((2, 5, 3, 4), -1.0, 2.0, ""),
        ((4, 4, 4, 4), 1.0, 1.0, ""),
        ((3, 2, 4, 5), 1e-3, 1e-3, SMALL),
    ):
        what = f"x of shape {shape}"
        cases.append(Case(what, drawn(rng, shape, mean=mean, std=std), hint=hint))
    cases.append(Case("eps = 0.1", drawn(rng, (3, 4, 2, 5)), {"eps": 0.1}))
    arguments = drawn(rng, (2, 3, 4, 5))
    arguments[x_at][:, 1] = 2.0
    hint = "There one channel is constant, so that s = sqrt(eps)."
    cases.append(Case("a channel that is constant", arguments, hint=hint))
    return cases


def _draw_gradient(rng, shape, **options):
    x, gamma, _ = _draw(rng, shape, **options)
    return rng.normal(0.4, 1.0, size=shape), x, gamma


class _Generic(Exercise):
    """A check that runs a function on NumPy's arrays and on stricter ones."""

    def _judge(self, learner, seed):
        text = super()._judge(learner, seed)
        case = self.cases(np.random.default_rng(seed))[0]
        whose = {"plainly": "NumPy's arrays"}
        if is_here() and gpu_is_there():
            whose["on_gpu"] = "CuPy's arrays, on your GPU"
        for how, what in whose.items():
            run = beside(learner, how)
            result = self._result(run, learner, *case.arguments, on=f" on {what}")
            results = [self._unpack(result, case)]
            for k in range(len(self.outputs)):
                self._examine(k, [case], results)
        return f"{text}: on {', '.join(whose.values())}, and on stricter ones"


def _strictly(learner, *arguments, **options):
    result = beside(learner, "strictly")(learner, *arguments, **options)
    return result[0] if len(result) == 1 else result


WHOSE = "each channel's"
LAYER = "That is layer norm: {} over each sample, axes 1, 2, 3. Batch norm's are each "
LAYER += "channel's: axes 0, 2, 3."
POSITIONS = "{} over the batch only, one for each position: axes 0, 2, 3."
SAMPLES = "{} each sample's own, as in instance norm: axes 0, 2, 3."

generic = _Generic(
    name="batch_norm",
    outputs=("y",),
    formula=_forward,
    cases=lambda rng: _cases(rng, _draw, 0),
    run=_strictly,
    section="kernels-arrays",
    mistakes=(
        Mistake(LAYER.format("mean and variance are"), {"sets": "layer"}),
        Mistake(POSITIONS.format("Mean and variance are"), {"sets": "batch"}),
        Mistake(SAMPLES.format("Mean and variance are"), {"sets": "sample"}),
        *variances(WHOSE, "N·H·W"),
        *SIGNS,
        *AFFINE,
        *denominators("v"),
    ),
)

generic_backward = _Generic(
    name="batch_norm_backward",
    outputs=("dx", "dgamma", "dbeta"),
    examine=("dbeta", "dgamma", "dx"),
    formula=_backward,
    cases=lambda rng: _cases(rng, _draw_gradient, 1),
    run=_strictly,
    section="kernels-arrays",
    changed=CHANGED,
    mistakes=(
        Mistake(
            LAYER.format("statistics and means are"),
            {"sets": "layer", "means": "layer"},
        ),
        Mistake(LAYER.format("the means in dx are"), {"means": "layer"}),
        Mistake(POSITIONS.format("The means in dx are"), {"means": "batch"}),
        Mistake(SAMPLES.format("The means in dx are"), {"means": "sample"}),
        Mistake(
            "dgamma and dbeta are summed over the batch only: sum over axes 0, 2, 3, "
            "to shape (C,).",
            {"parameters": (0,)},
        ),
        *PARAMETERS,
        *inputs("the channel's", "N·H·W"),
        *variances(WHOSE, "N·H·W"),
        *denominators("v", forward=False),
    ),
)
