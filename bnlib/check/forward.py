"""PS1: the forward pass."""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check._inputs import draw_batch


def _train(
    x,
    gamma,
    beta,
    eps=1e-5,
    *,
    variance="biased",
    pooled=False,
    centred=True,
    denominator="sqrt(v + eps)",
    affine="gamma xhat + beta",
    axis=0,
):
    """Training forward for (N, D), with a knob for each mistake."""
    low = x.dtype
    x, gamma, beta = (a.astype(np.float64) for a in (x, gamma, beta))
    n = x.shape[axis]
    mean = x.mean(axis=axis, keepdims=True)
    square = (x - mean) ** 2
    if variance == "E[x2] - E[x]2":
        narrow = x.astype(low)
        var = np.mean(narrow * narrow, axis=axis, keepdims=True)
        var = (var - np.mean(narrow, axis=axis, keepdims=True) ** 2).astype(np.float64)
    else:
        total = square.sum(axis=axis, keepdims=True)
        var = {
            "biased": total / n,
            "unbiased": total / (n - 1) if n > 1 else total * np.nan,
            "sum": total,
            "mean square": (x**2).mean(axis=axis, keepdims=True),
            "absolute": np.abs(x - mean).mean(axis=axis, keepdims=True) ** 2,
        }[variance]
    if pooled:
        var = np.full_like(var, square.mean())
    scale = {
        "sqrt(v + eps)": lambda: np.sqrt(var + eps),
        "sqrt(v) + eps": lambda: np.sqrt(var) + eps,
        "sqrt(v)": lambda: np.sqrt(var),
        "v + eps": lambda: var + eps,
        "eps 1e-3": lambda: np.sqrt(var + 1e-3),
        "eps 1e-12": lambda: np.sqrt(var + 1e-12),
        "1": lambda: np.ones_like(var),
    }[denominator]()
    xhat = (x - mean if centred else x) / scale
    y = {
        "gamma xhat + beta": lambda: gamma * xhat + beta,
        "gamma (xhat + beta)": lambda: gamma * (xhat + beta),
        "xhat + beta": lambda: xhat + beta,
        "gamma xhat": lambda: gamma * xhat,
        "xhat": lambda: xhat,
        "gamma[:, None]": lambda: gamma[:, None] * xhat + beta[:, None],
    }[affine]()
    squeeze = tuple(s for a, s in enumerate(mean.shape) if a != axis)
    return y, mean.reshape(squeeze), var.reshape(squeeze)


def _train_cases(rng):
    cases = []
    for n, d, dtype, mean, std, tolerance in (
        (7, 5, np.float64, 0.0, 1.0, 1e-9),
        (6, 4, np.float64, 3.0, 1e-3, 1e-9),  # variance near eps
        (5, 5, np.float64, -2.0, 4.0, 1e-9),  # square: N could be taken for D
        (9, 3, np.float32, 1.0, 1.0, 1e-5),
        (64, 3, np.float32, 1e3, 1.0, 1e-3),  # the mean's rounding alone costs 6e-5
    ):
        what = f"x of shape ({n}, {d}), {np.dtype(dtype).name}, mean about {mean:g}"
        arguments = draw_batch(rng, (n, d), dtype=dtype, mean=mean, std=std)
        cases.append(Case(what, arguments, {}, tolerance))
    x, gamma, beta = draw_batch(rng, (8, 3))
    cases.append(Case("eps = 0.1", (x, gamma, beta), {"eps": 0.1}))
    x[:, 1] = 2.0
    cases.append(Case("a feature that is constant", (x, gamma, beta)))
    cases.append(Case("a batch of one", draw_batch(rng, (1, 4))))
    return cases


train = Exercise(
    name="batch_norm_train",
    outputs=("y", "mean", "var"),
    examine=("mean", "var", "y"),
    formula=_train,
    cases=_train_cases,
    section="forward-training",
    mistakes=(
        Mistake(
            "var is the unbiased variance: you divide by N − 1. The batch is "
            "normalised by its own, biased variance, divided by N, so that xhat has "
            "mean square 1; N − 1 belongs to the running variance only (and a batch of "
            "one divides by zero).",
            {"variance": "unbiased"},
        ),
        Mistake(
            "var is the mean of x², not of (x − mean)²: the square of the mean is "
            "still in it.",
            {"variance": "mean square"},
        ),
    ),
)
