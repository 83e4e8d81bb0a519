"""The tier "fused": loops that Numba compiles."""

from functools import partial

from bnlib.cpu import tier
from bnlib.cpu.fused import channels, rows

forward = partial(tier.forward, (channels, rows))
backward = partial(tier.backward, (channels, rows))
