"""What is said of mistakes that several exercises share, likeliest first.

But: mistakes of one exercise alone stand beside that exercise.
"""

from bnlib.check._exercise import Mistake

CHANGED = (
    "Its owner still needs it: other layers read x, and other branches dy. "
    "`d = gamma * dy` makes a new array; `dy *= gamma` overwrites the old one."
)


STATISTICS = (
    Mistake(
        "eps is missing: you divide by sqrt(v). The backward pass needs the s of the "
        "forward pass, sqrt(v + eps). Where the variance is as small as eps the "
        "difference is large, and where it is 0 you divide by zero.",
        {"denominator": "sqrt(v)"},
    ),
    Mistake(
        "You divide by sqrt(v) + eps; eps belongs inside the root: s = sqrt(v + eps), "
        "exactly as in the forward pass.",
        {"denominator": "sqrt(v) + eps"},
    ),
    Mistake(
        "You divide by v + eps, the variance; the square root is missing: "
        "s = sqrt(v + eps).",
        {"denominator": "v + eps"},
    ),
    *(
        Mistake(
            "Your eps is a fixed number and not the argument `eps` (by default 1e-5). "
            "Backward must use the eps that forward used.",
            {"denominator": f"eps {value}"},
        )
        for value in ("1e-5", "1e-3", "1e-8", "1e-12", "1e-6")
    ),
    *(
        Mistake(
            f"Your eps is {value} where none is given; the default is 1e-5.",
            {"denominator": f"default {value}"},
        )
        for value in ("1e-3", "1e-8", "1e-12", "1e-6")
    ),
    *(
        Mistake(
            "You divide by sqrt(v), and by something else only where that is zero or "
            "nearly so. It avoids the division by zero, but forward adds eps to every "
            "variance: s = sqrt(v + eps).",
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
        "You take the larger of v and eps. It avoids the division by zero, but forward "
        "adds the two: s = sqrt(v + eps).",
        {"denominator": "sqrt(max(v, eps))"},
        alone=True,
    ),
    Mistake(
        "eps is squared on its way into the root. It is added to the variance as it "
        "is: s = sqrt(v + eps).",
        {"denominator": "sqrt(v + eps^2)"},
        alone=True,
    ),
    *(
        Mistake(
            f"eps is added twice, {where}. Once is right, as in the forward pass: "
            "s = sqrt(v + eps).",
            {"denominator": kind},
            alone=True,
        )
        for kind, where in (
            ("sqrt(v + eps) + eps", "inside the root and outside"),
            ("sqrt(v + 2 eps)", "both times inside the root"),
        )
    ),
    Mistake(
        "The variance is divided by N − 1. The batch was normalised by its biased "
        "variance, divided by N (the number of values a feature has), and backward "
        "differentiates what forward did.",
        {"variance": "unbiased"},
    ),
    Mistake(
        "The variance is the mean of x², not of (x − mu)²: the square of the mean is "
        "still in it.",
        {"variance": "mean square"},
    ),
    Mistake(
        "The variance is a sum: its 1/N is missing. v = mean((x − mu)²).",
        {"variance": "sum"},
    ),
    *(
        Mistake(
            "The variance is taken over all of x at once. Each feature has its own: "
            "`x.var(axis=0)`, not `x.var()`.",
            {"variance": kind},
            alone=kind != "pooled",
        )
        for kind in ("pooled", "pooled, own means")
    ),
    Mistake(
        "The standard deviation is where the variance belongs: `np.std` is already "
        "the square root. s = sqrt(v + eps) with v = mean((x − mu)²).",
        {"variance": "std"},
        alone=True,
    ),
    *(
        Mistake(
            "The variance is made of |x − mu|, the mean absolute deviation. It is the "
            "mean of the squares: v = mean((x − mu)²).",
            {"variance": kind},
            alone=True,
        )
        for kind in ("absolute", "absolute, squared")
    ),
)

SWAPPED = Mistake(
    "dgamma and dbeta are swapped. dgamma = sum(dy·xhat), since xhat is what gamma "
    "multiplies; dbeta = sum(dy).",
    {"order": "dx, dbeta, dgamma"},
)

PARAMETERS = (
    SWAPPED,
    *(
        Mistake(
            "All three gradients are there, but in another order. Return dx, dgamma, "
            "dbeta.",
            {"order": order},
        )
        for order in (
            "dgamma, dbeta, dx",
            "dbeta, dgamma, dx",
            "dgamma, dx, dbeta",
            "dbeta, dx, dgamma",
        )
    ),
    Mistake(
        "dbeta is a mean. beta is added to each sample, so it collects a gradient from "
        "each: a sum over the batch. (If the loss is a mean over samples, its 1/N is "
        "in dy already.)",
        {"dbeta": "mean"},
    ),
    Mistake(
        "dgamma is a mean. gamma multiplies each sample, so it collects a gradient "
        "from each: a sum over the batch. (If the loss is a mean over samples, its 1/N "
        "is in dy already.)",
        {"dgamma": "mean"},
    ),
    Mistake(
        "dgamma is the sum of dy·(x − mu). gamma multiplies the normalised xhat, so "
        "divide by s: dgamma = sum(dy·xhat).",
        {"dgamma": "dy (x - mu)"},
    ),
    Mistake(
        "dgamma is the sum of dy·x. gamma multiplies the normalised input: "
        "dgamma = sum(dy·xhat) with xhat = (x − mu)/s.",
        {"dgamma": "dy x"},
    ),
    Mistake(
        "xhat in dgamma is x/s: the mean is not subtracted. xhat = (x − mu)/s.",
        {"dgamma": "dy x / s"},
    ),
    Mistake(
        "dgamma has a factor gamma too many. y = gamma·xhat + beta, so dy/dgamma is "
        "xhat alone: dgamma = sum(dy·xhat).",
        {"dgamma": "gamma dy xhat"},
    ),
    Mistake(
        "dbeta has a factor gamma too many. beta is added after the scaling: "
        "dbeta = sum(dy).",
        {"dbeta": "gamma dy"},
    ),
    Mistake(
        "dgamma is made of dx: sum(dx·xhat). dx is what goes on to the layer before; "
        "what arrives at gamma is dy: dgamma = sum(dy·xhat).",
        {"dgamma": "dx xhat"},
    ),
    Mistake(
        "dbeta is made of dx: sum(dx). dx is what goes on to the layer before; what "
        "arrives at beta is dy: dbeta = sum(dy).",
        {"dbeta": "dx"},
    ),
    *(
        Mistake(
            f"{name} is summed over everything: a `.sum()` without `axis` mixes the "
            "features. Each has a parameter of its own: sum over the batch only.",
            {name: "total"},
        )
        for name in ("dbeta", "dgamma")
    ),
    *(
        Mistake(
            f"{name} is not summed. One parameter serves all samples, so their "
            "gradients add up: sum over the batch.",
            {name: "not summed"},
        )
        for name in ("dbeta", "dgamma")
    ),
)

ALONG_FEATURES = (
    Mistake(
        "You normalise along the features: every mean and sum is over axis 1, which is "
        "layer norm. Batch norm treats each column by itself: axis 0.",
        {"statistics": "1", "means": "1", "parameters": "1"},
    ),
    Mistake(
        "That is layer norm: mean, variance and the means in dx are over axis 1. Batch "
        "norm treats each column by itself: axis 0.",
        {"statistics": "1", "means": "1"},
    ),
    *(
        Mistake(
            f"{name} is summed over the features, axis 1. It has one entry for each "
            "feature, summed over the batch: axis 0.",
            {name: "axis 1"},
        )
        for name in ("dbeta", "dgamma")
    ),
)

_FORMULA = "dx = (d − mean(d) − xhat·mean(d·xhat)) / s with d = gamma·dy"

INPUT = (
    Mistake(
        "dx is gamma·dy/s only: you treat the batch's mean and variance as constants. "
        "They move with x, and each takes a term away: "
        f"{_FORMULA}.",
        {"mean_term": "none", "xhat_term": "none"},
    ),
    Mistake(
        "The term − mean(d) is missing from dx. Moving one x moves the mean, and with "
        "it every xhat. A test: over the batch, dx must add up to zero.",
        {"mean_term": "none"},
    ),
    Mistake(
        "The term − xhat·mean(d·xhat) is missing from dx: it is what flows back "
        "through the variance. (If you wrote mean(d)·mean(xhat), that is zero: the "
        "product comes first, then the mean.)",
        {"xhat_term": "none"},
    ),
    Mistake(
        "You subtract sums where dx has means. One x is only an N-th of the mean and "
        f"of the variance, so divide both sums by N: {_FORMULA}.",
        {"count": "1"},
    ),
    Mistake(
        "You subtract sum(d) in dx; it must be mean(d): one x is only an N-th of the "
        "batch's mean.",
        {"mean_term": "sum"},
    ),
    Mistake(
        "You subtract xhat·sum(d·xhat) in dx; it must be xhat·mean(d·xhat): the 1/N of "
        "the variance is missing.",
        {"xhat_term": "sum"},
    ),
    Mistake(
        "gamma is missing from dx. What arrives at xhat is d = gamma·dy, because "
        "y = gamma·xhat + beta. With gamma = 1 one never notices.",
        {"with_gamma": "none"},
    ),
    Mistake(
        "gamma² is in dx: gamma came in twice, perhaps once in d = gamma·dy and once "
        "more in front. Once is right.",
        {"with_gamma": "twice"},
    ),
    Mistake(
        "gamma multiplies dy in the first term of dx only. Both means are of "
        "d = gamma·dy as well, or take gamma out of the whole bracket.",
        {"with_gamma": "first"},
    ),
    Mistake(
        "gamma is missing from the last term of dx. mean(d·xhat) with d = gamma·dy is "
        "gamma·dgamma/N, not dgamma/N.",
        {"with_gamma": "first and mean"},
    ),
    Mistake(
        "gamma is missing from the mean that dx subtracts. mean(d) with d = gamma·dy "
        "is gamma·dbeta/N, not dbeta/N.",
        {"with_gamma": "first and xhat"},
    ),
    Mistake(
        "dx is not divided by s. xhat = (x − mu)/s, so whatever flows back through it "
        f"is divided by s as well: {_FORMULA}.",
        {"over_s": "none"},
    ),
    Mistake(
        "Only the first term of dx is divided by s. The bracket holds all three: "
        "(d − mean(d) − xhat·mean(d·xhat)) / s.",
        {"over_s": "first"},
    ),
    Mistake(
        "The last term of dx is not divided by s. The bracket holds all three: "
        "(d − mean(d) − xhat·mean(d·xhat)) / s.",
        {"over_s": "first two"},
    ),
    Mistake(
        "dx is divided by s², that is v + eps; s = sqrt(v + eps) once is right.",
        {"over_s": "squared"},
    ),
    Mistake(
        "dx is multiplied by s; divide by it: xhat = (x − mu)/s.",
        {"over_s": "times"},
    ),
    Mistake(
        "The xhat term of dx has the wrong sign. The variance's path takes away the "
        "part of d along xhat: − xhat·mean(d·xhat).",
        {"xhat_term": "plus"},
    ),
    Mistake(
        "mean(d) has the wrong sign in dx. The mean is subtracted in the forward pass, "
        "so its gradient is too: d − mean(d). A test: over the batch, dx must add up "
        "to zero.",
        {"mean_term": "plus"},
    ),
    Mistake(
        "dx uses x − mu where xhat belongs. Both are centred, but only "
        "xhat = (x − mu)/s has been divided by s.",
        {"xhat_in_dx": "x - mu"},
    ),
    Mistake(
        "dx uses x/s where xhat belongs: the mean is not subtracted. xhat = (x − "
        "mu)/s.",
        {"xhat_in_dx": "x / s"},
    ),
    Mistake(
        "dx uses x where the normalised xhat = (x − mu)/s belongs.",
        {"xhat_in_dx": "x"},
    ),
    Mistake(
        "The xhat term of dx is twice what it should be. The 2 from the derivative of "
        "the square is cancelled by the 1/2 from that of the root.",
        {"xhat_term": "twice"},
    ),
    Mistake(
        "The xhat term of dx is half of what it should be. The 1/2 from the derivative "
        "of the root is cancelled by the 2 from that of the square.",
        {"xhat_term": "half"},
    ),
    Mistake(
        "The last term of dx is mean(d·xhat) without the xhat in front. Each sample "
        "gets its share in proportion to its own xhat: xhat·mean(d·xhat).",
        {"xhat_term": "no xhat"},
    ),
    Mistake(
        "The means in dx are divided by N − 1. Both are plain means over the batch, "
        "divided by N.",
        {"count": "M - 1"},
    ),
    Mistake(
        "mean(d·xhat) in dx is divided by N − 1. It comes from the biased variance: "
        "divide by N.",
        {"xhat_term": "M - 1"},
    ),
    Mistake(
        "The means in dx are divided by the number of features. Divide by the number "
        "of values that share a mean: N, which is `x.shape[0]` for (N, D).",
        {"count": "D"},
    ),
    Mistake(
        "The means in dx are over everything: `.mean()` without `axis` mixes the "
        "features. Each has its own: `.mean(axis=0)`.",
        {"mean_term": "pooled", "xhat_term": "pooled"},
    ),
    Mistake(
        "mean(d) in dx is over everything: `.mean()` without `axis` mixes the "
        "features. Each has its own: `.mean(axis=0)`.",
        {"mean_term": "pooled"},
    ),
    Mistake(
        "mean(d·xhat) in dx is over everything: `.mean()` without `axis` mixes the "
        "features. Each has its own: `.mean(axis=0)`.",
        {"xhat_term": "pooled"},
    ),
)

GAMMA_BY_SAMPLE = Mistake(
    "gamma is multiplied as gamma[:, None], one value for each sample. (Where N = D "
    "that runs, and is wrong; elsewhere it fails.) There is one for each feature: "
    "`gamma * dy` broadcasts along the batch by itself.",
    {"with_gamma": "gamma[:, None]"},
)
