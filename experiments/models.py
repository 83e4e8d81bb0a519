"""Small networks in which the normalisation can be exchanged."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import nn

Norm = Callable[[int], nn.Module]


def mlp(
    widths: Sequence[int],
    *,
    norm: Norm | None = nn.BatchNorm1d,
    activation: Callable[[], nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """Return a fully connected network; hidden layers are normalised.

    Parameters
    ----------
    widths : sequence of int
        Inputs, hidden layers, classes: ``(64, 100, 100, 10)``.
    norm : callable, optional
        ``norm(width)`` makes what stands between a layer and its activation; None:
        nothing does, and the layer has a bias.
    activation : callable
        Makes the activation.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers.append(nn.Linear(inputs, outputs, bias=norm is None))
        if norm is not None:
            layers.append(norm(outputs))
        layers.append(activation())
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def cnn(
    channels: Sequence[int],
    *,
    norm: Norm | None = nn.BatchNorm2d,
    activation: Callable[[], nn.Module] = nn.ReLU,
    inputs: int = 1,
    classes: int = 10,
) -> nn.Sequential:
    """Return a convolutional network: 3×3 convolutions, then an average over positions.

    Parameters
    ----------
    channels : sequence of int
        Of each convolution; the map is halved before each but the first.
    norm, activation
        As for `mlp`; ``norm(channels)``.
    inputs, classes : int
        Channels of the input, number of classes.
    """
    layers: list[nn.Module] = []
    for k, outputs in enumerate(channels):
        layers.append(
            nn.Conv2d(
                inputs,
                outputs,
                3,
                stride=1 if k == 0 else 2,
                padding=1,
                bias=norm is None,
            )
        )
        if norm is not None:
            layers.append(norm(outputs))
        layers.append(activation())
        inputs = outputs
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)
    )
