"""What the exercises share whose answer is a class of layers.

But: which layers, and what is right of them, is the exercises' own.
"""

import traceback

import numpy as np

from bnlib.check._exercise import Exercise

CHANGED = (
    "Whoever called it still needs that array: a skip hands the same x, and the same "
    "dy, to two layers. `a = a * b` makes a new one; `a *= b` writes into the old one."
)


class Layers(Exercise):
    """An exercise whose answer is a class with ``forward`` and ``backward``."""

    def _to_be_written(self, error):
        function = traceback.extract_tb(error.__traceback__)[-1].name
        return f"✗ {self.name}: `{function}` is still to be written."


class OfNetworks(Exercise):
    """An exercise whose check makes networks of the learner's class."""

    def _to_be_written(self, error):
        function = traceback.extract_tb(error.__traceback__)[-1].name
        if function == self.name:
            return f"✗ {self.name}: still to be written."
        return (
            f"✗ {self.name} needs a network, in which `{function}` is still to be "
            f"written."
        )

    def _made(self, network, seed, groups):
        return self._result(network, seed, groups, on=" when `Network` is made")


def named(grads, name, of):
    """Return the gradient of a parameter out of a layer's ``grads``."""
    if not isinstance(grads, dict) or name not in grads:
        has = sorted(map(str, grads)) if isinstance(grads, dict) else type(grads)
        raise KeyError(
            f"grads of {of} has no {name!r} after `backward` (it has: {has})"
        )
    return grads[name]


def draw_norm(rng, channels, groups):
    """Draw a norm that has been trained: gamma of both signs, statistics of its own."""
    sign = np.where(np.arange(channels) % 2, -1, 1)
    return {
        "gamma": sign * rng.uniform(0.5, 2.0, channels),
        "beta": rng.normal(size=channels),
        "running_mean": rng.normal(size=channels),
        "running_var": rng.uniform(0.3, 4.0, channels),
        "groups": groups,
    }


def draw_images(rng, shape):
    """Draw images whose channels have different means and scales."""
    c = shape[1]
    scale = rng.uniform(0.5, 2.0, (c, 1, 1))
    return rng.normal(size=(c, 1, 1)) + scale * rng.normal(size=shape)
