"""PS3: what batch norm does.

Each exercise is called with the learner's function: ``moments``, ``wasserstein`` (and
``wasserstein_equal``, with samples of equal size only), ``noise``, ``noise_backward``,
``walk``, ``invariance``, ``lengths``, ``chain``, ``growth``.

Two experiments take the learner's functions and print a table: ``noise_experiment`` and
``landscape_experiment``.
"""

from bnlib.check.effects._chain import chain
from bnlib.check.effects._experiments import landscape_experiment, noise_experiment
from bnlib.check.effects._growth import growth
from bnlib.check.effects._invariance import invariance
from bnlib.check.effects._lengths import lengths
from bnlib.check.effects._moments import moments
from bnlib.check.effects._noise import noise
from bnlib.check.effects._noise_backward import noise_backward
from bnlib.check.effects._walk import walk
from bnlib.check.effects._wasserstein import wasserstein, wasserstein_equal

__all__ = [
    "chain",
    "growth",
    "invariance",
    "landscape_experiment",
    "lengths",
    "moments",
    "noise",
    "noise_backward",
    "noise_experiment",
    "walk",
    "wasserstein",
    "wasserstein_equal",
]
