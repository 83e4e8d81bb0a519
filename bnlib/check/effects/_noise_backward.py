"""Exercise: the gradients of batch norm with moving noise behind it.

The noise is drawn, not learned: scale and shift are constants of the step.

But: nothing is drawn here (`_noise`).
"""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check._inputs import draw_batch
from bnlib.check.backward._mistakes import PARAMETERS, STATISTICS
from bnlib.check.backward._training import columns


def noisy_columns(dy, x, gamma, scale, eps=1e-5, *, through="all", **knobs):
    """Gradients of y = scale·batch_norm(x) + shift; a knob says where scale goes."""
    dy, scale = dy.astype(np.float64), scale.astype(np.float64)
    if through == "none":
        return columns(dy, x, gamma, eps, **knobs)
    if through == "divided":
        return columns(dy / scale, x, gamma, eps, **knobs)
    if through == "squared":
        return columns(dy * scale**2, x, gamma, eps, **knobs)
    if through == "by example":
        return columns(dy * scale[:, None], x, gamma, eps, **knobs)
    if through == "in x":
        return columns(dy, scale * x, gamma, eps, **knobs)
    plain = columns(dy, x, gamma, eps, **knobs)
    noisy = columns(scale * dy, x, gamma, eps, **knobs)
    chosen = {
        "all": (1, 1, 1),
        "dx only": (1, 0, 0),
        "parameters only": (0, 1, 1),
        "not dx and dgamma": (0, 0, 1),
        "not dbeta": (1, 1, 0),
        "not dgamma": (1, 0, 1),
    }
    if through == "dx twice":
        return scale * noisy[0], noisy[1], noisy[2]
    pairs = zip(plain, noisy, chosen[through], strict=True)
    return tuple(b if use else a for a, b, use in pairs)


def _cases(rng):
    def arguments(n, d, dtype=np.float64, **options):
        x, gamma, _ = draw_batch(rng, (n, d), dtype=dtype, **options)
        dy = rng.normal(0.4, 1.0, size=(n, d)).astype(dtype)
        return dy, x, gamma, rng.uniform(1.0, 2.0, size=d).astype(dtype)

    return [
        Case("x of shape (7, 5)", arguments(7, 5)),
        Case("x of shape (9, 3), mean about 5", arguments(9, 3, mean=5.0)),
        Case("x of shape (4, 4)", arguments(4, 4)),
        Case("x of shape (12, 2), float32", arguments(12, 2, np.float32), {}, 2e-5),
        Case(
            "eps = 0.1",
            arguments(8, 3),
            {"eps": 0.1},
            hint="Is every eps in it the argument?",
        ),
    ]


noise_backward = Exercise(
    name="noisy_batch_norm_backward",
    outputs=("dx", "dgamma", "dbeta"),
    examine=("dbeta", "dgamma", "dx"),
    formula=noisy_columns,
    cases=_cases,
    section="critiques-noise",
    changed=(
        "Its owner still needs it. `d = scale * dy` makes a new array; `dy *= scale` "
        "overwrites the old one."
    ),
    mistakes=(
        Mistake(
            "The scale is ignored, as if the noise had no gradient. y = scale·h + "
            "shift + jitter: what arrives at h is scale·dy. (The shift and the jitter "
            "are added; they pass dy on as it is.)",
            {"through": "none"},
        ),
        Mistake(
            "dy is divided by the scale. Going back multiplies by the derivative, "
            "which is scale; it does not undo the multiplication.",
            {"through": "divided"},
        ),
        Mistake(
            "The scale is there twice. h is multiplied by it once: what arrives at h "
            "is scale·dy.",
            {"through": "squared"},
        ),
        Mistake(
            "dx has the scale twice: what arrives at h, scale·dy, goes back through "
            "batch norm, and dx is then ready.",
            {"through": "dx twice"},
        ),
        Mistake(
            "The scale is multiplied as scale[:, None], one value for each example. It "
            "has one for each unit: scale·dy broadcasts along the batch by itself.",
            {"through": "by example"},
        ),
        Mistake(
            "The scale multiplies x on the way in. It comes *after* the normalisation: "
            "y = scale·batch_norm(x) + shift. Multiply dy.",
            {"through": "in x"},
        ),
        Mistake(
            "dgamma and dbeta are without the scale. h = gamma·xhat + beta stands "
            "before it, so all three gradients start from scale·dy.",
            {"through": "dx only"},
        ),
        Mistake(
            "dx is without the scale; dgamma and dbeta have it. All three start from "
            "scale·dy, what arrives at h.",
            {"through": "parameters only"},
        ),
        Mistake(
            "dbeta is without the scale. beta stands before it: h = gamma·xhat + beta, "
            "y = scale·h + ...; dbeta = sum(scale·dy).",
            {"through": "not dbeta"},
        ),
        Mistake(
            "dgamma is without the scale. gamma stands before it: dgamma = "
            "sum(scale·dy·xhat).",
            {"through": "not dgamma"},
        ),
        Mistake(
            "dx and dgamma are without the scale; only dbeta has it. All three start "
            "from scale·dy, what arrives at h.",
            {"through": "not dx and dgamma"},
        ),
        *PARAMETERS,
        *(m for m in STATISTICS if not m.alone),
        Mistake(
            "dx is scale·dy·gamma/s only: mean and variance are treated as constants. "
            "They move with every example. batch_norm_backward, which is given, knows.",
            {"mean_term": "none", "xhat_term": "none"},
        ),
        Mistake(
            "gamma is missing from dx: what arrives at xhat is gamma·scale·dy.",
            {"with_gamma": "none"},
        ),
    ),
)
