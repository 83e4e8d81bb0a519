"""Exercise: batch norm followed by noise whose distribution moves (Santurkar et al.).

The learner draws the noise, so nothing can be compared number by number. From what is
returned, y, scale and shift, the rest is recovered: the jitter is y − scale·h − shift.
Then its parts are compared with their distributions over many seeds, with margins that
a right answer exceeds once in 10⁹ times or less.

But: no gradients (`_noise_backward`).
"""

from copy import copy

import numpy as np

from bnlib.check._exercise import Case, Exercise
from bnlib.check.effects._draws import Normal, Uniform, fits

N, D = 24, 64  # examples, features
STRENGTHS = {1.0: 40, 0.5: 12}  # and with how many seeds each
EPS = 0.2  # an eps that counts
ENOUGH = 0.97  # another model explains y if this share of the variance is left


class _Noise(Exercise):
    """An exercise graded on the statistics of what is returned."""

    def _judge(self, learner, seed):
        rng = np.random.default_rng(seed)
        inputs = _draw_inputs(rng)
        seeds = [int(s) for s in rng.choice(2**31, 40, replace=False)]
        self._examine_calls(learner, inputs, *seeds[:2])
        seen = {
            strength: _Seen(
                inputs,
                strength,
                [self._call(learner, inputs, strength, s) for s in seeds[:count]],
            )
            for strength, count in STRENGTHS.items()
        }
        for explain in (_explain_place, _explain_shift, _explain_scale, _explain_rest):
            if reason := explain(seen):
                raise self._failure(reason)
        return f"right in {sum(STRENGTHS.values())} steps"

    def _call(self, learner, inputs, strength, seed):
        """Return y, scale, shift of one call, of the right shapes."""
        x, gamma, beta = inputs
        what = f"x of shape {x.shape}, strength {strength:g}"
        case = Case(what, (x, gamma, beta, strength, seed), {"eps": EPS})
        result = self._observe(learner, case)
        if isinstance(result, Exception):
            raise self._failure(self._describe("y", result, x, case)) from result
        shapes = (("y", x.shape), ("scale", gamma.shape), ("shift", gamma.shape))
        for got, (name, shape) in zip(result, shapes, strict=True):
            if got.shape != shape:
                raise self._failure(_explain_shape(name, got.shape, shape))
            if not np.isfinite(got).all():
                raise self._failure(self._describe(name, got, np.zeros(shape), case))
        return result

    def _examine_calls(self, learner, inputs, one, other):
        """Say whether the seed, and nothing else, decides what is drawn."""
        names = ("y", "scale", "shift")
        first, again, next_ = (
            self._call(learner, inputs, 1.0, s) for s in (one, one, other)
        )
        changes = _which(names, first, again, lambda a, b: (a != b).any())
        if changes:
            raise self._failure(
                f"Two calls with the same seed differ (in {', '.join(changes)}). "
                "Whatever is random must come from the argument: "
                "`rng = np.random.default_rng(seed)` and then `rng.uniform(...)`, "
                "`rng.normal(...)`. Then a run can be repeated."
            )
        stays = _which(names, first, next_, lambda a, b: (a == b).all())
        if stays == ["scale", "shift"]:
            raise self._failure(
                "scale and shift are the same for two different seeds; only the jitter "
                "is another. That is noise that does not move, the *control* of the "
                "experiment. Each step has its seed: draw all three from it."
            )
        if stays:
            raise self._failure(
                f"{', '.join(stays)}: the same for two different seeds. The seed is "
                "ignored, so the noise is that of the first step for ever. Draw from "
                "`np.random.default_rng(seed)`."
            )


def _which(names, one, other, holds):
    """Return the names of those results of two calls of which something is true."""
    pairs = zip(names, one, other, strict=True)
    return [name for name, a, b in pairs if holds(a, b)]


class _Seen:
    """What came back from all calls of one strength.

    `h` and `xhat` have shape (N, D); `scale` and `shift` (calls, D); `y` and the
    `jitter`, what is left of it, (calls, N, D).
    """

    def __init__(self, inputs, strength, results):
        self.inputs, self.strength = inputs, strength
        x, gamma, beta = inputs
        self.xhat = (x - x.mean(0)) / np.sqrt(x.var(0) + EPS)
        self.h = gamma * self.xhat + beta
        self.y, self.scale, self.shift = (
            np.stack(parts) for parts in zip(*results, strict=True)
        )
        self.jitter = self.y - self.along(self.scale) * self.h - self.along(self.shift)

    def first(self, count):
        """Return what came back from the first calls only."""
        x = copy(self)
        x.y, x.scale, x.shift = (a[:count] for a in (self.y, self.scale, self.shift))
        return x

    @staticmethod
    def along(a):
        """Give one value a feature an axis of examples."""
        return a[:, None, :]


def _draw_inputs(rng):
    x = rng.normal(size=D) * 3 + rng.uniform(0.5, 1.5, size=D) * rng.normal(size=(N, D))
    gamma = rng.uniform(0.7, 1.8, size=D) * np.where(np.arange(D) % 2, -1, 1)
    return x, gamma, rng.normal(size=D)


def _explain_shape(name, got, shape):
    text = f"{name} has shape {got}; expected {shape}."
    if name == "y":
        return text
    if got in ((), (1,), (1, 1)):
        return (
            f"{text} That is one {name} for the whole layer. Each unit has its own, so "
            "that the units do not move together: draw D numbers."
        )
    if got == (N, D):
        return (
            f"{text} That is one {name} for every example. It moves the *distribution* "
            "of a unit: one number a unit, the same for all examples of the step."
        )
    if got in ((N,), (N, 1)):
        return f"{text} That is one {name} for each example; draw one for each unit."
    if got == (1, D):
        return f"{text} Return it without the axis of length 1."
    return text


def _explain_place(seen):
    """Say where the noise enters, if not where it should."""
    all_seen = [s.first(10) for s in seen.values()]  # enough, and sooner done
    left = {name: _left(all_seen, model) for name, (model, _) in _MODELS.items()}
    truth = left["right"]
    best = min(left, key=left.get)
    if left[best] < ENOUGH * truth:
        return _MODELS[best][1]
    if truth > 4:  # forty times the jitter that there should be
        return (
            "y is not scale·h + shift + jitter, with h = batch_norm(x, gamma, beta, "
            f"eps): what is left has a standard deviation of {truth**0.5:.2g}, where "
            "the jitter's is 0.1. Are the scale and the shift that you return those "
            "that you used?"
        )
    return None


def _left(all_seen, model):
    """Return the mean square of what a model of y leaves over."""
    return np.mean([np.mean((s.y - model(s)) ** 2) for s in all_seen])


def _statistics(normalise):
    """Return a model of y in which h is computed in another way."""

    def model(s):
        x, gamma, beta = s.inputs
        h = gamma * normalise(x) + beta
        return s.along(s.scale) * h + s.along(s.shift)

    return model


def _centred(x):
    return x - x.mean(0)


_RIGHT = "y = scale·h + shift + 0.1·ξ, with h = batch_norm(x, gamma, beta, eps)"
_MODELS = {
    "right": (lambda s: s.along(s.scale) * s.h + s.along(s.shift), ""),
    "nothing": (
        lambda s: s.h[None],
        "y is batch_norm's h, or nearly: the noise is missing, or it is added to x "
        "*before* the normalisation, which takes a shift and a scale out again. It "
        f"comes *after*: that is the point of the experiment. {_RIGHT}.",
    ),
    "no shift": (
        lambda s: s.along(s.scale) * s.h,
        f"The shift is drawn and returned, but not in y. {_RIGHT}.",
    ),
    "no scale": (
        lambda s: s.h + s.along(s.shift),
        f"The scale is drawn and returned, but not in y. {_RIGHT}.",
    ),
    "swapped": (
        lambda s: s.along(s.shift) * s.h + s.along(s.scale),
        "scale and shift are swapped: return y, then scale, then shift.",
    ),
    "shift first": (
        lambda s: s.along(s.scale) * (s.h + s.along(s.shift)),
        f"The shift is added before the scale multiplies, scale·(h + shift). {_RIGHT}.",
    ),
    "before gamma": (
        lambda s: (
            s.inputs[1] * (s.along(s.scale) * s.xhat + s.along(s.shift)) + s.inputs[2]
        ),
        "The noise is applied to xhat, before gamma and beta. It belongs after them: "
        f"{_RIGHT}.",
    ),
    "on xhat": (
        lambda s: s.along(s.scale) * s.xhat + s.along(s.shift),
        f"gamma and beta are missing. {_RIGHT}.",
    ),
    "beta unscaled": (
        lambda s: (
            s.along(s.scale) * s.inputs[1] * s.xhat + s.inputs[2] + s.along(s.shift)
        ),
        f"The scale multiplies gamma·xhat only, not beta. {_RIGHT}.",
    ),
    "instead of gamma": (
        lambda s: s.along(s.scale) * s.xhat + s.along(s.shift) + s.inputs[2],
        f"gamma is missing. {_RIGHT}.",
    ),
    "minus": (
        lambda s: s.along(s.scale) * s.h - s.along(s.shift),
        f"The shift that you return has the wrong sign: y has −shift in it. {_RIGHT}.",
    ),
    "divided": (
        lambda s: s.h / s.along(s.scale) + s.along(s.shift),
        f"h is divided by the scale; multiply. {_RIGHT}.",
    ),
    "on x": (
        lambda s: s.along(s.scale) * s.inputs[0][None] + s.along(s.shift),
        f"The noise is applied to x, and the normalisation is missing. {_RIGHT}.",
    ),
    "unbiased": (
        _statistics(lambda x: _centred(x) / np.sqrt(x.var(0, ddof=1) + EPS)),
        "h is normalised with the variance divided by N − 1; batch norm's is divided "
        "by N. You may call batch_norm, which is given.",
    ),
    "no eps": (
        _statistics(lambda x: _centred(x) / x.std(0)),
        "eps is missing from h, or is not the argument eps. You may call batch_norm, "
        "which is given: `batch_norm(x, gamma, beta, eps)`.",
    ),
    "eps outside": (
        _statistics(lambda x: _centred(x) / (x.std(0) + EPS)),
        "eps is outside the root in h; it belongs inside: sqrt(v + eps). You may call "
        "batch_norm, which is given.",
    ),
    "layer norm": (
        _statistics(
            lambda x: (
                (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + EPS)
            )
        ),
        "h is normalised along the features (axis 1): that is layer norm. You may call "
        "batch_norm, which is given.",
    ),
}


def _explain_shift(seen):
    """Say what is wrong with the distribution of the shift."""
    return _explain_draws(
        "shift",
        {a: s.shift for a, s in seen.items()},
        lambda a: Uniform(-a, a),
        "shift is uniform between −strength and +strength",
        (
            (lambda a: Uniform(0, a), "between 0 and strength: it only ever moves up"),
            (lambda a: Uniform(0, 1), "between 0 and 1: `rng.random()` as it comes"),
            (lambda a: Uniform(-1, 1), "between −1 and 1, whatever the strength"),
            (lambda a: Uniform(-a / 2, a / 2), "between −strength/2 and strength/2"),
            (lambda a: Uniform(-2 * a, 2 * a), "between −2·strength and 2·strength"),
            (lambda a: Uniform(1, 1 + a / 2), "distributed as the scale should be"),
            (lambda a: Uniform(-a, 0), "between −strength and 0: it only moves down"),
            (lambda a: Normal(0, a), "normal, with the strength as standard deviation"),
            (lambda a: Normal(0, 1), "standard normal, whatever the strength"),
            (
                lambda a: Normal(0, a / 3**0.5),
                "normal, of the right mean and variance",
            ),
            (lambda a: Normal(a, 1), "normal, with the strength as mean"),
        ),
    )


def _explain_scale(seen):
    """Say what is wrong with the distribution of the scale."""
    return _explain_draws(
        "scale",
        {a: s.scale for a, s in seen.items()},
        lambda a: Uniform(1, 1 + a / 2),
        "scale is uniform between 1 and 1 + strength/2",
        (
            (lambda a: Uniform(1, 1 + a), "between 1 and 1 + strength"),
            (lambda a: Uniform(0, a / 2), "between 0 and strength/2: the 1 is missing"),
            (lambda a: Uniform(0, a), "between 0 and strength: the 1 is missing"),
            (
                lambda a: Uniform(1 - a / 2, 1 + a / 2),
                "between 1 − strength/2 and 1 + strength/2",
            ),
            (lambda a: Uniform(1 - a, 1 + a), "between 1 − strength and 1 + strength"),
            (lambda a: Uniform(1, 1.5), "between 1 and 1.5, whatever the strength"),
            (lambda a: Uniform(1, 2), "between 1 and 2, whatever the strength"),
            (lambda a: Uniform(0, 1), "between 0 and 1"),
            (lambda a: Uniform(-a, a), "distributed as the shift should be"),
            (lambda a: Normal(1, a), "normal, with the strength as standard deviation"),
            (lambda a: Normal(1, a / 2), "normal around 1"),
            (lambda a: Normal(0, 1), "standard normal"),
        ),
    )


def _explain_draws(name, draws, law, right, alternatives):
    for drawn in draws.values():
        if (drawn == drawn[:, :1]).all():
            return (
                f"All units have the same {name} in a step. Each unit draws its own "
                "(`size=D`), so that the units do not move together."
            )
    if all(fits(drawn, law(a)) for a, drawn in draws.items()):
        return None
    named = [
        what
        for other, what in alternatives
        if all(fits(drawn, other(a)) for a, drawn in draws.items())
    ]
    if not named:
        a, drawn = next((a, d) for a, d in draws.items() if not fits(d, law(a)))
        low, mean, high = drawn.min(), drawn.mean() + 0.0, drawn.max()
        named = [f"{low:.2f} to {high:.2f}, of mean {mean:.2f}, at strength {a:g}"]
    return (
        f"The {name} is not distributed as it should be: {right}. Yours is {named[0]}."
    )


def _explain_rest(seen):
    """Say what is wrong with the jitter, and what depends on what."""
    for s in seen.values():
        if reason := _explain_jitter(s):
            return reason
    strong, weak = (s.jitter.std() for s in seen.values())
    if abs(strong / weak - 1) > 0.1:
        return (
            "The jitter grows with the strength. The strength says how far the "
            "*distribution* moves; the jitter stays 0.1·ξ."
        )
    s = seen[1.0]
    if not 0.09 < strong < 0.11:
        reason = {
            1.0: "Is the factor 0.1 missing?",
            0.01: "0.1 is its standard deviation, not its variance, and multiplies ξ "
            "once.",
            0.316: "0.1 is its standard deviation, not its variance, and that is what "
            "`rng.normal` takes.",
        }
        near = [text for sd, text in reason.items() if abs(strong / sd - 1) < 0.05]
        return (
            f"The jitter has a standard deviation of {strong:.3g}; it should be 0.1. "
            f"{''.join(near)}"
        ).rstrip()
    if not fits(s.jitter.ravel()[::3], Normal(0, 0.1)):
        return (
            "The jitter is not normal: 0.1·ξ with ξ from N(0, 1), a mean of 0. Yours "
            f"has mean {s.jitter.mean():.2g} and goes from {s.jitter.min():.2g} to "
            f"{s.jitter.max():.2g}."
        )
    return _explain_dependence(s)


def _explain_jitter(s):
    j = s.jitter
    if np.abs(j).max() < 1e-6:
        return (
            "The jitter is missing: besides scale and shift, every value of every "
            f"example gets a little noise of its own. {_RIGHT}."
        )
    if np.ptp(j, axis=(1, 2)).max() < 1e-6:
        return (
            "The jitter is one number in a step. Draw ξ with the shape of x, one for "
            "every value."
        )
    if np.ptp(j, axis=1).max() < 1e-6:
        return (
            "The jitter is the same for all examples of a unit, which makes it part of "
            "the shift. Draw ξ with the shape of x, one for every value."
        )
    if np.ptp(j, axis=2).max() < 1e-6:
        return (
            "The jitter is the same for all units of an example. Draw ξ with the shape "
            "of x, one for every value."
        )
    return None


def _explain_dependence(s):
    """Say which draws depend on which: equal seeds for several generators do that."""
    pairs = {
        "scale and shift": (s.scale, s.shift),
        "shift and jitter": (s.shift, s.jitter[:, 0]),
        "scale and jitter": (s.scale, s.jitter[:, 0]),
        "the jitter of two examples": (s.jitter[:, 0], s.jitter[:, 1]),
    }
    for what, (a, b) in pairs.items():
        # 40 x 64 pairs: 0.15 is 7.6 standard deviations.
        if abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) > 0.15:
            return (
                f"There is a correlation between {what}: they are made of the same "
                "random numbers. Two generators with the same seed yield the same "
                "numbers: make one, `rng = np.random.default_rng(seed)`, and draw all "
                "from it, one after the other."
            )
    if abs(np.corrcoef(s.shift[:-1].ravel(), s.shift[1:].ravel())[0, 1]) > 0.15:
        return "The shifts of two steps depend on each other."
    return None


noise = _Noise(
    name="noisy_batch_norm",
    outputs=("y", "scale", "shift"),
    formula=lambda x, gamma, beta, strength, seed, eps: None,
    cases=None,
    section="critiques-noise",
    mistakes=(),
)
