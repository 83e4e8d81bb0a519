"""Small batches: statistics over a few values, many networks side by side.

A run is cheap, a chapter's hundreds are not. Networks of the same shape are therefore
trained as one network with grouped convolutions: copy k reads and writes its own
channels, and has its own examples and its own learning rate.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import gammaln, k0e
from torch import nn
from torch.nn.functional import batch_norm, unfold

from experiments.data import Data
from experiments.models import cnn
from experiments.training import batches, cross_entropies, descend

CHANNELS = (8, 16, 16, 16)  # maps of 8×8, 4×4, 2×2 and 1×1 positions


def variance_of_variance(count: int, kurtosis: float) -> float:
    """Return the variance of the biased variance of independent values, over σ⁴."""
    return (count - 1) / count**3 * ((count - 1) * kurtosis - (count - 3))


def mean_inverse_sd(count: int) -> float:
    """Return σ E[1/sqrt(v)] for `count` Gaussian values; infinite for two."""
    if count < 3:
        return np.inf
    halves = gammaln((count - 2) / 2) - gammaln((count - 1) / 2)
    return float(np.sqrt(count / 2) * np.exp(halves))


def mean_inverse_sd_of_two(eps: float) -> float:
    """Return E[1/sqrt(v + eps)] for two Gaussian values with σ = 1."""
    return float(k0e(eps / 2) / np.sqrt(np.pi))


def values_per_example(x: torch.Tensor) -> torch.Tensor:
    """Return how many independent values one example of each channel is worth.

    Parameters
    ----------
    x : torch.Tensor of shape (N, C, H, W)
        Many examples.

    Returns
    -------
    torch.Tensor of shape (C,)
        Variance of all values over the variance of the examples' means: H W if they
        are independent, 1 if all positions of an example are alike.
    """
    return x.var((0, 2, 3), correction=0) / x.mean((2, 3)).var(0, correction=0)


class SmallBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation whose statistics come from parts of the batch.

    Each part of `part` consecutive examples is normalised by itself, as on devices that
    do not talk to each other (ghost batch normalisation); None: the whole batch.
    `r_max` and `d_max` above 1 and 0 make it batch renormalisation. The running
    statistics get the average over the parts, the variance unbiased.
    """

    def __init__(self, channels: int, *, part: int | None = None):
        super().__init__(channels)
        self.part, self.r_max, self.d_max = part, 1.0, 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise x, of shape (N, C, H, W)."""
        corrected = self.r_max > 1 or self.d_max > 0
        if not self.training or (self.part is None and not corrected):
            return super().forward(x)
        examples, channels, *positions = x.shape
        part = self.part or examples
        parts = examples // part
        # Parts become channels: (part, parts · C, H, W).
        apart = x.view(parts, part, channels, *positions).transpose(0, 1)
        apart = apart.reshape(part, parts * channels, *positions)
        # With momentum 1 the buffers end up holding the statistics of this batch.
        mean, var = x.new_zeros(parts * channels), x.new_zeros(parts * channels)
        gamma, beta = self.weight.repeat(parts), self.bias.repeat(parts)
        options = {"training": True, "momentum": 1.0, "eps": self.eps}
        if not corrected:
            y = batch_norm(apart, mean, var, gamma, beta, **options)
        else:
            x_hat = batch_norm(apart, mean, var, **options)
            count = part * np.prod(positions)
            sd = (var * (count - 1) / count + self.eps).sqrt()
            sd_running = (self.running_var + self.eps).sqrt().repeat(parts)
            r = (sd / sd_running).clamp(1 / self.r_max, self.r_max)
            d = (mean - self.running_mean.repeat(parts)) / sd_running
            d = d.clamp(-self.d_max, self.d_max)
            scale, shift = gamma * r, gamma * d + beta
            y = torch.addcmul(shift.view(-1, 1, 1), x_hat, scale.view(-1, 1, 1))
        self.running_mean.lerp_(mean.view(parts, channels).mean(0), self.momentum)
        self.running_var.lerp_(var.view(parts, channels).mean(0), self.momentum)
        y = y.view(part, parts, channels, *positions).transpose(0, 1)
        return y.reshape(x.shape)


@dataclass(frozen=True)
class Method:
    """How to normalise: what stands in the network, and what training does to it.

    Attributes
    ----------
    part : int or None
        Examples that share statistics; None: the whole batch.
    group : bool
        Group normalisation instead, eight channels a group.
    group_last : bool
        Group normalisation in the last layer only.
    renorm : bool
        Batch renormalisation: r_max rises from 1 to 3 and d_max from 0 to 5 between a
        quarter and half of the steps.
    frozen : bool
        Statistics of the whole training set before the first step, never changed.
    """

    part: int | None = None
    group: bool = False
    group_last: bool = False
    renorm: bool = False
    frozen: bool = False

    def layer(self, channels: int, *, last: bool = False) -> nn.Module:
        """Return a layer for `channels` channels, of one copy or of many."""
        if self.group or (self.group_last and last):
            return nn.GroupNorm(channels // 8, channels)
        return SmallBatchNorm2d(channels, part=self.part)


def norms(model: nn.Module) -> list[SmallBatchNorm2d]:
    """Return the layers of a network that use batch statistics."""
    return [m for m in model.modules() if isinstance(m, SmallBatchNorm2d)]


class Patches(nn.Conv2d):
    """3×3 convolutions of one channel each, as products with their patches.

    Grouped convolutions compute the same, of so few channels several times slower.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take (N, copies, H, W) to (N, copies · outputs, H, W)."""
        examples, copies, *positions = x.shape
        patches = unfold(x, 3, padding=1).view(examples, copies, 9, -1)
        y = self.weight.view(copies, -1, 9) @ patches
        return y.view(examples, -1, *positions)


class Linears(nn.Module):
    """Linear layers: (N, copies · inputs, 1, 1) to (N, copies, outputs)."""

    def __init__(self, layers: Sequence[nn.Linear]):
        super().__init__()
        # Grouped convolutions of one pixel would go through the groups one by one.
        weights, biases = zip(*((m.weight, m.bias) for m in layers), strict=True)
        self.weight = nn.Parameter(torch.stack(weights).detach())
        self.bias = nn.Parameter(torch.stack(biases).detach())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give each copy its own features."""
        copies, _, inputs = self.weight.shape
        x = x.view(-1, copies, inputs)
        return torch.einsum("nci,coi->nco", x, self.weight) + self.bias


def side_by_side(models: Sequence[nn.Sequential], method: Method) -> nn.Sequential:
    """Return one network that computes what several of `cnn` do.

    Parameters
    ----------
    models : sequence of torch.nn.Sequential
        From `experiments.models.cnn`, all of one shape.
    method : Method
        Of the normalisation; gamma is 1 and beta 0.

    Returns
    -------
    torch.nn.Sequential
        Takes (N, copies, H, W), returns (N, copies, classes).
    """
    copies = len(models)
    layers: list[nn.Module] = []
    final = max(k for k, m in enumerate(models[0]) if isinstance(m, nn.BatchNorm2d))
    for k, same in enumerate(zip(*models, strict=True)):
        if isinstance(same[0], nn.Conv2d):
            one = same[0]
            conv = (Patches if one.in_channels == 1 else nn.Conv2d)(
                copies * one.in_channels, copies * one.out_channels, 3,
                stride=one.stride, padding=1, bias=False, groups=copies,
            )  # fmt: skip
            conv.weight.data = torch.cat([m.weight.data for m in same])
            layers.append(conv)
        elif isinstance(same[0], nn.Linear):
            layers.append(Linears(same))
        elif isinstance(same[0], nn.BatchNorm2d):
            width = copies * same[0].num_features
            layers.append(method.layer(width, last=k == final))
        elif not isinstance(same[0], nn.Flatten):
            layers.append(same[0])
    return nn.Sequential(*layers)


@dataclass
class Trained:
    """Networks that were trained side by side, one for each learning rate and seed.

    Attributes
    ----------
    model : torch.nn.Sequential
        All of them.
    rates, seeds : tuple
        Copy ``i * len(seeds) + j`` has ``rates[i]`` and ``seeds[j]``.
    loss : numpy.ndarray of shape (steps, rates, seeds)
        Of each step's batch.
    """

    model: nn.Sequential
    rates: tuple
    seeds: tuple
    loss: np.ndarray

    def error(self, data: Data, model: nn.Sequential | None = None) -> np.ndarray:
        """Return test errors in per cent in evaluation mode, shape (rates, seeds)."""
        return self._error((model or self.model).eval(), data)

    def error_in_batches(self, data: Data, size: int) -> np.ndarray:
        """Return test errors with the statistics of test batches of `size` examples."""
        model = copy.deepcopy(self.model).train()
        for layer in norms(model):
            layer.part = size
        return self._error(model, data, len(data.x_test) // size * size)

    @torch.no_grad()
    def _error(self, model, data, count=None) -> np.ndarray:
        x, y = data.x_test[:count], data.y_test[:count]
        wrong = model(x.expand(-1, len(self.rates) * len(self.seeds), -1, -1))
        wrong = (wrong.argmax(2) != y[:, None]).float().mean(0)
        return 100 * wrong.view(len(self.rates), -1).numpy()

    def best(self, errors: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the rate with the least mean error, and its errors."""
        k = errors.mean(1).argmin()
        return self.rates[k], errors[k]

    @torch.no_grad()
    def recomputed(self, data: Data, size: int | None = None) -> nn.Sequential:
        """Return a copy whose running statistics are those of the final weights.

        Parameters
        ----------
        data : Data
            The training examples are used.
        size : int, optional
            Examples that share statistics; None: all of them.
        """
        model = copy.deepcopy(self.model).train()
        count = len(data.x) // size * size if size else len(data.x)
        for layer in norms(model):
            layer.momentum, layer.part = 1.0, size
        model(data.x[:count].expand(-1, len(self.rates) * len(self.seeds), -1, -1))
        return model.eval()


def train_side_by_side(
    data: Data,
    method: Method,
    *,
    batch: int,
    examples: int,
    rates: Sequence[float],
    seeds: Sequence[int],
    channels: Sequence[int] = CHANNELS,
) -> Trained:
    """Train a network for each learning rate and seed, plain gradient descent.

    Parameters
    ----------
    data : Data
        Images.
    method : Method
        Of the normalisation.
    batch : int
        Examples in a step.
    examples : int
        How many pass altogether: ``examples // batch`` steps.
    rates, seeds : sequence
        A seed decides the first weights and the order of examples.
    channels : sequence of int
        As for `experiments.models.cnn`.
    """
    models = []
    for seed in seeds:
        torch.manual_seed(seed)
        models.append(cnn(channels))
    model = side_by_side(models * len(rates), method).train()
    result = Trained(model, tuple(rates), tuple(seeds), np.empty(0))
    if method.frozen:
        result.model = model = result.recomputed(data)
    steps = examples // batch

    def parts():
        streams = [batches(data, batch, seed) for seed in seeds]
        for step in range(steps):
            if method.renorm:
                share = min(max(4 * step / steps - 1, 0.0), 1.0)
                for layer in norms(model):
                    layer.r_max, layer.d_max = 1 + 2 * share, 5 * share
            xs, ys = zip(*(next(stream) for stream in streams), strict=True)
            x = torch.cat(xs, 1).repeat(1, len(rates), 1, 1)
            yield x, torch.stack(ys, 1).repeat(1, len(rates))

    def loss(x, y):
        return cross_entropies(model(x), y).mean(0)

    rate = torch.tensor(rates).repeat_interleave(len(seeds))
    losses = descend(list(model.parameters()), loss, parts(), rate)
    result.loss = losses.view(steps, len(rates), -1).numpy()
    return result
