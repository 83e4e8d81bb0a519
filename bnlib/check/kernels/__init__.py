"""PS6: kernels.

Each exercise is called with the learner's function: ``blocked``, ``generic`` and
``generic_backward`` with NumPy code; ``row_sums``, ``forward``, ``backward`` and
``lean`` with one that returns CUDA C++, which runs on `bnlib.emulator`.
"""

from bnlib.check.kernels._backward import backward
from bnlib.check.kernels._blocked import blocked
from bnlib.check.kernels._forward import forward
from bnlib.check.kernels._generic import generic, generic_backward
from bnlib.check.kernels._launch import LAUNCHING, launched_by
from bnlib.check.kernels._lean import lean
from bnlib.check.kernels._row_sums import row_sums

__all__ = [
    "LAUNCHING",
    "backward",
    "blocked",
    "forward",
    "generic",
    "generic_backward",
    "launched_by",
    "lean",
    "row_sums",
]
