"""Batch normalisation with dropout, weight decay, attackers, and in exported files."""

import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

import bnlib
from experiments.data import Data
from experiments.training import accuracy, batches

# Dropout


def dropout_ratio(x: Tensor, w: Tensor, keep: float) -> Tensor:
    """Return how much larger dropout on x makes the variance of w x, for each row of w.

    Parameters
    ----------
    x : torch.Tensor of shape (N, D)
        The inputs without dropout; their variances and covariances are taken over N.
    w : torch.Tensor of shape (H, D)
        Weights of the layer that follows.
    keep : float
        Probability of keeping a value; kept ones are divided by it.
    """
    added = (1 / keep - 1) * x.square().mean(0) @ w.square().T
    return 1 + added / (x @ w.T).var(0, correction=0)


def dropout_network(
    where: str, p: float, widths: Sequence[int] = (64, 64, 64, 64, 10)
) -> nn.Sequential:
    """Return a normalised network with dropout at one place or at several.

    Parameters
    ----------
    where : str
        "nowhere"; "before": after each hidden layer but the last, hence before the
        next normalisation; "last": after the last hidden layer, before the output.
    p : float
        Probability of dropping.
    widths : sequence of int
        Inputs, hidden layers, classes.
    """
    layers: list[nn.Module] = []
    hidden = list(pairwise(widths[:-1]))
    for k, (inputs, outputs) in enumerate(hidden, 1):
        layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs)]
        layers.append(nn.ReLU())
        if where == ("last" if k == len(hidden) else "before"):
            layers.append(nn.Dropout(p))
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


@torch.no_grad()
def stored_over_met(model: nn.Module, x: Tensor) -> list[float]:
    """Return, for each normalisation, the running variance over the one that it meets.

    In evaluation mode, over the examples x; the geometric mean over the channels that
    vary.
    """
    ratios = []

    def look(layer: nn.Module, inputs: tuple) -> None:
        met = inputs[0].var(0)
        alive = met > 1e-6
        ratios.append((layer.running_var[alive] / met[alive]).log().mean().exp().item())

    hooks = [
        layer.register_forward_pre_hook(look)
        for layer in model.modules()
        if isinstance(layer, _BatchNorm)
    ]
    model.eval()(x)
    for hook in hooks:
        hook.remove()
    return ratios


# Training


def fit(
    model: nn.Module,
    stream: Iterable[tuple[Tensor, Tensor]],
    optimiser: torch.optim.Optimizer,
    steps: int,
) -> nn.Module:
    """Train a classifier on a stream; return it in evaluation mode."""
    model.train()
    for _, (x, y) in zip(range(steps), stream, strict=False):
        optimiser.zero_grad()
        cross_entropy(model(x), y).backward()
        optimiser.step()
    return model.eval()


def held_out(data: Data, count: int = 300) -> Data:
    """Return the training examples alone, the first of them to validate with."""
    return Data(data.x[count:], data.y[count:], data.x[:count], data.y[:count])


def best_rate(
    make: Callable[[], nn.Module],
    data: Data,
    rates: Sequence[float],
    *,
    steps: int,
    seeds: Sequence[int] = (100, 101),
) -> float:
    """Return the rate with the best mean accuracy on 300 training examples held out.

    Plain gradient descent with batches of 64; the seeds are of this search alone.
    """
    kept = held_out(data)

    def score(rate: float) -> float:
        total = 0.0
        for seed in seeds:
            model = trained(make, kept, seed, rate=rate, steps=steps)
            total += accuracy(model, kept.x_test, kept.y_test)
        return total

    return max(rates, key=score)


def trained(
    make: Callable[[], nn.Module],
    data: Data,
    seed: int,
    *,
    rate: float,
    steps: int,
    groups: Callable[[nn.Module], Iterable] = nn.Module.parameters,
) -> nn.Module:
    """Return a network after plain gradient descent with batches of 64, in eval.

    Parameters
    ----------
    make : callable
        Makes it, after ``torch.manual_seed(seed)``.
    data, seed, rate, steps
        As usual; the seed is also that of the order.
    groups : callable
        What the optimiser gets of the model: its parameters, or groups of them.
    """
    torch.manual_seed(seed)
    model = make()
    optimiser = torch.optim.SGD(groups(model), rate)
    return fit(model, batches(data, 64, seed), optimiser, steps)


def decay_groups(model: nn.Module, decay: float, *, norms: bool) -> list[dict]:
    """Return an optimiser's groups: matrices decay; gamma, beta, biases if `norms`."""
    vectors = [p for p in model.parameters() if p.ndim == 1]
    matrices = [p for p in model.parameters() if p.ndim > 1]
    return [
        {"params": matrices, "weight_decay": decay},
        {"params": vectors, "weight_decay": decay if norms else 0.0},
    ]


def with_wrong_labels(data: Data, share: float, seed: int) -> Data:
    """Return the data with a share of the training labels drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    y = data.y.clone()
    wrong = torch.rand(len(y), generator=generator) < share
    y[wrong] = torch.randint(0, 10, (int(wrong.sum()),), generator=generator)
    return Data(data.x, y, data.x_test, data.y_test)


# Placement


def plain(order: str, *, layers: int = 4, width: int = 32) -> nn.Sequential:
    """Return hidden layers with the normalisation at one of three places.

    Parameters
    ----------
    order : str
        "before" the activation, "after" it, or on the "input" of each linear layer,
        the network's own input included.
    layers, width : int
        How many hidden layers of how many units.
    """
    modules: list[nn.Module] = []
    inputs = 64
    for _ in range(layers):
        linear = nn.Linear(inputs, width, bias=order != "before")
        if order == "input":
            modules += [nn.BatchNorm1d(inputs), linear, nn.ReLU()]
        elif order == "after":
            modules += [linear, nn.ReLU(), nn.BatchNorm1d(width)]
        else:
            modules += [linear, nn.BatchNorm1d(width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*modules, nn.Linear(width, 10))


class Block(nn.Module):
    """A residual block of two linear layers.

    Attributes
    ----------
    kind : str
        "original": normalised before each activation, the last one after the sum;
        "after sum": the second normalisation after the sum, on the skip path;
        "pre-activation": normalise, activate, multiply, twice, then the sum.
    """

    def __init__(self, kind: str, width: int, *, zero_gamma: bool = False):
        super().__init__()
        self.kind = kind
        self.one, self.two = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.norm_one, self.norm_two = (nn.BatchNorm1d(width) for _ in range(2))
        if zero_gamma:
            nn.init.zeros_(self.norm_two.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        if self.kind == "pre-activation":
            inner = self.one(self.norm_one(x).relu())
            return x + self.two(self.norm_two(inner).relu())
        inner = self.two(self.norm_one(self.one(x)).relu())
        if self.kind == "original":
            return (x + self.norm_two(inner)).relu()
        return self.norm_two(x + inner).relu()


def residual(
    kind: str, *, blocks: int = 12, width: int = 32, zero_gamma: bool = False
) -> nn.Sequential:
    """Return a residual network of `Block`, with a linear layer at either end."""
    ends = [nn.Linear(64, width, bias=False)]
    if kind != "pre-activation":
        ends += [nn.BatchNorm1d(width), nn.ReLU()]
    body = [Block(kind, width, zero_gamma=zero_gamma) for _ in range(blocks)]
    if kind == "pre-activation":
        body += [nn.BatchNorm1d(width), nn.ReLU()]
    return nn.Sequential(*ends, *body, nn.Linear(width, 10))


# Attackers


def fgsm(model: nn.Module, x: Tensor, y: Tensor, size: float) -> Tensor:
    """Return inputs moved by `size` in each pixel, to where the loss rises fastest.

    The fast gradient sign method. The model's mode stays as it is; a model in training
    mode is attacked through the statistics of the batch.
    """
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(cross_entropy(model(x), y), x)
    return x.detach() + size * gradient.sign()


# Folding and export


@torch.no_grad()
def fold(model: nn.Sequential) -> nn.Sequential:
    """Return a network without the normalisations that follow a layer with weights.

    Each is folded into the convolution or linear layer before it, with its running
    statistics. Others stay as they are.
    """
    layers: list[nn.Module] = []
    for layer in model:
        before = layers[-1] if layers else None
        if not isinstance(layer, _BatchNorm) or not isinstance(
            before, nn.Conv2d | nn.Linear
        ):
            layers.append(layer)
            continue
        w, b = bnlib.fold_batch_norm(
            before.weight.numpy(),
            None if before.bias is None else before.bias.numpy(),
            layer.weight.numpy(),
            layer.bias.numpy(),
            layer.running_mean.numpy(),
            layer.running_var.numpy(),
            eps=layer.eps,
        )
        if isinstance(before, nn.Linear):
            folded = nn.Linear(before.in_features, before.out_features)
        else:
            folded = nn.Conv2d(
                before.in_channels, before.out_channels, before.kernel_size,
                before.stride, before.padding, before.dilation, before.groups,
                padding_mode=before.padding_mode,
            )  # fmt: skip
        folded.weight = nn.Parameter(torch.from_numpy(w))
        folded.bias = nn.Parameter(torch.from_numpy(b))
        layers[-1] = folded
    return nn.Sequential(*layers).eval()


@torch.no_grad()
def fold_forwards(bn: _BatchNorm, conv: nn.Conv2d) -> nn.Conv2d:
    """Return one convolution for a normalisation and the convolution after it.

    But: padding, if there is any, puts in zeros where the two would have put in the
    image of zero, so that the borders are wrong.
    """
    a = bn.weight / (bn.running_var + bn.eps).sqrt()
    c = bn.bias - a * bn.running_mean
    one = nn.Conv2d(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding
    )
    one.weight = nn.Parameter(conv.weight * a.view(1, -1, 1, 1))
    bias = 0 if conv.bias is None else conv.bias
    one.bias = nn.Parameter(bias + torch.einsum("oikl,i->o", conv.weight, c))
    return one


def export(model: nn.Module, x: Tensor):
    """Return an ONNX model, not optimised, and what PyTorch's exporter warns of.

    Parameters
    ----------
    model : torch.nn.Module
        In whatever mode it is; that is the point.
    x : torch.Tensor
        An example batch; its first axis stays free.

    Returns
    -------
    program : torch.onnx.ONNXProgram
        ``program.model_proto`` is the model; ``program.optimize()`` folds what it can.
    warned : list of str
        The exporter's own warnings, not those of what it is built on.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # "torchvision is missing"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        program = torch.onnx.export(
            model, (x,), dynamo=True, verbose=False, optimize=False,
            dynamic_shapes=({0: "batch"},),
        )  # fmt: skip
    warned = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    return program, warned


def run_onnx(proto, x: Tensor) -> np.ndarray:
    """Return the first output of an ONNX model, by the reference evaluator in NumPy."""
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(proto).run(None, {proto.graph.input[0].name: x.numpy()})[
        0
    ]


def operators(proto) -> list[str]:
    """Return the names of an ONNX model's operators, in order."""
    return [node.op_type for node in proto.graph.node]


def in_training_mode(proto):
    """Return a copy of an ONNX model that normalises by the batch's statistics."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for node in copy.graph.node:
        if node.op_type == "BatchNormalization":
            node.attribute.append(onnx.helper.make_attribute("training_mode", 1))
            name = node.output[0]
            node.output[:] = [name, f"{name}_mean", f"{name}_var"]
    return copy
