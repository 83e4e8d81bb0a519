"""Exercise 1: layer norm of (N, D), forwards and backwards.

But: one sample is one row; layer norm of images is group norm with one group.
"""

from bnlib.check._exercise import Exercise, Mistake
from bnlib.check.alternatives._batches import draw, draw_gradient, row_cases
from bnlib.check.alternatives._formula import (
    Sets,
    affine,
    gradients,
    standardise,
    widen,
)
from bnlib.check.alternatives._mistakes import (
    AFFINE,
    BY_SAMPLE,
    CHANGED,
    NOT_KEPT,
    OUTSIDE,
    SIGNS,
    denominators,
    inputs,
    variances,
)
from bnlib.check.backward._mistakes import PARAMETERS


def sets_of(x, kind="row"):
    """Return which entries of (N, D) share statistics."""
    reduced = {"row": (1,), "column": (0,), "all": (0, 1)}[kind]
    return Sets(x.shape, reduced)


def _forward(
    x,
    gamma,
    beta,
    eps=1e-5,
    *,
    sets="row",
    affine_kind="gamma xhat + beta",
    **statistics,
):
    x, gamma, beta = widen(x, gamma, beta)
    top, s = standardise(x, sets_of(x, sets), eps, **statistics)
    return (affine(top / s, gamma, beta, affine_kind),)


def _backward(
    dy, x, gamma, eps=1e-5, *, sets="row", means="row", one_mean=None, **knobs
):
    dy, x, gamma = widen(dy, x, gamma)
    if one_mean:
        knobs[one_mean] = sets_of(x, "column")
    return gradients(
        dy, x, gamma, sets_of(x, sets), eps, means=sets_of(x, means), **knobs
    )


WHOSE = "each sample's"

layer = Exercise(
    name="layer_norm",
    outputs=("y",),
    formula=_forward,
    cases=lambda rng: row_cases(rng, draw),
    section="across-features-formulas",
    page="across_features",
    mistakes=(
        Mistake(
            "That is batch norm: mean and variance of each feature over the batch, "
            "axis 0. Layer norm takes them of each sample over its features: axis 1.",
            {"sets": "column"},
        ),
        Mistake(
            "One mean and one variance serve the whole array. Each sample has its own: "
            "axis=1.",
            {"sets": "all"},
        ),
        Mistake(
            "The mean is over the features, but the variance over the batch, axis 0. "
            "Both are each sample's: axis 1.",
            {"variance": "columns"},
        ),
        Mistake(NOT_KEPT, {"kept": False}),
        Mistake(BY_SAMPLE, {"affine_kind": "columns"}),
        *variances(WHOSE, "D"),
        *SIGNS,
        *AFFINE,
        *denominators("v"),
    ),
)

layer_backward = Exercise(
    name="layer_norm_backward",
    outputs=("dx", "dgamma", "dbeta"),
    examine=("dbeta", "dgamma", "dx"),
    formula=_backward,
    cases=lambda rng: row_cases(rng, draw_gradient, x_at=1),
    section="across-features-backward",
    page="across_features",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "That is batch norm's backward pass: statistics and means are over the "
            "batch, axis 0. Layer norm's are over each sample's features: axis 1.",
            {"sets": "column", "means": "column"},
        ),
        Mistake(
            "The means in dx are over the batch, axis 0. They are over the values that "
            "share statistics, each sample's features: axis 1. Only dgamma and dbeta "
            "are sums over the samples.",
            {"means": "column"},
        ),
        *(
            Mistake(
                f"{name} is summed over the features, axis 1. The statistics are each "
                "sample's, but the parameters are shared by all samples: sum over the "
                "batch, axis 0, to shape (D,).",
                {name: "axis 1"},
            )
            for name in ("dbeta", "dgamma")
        ),
        Mistake(
            "dgamma and dbeta are summed over the features, axis 1. The statistics are "
            "each sample's, but the parameters are shared by all samples: sum over the "
            "batch, axis 0, to shape (D,).",
            {"parameters": (1,)},
        ),
        OUTSIDE,
        *PARAMETERS,
        *inputs("the sample's", "D"),
        Mistake(
            "The means in dx are divided by N, the number of samples. D features share "
            "a mean: divide by D, which is `x.shape[1]`.",
            {"count": "N"},
        ),
        *(
            Mistake(
                f"{mean} in dx is over the batch, axis 0. It is over the values that "
                "share statistics, each sample's features: axis 1.",
                {"one_mean": knob},
            )
            for mean, knob in (
                ("mean(d)", "mean_sets"),
                ("mean(d·xhat)", "xhat_sets"),
            )
        ),
        Mistake(
            "The means in dx are over everything. Each sample has its own: axis=1.",
            {"means": "all"},
        ),
        Mistake(NOT_KEPT, {"kept": False}),
        Mistake(BY_SAMPLE, {"with_gamma": "gamma[:, None]"}),
        *variances(WHOSE, "D"),
        *denominators("v", forward=False),
    ),
)
