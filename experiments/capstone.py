"""A residual network in NumPy, forward and backward by hand; bnlib normalises.

Layers remember in `forward` what `backward` needs; `backward` takes the gradient of the
output, returns that of the input, and leaves those of the parameters in `grads`, as in
`bnlib.nn`. Images are (N, C, H, W).
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import process_time

import numpy as np
import torch
from torch import nn

import bnlib
from experiments.data import Data
from experiments.training import batches

GROUPS = 4
GOALS = {
    ("batch", 64): 95, ("group", 64): 90, ("batch", 4): 88, ("group", 4): 76
}  # fmt: skip
"""Test accuracy to reach, in per cent, by norm and batch size."""
STEPS = {64: 80, 4: 250}
RATES = {64: (0.3, 1.0), 4: (0.05, 0.1)}
"""Steps of training and learning rates to choose from, by batch size."""


def columns(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """Return the patches under a square kernel as columns, padded to keep the size.

    Parameters
    ----------
    x : array of shape (N, C, H, W)
    kernel : int
        Odd; there are ``kernel // 2`` zeros around the image.
    stride : int
        Between patches.

    Returns
    -------
    array of shape (N, C * kernel**2, positions)
        But: `kernel` ** 2 copies of the image, most of the network's memory.
    """
    around = kernel // 2
    padded = np.pad(x, ((0, 0), (0, 0), (around, around), (around, around)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (2, 3))
    windows = windows[:, :, ::stride, ::stride]  # (N, C, H', W', kernel, kernel)
    n, c, h, w = windows.shape[:4]
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(n, c * kernel**2, h * w)


def image(cols: np.ndarray, shape: tuple, kernel: int, stride: int) -> np.ndarray:
    """Add columns up to an image: the transpose of `columns` as a linear map.

    Parameters
    ----------
    cols : array of shape (N, C * kernel**2, positions)
    shape : tuple of int
        (N, C, H, W) of the image.
    kernel, stride : int
        As for `columns`.
    """
    n, c, h, w = shape
    around, out_h, out_w = kernel // 2, -(-h // stride), -(-w // stride)
    cols = cols.reshape(n, c, kernel, kernel, out_h, out_w)
    padded = np.zeros((n, c, h + 2 * around, w + 2 * around), cols.dtype)
    for i in range(kernel):
        for j in range(kernel):
            rows = slice(i, i + stride * (out_h - 1) + 1, stride)
            across = slice(j, j + stride * (out_w - 1) + 1, stride)
            padded[:, :, rows, across] += cols[:, :, i, j]
    return padded[:, :, around : around + h, around : around + w]


class Conv:
    """A convolution with an odd square kernel; it has no bias until it is folded."""

    def __init__(self, rng, inputs: int, outputs: int, *, kernel=3, stride=1, dtype):
        sd = np.sqrt(2 / (inputs * kernel**2))  # He et al. (2015), for ReLU
        shape = outputs, inputs, kernel, kernel
        self.weight = (sd * rng.standard_normal(shape)).astype(dtype)
        self.bias = None
        self.stride, self.grads = stride, {}

    def forward(self, x):
        """Return the output for x of shape (N, C, H, W)."""
        out_channels, _, kernel, _ = self.weight.shape
        self._shape, self._cols = x.shape, columns(x, kernel, self.stride)
        y = self.weight.reshape(out_channels, -1) @ self._cols
        if self.bias is not None:
            y = y + self.bias[:, None]
        h, w = (-(-size // self.stride) for size in x.shape[2:])
        return y.reshape(len(x), out_channels, h, w)

    def backward(self, dy):
        """Return dx."""
        out_channels, _, kernel, _ = self.weight.shape
        dy = dy.reshape(*dy.shape[:2], -1)
        dw = np.matmul(dy, self._cols.transpose(0, 2, 1)).sum(0)
        self.grads = {"weight": dw.reshape(self.weight.shape)}
        if self.bias is not None:
            self.grads["bias"] = dy.sum((0, 2))
        dcols = self.weight.reshape(out_channels, -1).T @ dy
        return image(dcols, self._shape, kernel, self.stride)


class Relu:
    """max(x, 0)."""

    def forward(self, x):
        """Return the output."""
        self._on = x > 0
        return x * self._on

    def backward(self, dy):
        """Return dx."""
        return dy * self._on


class Head:
    """The mean over positions, then a linear layer."""

    def __init__(self, rng, inputs: int, classes: int, *, dtype):
        sd = np.sqrt(1 / inputs)
        self.weight = (sd * rng.standard_normal((classes, inputs))).astype(dtype)
        self.bias = np.zeros(classes, dtype)
        self.grads = {}

    def forward(self, x):
        """Return logits (N, classes) for x of shape (N, C, H, W)."""
        self._shape, self._means = x.shape, x.mean((2, 3))
        return self._means @ self.weight.T + self.bias

    def backward(self, dy):
        """Return dx."""
        self.grads = {"weight": dy.T @ self._means, "bias": dy.sum(0)}
        positions = self._shape[2] * self._shape[3]
        each = (dy @ self.weight / positions)[:, :, None, None]
        return np.broadcast_to(each, self._shape)


class Block:
    """relu(norm(conv(relu(norm(conv(x))))) + skip(x)).

    The skip is the identity, or a 1×1 convolution and a norm where the map is halved.
    The last gamma starts at zero, so that the block starts as its skip.
    """

    def __init__(self, rng, inputs, outputs, norm, *, stride, dtype):
        self.branch = [
            Conv(rng, inputs, outputs, stride=stride, dtype=dtype),
            norm(outputs),
            Relu(),
            Conv(rng, outputs, outputs, dtype=dtype),
            norm(outputs),
        ]
        self.branch[-1].weight[:] = 0
        self.skip = []
        if stride > 1:
            conv = Conv(rng, inputs, outputs, kernel=1, stride=stride, dtype=dtype)
            self.skip = [conv, norm(outputs)]
        self.relu = Relu()

    def forward(self, x):
        """Return the output."""
        return self.relu.forward(_forward(self.branch, x) + _forward(self.skip, x))

    def backward(self, dy):
        """Return dx: the gradient takes both ways, and what comes back adds up."""
        dy = self.relu.backward(dy)
        return _backward(self.branch, dy) + _backward(self.skip, dy)


class Network:
    """A stem, residual blocks and a head, for small images.

    Parameters
    ----------
    norm : str
        "batch" or "group" (four groups).
    seed : int
        Of the weights.
    widths : sequence of int
        Channels of the stem and of each block; where they change, the map is halved.
    inputs, classes : int
        Channels of the images, number of classes.
    dtype : dtype
        Of the parameters.
    """

    def __init__(
        self,
        norm: str,
        *,
        seed: int = 0,
        widths=(8, 16, 16, 32),
        inputs: int = 1,
        classes: int = 10,
        dtype=np.float32,
    ):
        rng = np.random.default_rng(seed)

        def layer(channels: int):
            if norm == "batch":
                return bnlib.nn.BatchNorm(channels, dtype=dtype)
            return bnlib.nn.GroupNorm(GROUPS, channels, dtype=dtype)

        first, *rest = widths
        self.stem = [Conv(rng, inputs, first, dtype=dtype), layer(first), Relu()]
        self.blocks = []
        for width in rest:
            stride = 1 if width == first else 2
            self.blocks.append(
                Block(rng, first, width, layer, stride=stride, dtype=dtype)
            )
            first = width
        self.head = Head(rng, first, classes, dtype=dtype)

    @property
    def chains(self) -> list[list]:
        """All layers but the head, each norm in one list with its convolution."""
        inside = [chain for b in self.blocks for chain in (b.branch, b.skip)]
        return [self.stem, *inside]

    def layers(self) -> Iterator:
        """Yield the layers that have parameters, in an order of their own."""
        for chain in (*self.chains, [self.head]):
            yield from (layer for layer in chain if hasattr(layer, "weight"))

    def train(self, mode: bool = True) -> "Network":
        """Set the mode of the norms."""
        for layer in self.layers():
            if isinstance(layer, bnlib.nn.Layer):
                layer.train(mode)
        return self

    def eval(self) -> "Network":
        """Set evaluation mode."""
        return self.train(False)

    def forward(self, x):
        """Return logits (N, classes) of images (N, C, H, W)."""
        return self.head.forward(_forward(self.blocks, _forward(self.stem, x)))

    def backward(self, dy):
        """Return the gradient of the images; those of the parameters are in `grads`."""
        return _backward(self.stem, _backward(self.blocks, self.head.backward(dy)))


def _forward(layers, x):
    for layer in layers:
        x = layer.forward(x)
    return x


def _backward(layers, dy):
    for layer in reversed(layers):
        dy = layer.backward(dy)
    return dy


def cross_entropy(logits: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean loss, and its gradient: probabilities minus the truth, over N."""
    shifted = logits - logits.max(1, keepdims=True)  # no overflow
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    rows = np.arange(len(y))
    gradient = np.exp(log_p)
    gradient[rows, y] -= 1
    return float(-log_p[rows, y].mean()), gradient / len(y)


class Sgd:
    """Gradient descent with momentum; weight decay on matrices only.

    Parameters
    ----------
    network : Network
        Whose parameters to change.
    momentum, decay : float
        Gamma, beta and the bias are not decayed.
    """

    def __init__(self, network: Network, *, momentum: float = 0.9, decay: float = 1e-4):
        self._layers = list(network.layers())
        self._momentum, self._decay = momentum, decay
        self._velocity = [{} for _ in self._layers]

    def step(self, rate: float) -> None:
        """Move all parameters by the gradients of the last backward pass."""
        for layer, velocity in zip(self._layers, self._velocity, strict=True):
            for name, gradient in layer.grads.items():
                value = getattr(layer, name)
                if value.ndim > 1:
                    gradient = gradient + self._decay * value
                velocity[name] = self._momentum * velocity.get(name, 0) + gradient
                setattr(layer, name, value - np.float32(rate) * velocity[name])


@dataclass
class Run:
    """A trained network, and what training took.

    Attributes
    ----------
    network : Network
        In evaluation mode.
    loss : list of float
        Of each step's batch.
    seconds : list of float
        CPU seconds of each step.
    seen : list
        What `watch` returned.
    """

    network: Network
    loss: list[float]
    seconds: list[float]
    seen: list


def train(
    data: Data,
    norm: str,
    *,
    rate: float,
    batch: int,
    steps: int,
    seed: int,
    watch: Callable[[Network], float] | None = None,
    every: int = 10,
) -> Run:
    """Train a network on images; the learning rate falls linearly to zero.

    Parameters
    ----------
    data : Data
        Images.
    norm : str
        As for `Network`.
    rate : float
        The learning rate at the start.
    batch, steps : int
        How many steps, of how many examples each.
    seed : int
        Of the weights and of the order of examples.
    watch : callable, optional
        ``watch(network)``, in evaluation mode, after each `every` steps; its time does
        not count.
    """
    network = Network(norm, seed=seed, inputs=data.x.shape[1])
    optimiser, run = Sgd(network), Run(network, [], [], [])
    for step, (x, y) in zip(range(steps), batches(data, batch, seed), strict=False):
        start = process_time()
        loss, gradient = cross_entropy(network.forward(x.numpy()), y.numpy())
        network.backward(gradient)
        optimiser.step(rate * (1 - step / steps))
        run.loss.append(loss)
        run.seconds.append(process_time() - start)
        if watch is not None and (step + 1) % every == 0:
            run.seen.append(watch(network.eval()))
            network.train()
    network.eval()
    return run


def error(network: Network, x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the share of wrong classes in per cent, in the mode the network is in."""
    return 100 * float((network.forward(x.numpy()).argmax(1) != y.numpy()).mean())


def held_out(data: Data, count: int = 300) -> Data:
    """Return the training examples, some of them to test with."""
    return Data(data.x[count:], data.y[count:], data.x[:count], data.y[:count])


# Deployment


def folded(network: Network) -> Network:
    """Return a copy without batch normalisation that predicts the same.

    Raises
    ------
    TypeError
        If a norm takes its statistics from its input: group norm cannot be folded.
    """
    network = copy.deepcopy(network)
    for chain in network.chains:
        norms = [k for k, one in enumerate(chain) if isinstance(one, bnlib.nn.Layer)]
        for k in reversed(norms):
            conv, norm = chain[k - 1], chain.pop(k)
            if not isinstance(norm, bnlib.nn.BatchNorm):
                raise TypeError(
                    f"{type(norm).__name__} computes its statistics from each input; "
                    "only batch norm, whose statistics are constants, can be folded"
                )
            conv.weight, conv.bias = bnlib.fold_batch_norm(
                conv.weight, conv.bias, norm.weight, norm.bias,
                norm.running_mean, norm.running_var, eps=norm.eps,
            )  # fmt: skip
    return network


# The same in PyTorch, to check against


class TorchBlock(nn.Module):
    """`Block` in PyTorch."""

    def __init__(self, branch: nn.Module, skip: nn.Module):
        super().__init__()
        self.branch, self.skip = branch, skip

    def forward(self, x):
        """Return the output."""
        return (self.branch(x) + self.skip(x)).relu()


def twin(network: Network) -> nn.Sequential:
    """Return a PyTorch network with the same layers and copies of the parameters."""
    blocks = [TorchBlock(_chain(b.branch), _chain(b.skip)) for b in network.blocks]
    head = nn.Linear(*network.head.weight.shape[::-1])
    _copy(network.head, head)
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    return nn.Sequential(_chain(network.stem), *blocks, pool)


def twin_gradients(model: nn.Module) -> list[np.ndarray]:
    """Return the gradients of a `twin`, in the order of `gradients`."""
    return [p.grad.numpy() for p in model.parameters()]


def gradients(network: Network) -> list[np.ndarray]:
    """Return the gradients of all parameters."""
    return [gradient for layer in network.layers() for gradient in layer.grads.values()]


def _chain(layers: list) -> nn.Sequential:
    modules = []
    for layer in layers:
        if isinstance(layer, Conv):
            outputs, inputs, kernel, _ = layer.weight.shape
            module = nn.Conv2d(
                inputs, outputs, kernel, stride=layer.stride, padding=kernel // 2,
                bias=layer.bias is not None,
            )  # fmt: skip
        elif isinstance(layer, bnlib.nn.BatchNorm):
            module = nn.BatchNorm2d(layer.num_features)
        elif isinstance(layer, bnlib.nn.GroupNorm):
            module = nn.GroupNorm(layer.num_groups, layer.num_channels)
        else:
            module = nn.ReLU()
        if hasattr(layer, "weight"):
            _copy(layer, module)
        modules.append(module)
    return nn.Sequential(*modules)


def _copy(layer, module: nn.Module) -> None:
    module.to(torch.as_tensor(layer.weight).dtype)
    names = ("weight", "bias", "running_mean", "running_var")
    with torch.no_grad():
        for name in names:
            if getattr(layer, name, None) is not None:
                getattr(module, name).copy_(torch.as_tensor(getattr(layer, name)))
