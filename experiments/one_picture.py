"""One reduction, many index sets: what each norm forgets, and does on digits."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from torch import nn

import bnlib
from experiments.data import Data, digits
from experiments.models import Norm, cnn
from experiments.side_by_side import Runs, train_many


class RMSNorm2d(nn.Module):
    """Divide each example by its root mean square over channels and positions.

    A scale and a shift for each channel, as the other norms of a convolutional
    network have them, so that only the subtraction of the mean is left out.
    """

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x normalised, of shape (N, C, H, W)."""
        mean_square = x.square().mean(dim=(1, 2, 3), keepdim=True)
        return self.weight * x * torch.rsqrt(mean_square + self.eps) + self.bias


NORMS: dict[str, Norm | None] = {
    "none": None,
    "batch": nn.BatchNorm2d,
    "layer": lambda channels: nn.GroupNorm(1, channels),
    "group": lambda channels: nn.GroupNorm(2, channels),
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    "RMS": RMSNorm2d,
}
"""Norms for `experiments.models.cnn`; "layer" and "RMS" are over (C, H, W)."""


# -- What a norm does not notice -------------------------------------------------------


def _over_channels(norm: Callable) -> Callable:
    """Apply a norm of the last axis to the channels of each position."""

    def apply(a, *arguments, eps):
        moved, _ = norm(np.moveaxis(a, 1, -1), *arguments, eps=eps)
        return np.moveaxis(moved, -1, 1)

    return apply


OUTPUTS: dict[str, Callable] = {
    "batch": lambda a, eps: bnlib.batch_norm(a, None, None, eps=eps)[0],
    "instance": lambda a, eps: bnlib.instance_norm(a, None, None, eps=eps)[0],
    "group": lambda a, eps: bnlib.group_norm(a, None, None, num_groups=2, eps=eps)[0],
    "layer (C, H, W)": lambda a, eps: bnlib.layer_norm(a, None, None, axis=1, eps=eps)[
        0
    ],
    "layer (C)": lambda a, eps: _over_channels(bnlib.layer_norm)(
        a, None, None, eps=eps
    ),
    "RMS (C)": lambda a, eps: _over_channels(bnlib.rms_norm)(a, None, eps=eps),
}
"""Norms of a convolution's output, (N, C, H, W), without scale and shift."""


def convolve(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return the convolution of (N, K, H, W) with (C, K, k, k), nothing padded."""
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
    return np.einsum("nkhwij,ckij->nchw", windows, w, optimize=True)


def _some(count: int) -> np.ndarray:
    """Return a mask of one of `count` entries, to be broadcast: the second."""
    return np.arange(count) == 1


def _filters(w: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return mask.reshape(-1, 1, 1, 1) & np.ones(w.shape, dtype=bool)


TRANSFORMATIONS: dict[str, Callable] = {
    "all weights × s": lambda x, w, s, f, b: (x, s * w),
    "every filter + f": lambda x, w, s, f, b: (x, w + f),
    "one filter × s": lambda x, w, s, f, b: (
        x,
        np.where(_filters(w, _some(len(w))), s * w, w),
    ),
    "one filter + f": lambda x, w, s, f, b: (
        x,
        np.where(_filters(w, _some(len(w))), w + f, w),
    ),
    "a group of filters × s": lambda x, w, s, f, b: (
        x,
        np.where(_filters(w, np.arange(len(w)) < len(w) // 2), s * w, w),
    ),
    "whole input × s": lambda x, w, s, f, b: (s * x, w),
    "whole input + b": lambda x, w, s, f, b: (x + b, w),
    "one example × s": lambda x, w, s, f, b: (
        np.where(_some(len(x)).reshape(-1, 1, 1, 1), s * x, x),
        w,
    ),
    "one example + b": lambda x, w, s, f, b: (
        np.where(_some(len(x)).reshape(-1, 1, 1, 1), x + b, x),
        w,
    ),
    "one feature × s": lambda x, w, s, f, b: (
        np.where(_some(x.shape[1]).reshape(-1, 1, 1), s * x, x),
        w,
    ),
    "one feature + b": lambda x, w, s, f, b: (
        np.where(_some(x.shape[1]).reshape(-1, 1, 1), x + b, x),
        w,
    ),
}
"""Changes of input or weights: s > 0 a number, f a filter, b a number per feature."""


def invariance(
    seed: int, *, dense: bool = False, eps: float = 0.0
) -> dict[tuple[str, str], float]:
    """Measure how much each norm's output changes under each transformation.

    Parameters
    ----------
    seed : int
        Of the inputs, the weights and the transformations.
    dense : bool
        A fully connected layer, one position; without instance norm, which needs
        several, and with one kind of layer norm.
    eps : float
        Added to the variance.

    Returns
    -------
    dict of (str, str) to float
        For each transformation and norm, the largest absolute change of an output;
        the outputs have standard deviation 1. "batch, inference" keeps the statistics
        of the batch as it was before; "weight" is weight norm, with g = 1.
    """
    rng = np.random.default_rng(seed)
    examples, features, filters, side, kernel = 8, 3, 6, 7, 3
    if dense:
        features, side, kernel = 12, 1, 1
    x = 0.5 + rng.normal(size=(examples, features, side, side))
    w = rng.normal(size=(filters, features, kernel, kernel))
    factor, added = rng.uniform(2, 3), rng.normal(size=w.shape[1:])
    shift = rng.normal(size=(features, 1, 1))
    before = convolve(x, w)
    mean, var = before.mean((0, 2, 3)), before.var((0, 2, 3))

    def outputs(x, w):
        a = convolve(x, w)
        for name, norm in OUTPUTS.items():
            if not (dense and name in ("instance", "layer (C)")):
                yield name, norm(a, eps)
        yield (
            "batch, inference",
            bnlib.batch_norm_inference(a, None, None, mean, var, eps=eps),
        )
        yield "weight", convolve(x, bnlib.weight_norm(w, np.ones(filters))[0])

    reference = dict(outputs(x, w))
    return {
        (name, norm): float(abs(y - reference[norm]).max())
        for name, transform in TRANSFORMATIONS.items()
        for norm, y in outputs(*transform(x, w, factor, added, shift))
    }


# -- A first comparison ---------------------------------------------------------------


@cache
def task(seed: int) -> Data:
    """Return the digits as images, divided by the seed."""
    return digits(images=True, seed=seed)


def compare(
    norm: Norm | None,
    *,
    batch: int,
    steps: int,
    rates: Sequence[float],
    seeds: Sequence[int],
    task: Callable[[int], Data] = task,
    channels: Sequence[int] = (8, 16, 16),
    classes: int = 10,
) -> Runs:
    """Train a small convolutional network with a norm at several rates and seeds.

    A seed decides the division of the data, the initial weights and the order.

    Parameters
    ----------
    norm : callable, optional
        As for `experiments.models.cnn`.
    batch, steps, rates, seeds
        As for `train_many`.
    task : callable
        ``task(seed)`` returns the data; the digits by default.
    channels, classes
        Of the network.
    """
    return train_many(
        lambda: cnn(channels, norm=norm, classes=classes),
        [task(seed) for seed in seeds],
        rates=rates,
        seeds=seeds,
        steps=steps,
        batch=batch,
    )


def contrast(seed: int, *, factor: float = 0.5) -> Data:
    """Return digits, half of them with less contrast; the class is which.

    Parameters
    ----------
    seed : int
        Of the division, and of which digits are changed.
    factor : float
        What the pixels of a changed image are multiplied by. They are never negative;
        the background is 0.
    """
    data = task(seed)
    generator = torch.Generator().manual_seed(seed)
    darkest = data.x.min()

    def dim(x):
        y = torch.randint(0, 2, (len(x),), generator=generator)
        scale = torch.where(y == 1, factor, 1.0).view(-1, 1, 1, 1)
        return scale * (x - darkest), y

    return Data(*dim(data.x), *dim(data.x_test))
