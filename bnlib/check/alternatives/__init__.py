"""PS4: alternatives.

Each exercise is called with the learner's function: ``layer``, ``group``, ``rms``,
``weight``, ``standardisation`` and ``renorm``, and the same with ``_backward``; and
``choose``.
"""

from bnlib.check.alternatives._choices import choose
from bnlib.check.alternatives._group import group, group_backward
from bnlib.check.alternatives._layer import layer, layer_backward
from bnlib.check.alternatives._renorm import renorm, renorm_backward
from bnlib.check.alternatives._rms import rms, rms_backward
from bnlib.check.alternatives._standardisation import (
    standardisation,
    standardisation_backward,
)
from bnlib.check.alternatives._weight import weight, weight_backward

__all__ = [
    "choose",
    "group",
    "group_backward",
    "layer",
    "layer_backward",
    "renorm",
    "renorm_backward",
    "rms",
    "rms_backward",
    "standardisation",
    "standardisation_backward",
    "weight",
    "weight_backward",
]
