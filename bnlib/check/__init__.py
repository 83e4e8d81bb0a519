"""Checks for learners: they say not only that something is wrong, but what.

One module a problem set: `bnlib.check.forward` for PS1, `bnlib.check.backward` for PS2.
Each holds exercises, to be called with the learner's function::

    from bnlib.check import forward as check
    check.train(batch_norm_train)
"""

from bnlib.check._exercise import Case, CheckFailed, Exercise, Mistake

__all__ = ["Case", "CheckFailed", "Exercise", "Mistake"]
