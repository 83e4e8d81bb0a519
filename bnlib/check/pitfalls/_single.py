"""Bug hunt: a last batch of one sample.

But: what to do with it, leave it out or join it to the one before, the learner decides.
"""

import numpy as np

from bnlib.check._exercise import Case, Mistake
from bnlib.check.pitfalls._batches import fresh, moved
from bnlib.check.pitfalls._behaviour import Behaviour
from bnlib.check.pitfalls._shared import CHANGED

MOMENTUM = 0.5  # large, so that one update shows


def _epoch(x, batch_size, momentum=MOMENTUM, *, rest="dropped", stored="unbiased"):
    """Return the running statistics after an epoch."""
    running = fresh(x.shape[1])
    if rest == "nothing" and len(x) % batch_size == 1:
        return running
    for start in range(0, len(x), batch_size):
        batch = x[start : start + batch_size]
        if len(batch) == 1 and rest == "dropped":
            continue
        before = running
        running = moved(running, batch, momentum, stored=stored)
        if len(batch) == 1 and rest != "as it was":
            new = {
                "variance 0": 0 * before[1],
                "variance 1": 0 * before[1] + 1,
                "mean only": before[1],
            }[rest]
            running = running[0], (1 - momentum) * before[1] + momentum * new
    return running


class _Epoch(Behaviour):
    def verdict(self, case, result):
        """Compare with the data; exactly where no sample is left over."""
        x, size, _ = case.arguments
        mean, var = result
        if not len(x) % size:
            truth = self._formula(case, {})
            close = all(
                np.allclose(*pair, rtol=1e-9, atol=0)
                for pair in zip(result, truth, strict=True)
            )
            return "" if close else _COMPLETE
        batch = x[:size]
        std = batch.std(0, ddof=1)
        if not np.isfinite(result).all():
            return f"The running statistics are not finite on {case.what}."
        off = (abs(mean - batch.mean(0)) / std).max()
        ratio = var / std**2
        if off > 0.35:
            return (
                f"The running mean is {off:.2g} standard deviations off on "
                f"{case.what}: one sample moves it as much as a whole batch."
            )
        if ratio.min() < 0.58 or ratio.max() > 1.42:
            return (
                f"The running variance is {ratio.min():.2g} to {ratio.max():.2g} times "
                f"that of the data on {case.what}."
            )
        return ""


def _cases(rng):
    cases = []
    for size, rest, d in ((8, 0, 3), (8, 1, 3), (6, 1, 4), (8, 3, 3), (7, 1, 2)):
        at, scale = rng.normal(size=d), rng.uniform(1.5, 3.0, size=d)
        batch = rng.normal(size=(size, d))
        batch = (batch - batch.mean(0)) / batch.std(0)
        # The same values in every batch, in another order: what is left over shows.
        parts = [at + scale * rng.permutation(batch) for _ in range(8)]
        left = {
            0: np.zeros((0, d)),
            1: at + 1.5 * scale * rng.choice([-1, 1], size=(1, d)),
            3: at + scale * np.array([[-1.0], [0.0], [1.0]]),
        }[rest]
        x = np.concatenate([*parts, left])
        what = f"{len(x)} samples in batches of {size}"
        cases.append(Case(what, (x, size, MOMENTUM)))
    return cases


_COMPLETE = (
    "Where all batches are complete the results differ from what they were. Those were "
    "right: change only what happens to a single sample that is left over."
)
_ONE = (
    "Leave such a batch out, or join its sample to the batch before: one sample has a "
    "mean, itself, and no variance."
)

single = _Epoch(
    name="one_epoch",
    outputs=("running_mean", "running_var"),
    formula=_epoch,
    cases=_cases,
    section="small-batches-one",
    page="small_batches",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "The fault is still there: 65 samples in batches of 8, and after "
            "one epoch the running variance is NaN, for ever; with 64 samples all is "
            "well. What is in the last batch?",
            {"rest": "as it was"},
        ),
        Mistake(
            "There is no NaN any more. But a single sample counts as a batch with "
            f"variance 0, and pulls the running variance down. {_ONE}",
            {"rest": "variance 0"},
        ),
        Mistake(
            "There is no NaN any more, but the variance of a single sample is made up, "
            f"1. {_ONE}",
            {"rest": "variance 1"},
        ),
        Mistake(
            "The running variance is spared; but a single sample still moves the "
            f"running mean as far as a whole batch does. {_ONE}",
            {"rest": "mean only"},
        ),
        Mistake(
            "The running variance takes in the biased variance now, in all batches. "
            "The unbiased one was right.",
            {"stored": "biased"},
        ),
        Mistake(
            "Nothing is learned now if a sample is left over. The other batches are "
            "fine.",
            {"rest": "nothing"},
        ),
    ),
)
