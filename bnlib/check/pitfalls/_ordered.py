"""Bug hunt: a training set sorted by class, walked through in order.

But: how to mix it, the learner decides.
"""

import numpy as np

from bnlib.check._exercise import Case
from bnlib.check.pitfalls._batches import fresh, moved
from bnlib.check.pitfalls._behaviour import Behaviour
from bnlib.check.pitfalls._shared import CHANGED


def _train(x, y, batch_size):
    """Logistic regression on batch-normalised features."""
    d = x.shape[1]
    w, b, running = np.zeros(d), 0.0, fresh(d)
    rng = np.random.default_rng(0)
    for _ in range(8):
        mixed = rng.permutation(len(x))
        x, y = x[mixed], y[mixed]
        for start in range(0, len(x), batch_size):
            xb, yb = x[start : start + batch_size], y[start : start + batch_size]
            running = moved(running, xb)
            h = (xb - xb.mean(0)) / np.sqrt(xb.var(0) + 1e-5)
            error = 1 / (1 + np.exp(-(h @ w + b))) - yb
            w = w - 0.5 * h.T @ error / len(xb)
            b = b - 0.5 * error.mean()
    return w, np.asarray(b), *running


class _Training(Behaviour):
    def verdict(self, case, result):
        """Look at the accuracy in evaluation, and at the running statistics."""
        x, y, _ = case.arguments
        w, b, mean, var = result
        if not all(np.isfinite(a).all() for a in result):
            return f"Not all results are finite on {case.what}."
        if abs(w).max() < 1e-9:
            return _FAULT
        with np.errstate(all="ignore"):
            h = (x - mean) / np.sqrt(var + 1e-5)
        accuracy = ((h @ w + b > 0) == (y > 0.5)).mean()
        off = (abs(mean - x.mean(0)) / x.std(0)).max()
        if accuracy < 0.9:
            return (
                f"In evaluation it is right on {accuracy:.0%} of its own training data "
                f"({case.what}), which are easy. Does every batch hold both classes? "
                "Does every sample still have its own label: are x and y mixed in the "
                "*same* order?"
            )
        if off > 0.5 or not (0.5 < var / x.var(0)).all():
            return (
                f"It is right on {accuracy:.0%}, but its running statistics are not "
                f"those of the data (the mean is off by {off:.1f} standard "
                "deviations): the last batches are of one class. Mix the samples."
            )
        return ""


_FAULT = (
    "The fault is still there: w is 0 as at the start, up to rounding. Two "
    "classes that lie far apart, and nothing is learned of how to tell them. Look at "
    "the labels of one batch (the order *inside* a batch does not matter, nor that of "
    "the batches). What is left of a class's mean when a batch holds only that class, "
    "and its mean is subtracted?"
)


def _cases(rng):
    cases = []
    for first, second, size, d in (
        (100, 100, 20, 3),
        (80, 40, 10, 4),
        (90, 150, 30, 3),
    ):
        scale = rng.uniform(0.5, 2.0, size=d)
        gap = 1.6 * rng.choice([-1, 1], size=d)
        y = np.repeat([0.0, 1.0], [first, second])
        x = (
            3
            + rng.normal(size=d)
            + scale
            * (np.where(y > 0, 1, -1)[:, None] * gap + rng.normal(size=(len(y), d)))
        )
        what = f"{first} and {second} samples of two classes, batches of {size}"
        cases.append(Case(what, (x, y, size)))
    return cases


ordered = _Training(
    name="train_classifier",
    outputs=("w", "b", "running_mean", "running_var"),
    formula=_train,
    cases=_cases,
    section="train-eval-leaks",
    page="train_is_not_eval",
    changed=CHANGED,
    mistakes=(),
)
