"""Exercise: reach the goals on digits that the network has not seen.

But: how long and how fast to train, the learner decides, within the limits.
"""

from dataclasses import dataclass
from time import process_time

import numpy as np

from bnlib.check._exercise import Exercise
from bnlib.check.capstone._digits import digits

STEPS = {64: 80, 4: 250}
"""At most so many steps, by batch size."""
SECONDS = 10.0
"""CPU seconds for one run. Grading stops a check by the clock, after 20 s."""


@dataclass(frozen=True, eq=False)
class _Reach(Exercise):
    """Trains once with the learner's plan; judges on what was held out."""

    groups: int = 0
    batch: int = 64
    goal: float = 0.9

    def __call__(self, train, plan, *, seed=0):
        """Check ``train`` and ``plan``, both the learner's."""
        steps, rate = self._plan(plan)
        x, y, x_held, y_held = digits(seed)
        start = process_time()
        network, losses = self._result(
            train, x, y, self.groups, self.batch, steps, rate, int(seed), on=self._what
        )
        seconds = process_time() - start
        if not np.isfinite(losses).all():
            raise self._failure(
                f"The loss is not finite after {np.isfinite(losses).argmin()} steps: "
                f"the rate, {rate:g}, is too large."
            )
        network.set_training(False)
        logits = np.asarray(network.forward(x_held), dtype=np.float64)
        found = (logits.argmax(1) == y_held).mean()
        if not found >= self.goal:
            raise self._failure(self._missed(network, found, losses, x_held, y_held))
        alone = np.asarray(network.forward(x_held[:1]), dtype=np.float64)
        if abs(alone - logits[:1]).max() > 1e-3 * abs(logits).max():
            raise self._failure(
                "In evaluation mode an image has other logits alone than among others. "
                "Nothing may depend on the company that an image is in."
            )
        if seconds > SECONDS:
            raise self._failure(
                f"It reaches {found:.1%}, but takes {seconds:.0f} CPU seconds; at most "
                f"{SECONDS:.0f}. Where is the time? Loops over images or pixels belong "
                "into NumPy."
            )
        print(
            f"✓ {self.name}{self._what}: {found:.1%} of {len(y_held)} held-out digits"
        )

    @property
    def _what(self):
        kind = f"group norm of {self.groups} groups" if self.groups else "batch norm"
        return f" with {kind}, batches of {self.batch}"

    def _plan(self, plan):
        given = self._result(plan, self.groups, self.batch, on=self._what)
        if not isinstance(given, tuple | list) or len(given) != 2:
            raise self._failure("`plan` is to return two numbers: steps, rate.")
        steps, rate = given
        most = STEPS[self.batch]
        if int(steps) != steps or not 1 <= steps <= most:
            raise self._failure(
                f"`plan` asks for {steps} steps of {self.batch} images; expected a "
                f"whole number from 1 to {most}."
            )
        if not 0 < rate < np.inf:
            raise self._failure(f"`plan` gives a rate of {rate}; expected more than 0.")
        return int(steps), float(rate)

    def _missed(self, network, found, losses, x, y):
        text = (
            f"{found:.1%} of the held-out digits are right{self._what}; the goal is "
            f"{self.goal:.0%}. "
        )
        network.set_training(True)
        among = (np.asarray(network.forward(x[:128])).argmax(1) == y[:128]).mean()
        network.set_training(False)
        tail = np.mean(losses[-10:])
        if not self.groups and among > found + 0.15:
            return text + (
                f"In training mode it would be {among:.0%}: the running statistics are "
                "not those of the data. Do they move in every step?"
            )
        if tail > 2:
            return text + (
                f"The loss is {tail:.2f} at the end, hardly less than ln 10 = 2.30 of "
                "a guess: the rate is far too small or far too large, or the gradient "
                "is wrong."
            )
        return text + (
            f"The loss is {tail:.2f} at the end. Try rates three times as large and "
            "three times as small, with as many steps as are allowed."
        )


def _reach(groups, batch, goal):
    return _Reach(
        name="train",
        outputs=("network", "losses"),
        formula=None,
        cases=None,
        mistakes=(),
        section="capstone-training",
        groups=groups,
        batch=batch,
        goal=goal,
    )


reach_batch_64 = _reach(0, 64, 0.93)
reach_group_64 = _reach(4, 64, 0.88)
reach_batch_4 = _reach(0, 4, 0.82)
reach_group_4 = _reach(4, 4, 0.76)
