"""Exercise: a test of backward passes, which must accept right ones and reject wrong.

But: no formula, cases or mistakes; the learner's test is tried on `_planted` passes.
"""

import numpy as np

from bnlib.check._exercise import Exercise
from bnlib.check.backward._gradient_error import relative_error
from bnlib.check.backward._planted import SHAPE, right_ones, wrong_ones
from bnlib.check.backward._training import columns


class _TestOfTests(Exercise):
    """An exercise whose answer is itself a test: right passes, wrong does not."""

    def _judge(self, learner, seed):
        rng = np.random.default_rng(seed)
        wrong = wrong_ones(rng)
        wrong = [wrong[k] for k in rng.permutation(len(wrong))]
        right = right_ones()
        for planted in right:
            if not self._verdict(learner, planted):
                raise self._failure(self._rejected(planted))
        passed = [planted for planted in wrong if self._verdict(learner, planted)]
        if passed:
            raise self._failure(self._accepted(passed, len(wrong)))
        return f"accepts {len(right)} right, rejects {len(wrong)} wrong"

    def _verdict(self, learner, planted):
        verdict = self._result(
            learner,
            planted,
            on=f" on a backward pass {planted.what}",
            advice="\nA wrong backward pass is no reason to stop: return False.",
        )
        if not isinstance(verdict, bool | np.bool_):
            raise self._failure(
                f"It returns {'None' if verdict is None else repr(verdict)}; expected "
                "True or False."
            )
        return bool(verdict)

    def _rejected(self, planted):
        text = f"It rejects a right backward pass ({planted.what}). "
        if not planted.calls:
            return text + "Your test never calls it: compare what `backward` returns."
        dy, x, *_ = planted.calls[0]
        if dy.size > 1 and np.ptp(dy) == 0:
            return (
                text + "Your dy is the same everywhere. Then dx is zero whatever x "
                "is, and a relative error compares one rounding error with another. "
                "Draw dy at random."
            )
        if x.dtype != np.float64:
            return (
                text + f"Your x is {x.dtype}; differences need float64, in which a "
                "central difference is good to about 1e-8."
            )
        return (
            text + "Is the tolerance too tight (a central difference is good to about "
            "1e-8 here; 1e-6 is a fair demand)? Do forward and backward use the same "
            "eps? Are `numerical_gradient` and `gradient_error` right?"
        )

    def _accepted(self, passed, number):
        first = min(passed, key=lambda p: (len(p.calls), p.what == SHAPE))
        others = [p.what for p in passed if p is not first]
        if len(others) > 4:
            others[3:] = [f"and {len(others) - 3} more"]
        such_as = ", such as" if others else ":"
        text = (
            f"It accepts {len(passed)} of {number} wrong backward passes{such_as} one "
            f"{first.what}. {self._why(first)}"
        )
        return text + (f"\nIt also accepts one {'; '.join(others)}." if others else "")

    def _why(self, planted):
        if not planted.calls:
            return "Your test never calls it: compare what `backward` returns."
        if all(np.ptp(dy) == 0 for dy, *_ in planted.calls):
            return (
                "Your dy is the same everywhere. Then dx is zero whatever x is, and "
                "wrong versions give zero as well. Draw dy at random."
            )
        if all(_blind(*call) for call in planted.calls):
            return (
                "Your dy is a multiple of xhat, plus a constant, as it is for the "
                "loss sum(y²). Then dx is nearly zero whatever x is, and wrong "
                "versions give the same. Draw dy at random."
            )
        seen = max((_differences(planted, call) for call in planted.calls), key=_most)
        wrong = {name: by for name, by in seen.items() if by > 1e-5}
        if not wrong:
            return f"On your inputs it is right. It shows with {planted.shows}."
        name, by = max(wrong.items(), key=lambda item: item[1])
        if by == np.inf:
            return (
                f"Its {name} has another shape than {name[1:]}: compare the shapes as "
                "well as the numbers, which broadcast."
            )
        percent = f"{100 * by:.0f}" if by > 0.01 else f"{100 * by:.2g}"
        return (
            f"Your inputs show it: its {name} is off by {percent}%. Do you compare all "
            "three gradients, and is your tolerance tight? (1e-6 will do.)"
        )


def _differences(planted, call):
    """How far each gradient is from the right one: relative, infinite for shapes."""
    names = ("dx", "dgamma", "dbeta")
    pairs = zip(names, planted.gradients(*call), columns(*call), strict=True)
    return {
        name: relative_error(wrong, right, guard=1e-12)[0] * 2
        for name, wrong, right in pairs
    }


def _most(differences):
    return max(differences.values())


def _blind(dy, x, *_):
    """Whether dy is a combination of 1 and xhat, so that dx is nearly zero."""
    dy, x = dy - dy.mean(0), x - x.mean(0)
    rest = dy - x * (dy * x).sum(0) / np.maximum((x * x).sum(0), 1e-300)
    return bool(np.linalg.norm(rest) <= 1e-6 * np.linalg.norm(dy))


detector = _TestOfTests(
    name="backward_is_right",
    outputs=("verdict",),
    formula=None,
    cases=None,
    section="backward-check",
    mistakes=(),
)
