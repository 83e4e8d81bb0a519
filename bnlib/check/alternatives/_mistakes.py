"""What is said of mistakes that several exercises share, likeliest first.

But: mistakes of one exercise alone stand beside that exercise.
"""

from bnlib.check._exercise import Mistake

CHANGED = (
    "Its owner still needs it: other layers read x, and other branches dy. "
    "`d = gamma * dy` makes a new array; `dy *= gamma` overwrites the old one."
)


def denominators(v, *, forward=True):
    """Return the ways to get s = sqrt(v + eps) wrong, the variance called v."""
    right = f"s = sqrt({v} + eps)"
    whose = "" if forward else " Backward must use the s of the forward pass."
    return (
        Mistake(
            f"eps is missing: you divide by sqrt({v}). Where {v} is as small as eps "
            "the difference is large, and where it is 0 you divide by zero: "
            f"{right}.",
            {"denominator": "sqrt(v)"},
        ),
        Mistake(
            f"You divide by sqrt({v}) + eps; eps belongs inside the root: {right}."
            f"{whose}",
            {"denominator": "sqrt(v) + eps"},
        ),
        Mistake(
            f"You divide by {v} + eps; the square root is missing: {right}.",
            {"denominator": "v + eps"},
        ),
        Mistake(
            f"You divide by {v} itself; root and eps are missing: {right}.",
            {"denominator": "v"},
        ),
        Mistake(
            f"You multiply by s where you should divide: {right}.",
            {"denominator": "1 / s"},
        ),
        *(
            Mistake(
                "Your eps is a fixed number and not the argument `eps` (by default "
                f"1e-5).{whose}",
                {"denominator": f"eps {value}"},
                alone=value != "1e-5",
            )
            for value in ("1e-5", "1e-3", "1e-8", "1e-12", "1e-6")
        ),
        *(
            Mistake(
                f"Your eps is {value} where none is given; here the default is 1e-5.",
                {"denominator": f"default {value}"},
                alone=True,
            )
            for value in ("1e-3", "1e-8", "1e-12", "1e-6")
        ),
        *(
            Mistake(
                f"You divide by sqrt({v}), and by something else only where that is "
                "zero or nearly so (or your eps is so small that it counts only "
                "there). It avoids the division by zero, but the argument eps is to "
                f"be added everywhere: {right}.",
                {"denominator": kind},
                alone=True,
            )
            for kind in (
                "sqrt(v), 1 for 0",
                "max(sqrt(v), 1e-12)",
                "max(sqrt(v), 1e-8)",
                "max(sqrt(v), eps)",
            )
        ),
        Mistake(
            f"You take the larger of {v} and eps; the two are added: {right}.",
            {"denominator": "sqrt(max(v, eps))"},
            alone=True,
        ),
        Mistake(
            f"eps is squared on its way into the root. It is added as it is: {right}.",
            {"denominator": "sqrt(v + eps^2)"},
            alone=True,
        ),
        *(
            Mistake(
                f"eps is added twice, {where}. Once is right: {right}.",
                {"denominator": kind},
                alone=True,
            )
            for kind, where in (
                ("sqrt(v + eps) + eps", "inside the root and outside"),
                ("sqrt(v + 2 eps)", "both times inside the root"),
            )
        ),
    )


def variances(whose, count, x="x", v="v"):
    """Return the ways to get a variance wrong.

    `whose` it is: "each sample's"; `count` is the number of values behind it: "D";
    `x` and `v` are what the values and the variance are called.
    """
    return (
        Mistake(
            f"The variance is divided by {count} − 1. {whose.capitalize()} values are "
            f"normalised by their own, biased variance, a plain mean of ({x} − mu)². "
            "(`np.var` divides so by itself; `ddof=1` and torch.var do not.)",
            {"variance": "unbiased"},
        ),
        Mistake(
            f"The variance is the mean of {x}², not of ({x} − mu)²: the square of the "
            f"mean is still in it.",
            {"centre": "top"},
        ),
        Mistake(
            f"The mean is not subtracted: you divide {x} itself by s, not {x} − mu.",
            {"centre": "bottom"},
        ),
        Mistake(
            f"The mean is subtracted nowhere, neither from {x} nor inside the "
            f"variance. That is RMS norm; here ({x} − mu) is divided, and {v} = "
            f"mean(({x} − mu)²).",
            {"centre": "none"},
        ),
        Mistake(
            f"The variance is a sum: its 1/{count} is missing. {v} = mean(({x} − "
            f"mu)²).",
            {"variance": "sum"},
        ),
        Mistake(
            "The standard deviation is where the variance belongs: `np.std` is already "
            f"the square root. s = sqrt({v} + eps) with {v} = mean(({x} − mu)²).",
            {"variance": "std"},
        ),
        *(
            Mistake(
                f"The variance is made of |{x} − mu|, the mean absolute deviation. It "
                f"is the mean of the squares: {v} = mean(({x} − mu)²).",
                {"variance": kind},
                alone=True,
            )
            for kind in ("absolute", "absolute, squared")
        ),
        Mistake(
            f"You square after taking the mean. The mean of {x} − mu is 0; square each "
            "difference first, then take the mean.",
            {"variance": "square of the mean"},
            alone=True,
        ),
        *(
            Mistake(
                f"The variance is taken over all of {x} at once. {whose.capitalize()} "
                f"is its own.",
                {"variance": kind},
                alone=True,
            )
            for kind in ("pooled", "pooled, own means")
        ),
    )


SIGNS = (
    Mistake("The mean is added where it has to be subtracted.", {"centre": "x + mean"}),
    Mistake(
        "You compute mu − x. It is x − mu: the order decides the sign of y.",
        {"centre": "mean - x"},
    ),
    Mistake(
        "You centre x but do not divide it by s = sqrt(v + eps).",
        {"variance": "one"},
    ),
)

AFFINE = (
    Mistake(
        "Neither gamma nor beta is applied: you return xhat. The last step is "
        "y = gamma·xhat + beta.",
        {"affine_kind": "xhat"},
    ),
    Mistake(
        "gamma is missing: you return xhat + beta instead of gamma·xhat + beta.",
        {"affine_kind": "xhat + beta"},
    ),
    Mistake(
        "beta is missing: you return gamma·xhat instead of gamma·xhat + beta.",
        {"affine_kind": "gamma xhat"},
    ),
    Mistake(
        "beta is multiplied by gamma as well: gamma·(xhat + beta). Scale first, then "
        "shift: gamma·xhat + beta.",
        {"affine_kind": "gamma (xhat + beta)"},
    ),
    Mistake(
        "gamma and beta are swapped: gamma is the scale, beta the shift, "
        "gamma·xhat + beta.",
        {"affine_kind": "beta xhat + gamma"},
    ),
    Mistake(
        "beta is subtracted; it is added: gamma·xhat + beta.",
        {"affine_kind": "gamma xhat - beta"},
    ),
)

BY_SAMPLE = (
    "gamma is used as a column, gamma[:, None], one value for each sample. (Where "
    "N = D that runs, and is wrong; elsewhere it fails.) The statistics are each "
    "sample's, but gamma has one entry for each feature: `gamma * xhat` is right as it "
    "stands."
)
NOT_KEPT = (
    "The statistics have shape (N,), and broadcasting lines them up with the features, "
    "not with the samples. (Where N = D that runs, and is wrong; elsewhere it fails.) "
    "Keep the axis: `keepdims=True`."
)


def inputs(whose, m, *, centred=True, factor="gamma"):
    """Return the ways to get dx wrong.

    `whose` the statistics are: "the sample's"; `m` is the number of values that share
    them: "D"; `factor` is what turns dy into d, the gradient at xhat.
    """
    bracket = "d − mean(d) − xhat·mean(d·xhat)" if centred else "d − xhat·mean(d·xhat)"
    formula = f"dx = ({bracket}) / s with d = {factor}·dy"
    what = "mean and variance" if centred else "mean square"
    mistakes = [
        Mistake(
            f"dx is {factor}·dy/s only: you treat {whose} {what} as constants. They "
            f"move with x, and each takes a term away: {formula}.",
            {"mean_term": "none", "xhat_term": "none"},
        ),
        Mistake(
            "The term − xhat·mean(d·xhat) is missing from dx: it is what flows back "
            f"through {whose} {'variance' if centred else 'mean square'}.",
            {"xhat_term": "none"},
        ),
        Mistake(
            f"gamma is missing from dx. What arrives at xhat is d = {factor}·dy. "
            "With ones one never notices.",
            {"with_gamma": "none"},
        ),
        Mistake(
            "dx is not divided by s. Whatever flows back through xhat is divided by s: "
            f"{formula}.",
            {"over_s": "none"},
        ),
        Mistake(
            f"Only the first term of dx is divided by s; all are: ({bracket}) / s.",
            {"over_s": "first"},
        ),
        Mistake(
            "dx is divided by s², that is v + eps; s once is right.",
            {"over_s": "squared"},
        ),
        Mistake("dx is multiplied by s; divide by it.", {"over_s": "times"}),
        Mistake(
            "The xhat term of dx has the wrong sign. It takes away the part of d along "
            "xhat: − xhat·mean(d·xhat).",
            {"xhat_term": "plus"},
        ),
        Mistake(
            "The xhat term of dx is twice what it should be. The 2 from the derivative "
            "of the square is cancelled by the 1/2 from that of the root.",
            {"xhat_term": "twice"},
        ),
        Mistake(
            "The xhat term of dx is half of what it should be. The 1/2 from the "
            "derivative of the root is cancelled by the 2 from that of the square.",
            {"xhat_term": "half"},
            alone=True,
        ),
        Mistake(
            "The last term of dx is mean(d·xhat) without the xhat in front. Each entry "
            "gets its share in proportion to its own xhat: xhat·mean(d·xhat).",
            {"xhat_term": "no xhat"},
            alone=True,
        ),
        Mistake(
            f"mean(d·xhat) in dx is divided by {m} − 1. It comes from the biased "
            f"variance: divide by {m}.",
            {"xhat_term": "M - 1"},
            alone=True,
        ),
        Mistake(
            "gamma² is in dx: gamma came in twice, perhaps once in d = gamma·dy and "
            "once more in front. Once is right.",
            {"with_gamma": "twice"},
        ),
        Mistake(
            "gamma multiplies dy in the first term of dx only. The means are of "
            f"d = {factor}·dy as well.",
            {"with_gamma": "first"},
        ),
        Mistake(
            f"dx uses {'x − mu' if centred else 'x'} where xhat belongs, which has "
            "been divided by s.",
            {"xhat_in_dx": "x - mu"},
        ),
    ]
    if not centred:
        sums = Mistake(
            "You subtract xhat·sum(d·xhat) in dx; it must be xhat·mean(d·xhat): the "
            f"1/{m} of the mean square is missing.",
            {"xhat_term": "sum"},
        )
        return (*mistakes, sums)
    return (
        *mistakes,
        Mistake(
            f"The term − mean(d) is missing from dx. Moving one x moves {whose} mean, "
            "and with it every xhat that shares it. A test: over the values that share "
            "a mean, dx must add up to zero.",
            {"mean_term": "none"},
        ),
        Mistake(
            f"You subtract sums where dx has means. One x is only one of the {m} "
            f"values behind {whose} statistics, so divide both sums by {m}: {formula}.",
            {"count": "1"},
        ),
        Mistake(
            f"You subtract sum(d) in dx; it must be mean(d), with 1/{m}.",
            {"mean_term": "sum"},
        ),
        Mistake(
            "You subtract xhat·sum(d·xhat) in dx; it must be xhat·mean(d·xhat): the "
            f"1/{m} of the variance is missing.",
            {"xhat_term": "sum"},
        ),
        Mistake(
            "mean(d) has the wrong sign in dx. The mean is subtracted in the forward "
            "pass, so its gradient is too: d − mean(d).",
            {"mean_term": "plus"},
        ),
        Mistake(
            f"The means in dx are divided by {m} − 1. They are plain means: divide by "
            f"{m}.",
            {"count": "M - 1"},
        ),
        Mistake(
            "Only the first two terms of dx are divided by s; the bracket holds all: "
            f"({bracket}) / s.",
            {"over_s": "first two"},
        ),
        Mistake(
            "gamma is missing from the last term of dx: mean(d·xhat) is of "
            f"d = {factor}·dy.",
            {"with_gamma": "first and mean"},
        ),
        Mistake(
            f"gamma is missing from the mean that dx subtracts: mean(d) is of "
            f"d = {factor}·dy.",
            {"with_gamma": "first and xhat"},
        ),
        Mistake(
            "dx uses x where the normalised xhat = (x − mu)/s belongs.",
            {"xhat_in_dx": "x"},
            alone=True,
        ),
        Mistake(
            "dx uses x/s where xhat belongs: the mean is not subtracted.",
            {"xhat_in_dx": "x / s"},
            alone=True,
        ),
    )


OUTSIDE = Mistake(
    "gamma stands outside the means of dx. In batch norm that made no difference, "
    "since gamma is the same for all values that share statistics. Here it differs "
    "from value to value within a mean, so it must stand inside: take the means of "
    "d = gamma·dy.",
    {"with_gamma": "outside"},
)
