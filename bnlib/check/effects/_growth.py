"""Exercise: the growth of squared gradients in a random batch-normalised ReLU network.

The learner draws the network, so the answer is a random number. Its geometric mean over
a few seeds is compared with what 200 networks of ours gave. The margins are six
standard deviations of that mean or more, and tests measure all these numbers again.

But: no network here; `_chain` has the backward pass.
"""

from dataclasses import dataclass

import numpy as np

from bnlib.check._exercise import Case, Exercise


@dataclass(frozen=True)
class Shape:
    """A network's shape, and what its growth should be.

    `growth` is the geometric mean over many networks; `margin` how far, as a logarithm,
    that of `count` networks may be from it.
    """

    depth: int
    width: int
    batch: int
    growth: float
    count: int
    margin: float


SHALLOW = Shape(depth=4, width=128, batch=96, growth=1.49, count=4, margin=0.06)
DEEP = Shape(depth=12, width=128, batch=96, growth=1.481, count=3, margin=0.04)
SMALL_BATCH = Shape(depth=6, width=64, batch=6, growth=1.988, count=40, margin=0.19)
SHAPES = (SHALLOW, DEEP, SMALL_BATCH)

# What is made of a right growth g, of a network of this depth.
REDUCTIONS = (
    (
        lambda g, depth: g**0.5,
        "That is the growth of the gradient's *length*. Squares are asked for: take "
        "the ratio of the squares.",
    ),
    (
        lambda g, depth: 1 / g,
        "That is upside down: the last layer over the first. Gradients grow *towards "
        "the input*, so the first layer has the largest.",
    ),
    (
        lambda g, depth: g**-0.5,
        "That is upside down, and of lengths. Take the squares, the first layer's over "
        "the last's.",
    ),
    (
        lambda g, depth: g ** (depth - 1),
        "That is the growth over the whole network. Per layer it is a root of that: "
        "between depth layers there are depth − 1 steps.",
    ),
    (
        lambda g, depth: g ** (1 - depth),
        "That is the last layer's square over the first's, for the whole network. "
        "Gradients grow towards the input, and the growth *per layer* is a root of "
        "the ratio.",
    ),
    (
        lambda g, depth: g ** (1 - 1 / depth),
        "You take the depth-th root. Between depth layers there are depth − 1 steps: "
        "the exponent is 1/(depth − 1).",
    ),
    (
        lambda g, depth: g ** (depth - 1) / (depth - 1),
        "The growth over the whole network is *divided* by the number of layers. "
        "Factors multiply: take the root.",
    ),
    (
        lambda g, depth: np.log(g),
        "That is the logarithm of the growth; return the factor itself.",
    ),
    (
        lambda g, depth: g - 1,
        "That is the growth minus 1; return the factor itself.",
    ),
    (lambda g, depth: g**2, "The squares seem to be squared once more."),
)

# What other networks give, in shapes SHALLOW, DEEP and SMALL_BATCH: by the knobs of
# `_chain.layer_gradients`.
OTHERS = (
    (
        {"enters": "x"},
        (1.042, 1.344, 1.606),
        "The first step differs from the others: does x enter the first layer without "
        "a ReLU? Let x, drawn from N(0, 1), go through one, as in layer_gradients.",
    ),
    (
        {"back": "constants"},
        (1.510, 1.499, 2.566),
        "The gradients seem to go through batch norm as if its statistics were "
        "constants, which shows in small batches. Call layer_gradients.",
    ),
    (
        {"mask": "none, forward"},
        (1.455, 1.115, 1.667),
        "That is the growth in a network without ReLUs.",
    ),
    (
        {"mask": "none"},
        (2.980, 2.925, 4.086),
        "That is the growth without the ReLU's mask on the way back.",
    ),
    (
        {"forward": "layer norm"},
        (1.024, 1.009, 1.009),
        "That is the growth with layer norm: normalise over the batch, axis 0.",
    ),
    (
        {"back": "no s"},
        (0.494, 0.493, 0.393),
        "That is the growth if batch norm's gradient is not divided by s.",
    ),
)


class _Growth(Exercise):
    """An exercise graded on the mean of a random answer."""

    def _judge(self, learner, seed):
        rng = np.random.default_rng(seed)
        seeds = [int(s) for s in rng.choice(2**31, 40, replace=False)]
        self._examine_arguments(learner, seeds)
        found = []
        for shape in SHAPES:
            numbers = shape.depth, shape.width, shape.batch
            many = [self._call(learner, *numbers, s) for s in seeds[: shape.count]]
            # A negative growth has no logarithm: it is far from any.
            found.append(float(np.mean(np.log(np.maximum(many, 1e-9)))))
        wanted = [shape.growth for shape in SHAPES]
        if not _near(found, wanted):
            raise self._failure(self._about(found))
        return f"{np.exp(found[1]):.3f}; π/(π − 1) is {np.pi / (np.pi - 1):.3f}"

    def _call(self, learner, depth, width, batch, seed):
        what = f"depth {depth}, width {width}, batch {batch}"
        case = Case(what, (depth, width, batch, seed))
        result = self._observe(learner, case)
        if isinstance(result, Exception):
            reason = self._describe("growth", result, np.zeros(()), case)
            raise self._failure(reason) from result
        [growth] = result
        if growth.shape == (depth,):
            raise self._failure(
                f"growth has shape {growth.shape}, with {what}: are those the squares? "
                "Return one number, the factor per layer."
            )
        if growth.size != 1:
            raise self._failure(
                f"growth has shape {growth.shape}, with {what}; expected one number."
            )
        growth = float(growth.squeeze())
        if not np.isfinite(growth):
            raise self._failure(
                f"growth is {growth} with {what}. Is there a division by zero, or an "
                "overflow?"
            )
        return growth

    def _examine_arguments(self, learner, seeds):
        """Say whether every argument is used."""
        one, other = seeds[:2]
        first = self._call(learner, 4, 24, 12, one)
        if self._call(learner, 4, 24, 12, one) != first:
            raise self._failure(
                "Two calls with the same seed differ. Whatever is random must come "
                "from `rng = np.random.default_rng(seed)`."
            )
        if self._call(learner, 4, 24, 12, other) == first:
            raise self._failure(
                "Two seeds give exactly the same growth. The seed is ignored: draw x, "
                "the weights and dy from `np.random.default_rng(seed)`."
            )
        for name, numbers in (
            ("depth", (5, 24, 12)),
            ("width", (4, 25, 12)),
            ("batch", (4, 24, 13)),
        ):
            if self._call(learner, *numbers, one) == first:
                raise self._failure(f"The argument {name} is ignored.")

    def _about(self, found):
        for reduce, message in REDUCTIONS:
            wanted = [reduce(shape.growth, shape.depth) for shape in SHAPES]
            # That of the whole network varies more, by as many layers as there are.
            slack = 1.5 * (DEEP.depth if abs(np.log(wanted[1])) > 1.5 else 1)
            if _near(found, wanted, slack):
                return message
        for _, wanted, message in OTHERS:
            if _near(found, wanted, 1.5):
                return message
        off = [
            abs(f - np.log(shape.growth)) / shape.margin
            for f, shape in zip(found, SHAPES, strict=True)
        ]
        k = int(np.argmax(off))
        shape = SHAPES[k]
        return (
            f"With depth {shape.depth}, width {shape.width} and batch {shape.batch} "
            f"the growth is {np.exp(found[k]):.3f}, averaged over {shape.count} seeds; "
            f"expected {shape.growth:.2f}, give or take {100 * shape.margin:.0f}%. Are "
            "x, dy and the weights drawn from N(0, 1) times a constant, each layer's "
            "weights anew? (The weights' size does not matter.)"
        )


def _near(found, wanted, slack=1.0):
    """Whether logarithms of growths are within the margins of `wanted`."""
    pairs = zip(found, wanted, SHAPES, strict=True)
    return all(abs(f - np.log(w)) <= slack * shape.margin for f, w, shape in pairs)


growth = _Growth(
    name="gradient_growth",
    outputs=("growth",),
    formula=lambda depth, width, batch, seed: None,
    cases=None,
    section="mechanisms-depth",
    mistakes=(),
)
