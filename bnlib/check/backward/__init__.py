"""PS2: the backward pass.

Each exercise is called with the learner's function: ``staged``, ``simplified``,
``convolutional``, ``evaluation``, ``numerical``, ``error``, ``detector``. ``NODES`` are
the gradients that ``staged`` looks at, in this order.
"""

from bnlib.check.backward._convolutional import convolutional
from bnlib.check.backward._detector import detector
from bnlib.check.backward._evaluation import evaluation
from bnlib.check.backward._gradient_error import error
from bnlib.check.backward._graph import staged
from bnlib.check.backward._nodes import NODES
from bnlib.check.backward._numerical import numerical
from bnlib.check.backward._simplified import simplified

__all__ = [
    "NODES",
    "convolutional",
    "detector",
    "error",
    "evaluation",
    "numerical",
    "simplified",
    "staged",
]
