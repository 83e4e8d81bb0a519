"""Networks without normalisation, and what each of them puts in its place."""

from collections.abc import Callable
from math import exp, pi, sqrt

import numpy as np
import torch
from scipy.special import log_ndtr, ndtr
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy, linear, selu

from experiments.models import mlp
from experiments.side_by_side import Runs

# -- Layers --------------------------------------------------------------------------


class DyT(nn.Module):
    """Dynamic tanh, gamma tanh(alpha x) + beta, in the place of a normalisation.

    But: no statistics, so nothing here is invariant to the scale of the input.

    Parameters
    ----------
    channels : int
        Of an input (N, C), (N, C, H, W), or (N, ..., C) with `axis` = -1.
    alpha : float
        Where the steepness starts, one number for the layer.
    axis : int
        Which axis counts the channels.
    """

    def __init__(self, channels: int, alpha: float = 0.5, axis: int = 1):
        super().__init__()
        self.alpha = nn.Parameter(torch.full((1,), alpha))
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """Return y, of the shape of x."""
        shape = [1] * x.ndim
        shape[self.axis] = -1
        curve = torch.tanh(self.alpha * x)
        return self.weight.view(shape) * curve + self.bias.view(shape)


RELU_GAIN = sqrt(2 / (1 - 1 / pi))  # keeps the variance through a ReLU


def scaled_standardised(w: Tensor, gain: Tensor, eps: float = 1e-8) -> Tensor:
    """Centre each filter, and give it the length `gain`.

    Parameters
    ----------
    w : torch.Tensor of shape (C_out, ...)
        Weights.
    gain : torch.Tensor of shape (C_out,)
        The gain of the activation before, times what the layer has learnt.
    """
    flat = w.flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    length = (centred.square().sum(1, keepdim=True) + eps).sqrt()
    return (gain.unsqueeze(1) * centred / length).view_as(w)


class ScaledStdConv2d(nn.Conv2d):
    """A convolution with scaled weight standardisation and a learnt gain per filter.

    Parameters
    ----------
    *arguments, **options
        As for `torch.nn.Conv2d`.
    gamma : float
        Gain of the activation whose outputs come in; that of ReLU by default.
    """

    def __init__(self, *arguments, gamma: float = RELU_GAIN, **options):
        super().__init__(*arguments, **options)
        self.gamma = gamma
        self.gain = nn.Parameter(torch.ones(self.out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with the standardised weights."""
        w = scaled_standardised(self.weight, self.gamma * self.gain)
        return conv2d(
            x, w, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class ScaledStdLinear(nn.Linear):
    """The same for a fully connected layer."""

    def __init__(self, inputs: int, outputs: int, gamma: float = RELU_GAIN):
        super().__init__(inputs, outputs)
        self.gamma = gamma
        self.gain = nn.Parameter(torch.ones(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply with the standardised weights."""
        return linear(
            x, scaled_standardised(self.weight, self.gamma * self.gain), self.bias
        )


# -- Adaptive gradient clipping ------------------------------------------------------


def clip_by_unit(
    grad: Tensor,
    weight: Tensor,
    limit: float,
    floor: float = 1e-3,
    stacked: bool = True,
) -> Tensor:
    """Shorten each unit's gradient to at most `limit` times its weights' length.

    Parameters
    ----------
    grad, weight : torch.Tensor of shape (runs, C_out, ...) or (runs, C)
        The axis of runs only if `stacked`. A unit is what one output has, the entries
        of all axes after C_out; a vector (a bias, a gain) has units of one number.
    limit : float
        Largest ratio of the lengths, lambda.
    floor : float
        Shortest length that a unit's weights are taken to have, so that weights at
        zero can leave it.

    Returns
    -------
    torch.Tensor
        The gradient, clipped.
    """
    axes = tuple(range(2 if stacked else 1, grad.ndim))

    def length(a: Tensor) -> Tensor:
        if not axes:
            return a.abs()
        return a.square().sum(axes, keepdim=True).sqrt()

    most = limit * length(weight).clamp(min=floor)
    return grad * (most / length(grad).clamp(min=1e-12)).clamp(max=1.0)


# -- Self-normalising networks -------------------------------------------------------


def selu_constants() -> tuple[float, float]:
    """Return alpha and lambda, for which mean 0 and variance 1 are a fixed point."""
    one, two = (exp(k * k / 2 + log_ndtr(-k)) for k in (1, 2))
    alpha = 1 / sqrt(2 * pi) / (0.5 - one)
    return alpha, (0.5 + alpha**2 * (two - 2 * one + 0.5)) ** -0.5


def selu_moments(mean: float, var: float) -> tuple[float, float]:
    """Return mean and variance of SELU's output for a Gaussian input.

    Parameters
    ----------
    mean, var : float
        Of the input, the variance positive.
    """
    alpha, scale = selu_constants()
    sd = sqrt(var)
    t = mean / sd
    density = exp(-t * t / 2) / sqrt(2 * pi)
    one, two = (exp(k * mean + k * k * var / 2 + log_ndtr(-t - k * sd)) for k in (1, 2))
    below, above = ndtr(-t), ndtr(t)
    first = mean * above + sd * density + alpha * (one - below)
    second = (mean * mean + var) * above + mean * sd * density
    second += alpha**2 * (two - 2 * one + below)
    return scale * first, scale**2 * (second - first * first)


def selu_path(
    mean: float, var: float, *, weight_var: float = 1.0, depth: int = 30
) -> list[tuple[float, float]]:
    """Return the predicted moments layer by layer, those of the input first.

    Parameters
    ----------
    mean, var : float
        Of the input.
    weight_var : float
        Variance of a weight times the number of inputs, tau; the weights' mean is 0.
    depth : int
        How many layers.
    """
    path = [(mean, var)]
    for _ in range(depth):
        mean, var = selu_moments(0.0, weight_var * (var + mean * mean))
        path.append((mean, var))
    return path


def selu_signal(
    seed: int,
    mean: float = 0.0,
    var: float = 1.0,
    *,
    weight_var: float = 1.0,
    depth: int = 30,
    width: int = 256,
    examples: int = 128,
) -> tuple[Tensor, Tensor, Tensor]:
    """Send Gaussian inputs through a random SELU network, and gradients back.

    Parameters
    ----------
    seed, mean, var, weight_var, depth
        As for `selu_path`.
    width, examples : int
        Units in a layer, and inputs.

    Returns
    -------
    mean, var : torch.Tensor of shape (depth + 1,)
        Over all units and examples.
    gradient : torch.Tensor of shape (depth + 1,)
        Mean square of the gradient, in units of that at the top.
    """
    generator = torch.Generator().manual_seed(seed)
    x = mean + var**0.5 * torch.randn(examples, width, generator=generator)
    layers = [x.requires_grad_()]
    for _ in range(depth):
        w = torch.randn(width, width, generator=generator) * (weight_var / width) ** 0.5
        layers.append(selu(layers[-1] @ w.T))
    top = torch.randn(examples, width, generator=generator)
    gradients = torch.autograd.grad(layers[-1], layers, top)
    squares = torch.stack([g.square().mean() for g in gradients])
    values = torch.stack([h.detach() for h in layers])
    return values.mean((1, 2)), values.var((1, 2)), squares / squares[-1]


def plain(kind: str, layers: int, *, width: int = 32) -> nn.Sequential:
    """Return a fully connected network for the digits, without skip connections.

    Parameters
    ----------
    kind : str
        "SELU" (weights of variance 1 / inputs), "ReLU" or "batch" (of 2 / inputs).
    layers, width : int
        Number of hidden layers, and units in each.
    """
    network = mlp(
        (64, *[width] * layers, 10),
        norm=nn.BatchNorm1d if kind == "batch" else None,
        activation=nn.SELU if kind == "SELU" else nn.ReLU,
    )
    for layer in network:
        if isinstance(layer, nn.Linear):
            gain = 1 if kind == "SELU" else 2
            nn.init.normal_(layer.weight, std=(gain / layer.in_features) ** 0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


# -- Residual networks ---------------------------------------------------------------


class Scalar(nn.Module):
    """A learnt number, to add or to multiply with."""

    def __init__(self, value: float, multiply: bool = False):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))
        self.multiply = multiply

    def forward(self, x: Tensor) -> Tensor:
        """Return x changed by the number."""
        return x * self.value if self.multiply else x + self.value


class Block(nn.Module):
    """h + branch(h): twice norm, ReLU, linear, in the manner of one method.

    Parameters
    ----------
    method : str
        A key of `METHODS`.
    width : int
        Of h.
    index, blocks : int
        Which block of how many.
    """

    def __init__(self, method: str, width: int, index: int, blocks: int):
        super().__init__()
        self.divide, self.scale = 1.0, 1.0
        if method == "NF":
            self.scale = 0.2
            self.divide = sqrt(1 + index * self.scale**2)
            layers = [ScaledStdLinear(width, width) for _ in range(2)]
        else:
            layers = [he_linear(width, width, bias=method != "Fixup") for _ in range(2)]
        if method == "scaled":
            self.scale = blocks**-0.5
        first, second = layers
        end: list[nn.Module] = []
        if method == "Fixup":
            with torch.no_grad():
                first.weight.mul_(blocks**-0.5)
                second.weight.zero_()
            before = [Scalar(0.0), Scalar(0.0)]
            after = [Scalar(0.0), Scalar(0.0)]
            end = [Scalar(1.0, multiply=True), Scalar(0.0)]
        else:
            norm = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "DyT": DyT}
            make = norm.get(method, lambda width: nn.Identity())
            before, after = [make(width), make(width)], [nn.Identity(), nn.Identity()]
            if method == "SkipInit":
                end = [Scalar(0.0, multiply=True)]
        self.branch = nn.Sequential(
            before[0], nn.ReLU(), after[0], first,
            before[1], nn.ReLU(), after[1], second, *end,
        )  # fmt: skip

    def forward(self, h: Tensor) -> Tensor:
        """Return the skip path after the block."""
        return h + self.scale * self.branch(h / self.divide)


METHODS = ("none", "batch", "layer", "scaled", "Fixup", "SkipInit", "NF", "DyT")


def he_linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """Return a linear layer with He's weights and biases of zero."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.normal_(layer.weight, std=(2 / inputs) ** 0.5)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def residual(
    method: str, blocks: int, *, width: int = 32, inputs: int = 64, classes: int = 10
) -> nn.Sequential:
    """Return a residual network: a linear stem, blocks, (norm,) ReLU, a linear head.

    Parameters
    ----------
    method : str
        What stands in for a normalisation, one of `METHODS`.
    blocks, width : int
        Number of blocks of two layers, and units in each.
    inputs, classes : int
        Features of an example, and classes.
    """
    stem = he_linear(inputs, width)
    with torch.no_grad():
        stem.weight.mul_(0.5**0.5)  # nothing has halved the input's square
    head = he_linear(width, classes)
    if method == "Fixup":
        nn.init.zeros_(head.weight)
    last = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "DyT": DyT}.get(method)
    return nn.Sequential(
        stem,
        *(Block(method, width, k, blocks) for k in range(blocks)),
        *([last(width)] if last else []),
        nn.ReLU(),
        head,
    )


def first_step(
    seed: int,
    blocks: int,
    layers: int,
    power: float,
    *,
    gate: bool = False,
    width: int = 32,
    examples: int = 64,
) -> float:
    """Return how much one small step of gradient descent moves a residual network.

    Parameters
    ----------
    seed : int
        Of weights, inputs and targets.
    blocks, layers : int
        Number of blocks, and of linear layers in each, with ReLUs between them.
    power : float
        All but a block's last weights are He's times ``blocks ** -power``; the last
        ones are zero.
    gate : bool
        SkipInit instead: all weights are He's times that, and each branch has a factor
        that is zero.
    width, examples : int
        Units, and inputs.

    Returns
    -------
    float
        Root mean square of the scores' change, divided by the learning rate.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int, std: float = 1.0) -> Tensor:
        return std * torch.randn(*shape, generator=generator, dtype=torch.float64)

    x, head = draw(examples, width), draw(10, width, std=width**-0.5)
    target = torch.randint(0, 10, (examples,), generator=generator)
    he = (2 / width) ** 0.5
    weights, factors = [], []
    for _ in range(blocks):
        branch = [draw(width, width, std=he * blocks**-power) for _ in range(layers)]
        if not gate:
            branch[-1].zero_()
        weights.append([w.requires_grad_() for w in branch])
        factor = torch.tensor(float(not gate), dtype=torch.float64)
        factors.append(factor.requires_grad_(gate))

    def scores() -> Tensor:
        h = x
        for branch, factor in zip(weights, factors, strict=True):
            z = h
            for w in branch:
                z = z.relu() @ w.T
            h = h + factor * z
        return h @ head.T

    before = scores()
    parameters = [w for branch in weights for w in branch] + (factors if gate else [])
    gradients = torch.autograd.grad(cross_entropy(before, target), parameters)
    rate = 1e-6
    with torch.no_grad():
        for p, g in zip(parameters, gradients, strict=True):
            p -= rate * g
        return ((scores() - before) / rate).square().mean().sqrt().item()


def signal(
    method: str, seed: int, blocks: int, x: Tensor
) -> dict[str, list[float] | float]:
    """Send a batch through a residual network as it is initialised, and back.

    Parameters
    ----------
    method, blocks
        As for `residual`.
    seed : int
        Of the weights.
    x : torch.Tensor of shape (N, 64)
        The batch.

    Returns
    -------
    dict
        ``variance``: of the skip path after the stem and after each block, over the
        batch, mean over units; ``offset``: the share that the units' means have in the
        mean square of what the last ReLU gets; ``gradient``: mean square of the
        gradient at the stem in units of that at the top; ``company``: relative change
        of one example's scores when the rest of the batch is another.
    """
    torch.manual_seed(seed)
    network = residual(method, blocks).train()
    with torch.no_grad():  # a head and branches that let something through
        if method == "Fixup":
            network[-1].weight.copy_(he_linear(32, 10).weight)
    path, h = [], x
    for layer in network[: blocks + 1]:
        h = layer(h)
        path.append(h)
    late = h
    for layer in network[blocks + 1 : -2]:
        late = layer(late)
    scores = network[-2:](late)
    top = torch.randn(h.shape, generator=torch.Generator().manual_seed(seed))
    gradients = torch.autograd.grad(h, path, top, retain_graph=True)
    with torch.no_grad():
        half = len(x) // 2
        mixed = torch.cat([x[:1], x[half:]])
        alone = torch.cat([x[:1], x[1 : half + 1]])
        a, b = network(mixed)[0], network(alone)[0]
    return {
        "variance": [p.detach().var(0, correction=0).mean().item() for p in path],
        "offset": (late.mean(0).square().mean() / late.square().mean()).item(),
        "gradient": (
            gradients[0].square().mean() / gradients[-1].square().mean()
        ).item(),
        "company": ((a - b).norm() / a.norm()).item(),
        "score": scores.detach().square().mean().sqrt().item(),
    }


def clipping(limit: float | None, head: str) -> Callable | None:
    """Return what `experiments.side_by_side.train_many` calls `adjust`.

    Parameters
    ----------
    limit : float or None
        As for `clip_by_unit`; None: no clipping.
    head : str
        Beginning of the names of the last layer's parameters, which are not clipped.
    """
    if limit is None:
        return None
    return lambda name, grad, weight: (
        grad if name.startswith(head) else clip_by_unit(grad, weight, limit)
    )


# -- A small transformer -------------------------------------------------------------


class Attention(nn.Module):
    """Self-attention with several heads, for (N, T, C)."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.enter = nn.Linear(channels, 3 * channels)
        self.leave = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the tokens have read from one another."""
        q, k, v = self.enter(x).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0)
        q, k, v = (a.transpose(-2, -3) for a in (q, k, v))
        weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        return self.leave((weights @ v).transpose(-2, -3).flatten(-2))


class Transformer(nn.Module):
    """Pre-norm transformer for 8 by 8 images: 16 tokens of 2 by 2 pixels.

    Parameters
    ----------
    norm : callable
        ``norm(channels)`` makes a layer that normalises the last axis, or what is to
        stand in for it.
    blocks, channels, heads : int
        Size of the network.
    """

    def __init__(
        self,
        norm: Callable[[int], nn.Module],
        blocks: int = 2,
        channels: int = 24,
        heads: int = 2,
    ):
        super().__init__()
        self.embed = nn.Linear(4, channels)
        self.position = nn.Parameter(0.5 * torch.randn(16, channels))
        self.norms = nn.ModuleList(norm(channels) for _ in range(2 * blocks))
        self.parts = nn.ModuleList()
        for _ in range(blocks):
            self.parts.append(Attention(channels, heads))
            self.parts.append(
                nn.Sequential(
                    nn.Linear(channels, 2 * channels),
                    nn.ReLU(),
                    nn.Linear(2 * channels, channels),
                )
            )
        self.last = norm(channels)
        self.head = nn.Linear(16 * channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores for images (N, 64)."""
        x = x.reshape(-1, 4, 2, 4, 2).transpose(2, 3).flatten(3).flatten(1, 2)
        h = self.embed(x) + self.position
        for norm, part in zip(self.norms, self.parts, strict=True):
            h = h + part(norm(h))
        return self.head(self.last(h).flatten(1))


def at_norms(network: Transformer, x: Tensor) -> list[Tensor]:
    """Return what each of a transformer's norms gets, in order, for images x."""
    seen: list[Tensor] = []
    norms = [*network.norms, network.last]
    hooks = [
        n.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].detach()))
        for n in norms
    ]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return seen


def largest_stable(runs: Runs, limit: float = 1.15) -> float:
    """Return the largest rate at which training does not fail with any seed.

    Parameters
    ----------
    runs : experiments.side_by_side.Runs
        What was tried, rates in rising order.
    limit : float
        Training fails if the mean loss over the last quarter of the steps is above
        this; half of what guessing among ten classes costs.

    Returns
    -------
    float
        0 if it fails at every rate.
    """
    late = np.nan_to_num(runs.loss[-(len(runs.loss) // 4) :].mean(0), nan=np.inf)
    fine = np.flatnonzero((late < limit).all(axis=1))
    return runs.rates[fine[-1]] if len(fine) else 0.0
