"""Random inputs on which no wrong version hides."""

import numpy as np


def draw_batch(rng, shape, *, dtype=np.float64, mean=0.0, std=1.0, axis=-1):
    """Draw x, gamma (of both signs) and beta; each channel has its mean and scale."""
    channels = shape[axis]
    along = [1] * len(shape)
    along[axis] = channels
    means = mean + rng.normal(size=channels)
    stds = std * rng.uniform(0.5, 2.0, size=channels)
    x = means.reshape(along) + stds.reshape(along) * rng.normal(size=shape)
    gamma = rng.uniform(0.5, 2.0, size=channels)
    gamma *= np.where(np.arange(channels) % 2, -1, 1)
    beta = rng.normal(size=channels)
    return x.astype(dtype), gamma.astype(dtype), beta.astype(dtype)
