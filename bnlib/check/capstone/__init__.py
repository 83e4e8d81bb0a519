"""PS7: the capstone.

Each exercise is called with the learner's class or function: ``norm``, ``image``,
``conv``, ``block``, ``loss``, ``step``, ``training``; ``accuracy`` and ``folding`` with
the learner's ``Network`` as well; ``reach_batch_64``, ``reach_group_64``,
``reach_batch_4``, ``reach_group_4`` with ``train`` and ``plan``. `bring` collects a
learner's answers from earlier sets, `digits` has the data.
"""

from bnlib.check.capstone._accuracy import accuracy
from bnlib.check.capstone._block import block
from bnlib.check.capstone._bring import bring
from bnlib.check.capstone._conv import conv
from bnlib.check.capstone._digits import digits
from bnlib.check.capstone._folding import folding
from bnlib.check.capstone._image import image
from bnlib.check.capstone._loss import loss
from bnlib.check.capstone._norm import norm
from bnlib.check.capstone._reach import (
    reach_batch_4,
    reach_batch_64,
    reach_group_4,
    reach_group_64,
)
from bnlib.check.capstone._step import step
from bnlib.check.capstone._training import training

__all__ = [
    "accuracy",
    "block",
    "bring",
    "conv",
    "digits",
    "folding",
    "image",
    "loss",
    "norm",
    "reach_batch_4",
    "reach_batch_64",
    "reach_group_4",
    "reach_group_64",
    "step",
    "training",
]
