"""The tier "numpy": blocks that stay in the cache, with NumPy alone."""

from functools import partial

from bnlib.cpu import tier
from bnlib.cpu.blocked import channels, rows

forward = partial(tier.forward, (channels, rows))
backward = partial(tier.backward, (channels, rows))
