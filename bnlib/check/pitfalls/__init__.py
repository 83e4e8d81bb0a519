"""PS5: the pitfalls.

Each exercise is called with the learner's function: ``estimates``, ``ghost``,
``workers``, ``step_train``, ``step_eval``, ``precise``; the bug hunt's ``validation``,
``momentum``, ``frozen``, ``single``, ``ordered``, ``checkpoint``, ``decay``, ``lost``;
``folding``, ``equality``.
"""

from bnlib.check.pitfalls._checkpoint import checkpoint
from bnlib.check.pitfalls._decay import decay
from bnlib.check.pitfalls._equality import equality
from bnlib.check.pitfalls._estimates import estimates
from bnlib.check.pitfalls._folding import folding
from bnlib.check.pitfalls._frozen import frozen
from bnlib.check.pitfalls._ghost import ghost
from bnlib.check.pitfalls._lost import lost
from bnlib.check.pitfalls._momentum import momentum
from bnlib.check.pitfalls._ordered import ordered
from bnlib.check.pitfalls._precise import precise
from bnlib.check.pitfalls._single import single
from bnlib.check.pitfalls._steps import step_eval, step_train
from bnlib.check.pitfalls._validation import validation
from bnlib.check.pitfalls._workers import workers

__all__ = [
    "checkpoint",
    "decay",
    "equality",
    "estimates",
    "folding",
    "frozen",
    "ghost",
    "lost",
    "momentum",
    "ordered",
    "precise",
    "single",
    "step_eval",
    "step_train",
    "validation",
    "workers",
]
