"""PS1: the forward pass.

Each exercise is called with the learner's function, or class: ``train``, ``running``,
``evaluate``, ``layer``, ``convolution``, ``moments``, ``welford``, ``merge``, ``fold``.
"""

from bnlib.check.forward._convolutional import convolution
from bnlib.check.forward._evaluation import evaluate
from bnlib.check.forward._folding import fold
from bnlib.check.forward._layer import layer
from bnlib.check.forward._merging import merge
from bnlib.check.forward._moments import moments
from bnlib.check.forward._running import running
from bnlib.check.forward._training import train
from bnlib.check.forward._welford import welford

__all__ = [
    "convolution",
    "evaluate",
    "fold",
    "layer",
    "merge",
    "moments",
    "running",
    "train",
    "welford",
]
