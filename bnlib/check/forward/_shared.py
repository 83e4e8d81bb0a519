"""What PS1's exercises share: hints, the last steps of the formula, the variance.

Each formula is the truth, in float64; its keyword-only arguments are the knobs that
make it wrong. Where a mistake makes learners' arrays broadcast wrongly or raise, the
formula is written as they write it, so that it does the same.
"""

import numpy as np

from bnlib.check._exercise import Mistake

EPS = 1e-5
SINGLE = 1e-5  # tolerance where float32 will do
CANCELLATION = (
    "The mean is large compared with the spread here. Do you compute E[x²] − E[x]²? It "
    "subtracts two large, nearly equal numbers, whose rounding is as large as the "
    "difference. Subtract the mean first, then square."
)


HALF = (
    "float16 holds three digits, and nothing above 65504: the square of 256 is "
    "already infinite, and a sum stops growing when its terms fall below its last "
    "digit. Convert first, x.astype(np.float32), then compute."
)
CONSTANT = (
    "One feature is constant here: x − mean and the variance are 0, and y is beta."
)
NEGATIVE = "A negative axis counts from the end: axis % x.ndim makes it positive."
COLUMNS = {"affine": "gamma + beta in columns"}


def widen(*arrays):
    return (a.astype(np.float64) for a in arrays)


def normalise(
    x,
    mean,
    var,
    gamma,
    beta,
    eps,
    *,
    centred="x - mean",
    scale="sqrt(v + eps)",
    affine="gamma xhat + beta",
    default_eps=EPS,
    fixed_eps=None,
):
    """Normalise, scale and shift: what training and evaluation have in common."""
    if fixed_eps is not None:
        eps = fixed_eps
    elif eps is None:
        eps = default_eps
    top = {
        "x - mean": lambda: x - mean,
        "x": lambda: x,
        "x + mean": lambda: x + mean,
        "mean - x": lambda: mean - x,
    }[centred]()
    bottom = {
        "sqrt(v + eps)": lambda: np.sqrt(var + eps),
        "sqrt(v) + eps": lambda: np.sqrt(var) + eps,
        "sqrt(v)": lambda: np.sqrt(var),
        "sqrt(max(v, eps))": lambda: np.sqrt(np.maximum(var, eps)),
        "sqrt(v + eps^2)": lambda: np.sqrt(var + eps**2),
        "sqrt(v + eps) + eps": lambda: np.sqrt(var + eps) + eps,
        "v + eps": lambda: var + eps,
        "v": lambda: var,
        "1 / sqrt(v + eps)": lambda: 1 / np.sqrt(var + eps),
        "1": lambda: np.ones_like(var),
    }[scale]()
    xhat = top / bottom
    return {
        "gamma xhat + beta": lambda: gamma * xhat + beta,
        "gamma (xhat + beta)": lambda: gamma * (xhat + beta),
        "beta xhat + gamma": lambda: beta * xhat + gamma,
        "gamma xhat - beta": lambda: gamma * xhat - beta,
        "xhat + beta": lambda: xhat + beta,
        "gamma xhat": lambda: gamma * xhat,
        "xhat": lambda: xhat,
        "gamma + beta in columns": lambda: (
            gamma.reshape(-1, 1) * xhat + beta.reshape(-1, 1)
        ),
    }[affine]()


def finish_mistakes(mean="mean", var="var"):
    """Return the mistakes of `normalise`, the statistics called by these names."""
    return (
        Mistake(
            f"eps stands outside the square root: you divide by sqrt({var}) + eps. "
            f"The formula is sqrt({var} + eps); for a small variance they differ a "
            "lot.",
            {"scale": "sqrt(v) + eps"},
        ),
        Mistake(
            f"eps is missing: you divide by sqrt({var}). A constant feature, whose "
            f"variance is 0, then gives 0/0. Divide by sqrt({var} + eps).",
            {"scale": "sqrt(v)"},
        ),
        Mistake(
            f"You divide by {var} + eps, without the square root. The variance has "
            "the unit of x squared; divide by the standard deviation, "
            f"sqrt({var} + eps).",
            {"scale": "v + eps"},
        ),
        Mistake(
            f"You divide by {var} itself. Divide by the standard deviation, "
            f"sqrt({var} + eps).",
            {"scale": "v"},
        ),
        Mistake(
            f"You multiply by sqrt({var} + eps); divide by it, so that the result has "
            "standard deviation 1.",
            {"scale": "1 / sqrt(v + eps)"},
        ),
        Mistake(
            f"You take the larger of {var} and eps. It avoids the division by zero, "
            f"but the formula adds the two: sqrt({var} + eps).",
            {"scale": "sqrt(max(v, eps))"},
        ),
        Mistake(
            "eps is squared on its way into the square root. It is added to the "
            f"variance as it is: sqrt({var} + eps).",
            {"scale": "sqrt(v + eps^2)"},
        ),
        Mistake(
            f"eps is added twice, inside the square root and outside. Once is right: "
            f"sqrt({var} + eps).",
            {"scale": "sqrt(v + eps) + eps"},
        ),
        Mistake(
            "You subtract the mean but do not divide by the standard deviation, "
            f"sqrt({var} + eps).",
            {"scale": "1"},
        ),
        Mistake(
            f"You do not subtract {mean}: x itself is divided by the standard "
            "deviation. Centre it first.",
            {"centred": "x"},
        ),
        Mistake(
            f"You add {mean} where it has to be subtracted.", {"centred": "x + mean"}
        ),
        Mistake(
            f"You compute {mean} − x. It is x − {mean}: the order decides the sign of "
            "y.",
            {"centred": "mean - x"},
        ),
        Mistake(
            "Neither gamma nor beta is applied: you return xhat. The last step is "
            "y = gamma * xhat + beta.",
            {"affine": "xhat"},
        ),
        Mistake(
            "gamma is missing: you return xhat + beta instead of gamma * xhat + beta.",
            {"affine": "xhat + beta"},
        ),
        Mistake(
            "beta is missing: you return gamma * xhat instead of gamma * xhat + beta.",
            {"affine": "gamma xhat"},
        ),
        Mistake(
            "beta is multiplied by gamma as well: you compute gamma * (xhat + beta). "
            "Scale first, then shift: gamma * xhat + beta.",
            {"affine": "gamma (xhat + beta)"},
        ),
        Mistake(
            "gamma and beta are swapped: gamma is the scale, beta the shift, "
            "gamma * xhat + beta.",
            {"affine": "beta xhat + gamma"},
        ),
        Mistake(
            "beta is subtracted; it is added: gamma * xhat + beta.",
            {"affine": "gamma xhat - beta"},
        ),
        Mistake(
            "gamma and beta vary along the rows: a column vector such as "
            "gamma[:, None] pairs them with the samples (for N = D without any error). "
            "There is one per feature, so gamma * xhat broadcasts as it stands.",
            COLUMNS,
        ),
        Mistake(
            "eps is missing, or so small that it does nothing. A variance close to 0 "
            f"is to count as eps at least: divide by sqrt({var} + eps), with the "
            "argument eps.",
            {"fixed_eps": 1e-12},
        ),
        *(
            Mistake(
                f"eps is {value} whatever the caller passes. Use the argument eps.",
                {"fixed_eps": float(value)},
            )
            for value in ("1e-5", "1e-3", "1e-8", "1e-6")
        ),
        *(
            Mistake(
                f"The default of eps is {value} in your function. Here it is 1e-5, "
                "PyTorch's; each library has its own, and a model only gives the "
                "same results with the eps it was trained with.",
                {"default_eps": float(value)},
            )
            for value in ("1e-3", "1e-12", "1e-8", "1e-6")
        ),
    )


def variance_of(x, mean, axes, *, kind="biased"):
    """Return the variance over axes (kept), or what learners take for it."""
    centred = x - mean
    total = (centred**2).sum(axis=axes, keepdims=True)
    n = centred.size // total.size
    return {
        "biased": lambda: total / n,
        "unbiased": lambda: total / np.float64(n - 1),
        "unbiased, guarded": lambda: total / max(n - 1, 1),
        "sum": lambda: total,
        "mean square": lambda: (x**2).mean(axis=axes, keepdims=True),
        "std": lambda: np.sqrt(total / n),
        "absolute": lambda: np.abs(centred).mean(axis=axes, keepdims=True),
        "absolute, squared": lambda: (
            np.abs(centred).mean(axis=axes, keepdims=True) ** 2
        ),
        "difference of means": lambda: (
            centred.mean(axis=axes, keepdims=True) ** 2  # forgot to square each entry
        ),
        "pooled": lambda: np.mean(centred**2, keepdims=True),
        "pooled, one mean": lambda: np.var(x, keepdims=True),
    }[kind]()


_ABSOLUTE = (
    "You use the mean absolute deviation, the mean of |x − mean|. The variance is the "
    "mean of the squares, (x − mean)²."
)
VARIANCE_MISTAKES = (
    Mistake(
        "The variance is the unbiased one: you divide by N − 1. A batch is normalised "
        "by its own, biased variance, divided by N, so that xhat has mean square 1. "
        "N − 1 belongs to the running variance only (and here makes NaN of a batch of "
        "one).",
        {"variance": "unbiased"},
    ),
    Mistake(
        "The variance is the unbiased one: you divide by N − 1 (where N is not 1). A "
        "batch is normalised by its own, biased variance, divided by N, whatever N: "
        "for N = 1 it is 0 without a special case.",
        {"variance": "unbiased, guarded"},
    ),
    Mistake(
        "The variance is the mean of x², not of (x − mean)²: the square of the mean "
        "is still in it. Subtract the mean before you square.",
        {"variance": "mean square"},
    ),
    Mistake(
        "The variance is a sum of squares: divide it by the number of values, or use "
        "`.mean` instead of `.sum`.",
        {"variance": "sum"},
    ),
    Mistake(
        "You use the standard deviation where the variance belongs. `np.std` is "
        "already the square root; the variance is `np.var`.",
        {"variance": "std"},
    ),
    Mistake(_ABSOLUTE, {"variance": "absolute"}),
    Mistake(_ABSOLUTE, {"variance": "absolute, squared"}),
    Mistake(
        "You square after taking the mean. The mean of x − mean is 0; square each "
        "difference first, then take the mean.",
        {"variance": "difference of means"},
    ),
    *(
        Mistake(
            "The variance is one number for all features together. Each feature has "
            "its own: give the mean an axis.",
            {"variance": kind},
        )
        for kind in ("pooled", "pooled, one mean")
    ),
)
