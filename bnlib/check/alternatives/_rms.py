"""Exercise 4: RMS norm of (N, D), forwards and backwards: nothing is centred."""

from bnlib.check._exercise import Exercise, Mistake
from bnlib.check.alternatives._batches import draw, draw_gradient, row_cases
from bnlib.check.alternatives._formula import affine, gradients, standardise, widen
from bnlib.check.alternatives._layer import sets_of
from bnlib.check.alternatives._mistakes import (
    AFFINE,
    BY_SAMPLE,
    CHANGED,
    NOT_KEPT,
    OUTSIDE,
    denominators,
    inputs,
)
from bnlib.check.backward._mistakes import PARAMETERS


def _forward(
    x,
    gamma,
    eps=1e-5,
    *,
    sets="row",
    centre="none",
    affine_kind="gamma xhat + beta",
    **statistics,
):
    x, gamma = widen(x, gamma)
    top, s = standardise(x, sets_of(x, sets), eps, centre=centre, **statistics)
    return (affine(top / s, gamma, 0 * gamma, affine_kind),)


def _backward(
    dy,
    x,
    gamma,
    eps=1e-5,
    *,
    sets="row",
    means="row",
    centre="none",
    mean_term="none",
    order="dx, dgamma",
    **knobs,
):
    dy, x, gamma = widen(dy, x, gamma)
    return gradients(
        dy,
        x,
        gamma,
        sets_of(x, sets),
        eps,
        means=sets_of(x, means),
        centre=centre,
        mean_term=mean_term,
        order=order,
        **knobs,
    )


_STATISTICS = (
    Mistake(
        "The mean is subtracted: that is layer norm. RMS norm divides x, as it is, by "
        "its root mean square.",
        {"centre": "both"},
    ),
    Mistake(
        "You divide by the standard deviation, in which the mean is subtracted "
        "(`np.var` does so). RMS norm's q is the mean of x², nothing centred.",
        {"centre": "bottom"},
    ),
    Mistake(
        "The mean is subtracted from x before the division. RMS norm centres nothing: "
        "xhat = x / s.",
        {"centre": "top"},
    ),
    Mistake(
        "You divide by the length of x: sum(x²) is where the mean belongs. The root "
        "mean square is shorter by sqrt(D), so that xhat has entries of size 1 "
        "however many there are.",
        {"variance": "sum"},
    ),
    Mistake(
        "The mean square is divided by D − 1. Nothing was estimated: q is the plain "
        "mean of x².",
        {"variance": "unbiased"},
    ),
    Mistake(
        "The square root is taken twice: s = sqrt(q + eps), with q the mean of x² "
        "itself.",
        {"variance": "std"},
    ),
    *(
        Mistake(
            "You use the mean of |x|. The root mean square squares first: "
            "q = mean(x²).",
            {"variance": kind},
            alone=True,
        )
        for kind in ("absolute", "absolute, squared")
    ),
    Mistake(
        "You square after taking the mean. q is the mean of the squares, mean(x²), not "
        "mean(x)².",
        {"variance": "square of the mean"},
    ),
    Mistake(
        "x is not squared: you divide by sqrt(mean(x) + eps). q = mean(x²).",
        {"variance": "mean"},
    ),
    Mistake(
        "The mean square is taken over all of x at once. Each sample has its own: "
        "axis=1.",
        {"variance": "pooled, own means"},
    ),
    Mistake(NOT_KEPT, {"kept": False}),
)

rms = Exercise(
    name="rms_norm",
    outputs=("y",),
    formula=_forward,
    cases=lambda rng: row_cases(
        rng, lambda *args, **options: draw(*args, **options)[:2], centred=False
    ),
    section="across-features-formulas",
    page="across_features",
    mistakes=(
        *_STATISTICS,
        Mistake(
            "The mean square is that of each feature over the batch, axis 0. RMS norm, "
            "like layer norm, treats each sample by itself: axis 1.",
            {"sets": "column"},
        ),
        Mistake(
            "gamma is not applied: you return xhat. y = gamma·xhat.",
            {"affine_kind": "xhat"},
        ),
        Mistake(BY_SAMPLE, {"affine_kind": "columns"}),
        *(m for m in AFFINE if m.knobs["affine_kind"] == "beta xhat + gamma"),
        *denominators("q"),
    ),
)

rms_backward = Exercise(
    name="rms_norm_backward",
    outputs=("dx", "dgamma"),
    examine=("dgamma", "dx"),
    formula=_backward,
    cases=lambda rng: row_cases(rng, draw_gradient, x_at=1, centred=False),
    section="across-features-backward",
    page="across_features",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "That is layer norm's backward pass. RMS norm subtracts no mean on the way "
            "forward, so backwards − mean(d) goes, and xhat is x / s.",
            {"centre": "both", "mean_term": "mean"},
        ),
        Mistake(
            "mean(d) is subtracted in dx, as in layer norm. It is the path through the "
            "mean, and RMS norm has none: dx = (d − xhat·mean(d·xhat)) / s.",
            {"mean_term": "mean"},
        ),
        *(
            Mistake(
                "The means in dx are over the batch, axis 0. They are over each "
                "sample's features: axis 1. Only dgamma is a sum over the samples.",
                knobs,
            )
            for knobs in ({"means": "column"}, {"means": "column", "sets": "column"})
        ),
        Mistake(
            "dgamma is summed over the features, axis 1. gamma is shared by all "
            "samples: sum over the batch, axis 0, to shape (D,).",
            {"dgamma": "axis 1"},
        ),
        OUTSIDE,
        Mistake("The order of the results is dx, dgamma.", {"order": "dgamma, dx"}),
        Mistake(
            "dgamma is the sum of dy·x. gamma multiplies the normalised xhat, so "
            "divide by s: dgamma = sum(dy·xhat).",
            {"dgamma": "dy x"},
        ),
        *(
            m
            for m in PARAMETERS
            if m.knobs.get("dgamma")
            in ("mean", "gamma dy xhat", "dx xhat", "total", "not summed")
        ),
        *inputs("the sample's", "D", centred=False),
        Mistake(
            "mean(d·xhat) is divided by N, the number of samples. It is over the D "
            "features of a sample.",
            {"count": "N"},
        ),
        Mistake(BY_SAMPLE, {"with_gamma": "gamma[:, None]"}),
        *_STATISTICS,
        *denominators("q", forward=False),
    ),
)
