"""The tier "fused": loops that Numba compiles."""

from bnlib.cpu import tier
from bnlib.cpu.fused import channels, rows


def forward(norm, x, *args, **options):
    """Compute `_formula.forward`, or return None if x is not taken.

    To Numba an array that is read-only or not aligned is of another type, for which it
    would compile all loops again.
    """
    if not x.flags.behaved:
        return None
    return tier.forward((channels, rows), norm, x, *args, **options)


def backward(norm, dy, cache, **options):
    """Compute `_formula.backward`, or return None if dy or x is not taken."""
    if not (dy.flags.behaved and cache.x.flags.behaved):
        return None
    return tier.backward((channels, rows), norm, dy, cache, **options)
