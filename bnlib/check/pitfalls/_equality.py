"""Exercise: a proof that two networks are equal, which must see where they are not.

But: no formula; the learner's function is tried on pairs of networks, right and wrong.
"""

import copy

import numpy as np

from bnlib.check._exercise import Exercise
from bnlib.check.pitfalls._folding import draw_network, fold

SAME, DIFFERENT = 1e-10, 1e-8  # a float64 fold is good to 1e-13 or so


class _Equality(Exercise):
    """An exercise whose answer measures: small for equal networks, else not."""

    def _judge(self, learner, seed):
        right, wrong = _pairs(np.random.default_rng(seed))
        for what, net, folded in right:
            found = self._measure(learner, net, folded, what)
            if not found < SAME:
                raise self._failure(self._too_large(what, found))
        missed = [
            what
            for what, net, folded in wrong
            if self._measure(learner, net, folded, what) <= DIFFERENT
        ]
        if missed:
            raise self._failure(self._overlooked(missed, len(wrong)))
        return f"sees {len(right)} right folds and {len(wrong)} wrong ones"

    def _measure(self, learner, net, folded, what):
        given = copy.deepcopy((net, folded))
        found = self._result(learner, *given, on=f" on a fold {what}")
        for after, before in zip(given, (net, folded), strict=True):
            if any(not np.array_equal(after[k], before[k], True) for k in before):
                raise self._failure(
                    "It changes a network that it was given. Measuring must leave "
                    "what it measures as it is."
                )
        if found is None:
            raise self._failure("It returns None; is the `return` missing?")
        if isinstance(found, bool | np.bool_):
            raise self._failure(
                "It returns True or False. Return the difference itself, a number: "
                "how small is small enough, its reader decides."
            )
        if np.ndim(found) or not np.isreal(found):
            raise self._failure(
                f"It returns an array of shape {np.shape(found)}; expected one number, "
                "the largest."
            )
        if found < 0:
            raise self._failure(
                "It returns a negative number. Take absolute values before the largest."
            )
        return float(found)

    def _too_large(self, what, found):
        text = f"It returns {found:.2g} for a right fold ({what}). "
        if not np.isfinite(found):
            return text + "Do you divide by an output that is 0?"
        if "large outputs" in what or "tiny outputs" in what:
            return (
                text + "A difference depends on how large the outputs are: divide it, "
                "once, by the largest absolute output."
            )
        if found > 1e-3:
            return (
                text + "Is the network in evaluation mode? `cnn(net, x)` is in "
                "training mode, with the batch's own statistics, unless "
                "`training=False`. Are both networks given the same x?"
            )
        return (
            text + "Equal networks agree to 1e-13 or so in float64. Is something "
            "rounded to float32 on the way?"
        )

    def _overlooked(self, missed, number):
        if len(missed) == number:
            return (
                "It returns almost 0 for every wrong fold too. Does it run both "
                "networks, on random inputs that are not 0?"
            )
        text = f"It overlooks {len(missed)} of {number} wrong folds, such as one "
        text += f"{missed[0]}. "
        if any("tiny" in what for what in missed):
            return (
                text + "Where all outputs are tiny, so is an absolute difference: "
                "divide by the largest absolute output."
            )
        if any("NaN" in what for what in missed):
            return (
                text + "NaN is equal to nothing, and Python's `max(0, nan)` is 0; "
                "np.nanmax overlooks it too. np.max does not."
            )
        if any("class" in what for what in missed):
            return text + "Look at all outputs, not at one class or at a mean."
        return (
            text + "Is the input such that it shows: random, of both signs, several "
            "images? Is the *largest* difference returned, not a mean or the "
            "predicted classes?"
        )


def _pairs(rng):
    """Return right and wrong pairs: what it is, the network, the fold."""

    def scaled(net, factor):
        linear = {k: net[k] * factor for k in ("linear.weight", "linear.bias")}
        return net | linear

    nets = [
        draw_network(rng, channels, biases=biases)
        for channels, biases in (
            ((2, 3, 4), (True, True)),
            ((1, 4, 3), (False, False)),
            ((3, 2, 5), (True, False)),
        )
    ]
    first, second, third = nets
    right = [("with biases", first, fold(first))]
    right += [("without biases", second, fold(second))]
    right += [("with a bias in conv1 only", third, fold(third))]
    large, tiny = scaled(third, 1e7), scaled(first, 1e-9)
    right += [("of a network with large outputs", large, fold(large))]
    right += [("of a network with tiny outputs", tiny, fold(tiny))]
    wrong = [
        (
            "that forgets the convolution's bias",
            first,
            fold(first, bias="old bias forgotten"),
        ),
        ("that loses gamma's sign", second, fold(second, sign="lost")),
        ("with one eps for all norms", first, fold(first, scale="first's")),
        ("without eps", second, fold(second, scale="sqrt(v)")),
        ("without beta", third, fold(third, bias="beta forgotten")),
        ("of the first norm only", third, fold(third, only=1)),
        (
            "with one eps for all norms, of a network with tiny outputs",
            tiny,
            fold(tiny, scale="1e-5"),
        ),
    ]
    off = fold(first, bias="old bias forgotten")
    wrong.append(("that forgets the convolution's bias", first, off))
    off = fold(tiny, scale="1e-5")
    wrong.append(("of a network with tiny outputs, with one eps for all", tiny, off))
    off = fold(large, scale="1e-5")
    wrong.append(("of a network with large outputs, with one eps for all", large, off))
    one_class = fold(second)
    one_class["linear.bias"] = one_class["linear.bias"].copy()
    one_class["linear.bias"][int(rng.integers(5))] += 0.01
    wrong.append(("that is off in one class only", second, one_class))
    lifted = fold(third)
    lifted["linear.bias"] = lifted["linear.bias"] + 0.01
    wrong.append(("with the same wrong shift in all classes", third, lifted))
    close = fold(second)
    close["linear.bias"] = close["linear.bias"] + 1e-5
    wrong.append(("that is off by a hundred-thousandth", second, close))
    broken = fold(first)
    broken["conv2.weight"] = np.full_like(broken["conv2.weight"], np.nan)
    wrong.append(("that is NaN", first, broken))
    return right, wrong


equality = _Equality(
    name="largest_difference",
    outputs=("difference",),
    formula=None,
    cases=None,
    mistakes=(),
    section="capstone-fold",
)
