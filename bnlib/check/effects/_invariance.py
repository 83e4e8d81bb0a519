"""Exercise: a test of losses, which must accept scale-invariant ones and reject others.

But: no formula, cases or mistakes; the learner's test is tried on `_losses`.
"""

import numpy as np

from bnlib.check._exercise import Exercise
from bnlib.check.effects._losses import invariant_ones, other_ones


class _TestOfLosses(Exercise):
    """An exercise whose answer is itself a test."""

    def _judge(self, learner, seed):
        rng = np.random.default_rng(seed)
        right, wrong = invariant_ones(rng), other_ones(rng)
        verdicts = {}
        for planted in [
            (*right, *wrong)[k] for k in rng.permutation(len(right + wrong))
        ]:
            verdicts[planted.what] = self._verdict(learner, planted)
        if len(set(verdicts.values())) == 1:
            raise self._failure(self._constant(right + wrong, verdicts))
        rejected = [p for p in right if not verdicts[p.what]]
        accepted = [p for p in wrong if verdicts[p.what]]
        if len(rejected) == len(right) and len(accepted) == len(wrong):
            raise self._failure(
                "It has every answer the wrong way round: True is for losses that are "
                "scale-invariant."
            )
        if rejected:
            raise self._failure(self._about_rejected(rejected, len(right)))
        if accepted:
            raise self._failure(self._about_accepted(accepted, len(wrong)))
        return (
            f"accepts {len(right)} scale-invariant losses, rejects {len(wrong)} others"
        )

    def _verdict(self, learner, planted):
        w = planted.w.copy()
        verdict = self._result(
            learner,
            planted,
            w,
            on=f" on {planted.what}, w of shape {w.shape}",
            advice="\nWhatever the loss, the answer is True or False.",
        )
        if not np.array_equal(w, planted.w):
            raise self._failure(
                "It changes w in place. The caller still needs it: `a * w` makes a new "
                "array, `w *= a` writes into this one."
            )
        if not isinstance(verdict, bool | np.bool_):
            shown = "None" if verdict is None else type(verdict).__name__
            raise self._failure(f"It returns {shown}; expected True or False.")
        return bool(verdict)

    def _constant(self, everything, verdicts):
        answer = next(iter(verdicts.values()))
        lengths = {round(a, 9) for p in everything for a in p.lengths()}
        if not lengths:
            reason = "It never calls loss_and_gradient: try it at several a·w."
        elif lengths == {1.0} and answer:
            reason = (
                "It never tries another length than that of w: compare the loss at w "
                "with that at a·w, for several a > 0."
            )
        elif any(p.turned() for p in everything) and not answer:
            reason = _NEGATIVE
        else:
            reason = (
                "Compare the loss at w with that at a·w, for several a > 0, up to a "
                "relative error of about 1e-6: rounding is no reason to reject."
            )
        return f"It says {answer} to every loss. {reason}"

    def _about_rejected(self, rejected, number):
        first = rejected[0]
        text = (
            f"It rejects {len(rejected)} of {number} scale-invariant losses, such as "
            f"{first.what}. "
        )
        if any(p.turned() for p in rejected):
            return text + _NEGATIVE
        lengths = {round(a, 9) for p in rejected for a in p.lengths()}
        if lengths and max(max(lengths), 1 / min(lengths)) > 1e4:
            return text + "Your a is extreme; factors from 0.1 to 10 are enough."
        if all(p.large for p in rejected):
            return text + (
                "That loss is large, and so is its rounding error, about 1e-16 of it. "
                "Compare relatively: |L(aw) − L(w)| ≤ 1e-6·|L(w)|, or `np.isclose`."
            )
        return text + (
            "Two floating-point numbers are seldom equal to the last bit: allow a "
            "relative error of 1e-6. If you compare gradients: that at a·w is 1/a of "
            "that at w, and it is g·w that is zero, relative to ‖g‖·‖w‖."
        )

    def _about_accepted(self, accepted, number):
        # The loss that says most about the test, first.
        first = accepted[0]
        others = [p.what for p in accepted[1:]]
        text = (
            f"It accepts {len(accepted)} of {number} losses that are not: {first.what}."
        )
        if others:
            text += f" Also {'; '.join(others)}."
        lengths = {round(a, 9) for a in first.lengths()}
        if not lengths:
            return f"{text}\nIt never calls loss_and_gradient there."
        if lengths == {1.0} and not first.turned():
            return f"{text}\n{_ONE_PLACE}"
        return f"{text}\n{first.shows}"


_NEGATIVE = (
    "You try a negative a. Scale invariance is about lengths, a > 0: −w points the "
    "other way, and batch norm of −x is −batch norm of x, which a ReLU treats "
    "differently."
)
_ONE_PLACE = (
    "You look at w alone. A gradient may be orthogonal to w there by chance, or "
    "because w is a minimum along its own line: that is a statement about one point, "
    "and scale invariance is one about the whole ray. Try several a·w."
)

invariance = _TestOfLosses(
    name="is_scale_invariant",
    outputs=("verdict",),
    formula=None,
    cases=None,
    section="mechanisms-scale",
    mistakes=(),
)
