"""Exercise 8: which norm for which situation.

The situations are told in the problem set. For each, the answers that the book defends
are right, and for each other norm there is a reason against it.

But: nothing is computed here, and no reason says which norm to take instead.
"""

from dataclasses import dataclass

from bnlib.check._exercise import Exercise

NORMS = ("batch", "synchronised batch", "layer", "RMS", "group", "instance")


@dataclass(frozen=True)
class Situation:
    """The norms that are right in a situation, and what speaks against the others."""

    right: frozenset[str]
    against: dict[str, str]


def _situation(right, **against):
    reasons = {name.replace("_", " "): text for name, text in against.items()}
    for name in NORMS:
        assert (name in right) != (name in reasons), name
    return Situation(frozenset(right), reasons)


_IN_USE = (
    "It has to be computed from each photo anew: mean and variance are not known "
    "before, so nothing can be folded into the convolution. The phone may not pay for "
    "a norm."
)
_FUTURE = (
    "Its sets hold all positions of a sentence: in training a word would share "
    "statistics with the words that follow it, which in use are not there yet."
)
_FOLDED = (
    "Its statistics are those of the image at hand, so that it cannot be folded; and "
    "the weights that are to be kept were trained with another norm's statistics."
)
_MIXED = (
    "Its statistics are over the images of a batch, here one patient's: the network "
    "can read the neighbours, who all have the answer, and in use there are none. "
    "That the batch is large does not help."
)

SITUATIONS = {
    "phone": _situation(
        {"batch"},
        synchronised_batch="There is one GPU, which holds the whole batch: nobody to "
        "synchronise with.",
        layer=_IN_USE,
        RMS=_IN_USE,
        group=_IN_USE,
        instance=_IN_USE,
    ),
    "translator": _situation(
        {"layer", "RMS"},
        batch="Sentences of all lengths would share statistics, padding included, and "
        "in use there is one sentence, one word at a time. Ask the recipe's second "
        "question.",
        synchronised_batch="More devices give more sentences, still of all lengths, "
        "padding included; and in use there is one. Ask the recipe's second question.",
        group=_FUTURE,
        instance=_FUTURE,
    ),
    "detector": _situation(
        {"synchronised batch"},
        batch="In the layer with the least there are two values for each statistic: "
        "count M = N·H·W where it is smallest, on one GPU.",
        layer=_FOLDED,
        RMS=_FOLDED,
        group=_FOLDED,
        instance=_FOLDED,
    ),
    "painter": _situation(
        {"instance"},
        batch="It compares a photo with the others of its batch. A photo's own "
        "contrast stays in, for the statistics are everybody's.",
        synchronised_batch="It compares a photo with all others on all devices. A "
        "photo's own contrast stays in, for its statistics are everybody's.",
        layer="One mean and one variance for all maps of a photo: how the maps differ "
        "from one another stays in, and that is the photo's own look.",
        RMS="It takes out one scale for a photo or a position. How the maps differ "
        "from one another stays in, and that is the photo's own look.",
        group="Maps of a group share their statistics: how they differ from one "
        "another stays in, and that is the photo's own look.",
    ),
    "ward": _situation(
        {"layer", "RMS", "group"},
        batch=_MIXED,
        synchronised_batch=_MIXED,
        instance="Your last maps have 2 × 2 positions. Each map loses its mean and its "
        "variance, 2 of its M = 4 degrees of freedom: half of what is there.",
    ),
}


def _plain(name):
    """Return a norm's name without what people add to it; None if it is none."""
    if not isinstance(name, str):
        return None
    words = name.lower().replace("-", " ").replace("_", " ").split()
    rest = " ".join(w for w in words if not w.startswith("norm"))
    rest = rest.removesuffix("norm").replace("synchronized", "synchronised")
    rest = {"sync batch": "synchronised batch", "sync": "synchronised batch"}.get(
        rest, rest
    )
    return {known.lower(): known for known in NORMS}.get(rest)


class _Choices(Exercise):
    """An exercise whose answer is a name for each of several situations."""

    def __call__(self, learner, *, seed=0, at_least=5):
        """Check the learner's choices.

        Parameters
        ----------
        learner : callable
            What the learner wrote; it returns a dictionary.
        seed : int
            Of no effect: there is nothing random.
        at_least : int
            How many situations must be answered rightly.

        Raises
        ------
        CheckFailed
            With a message for the learner.
        """
        choices = self._choices(learner)
        wrong = [key for key in SITUATIONS if choices[key] not in SITUATIONS[key].right]
        right = len(SITUATIONS) - len(wrong)
        if right < at_least:
            key = wrong[0]
            reason = SITUATIONS[key].against[choices[key]]
            raise self._failure(
                f"{key}: not {choices[key]} norm. {reason}\n"
                f"{right} of {len(SITUATIONS)} are right; the first wrong one is this."
            )
        print(f"✓ {self.name}: {right} of {len(SITUATIONS)} situations")

    def _choices(self, learner):
        """Return a known norm for each situation; raise CheckFailed if one is none."""
        choices = self._result(learner)
        names = ", ".join(f'"{name}"' for name in NORMS)
        keys = ", ".join(f'"{key}"' for key in SITUATIONS)
        if not isinstance(choices, dict):
            got = "None" if choices is None else f"a {type(choices).__name__}"
            raise self._failure(
                f"It returns {got}; expected a dictionary with the keys {keys}."
            )
        unknown = [key for key in choices if key not in SITUATIONS]
        if unknown:
            raise self._failure(
                f"There is no situation {str(unknown[0])[:40]!r}; they are {keys}."
            )
        found = {}
        for key in SITUATIONS:
            if choices.get(key) is None:
                raise self._failure(f"{key}: no answer yet. Choose from {names}.")
            found[key] = _plain(choices[key])
            if found[key] is None:
                raise self._failure(
                    f"{key}: {str(choices[key])[:40]!r} is none of the norms to choose "
                    f"from: {names}."
                )
        return found


choose = _Choices(
    name="choose",
    outputs=("choices",),
    formula=lambda: ({},),
    cases=lambda rng: [],
    mistakes=(),
    section="recipe-choose",
)
