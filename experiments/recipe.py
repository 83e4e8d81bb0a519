"""A look inside a network with batch normalisation, for what usually goes wrong."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from experiments.data import Data
from experiments.models import cnn, mlp
from experiments.side_by_side import Runs, train_many
from experiments.train_is_not_eval import norm_layers

FEW = 8
"""Values per channel below which statistics are noise, by the chapter Small batches."""
ENOUGH = 32
"""Values per channel from which a batch can judge the running statistics."""
OFF, RATIO = 0.5, 1.5
"""Running and batch statistics further apart than this, in standard deviations and as a
ratio of standard deviations, are stale. Healthy networks stay well below."""
DEAD = 0.01
"""A channel whose gamma is smaller than this says nothing to the next layer."""
CHECK = {
    "few values": "group norm in this layer, synchronised statistics, a larger batch",
    "stale statistics": "recompute them; train longer, or with a larger momentum",
    "dead channels": "gamma starts at 1 (0 only beside a skip); no weight decay on it",
    "useless bias": "bias=False in the layer before",
    "eps rules": "standardise the inputs, or a smaller eps",
    "momentum": "PyTorch's momentum weighs the new value: 0.1 is Keras's 0.9",
    "mixed modes": "model.train() or model.eval() for the whole network",
    "no running statistics": "track_running_stats=True",
}
"""What `inspect` looks for, and what to do about it."""


@dataclass
class Layer:
    """What `inspect` sees of one batch normalisation.

    Attributes
    ----------
    name : str
        In the model.
    count : int
        M, values per channel in the batch.
    off, ratio : float
        Distance of the running mean from the batch's in standard deviations, and
        running over batch standard deviation or its inverse, whichever is larger; means
        over channels (of the logarithm, for the ratio).
    dead, channels : int
        Channels with a gamma near zero, and all.
    bias : str or None
        The layer before, if it has a bias, which the mean takes out again.
    small : float
        Share of channels whose variance is below ten times eps.
    momentum : float or None
        Weight of the new value.
    eps : float
        As in the layer.
    training : bool
        The layer's mode.
    """

    name: str
    count: int
    off: float = float("nan")
    ratio: float = float("nan")
    dead: int = 0
    channels: int = 0
    bias: str | None = None
    small: float = 0.0
    momentum: float | None = 0.1
    eps: float = 1e-5
    training: bool = True
    tracked: bool = True

    def faults(self, mode: bool) -> dict[str, str]:
        """Return what is wrong with this layer, by name; `mode` is the network's."""
        found = {
            "few values": self.count < FEW and f"M = {self.count}",
            "stale statistics": self.count >= ENOUGH
            and (self.off > OFF or self.ratio > RATIO)
            and f"mean off by {self.off:.2f} sd, sd by a factor {self.ratio:.2f}",
            "dead channels": self.dead > 0
            and f"|gamma| < {DEAD} in {self.dead} of {self.channels}",
            "useless bias": self.bias is not None and f"layer {self.bias} has one",
            "eps rules": self.small > 0.5
            and f"variance < 10 eps in {self.small:.0%} of the channels",
            "momentum": self.momentum is not None
            and self.momentum > 0.5
            and f"momentum = {self.momentum:g}",
            "mixed modes": self.training != mode
            and f"layer {_mode(self.training)}, network {_mode(mode)}",
            "no running statistics": not self.tracked and "evaluation uses the batch",
        }
        return {name: what for name, what in found.items() if what}


@dataclass
class Report:
    """What `inspect` found; printed, a table and a list.

    Attributes
    ----------
    layers : list of Layer
        In the order in which they run.
    gap : float
        Distance of the outputs in the two modes, relative to the outputs' spread.
    training : bool
        The network's mode.
    """

    layers: list[Layer] = field(default_factory=list)
    gap: float = float("nan")
    training: bool = True

    @property
    def faults(self) -> list[tuple[str, str, str]]:
        """Layer, name and particulars of each fault."""
        return [
            (layer.name, name, what)
            for layer in self.layers
            for name, what in layer.faults(self.training).items()
        ]

    @property
    def names(self) -> set[str]:
        """Names of the faults."""
        return {name for _, name, _ in self.faults}

    def __str__(self) -> str:
        """Return the table, the gap, and the faults with what to do."""
        wide = max([len("layer"), *(len(one.name) for one in self.layers)])
        head = "      M  mean off  sd ratio     dead  bias  momentum     eps"
        lines = [f"{'layer':{wide}}{head}"]
        for one in self.layers:
            dead, bias = f"{one.dead}/{one.channels}", "yes" if one.bias else "no"
            momentum = "mean" if one.momentum is None else f"{one.momentum:g}"
            lines.append(
                f"{one.name:{wide}}{one.count:7}{one.off:10.2f}{one.ratio:10.2f}"
                f"{dead:>9}{bias:>6}{momentum:>10}{one.eps:8.0e}"
            )
        lines.append(f"gap between the modes: {self.gap:.0%} of the outputs' spread")
        for layer, name, what in self.faults:
            lines += [f"! {layer}: {name}: {what}", f"    → {CHECK[name]}"]
        return "\n".join(lines if self.faults else [*lines, "nothing found"])


@torch.no_grad()
def inspect(model: nn.Module, batch: Tensor) -> Report:
    """Look for the usual faults of batch normalisation; the model stays as it is.

    Each layer sees what it sees in training, with dropout off. But: it is no proof of
    health. It cannot see leaks across the batch, wrong labels, or a bad learning rate.

    Parameters
    ----------
    model : torch.nn.Module
        In the mode in which you use it, trained for as long as you have.
    batch : torch.Tensor
        Inputs, as many as in a batch of training on one device, drawn as in training.
    """
    report, probe = Report(training=model.training), copy.deepcopy(model).eval()
    modes = {name: layer.training for name, layer in norm_layers(model).items()}
    biased: dict[int, tuple[str, Tensor]] = {}  # keeps the tensors and so their ids

    for name, module in probe.named_modules():
        if isinstance(module, _BatchNorm):

            def look(layer: nn.Module, inputs: tuple, name: str = name) -> None:
                seen = _look(name, layer, inputs[0], modes[name])
                seen.bias = biased.get(id(inputs[0]), (None,))[0]
                report.layers.append(seen)

            module.train().register_forward_pre_hook(look)
        elif isinstance(module, nn.Linear | _ConvNd) and module.bias is not None:

            def remember(_, __, output: Tensor, name: str = name) -> None:
                biased[id(output)] = name, output

            module.register_forward_hook(remember)
    in_batch = probe(batch)
    alone = copy.deepcopy(model).eval()(batch)
    spread = (in_batch - in_batch.mean(0)).norm()
    report.gap = ((in_batch - alone).norm() / spread.clamp_min(1e-12)).item()
    return report


def _look(name: str, layer: _BatchNorm, x: Tensor, training: bool) -> Layer:
    values = x.transpose(0, 1).flatten(1)
    seen = Layer(
        name,
        count=values.shape[1],
        channels=len(values),
        momentum=layer.momentum,
        eps=layer.eps,
        training=training,
        tracked=layer.running_mean is not None,
    )
    if layer.affine:
        seen.dead = int((layer.weight.abs() < DEAD).sum())
    if seen.count == 1:
        layer.eval()  # in training it is not defined, and PyTorch stops
        return seen
    v, mu = torch.var_mean(values, 1, correction=0)
    seen.small = (v < 10 * layer.eps).float().mean().item()
    if seen.tracked:
        sd, running_sd = ((u + layer.eps).sqrt() for u in (v, layer.running_var))
        seen.off = ((layer.running_mean - mu) / sd).abs().mean().item()
        seen.ratio = (running_sd / sd).log().abs().mean().exp().item()
    return seen


def _mode(training: bool) -> str:
    return "trains" if training else "evaluates"


# Networks with a fault


def network(seed: int, **options) -> nn.Sequential:
    """Return a dense network for the digits; options are those of its norm layers."""
    torch.manual_seed(seed)
    return mlp((64, 100, 100, 10), norm=lambda width: nn.BatchNorm1d(width, **options))


def convolutions(seed: int, *, group_last: bool = False) -> nn.Sequential:
    """Return four convolutions, the last on maps of one pixel.

    Parameters
    ----------
    seed : int
        Of the weights.
    group_last : bool
        Whether the last one has group normalisation.
    """
    torch.manual_seed(seed)
    layers = iter(
        [nn.BatchNorm2d] * 3 + [_two_groups if group_last else nn.BatchNorm2d]
    )
    return cnn((8, 16, 16, 16), norm=lambda channels: next(layers)(channels))


def _two_groups(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(2, channels)


def zero_gamma(model: nn.Module) -> nn.Module:
    """Set every gamma to zero, as one does at the end of a residual branch."""
    for layer in norm_layers(model).values():
        nn.init.zeros_(layer.weight)
    return model


def add_bias(model: nn.Sequential) -> nn.Sequential:
    """Give every linear layer a bias, at zero where it had none."""
    for layer in model:
        if isinstance(layer, nn.Linear) and layer.bias is None:
            layer.bias = nn.Parameter(torch.zeros(layer.out_features))
    return model


def one_setting(
    data: Data,
    norm: Callable[[int], nn.Module] | None,
    *,
    rates: Sequence[float],
    seeds: Sequence[int],
    steps: int = 150,
) -> Runs:
    """Train networks of two hidden layers of 64 units, at several rates and seeds.

    Parameters
    ----------
    data : Data
        The digits.
    norm : callable, optional
        The normalisation of a layer, as for `mlp`.
    rates, seeds : sequence
        What to try.
    steps : int
        Of plain gradient descent, with batches of 64.
    """
    return train_many(
        lambda: mlp((64, 64, 64, 10), norm=norm),
        [data] * len(seeds),
        rates=rates,
        seeds=seeds,
        steps=steps,
        batch=64,
        momentum=0.0,
    )


def sweep(
    data: Data,
    norm: Callable[[float], Callable[[int], nn.Module] | None],
    values: Sequence[float],
    *,
    rates: Sequence[float],
    seeds: Sequence[int],
    steps: int = 150,
) -> np.ndarray:
    """Return test errors in per cent for several values of a setting, a row for each.

    Every value has its own learning rate, the best on held-out training examples.

    Parameters
    ----------
    data : Data
        The digits.
    norm : callable
        ``norm(value)`` makes the normalisation of a layer, as for `mlp`.
    values : sequence
        What to try.
    rates, seeds, steps
        As for `one_setting`.
    """
    runs = [
        one_setting(data, norm(value), rates=rates, seeds=seeds, steps=steps)
        for value in values
    ]
    return np.array([100 - run.accuracy for run in runs])


def with_gamma(value: float) -> Callable[[int], nn.Module]:
    """Return what makes batch normalisations whose gamma starts at a value."""

    def norm(width: int) -> nn.Module:
        layer = nn.BatchNorm1d(width)
        nn.init.constant_(layer.weight, value)
        return layer

    return norm
