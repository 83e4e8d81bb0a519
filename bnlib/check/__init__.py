"""Checks for learners: they say not only that something is wrong, but what.

One module a problem set: `bnlib.check.forward` for PS1, `backward` for PS2, `effects`
for PS3, `alternatives` for PS4, `pitfalls` for PS5, `kernels` for PS6, `capstone` for
PS7. Each holds exercises, to be called with the learner's function::

    from bnlib.check import forward as check
    check.train(batch_norm_train)

Hidden tests call them with other inputs: ``seed=seed`` for each of `hidden_seeds`.
"""

from bnlib.check._book import book_address, project_url
from bnlib.check._exercise import Case, CheckFailed, Exercise, Mistake
from bnlib.check._seeds import hidden_seeds

__all__ = [
    "Case",
    "CheckFailed",
    "Exercise",
    "Mistake",
    "book_address",
    "hidden_seeds",
    "project_url",
]
