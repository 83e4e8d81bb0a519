"""What PS5's exercises share: the last steps of a norm, with knobs, and the mistakes.

But: no statistics here; which values share a mean and a variance is the exercises' own.
"""

import numpy as np

from bnlib.check._exercise import Mistake

CHANGED = (
    "The caller still needs that array. `a = a - b` makes a new one; `a -= b` and "
    "`a[:] = ...` write into the old one."
)
LARGE = (
    "The mean is large there, compared with the spread. E[x²] − E[x]² loses all its "
    "digits then: subtract the mean first, then square."
)
EPS = "Is every eps in it the argument?"
ALL = "sqrt(v + eps)"


def wide(*arrays):
    """Return float64 copies."""
    return [np.array(a, dtype=np.float64) for a in arrays]


def finish(x, mean, var, gamma, beta, eps, *, scale=ALL, affine="gamma xhat + beta"):
    """Normalise, scale and shift; `scale` and `affine` are knobs."""
    s = {
        ALL: lambda: np.sqrt(var + eps),
        "sqrt(v)": lambda: np.sqrt(var),
        "sqrt(v) + eps": lambda: np.sqrt(var) + eps,
        "v + eps": lambda: var + eps,
        "sqrt(max(v, eps))": lambda: np.sqrt(np.maximum(var, eps)),
        "1e-5": lambda: np.sqrt(var + 1e-5),
        "1e-3": lambda: np.sqrt(var + 1e-3),
        "default 1e-3": lambda: np.sqrt(var + (1e-3 if eps == 1e-5 else eps)),
        "times": lambda: 1 / np.sqrt(var + eps),
    }[scale]()
    xhat = (x - mean) / s
    return {
        "gamma xhat + beta": lambda: gamma * xhat + beta,
        "gamma (xhat + beta)": lambda: gamma * (xhat + beta),
        "gamma xhat": lambda: gamma * xhat,
        "xhat + beta": lambda: xhat + beta,
        "xhat": lambda: xhat,
        "beta xhat + gamma": lambda: beta * xhat + gamma,
    }[affine]()


FINISH = (
    Mistake(
        "eps is missing: you divide by the root of the variance alone, which is 0 for "
        "a feature that is constant. Divide by sqrt(var + eps).",
        {"scale": "sqrt(v)"},
    ),
    Mistake(
        "eps stands outside the square root: it belongs inside, sqrt(var + eps).",
        {"scale": "sqrt(v) + eps"},
    ),
    Mistake(
        "The square root is missing: you divide by var + eps. Divide by the standard "
        "deviation, sqrt(var + eps).",
        {"scale": "v + eps"},
    ),
    Mistake(
        "You take the larger of the variance and eps. The formula adds them: "
        "sqrt(var + eps).",
        {"scale": "sqrt(max(v, eps))"},
    ),
    *(
        Mistake(
            "eps is a fixed number in your function, whatever the caller passes. Use "
            "the argument.",
            {"scale": scale},
        )
        for scale in ("1e-5", "1e-3")
    ),
    Mistake(
        "eps is 1e-3 where none is given; the default is 1e-5.",
        {"scale": "default 1e-3"},
    ),
    Mistake(
        "You multiply by sqrt(var + eps); divide by it.",
        {"scale": "times"},
    ),
    Mistake(
        "beta is multiplied by gamma: gamma·(xhat + beta). It is added at the end: "
        "gamma·xhat + beta.",
        {"affine": "gamma (xhat + beta)"},
    ),
    Mistake("beta is missing: y = gamma·xhat + beta.", {"affine": "gamma xhat"}),
    Mistake("gamma is missing: y = gamma·xhat + beta.", {"affine": "xhat + beta"}),
    Mistake(
        "Neither gamma nor beta is there: y = gamma·xhat + beta.", {"affine": "xhat"}
    ),
    Mistake(
        "gamma and beta are swapped: y = gamma·xhat + beta.",
        {"affine": "beta xhat + gamma"},
    ),
)
