"""All alternatives to batch norm in one small residual network, under one protocol.

Networks of one method that differ in seed and learning rate are one wide network: its
channels come in groups, one for each copy, and no group sees another. So every layer
here is an ordinary one with ``copies * channels`` channels.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, conv2d, cross_entropy, selu

import bnlib
from experiments.across_weights import power_step, standardise_rows
from experiments.data import Data, digits
from experiments.fixing_batch_norm import BatchRenorm2d, FilterResponseNorm2d
from experiments.small_batches import SmallBatchNorm2d
from experiments.training import batches, descend
from experiments.without_normalisation import RELU_GAIN, clip_by_unit

ALPHA = 0.2  # of a normaliser-free branch
CLIP = 0.16  # largest ratio of a gradient's length to its filter's


# -- Layers ----------------------------------------------------------------------------


class RMSNorm2d(nn.Module):
    """Divide by the root mean square over a copy's channels and all positions."""

    def __init__(self, copies: int, channels: int, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(copies * channels))
        self.bias = nn.Parameter(torch.zeros(copies * channels))
        self.copies, self.eps = copies, eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, of shape (N, copies * channels, H, W)."""
        apart = x.unflatten(1, (self.copies, -1))
        square = apart.square().mean((2, 3, 4), keepdim=True) + self.eps
        y = (apart * square.rsqrt()).view_as(x)
        return y * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class Tanh2d(nn.Module):
    """Dynamic tanh: one steepness for each copy, a scale and a shift per channel."""

    def __init__(self, copies: int, channels: int, alpha: float = 0.5):
        super().__init__()
        self.alpha = nn.Parameter(torch.full((copies,), alpha))
        self.weight = nn.Parameter(torch.ones(copies * channels))
        self.bias = nn.Parameter(torch.zeros(copies * channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the curve of x, of shape (N, copies * channels, H, W)."""
        channels = len(self.weight) // len(self.alpha)
        alpha = self.alpha.repeat_interleave(channels).view(-1, 1, 1)
        y = torch.tanh(alpha * x)
        return y * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class Scalar(nn.Module):
    """One learnt number for each copy, to add or to multiply with."""

    def __init__(self, copies: int, start: float, *, multiply: bool = False):
        super().__init__()
        self.value = nn.Parameter(torch.full((copies,), start))
        self.multiply = multiply

    def forward(self, x: Tensor) -> Tensor:
        """Return x, of shape (N, copies * channels, H, W), changed by the numbers."""
        each = self.value.repeat_interleave(x.shape[1] // len(self.value))
        each = each.view(-1, 1, 1)
        return x * each if self.multiply else x + each


class Conv(nn.Module):
    """A 3×3 convolution of each copy, its kernel normalised or not.

    Parameters
    ----------
    weight : torch.Tensor of shape (copies * C_out, C_in, 3, 3)
        Where it starts.
    kind : str
        "plain"; "weight": weight norm, g starts at ‖v‖; "standard": weight
        standardisation; "scaled": the same, times ReLU's gain over the root of the
        number of a filter's weights; "spectral": divided by the largest singular value,
        one step of power iteration in each training step.
    copies : int
        Networks side by side.
    bias : bool
        Whether something is added for each channel.
    stride : int
        Of the convolution.
    """

    def __init__(
        self,
        weight: Tensor,
        *,
        kind: str = "plain",
        copies: int,
        bias: bool,
        stride: int = 1,
    ):
        super().__init__()
        self.v = nn.Parameter(weight)
        self.kind, self.copies, self.stride = kind, copies, stride
        self.bias = nn.Parameter(torch.zeros(len(weight))) if bias else None
        if kind == "weight":
            self.g = nn.Parameter(weight.flatten(1).norm(dim=1))
        elif kind == "scaled":
            self.g = nn.Parameter(torch.ones(len(weight)))
        elif kind == "spectral":
            rows = len(weight) // copies
            self.register_buffer("u", weight.new_full((copies, rows), rows**-0.5))
            for _ in range(15):
                self.u, _ = power_step(self.matrices(), self.u)

    def matrices(self) -> Tensor:
        """Return the kernels as matrices, one for each copy, a filter in each row."""
        return self.v.flatten(1).unflatten(0, (self.copies, -1))

    def weight(self) -> Tensor:
        """Return the kernel to convolve with."""
        v = self.v.flatten(1)
        if self.kind == "weight":
            v = v * (self.g / v.norm(dim=1)).unsqueeze(1)
        elif self.kind == "standard":
            v = standardise_rows(v)
        elif self.kind == "scaled":
            gain = RELU_GAIN / sqrt(v.shape[1])
            v = (gain * self.g).unsqueeze(1) * standardise_rows(v)
        elif self.kind == "spectral":
            matrices = self.matrices()
            u, right = power_step(matrices.detach(), self.u)
            if self.training:
                self.u = u
            sigma = torch.einsum("no,noi,ni->n", u, matrices, right)
            v = (matrices / sigma[:, None, None]).flatten(0, 1)
        return v.view_as(self.v)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x, of shape (N, copies * C_in, H, W)."""
        return conv2d(
            x,
            self.weight(),
            self.bias,
            stride=self.stride,
            padding=1,
            groups=self.copies,
        )


# -- Methods ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Method:
    """What stands in for batch normalisation.

    Attributes
    ----------
    norm : callable or None
        ``norm(copies, channels, steps, batch)`` makes the layer before an activation.
    kind : str
        Of the convolutions, as for `Conv`.
    activation : callable
        After the norm.
    branch : str
        "sum": h + f(h); "mean": (h + f(h)) / √2; "SkipInit", "Fixup" and "NF" as in
        their papers.
    clip : float or None
        Of adaptive gradient clipping.
    """

    norm: Callable[[int, int, int, int], nn.Module] | None = None
    kind: str = "plain"
    activation: Callable[[Tensor], Tensor] = torch.relu
    branch: str = "sum"
    clip: float | None = None


def _group(groups: int) -> Callable:
    return lambda copies, channels, *_: nn.GroupNorm(copies * groups, copies * channels)


METHODS: dict[str, Method] = {
    "none": Method(),
    "batch": Method(lambda r, c, *_: nn.BatchNorm2d(r * c)),
    "batch renorm": Method(
        lambda r, c, steps, _: BatchRenorm2d(r * c, start=steps // 4, end=steps // 2)
    ),
    "ghost batches": Method(
        lambda r, c, _, batch: SmallBatchNorm2d(r * c, part=max(batch // 4, 2))
    ),
    "layer": Method(_group(1)),
    "RMS": Method(lambda r, c, *_: RMSNorm2d(r, c)),
    "group": Method(_group(2)),
    "instance": Method(lambda r, c, *_: nn.InstanceNorm2d(r * c, affine=True)),
    "filter response": Method(
        lambda r, c, *_: FilterResponseNorm2d(r * c, threshold=True),
        activation=lambda x: x,
    ),
    "weight": Method(kind="weight"),
    "weight stand. + group": Method(_group(2), kind="standard"),
    "spectral": Method(kind="spectral"),
    "SELU": Method(activation=selu, branch="mean"),
    "Fixup": Method(branch="Fixup"),
    "SkipInit": Method(branch="SkipInit"),
    "NF": Method(kind="scaled", branch="NF", clip=CLIP),
    "dynamic tanh": Method(lambda r, c, *_: Tanh2d(r, c)),
}
"""All that are trained. Synchronised batch norm is "batch", on a merged batch."""


class Networks(nn.Module):
    """Copies of a residual network with one method, one for each of some seeds.

    A 3×3 convolution that halves the map, blocks of two convolutions with norm and
    activation before each (as He et al. 2016 order them), a last norm and activation,
    the means over quarters of the map, and a linear layer. The first convolution and
    the linear layer are the same for all methods. Copies with the same seed start from
    the same random numbers, whatever the method.

    Parameters
    ----------
    method : Method
        What stands in for batch normalisation.
    seeds : sequence of int
        One for each copy; may repeat.
    steps, batch : int
        Of the training to come: renormalisation has a schedule, ghost batches a size.
    blocks, channels, classes : int
        Of the network.
    pool : int
        The linear layer sees means over parts of the map, `pool` a side.
    """

    def __init__(
        self,
        method: Method,
        seeds: Sequence[int],
        *,
        steps: int,
        batch: int,
        blocks: int = 2,
        channels: int = 8,
        pool: int = 2,
        classes: int = 10,
    ):
        super().__init__()
        copies = len(seeds)
        self.method, self.copies, self.pool = method, copies, pool
        generators = {s: torch.Generator().manual_seed(s) for s in seeds}

        def draw(*shape: int, sd: float) -> Tensor:
            one = {
                s: sd * torch.randn(shape, generator=g) for s, g in generators.items()
            }
            return torch.cat([one[s] for s in seeds])

        bias = method.norm is None and method.branch != "Fixup"
        fan = 9 * channels
        sd = sqrt((1 if method.activation is selu else 2) / fan)
        self.stem = Conv(
            draw(channels, 1, 3, 3, sd=1 / 3), copies=copies, bias=True, stride=2
        )
        self.convs = nn.ModuleList(
            Conv(
                draw(channels, channels, 3, 3, sd=sd),
                kind=method.kind,
                copies=copies,
                bias=bias,
            )
            for _ in range(2 * blocks)
        )
        self.head = nn.Conv2d(copies * channels, copies * classes, pool, groups=copies)
        with torch.no_grad():
            self.head.weight.copy_(
                draw(classes, channels, pool, pool, sd=channels**-0.5 / pool)
            )
            self.head.bias.zero_()
        if method.norm is not None:
            self.norms = nn.ModuleList(
                method.norm(copies, channels, steps, batch)
                for _ in range(2 * blocks + 1)
            )
        if method.branch in ("SkipInit", "Fixup"):
            start = float(method.branch == "Fixup")
            self.gains = nn.ModuleList(
                Scalar(copies, start, multiply=True) for _ in range(blocks)
            )
        if method.branch == "Fixup":
            self.shifts = nn.ModuleList(Scalar(copies, 0.0) for _ in range(5 * blocks))
            with torch.no_grad():
                for conv in self.convs[::2]:
                    conv.v *= blocks**-0.5
                for conv in self.convs[1::2]:
                    conv.v.zero_()
                self.head.weight.zero_()

    def _active(self, x: Tensor, k: int) -> Tensor:
        if self.method.norm is not None:
            x = self.norms[k](x)
        return self.method.activation(x)

    def _block(self, h: Tensor, k: int) -> Tensor:
        first, second = self.convs[2 * k], self.convs[2 * k + 1]
        branch = self.method.branch
        if branch == "Fixup":
            a, b, c, d, e = self.shifts[5 * k : 5 * k + 5]
            f = first(b(torch.relu(a(h))))
            f = second(d(torch.relu(c(f))))
            return h + e(self.gains[k](f))
        x = h / sqrt(1 + k * ALPHA**2) if branch == "NF" else h
        f = second(self._active(first(self._active(x, 2 * k)), 2 * k + 1))
        if branch == "NF":
            return h + ALPHA * f
        if branch == "SkipInit":
            return h + self.gains[k](f)
        return (h + f) / sqrt(2) if branch == "mean" else h + f

    def forward(self, x: Tensor) -> Tensor:
        """Return scores, (N, copies, classes), of images (N, copies, H, W)."""
        h = self.stem(x)
        for k in range(len(self.convs) // 2):
            h = self._block(h, k)
        h = adaptive_avg_pool2d(self._active(h, len(self.convs)), self.pool)
        return self.head(h).view(len(x), self.copies, -1)


# -- Training --------------------------------------------------------------------------


@cache
def task(seed: int) -> Data:
    """Return the digits, 1000 to train with and 797 to test, divided by the seed."""
    return digits(images=True, seed=seed, test=797)


@dataclass(frozen=True)
class Protocol:
    """How methods are compared.

    Attributes
    ----------
    rates : tuple of float
        The grid of learning rates, the same for all methods.
    seeds : tuple of int
        Each divides the data anew, and decides first weights and order of examples.
    steps, batch : int
        Of each training, and examples in a step.
    task : callable
        ``task(seed)`` returns the data.
    classes : int
        Of the task.
    held_out : int
        Training examples that are left for the choice of the rate.
    momentum : float
        Of gradient descent.
    """

    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    steps: int
    batch: int
    task: Callable[[int], Data] = task
    classes: int = 10
    held_out: int = 300
    momentum: float = 0.9


@dataclass
class Result:
    """What became of a method under a protocol.

    Attributes
    ----------
    rates : tuple of float
        The grid of learning rates.
    validation : numpy.ndarray of shape (rates, seeds)
        Share of right classes among the held-out examples, in per cent.
    accuracy : numpy.ndarray of shape (seeds,)
        Among the test examples, at the best rate; the others are never tested.
    loss : numpy.ndarray of shape (steps, rates, seeds)
        Of each step's batch.
    """

    rates: tuple[float, ...]
    validation: np.ndarray
    accuracy: np.ndarray
    loss: np.ndarray

    @property
    def best(self) -> int:
        """Which rate is best on the held-out examples, in the mean over seeds."""
        return int(self.validation.mean(1).argmax())

    @property
    def rate(self) -> float:
        """That rate."""
        return self.rates[self.best]

    @property
    def at_edge(self) -> bool:
        """Whether it is the smallest or the largest of the grid."""
        return self.best in (0, len(self.rates) - 1)

    def working(self, within: float = 5.0) -> tuple[float, ...]:
        """Return the rates at most `within` points below the best, on held-out ones."""
        means = self.validation.mean(1)
        good = means >= means.max() - within
        return tuple(r for r, g in zip(self.rates, good, strict=True) if g)


def run(
    method: Method, protocol: Protocol, *, shift: int = 0, **network: int
) -> Result:
    """Train copies at all rates and seeds, choose the rate, and test there.

    Gradient descent with momentum; the rate falls in a straight line to zero.

    Parameters
    ----------
    method : Method
        What stands in for batch normalisation.
    protocol : Protocol
        How to train and to test.
    shift : int
        Added to the seeds of weights and order, not to those of the data.
    **network
        As for `Networks`.
    """
    p, times = protocol, len(protocol.rates)
    seeds = [seed + shift for seed in p.seeds]
    tasks = [p.task(seed) for seed in p.seeds]
    kept = [Data(d.x[p.held_out :], d.y[p.held_out :], d.x, d.y) for d in tasks]
    network |= {"steps": p.steps, "batch": p.batch, "classes": p.classes}
    model = Networks(method, seeds * times, **network).train()
    named = dict(model.named_parameters())
    clipped = [method.clip and not name.startswith("head") for name in named]
    weights = list(named.values())
    velocity = [torch.zeros_like(w) for w in weights]

    def examples():
        sources = [batches(d, p.batch, s) for d, s in zip(kept, seeds, strict=True)]
        for _ in range(p.steps):
            x, y = _beside([next(source) for source in sources])
            yield x.repeat(1, times, 1, 1), y.repeat(1, times)

    def adjust(gradients: list[Tensor]) -> list[Tensor]:
        for v, g, w, clip in zip(velocity, gradients, weights, clipped, strict=True):
            if clip:
                g = clip_by_unit(g, w, method.clip, stacked=False)
            v.mul_(p.momentum).add_(g)
        return velocity

    start = torch.tensor(p.rates).repeat_interleave(len(seeds))
    loss = descend(
        weights,
        lambda x, y: losses(model(x), y),
        examples(),
        lambda step: start * (1 - step / p.steps),
        adjust=adjust,
    )
    x, y = _beside([(d.x[: p.held_out], d.y[: p.held_out]) for d in tasks])
    held = _accuracy(model.eval(), x.repeat(1, times, 1, 1), y.repeat(1, times))
    result = Result(
        p.rates,
        held.reshape(times, -1),
        np.empty(0),
        loss.view(p.steps, times, len(seeds)).numpy(),
    )
    chosen = Networks(method, seeds, **network).eval()
    chosen.load_state_dict(
        {
            name: a if a.ndim == 0 else a.unflatten(0, (times, -1))[result.best]
            for name, a in model.state_dict().items()
        }
    )
    result.accuracy = _accuracy(chosen, *_beside([(d.x_test, d.y_test) for d in tasks]))
    return result


def _beside(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return images (N, seeds, H, W) and classes (N, seeds) of all seeds."""
    xs, ys = zip(*parts, strict=True)
    return torch.cat(xs, 1), torch.stack(ys, 1)


@torch.no_grad()
def _accuracy(model: Networks, x: Tensor, y: Tensor) -> np.ndarray:
    """Return each copy's share of right classes, in per cent."""
    right = [
        model(a).argmax(2) == b for a, b in zip(x.split(64), y.split(64), strict=True)
    ]
    return 100 * torch.cat(right).float().mean(0).numpy()


def losses(scores: Tensor, y: Tensor) -> Tensor:
    """Return each copy's mean cross-entropy, of scores (N, copies, classes)."""
    each = cross_entropy(scores.flatten(0, 1), y.flatten(), reduction="none")
    return each.view(y.shape).mean(0)


# Every layer by bnlib, for one copy: of x, gamma, beta, the layer and the copy's slice.
FORMULAS: dict[str, Callable] = {
    "batch": lambda x, g, b, *_: bnlib.batch_norm(x, g, b)[0],
    "batch renorm": lambda x, g, b, layer, own: bnlib.batch_renorm(
        x,
        g,
        b,
        layer.running_mean[own].numpy().copy(),
        layer.running_var[own].numpy().copy(),
        r_max=layer.r_max,
        d_max=layer.d_max,
    )[0],
    "ghost batches": lambda x, g, b, layer, _: bnlib.ghost_batch_norm(
        x, g, b, ghost_size=layer.part
    )[0],
    "layer": lambda x, g, b, *_: bnlib.layer_norm(
        x, _everywhere(g, x), _everywhere(b, x), axis=1
    )[0],
    "RMS": lambda x, g, b, *_: (
        bnlib.rms_norm(x, _everywhere(g, x), axis=1)[0] + _everywhere(b, x)
    ),
    "group": lambda x, g, b, *_: bnlib.group_norm(x, g, b, num_groups=2)[0],
    "instance": lambda x, g, b, *_: bnlib.instance_norm(x, g, b)[0],
    "filter response": lambda x, g, b, layer, own: np.maximum(
        bnlib.filter_response_norm(x, g, b, eps=float(layer.eps[0]))[0],
        _everywhere(layer.threshold[own].detach().numpy(), x),
    ),
    "dynamic tanh": lambda x, g, b, layer, own: bnlib.dynamic_tanh(
        x, g, b, layer.alpha[own.start // len(g)].detach().numpy().reshape(1), axis=1
    )[0],
}
# Every kernel: of v, the layer and the copy's slice.
KERNELS: dict[str, Callable] = {
    "weight": lambda v, conv, own: bnlib.weight_norm(v, conv.g[own].detach().numpy())[
        0
    ],
    "weight stand. + group": lambda v, *_: bnlib.weight_standardisation(v, None, eps=0)[
        0
    ],
    "NF": lambda v, conv, own: bnlib.weight_standardisation(
        v, conv.g[own].detach().numpy() * RELU_GAIN / sqrt(v[0].size), eps=0
    )[0],
    "spectral": lambda v, conv, own: bnlib.spectral_norm(
        v, conv.u[own.start // len(v)].numpy().copy()
    )[0],
}


def _everywhere(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return one value per channel in the shape of an example."""
    return np.broadcast_to(values[:, None, None], x.shape[1:]).copy()


@torch.no_grad()
def against_bnlib(seed: int, copies: int = 2, channels: int = 8) -> dict[str, float]:
    """Compare the layers of this comparison with bnlib, on random numbers, in float64.

    Returns
    -------
    dict of str to float
        For each method with a layer of its own, the largest difference between its
        output (or its kernel) and what bnlib computes for each copy by itself.
    """
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    found = {}
    slices = [slice(k * channels, (k + 1) * channels) for k in range(copies)]
    for name, formula in FORMULAS.items():
        layer = METHODS[name].norm(copies, channels, 0, 8).double().train()
        for parameter in layer.parameters():
            parameter.copy_(random(*parameter.shape))
        if name == "batch renorm":
            layer.running_mean.copy_(3 * random(copies * channels))
            layer.running_var.copy_(4 * random(copies * channels).abs())
        x = random(8, copies * channels, 4, 4)
        wanted = [
            formula(
                x[:, own].numpy(),
                layer.weight[own].numpy(),
                layer.bias[own].numpy(),
                layer,
                own,
            )
            for own in slices
        ]
        found[name] = float(abs(layer(x).numpy() - np.concatenate(wanted, 1)).max())
    for name, formula in KERNELS.items():
        conv = Conv(
            random(copies * channels, channels, 3, 3),
            kind=METHODS[name].kind,
            copies=copies,
            bias=False,
        ).double()
        if hasattr(conv, "g"):
            conv.g.copy_(random(*conv.g.shape))
        wanted = [formula(conv.v[own].numpy(), conv, own) for own in slices]
        found[name] = float(abs(conv.weight().numpy() - np.concatenate(wanted)).max())
    return found


# -- Ranking ---------------------------------------------------------------------------


def ranks(accuracy: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return each method's place, seed by seed; 1 is best, equals share their mean."""
    table = np.stack(list(accuracy.values()))
    above = (table[None] > table[:, None]).sum(1)
    equal = (table[None] == table[:, None]).sum(1)
    return dict(zip(accuracy, 1 + above + (equal - 1) / 2, strict=True))


def reversals(accuracy: dict[str, np.ndarray]) -> dict[tuple[str, str], float]:
    """For each pair of methods, the better in the mean first: how often it is behind.

    A draw in a seed counts half.
    """
    order = sorted(accuracy, key=lambda name: -accuracy[name].mean())
    return {
        (a, b): float(
            np.mean(accuracy[a] < accuracy[b]) + np.mean(accuracy[a] == accuracy[b]) / 2
        )
        for k, a in enumerate(order)
        for b in order[k + 1 :]
    }


# -- Cost ------------------------------------------------------------------------------


def parameters(method: Method, **network: int) -> int:
    """Count the learnt numbers of one network."""
    model = Networks(method, [0], steps=1, batch=4, **network)
    return sum(p.numel() for p in model.parameters())


def saved(method: Method, **network: int) -> float:
    """Measure what autograd keeps for the backward pass, in floats per example.

    What does not grow with the batch, such as weights, is not counted.
    """

    def total(examples: int) -> int:
        model = Networks(method, [0], steps=1, batch=examples, **network).train()
        own = {p.untyped_storage().data_ptr() for p in model.parameters()}
        kept = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # kept alive
            return tensor

        x = torch.randn(examples, 1, 8, 8)
        y = torch.zeros(examples, 1, dtype=torch.long)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            losses(model(x), y).sum()
        return sum(size for size, _ in kept.values())

    return (total(16) - total(8)) / 8 / 4


def milliseconds(
    methods: Sequence[Method],
    *,
    copies: int = 5,
    batch: int = 32,
    repeats: int = 7,
    **network: int,
) -> np.ndarray:
    """Time forward and backward pass of each method, turn about; the least of several.

    Returns
    -------
    numpy.ndarray of shape (methods,)
        Per step, all copies together.
    """
    models = [
        Networks(m, range(copies), steps=100, batch=batch, **network).train()
        for m in methods
    ]
    x = torch.randn(batch, copies, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.zeros(batch, copies, dtype=torch.long)
    times = np.empty((repeats + 1, len(models)))
    for row in times:
        for k, model in enumerate(models):
            begin = time.perf_counter()
            loss = losses(model(x), y).sum()
            torch.autograd.grad(loss, [*model.parameters()], allow_unused=True)
            row[k] = time.perf_counter() - begin
    return 1e3 * times[1:].min(0)
