"""Internal covariate shift, as several quantities that can be measured.

Each takes what it needs before and after a change of parameters, and says nothing
about whether the change was good for training: that is another question.
"""

import copy
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import batch_norm, cross_entropy

from experiments.data import Data
from experiments.models import mlp
from experiments.training import train

WIDTHS = (64, 100, 100, 100, 10)


def sigmoid_network(
    seed: int, *, norm: bool, widths: tuple[int, ...] = WIDTHS
) -> nn.Sequential:
    """Return a network of sigmoid layers, with small Gaussian weights.

    Parameters
    ----------
    seed : int
        Of the weights; with and without `norm` they are the same.
    norm : bool
        Whether batch normalisation stands before each sigmoid.
    widths : tuple of int
        Inputs, hidden layers, classes.

    Returns
    -------
    torch.nn.Sequential
        Weights have variance 1 / (number of inputs), biases are zero.
    """
    model = mlp(widths, norm=nn.BatchNorm1d if norm else None, activation=nn.Sigmoid)
    generator = torch.Generator().manual_seed(seed)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(
                layer.weight, std=layer.in_features**-0.5, generator=generator
            )
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model


@dataclass(frozen=True)
class Hidden:
    """What passes through one hidden layer, each of shape (N, units).

    Attributes
    ----------
    x : torch.Tensor
        Pre-activations before normalisation, W u (or W u + b without it).
    x_hat : torch.Tensor
        Normalised pre-activations; `x` itself in a network without normalisation.
    y : torch.Tensor
        Inputs to the sigmoid, gamma x_hat + beta; `x` itself without normalisation.
    """

    x: Tensor
    x_hat: Tensor
    y: Tensor


@torch.no_grad()
def hidden_layers(model: nn.Sequential, u: Tensor) -> list[Hidden]:
    """Return what the inputs `u` become in each hidden layer.

    Batch normalisation takes the statistics of `u` itself, as in training, and leaves
    its running statistics alone.
    """
    layers = []
    for layer in model[:-1]:
        if isinstance(layer, nn.Linear):
            u = layer(u)
            x = x_hat = u
        elif isinstance(layer, nn.BatchNorm1d):
            x_hat = batch_norm(x, None, None, training=True, eps=layer.eps)
            u = layer.weight * x_hat + layer.bias
        else:
            layers.append(Hidden(x, x_hat, u))
            u = layer(u)
    return layers


def mean_drift(before: Tensor, after: Tensor) -> Tensor:
    """Return how far each unit's mean moved, in standard deviations before.

    Parameters
    ----------
    before, after : torch.Tensor of shape (N, units)
        The same examples, with the parameters before and after a change.
    """
    move = after.mean(0) - before.mean(0)
    return move.abs() / before.std(0, correction=0)


def spread_drift(before: Tensor, after: Tensor) -> Tensor:
    """Return by how much each unit's standard deviation changed, as |ln ratio|."""
    ratio = after.std(0, correction=0) / before.std(0, correction=0)
    return ratio.log().abs()


def wasserstein(before: Tensor, after: Tensor) -> Tensor:
    """Return the Wasserstein-1 distance of each unit's two samples, in its own units.

    Sorted samples of the same size are matched in order, which is the cheapest way to
    carry the one over into the other.
    """
    # Rows of the transpose: sorting along the first axis takes several times as long.
    return (
        (after.mT.contiguous().sort(1)[0] - before.mT.contiguous().sort(1)[0])
        .abs()
        .mean(1)
    )


def displacement(before: Tensor, after: Tensor) -> Tensor:
    """Return how far the values of a unit moved on average, example by example."""
    return (after - before).abs().mean(0)


def class_share(y: Tensor, labels: Tensor) -> Tensor:
    """Return the share of each unit's variance that lies between classes, 0 to 1."""
    means = torch.stack([y[labels == c].mean(0) for c in labels.unique()])
    counts = torch.stack([(labels == c).sum() for c in labels.unique()])
    weights = (counts / len(labels))[:, None]
    between = (weights * (means - y.mean(0)) ** 2).sum(0)
    return between / y.var(0, correction=0)


def _loss(model, parameters, u, labels):
    """Training loss at `parameters`; the model's running statistics stay untouched."""
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    return cross_entropy(
        functional_call(model, {**parameters, **buffers}, (u,)), labels
    )


def _gradients(model, parameters, u, labels, names):
    """Loss, and its gradients for `names`, at `parameters`."""
    wanted = {name: parameters[name].detach().requires_grad_() for name in names}
    loss = _loss(model, {**parameters, **wanted}, u, labels)
    found = torch.autograd.grad(loss, list(wanted.values()))
    return loss.item(), dict(zip(names, found, strict=True))


def step(model: nn.Module, u: Tensor, labels: Tensor, rate: float) -> dict:
    """Return the parameters after one step of gradient descent; `model` keeps its own.

    Returns
    -------
    dict of str to torch.Tensor
        By the names of ``model.named_parameters()``.
    """
    now = {name: p.detach() for name, p in model.named_parameters()}
    _, gradients = _gradients(model, now, u, labels, list(now))
    return {name: p - rate * gradients[name] for name, p in now.items()}


@dataclass(frozen=True)
class LayerShift:
    """What a step of everything below a layer does to that layer.

    Attributes
    ----------
    g, g_later : torch.Tensor
        The gradient for the layer's weights, on the same batch, before and after
        everything *below* it (and nothing else) has made its step: definition 2.1 of
        Santurkar et al. (2018).
    loss, loss_later : float
        The loss of that batch, likewise.
    """

    g: Tensor
    g_later: Tensor
    loss: float
    loss_later: float

    @property
    def distance(self) -> float:
        """Euclidean length of the change of the gradient."""
        return (self.g_later - self.g).norm().item()

    @property
    def relative(self) -> float:
        """The same, in units of the gradient before."""
        return self.distance / self.g.norm().item()

    @property
    def cosine(self) -> float:
        """Cosine of the angle between the two gradients."""
        product = (self.g * self.g_later).sum()
        return (product / (self.g.norm() * self.g_later.norm())).item()

    @property
    def gain(self) -> float:
        """By how much the loss fell."""
        return self.loss - self.loss_later


def layer_shifts(
    model: nn.Sequential, u: Tensor, labels: Tensor, rate: float
) -> list[LayerShift]:
    """Return, for each linear layer but the first, what the step below does to it.

    Parameters
    ----------
    model : torch.nn.Sequential
        In training mode; not changed.
    u, labels : torch.Tensor
        The batch, inputs and classes.
    rate : float
        Learning rate of the step.
    """
    now = {name: p.detach() for name, p in model.named_parameters()}
    places = [k for k, layer in enumerate(model) if isinstance(layer, nn.Linear)]
    names = [f"{k}.weight" for k in places]
    loss, g = _gradients(model, now, u, labels, list(now))
    later = {name: p - rate * g[name] for name, p in now.items()}
    shifts = []
    for place, name in zip(places[1:], names[1:], strict=True):
        below = {other for other in now if int(other.split(".")[0]) < place}
        mixed = {other: (later if other in below else now)[other] for other in now}
        loss_later, g_later = _gradients(model, mixed, u, labels, [name])
        shifts.append(LayerShift(g[name], g_later[name], loss, loss_later))
    return shifts


def batch_of(data: Data, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return a random batch of training examples and their classes."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(data.x), generator=generator)[:size]
    return data.x[rows], data.y[rows]


def after(model: nn.Module, parameters: dict) -> nn.Module:
    """Return a copy of `model` with other parameters."""
    other = copy.deepcopy(model)
    other.load_state_dict(parameters, strict=False)
    return other


def shift_watch(
    data: Data, rate: float, *, batch: int, seed: int, batches: int = 4
) -> Callable:
    """Return a `watch` for `experiments.training.train` that measures one step's shift.

    At each look it draws batches, makes the step that gradient descent would make with
    each, measures all definitions of shift on these events, and undoes them.

    Parameters
    ----------
    data : Data
        Batches come from its training examples; distributions are those of its test
        examples.
    rate, batch : float, int
        Learning rate and batch size of the step.
    seed : int
        Of the batches.
    batches : int
        How many steps are tried at each look. The distributions are measured for the
        first, the gradients for all.

    Returns
    -------
    callable
        ``watch(model)`` returns, medians over units of the last hidden layer: "mean",
        "spread", "wasserstein", "displacement" (one step's, for the inputs to the
        sigmoid, in standard deviations); "x mean", "x spread" (for what comes before
        the normalisation); "share" (of variance between classes). Of all units:
        "moments y", (2, units), and "y", (N, units). For each batch and each linear
        layer but the first: "distance", "relative", "cosine", "gain" (how much the
        batch's loss falls when only the layers below make their step). And "test gain":
        the same for the test examples, the last layer and the first batch.
    """
    seeds = itertools.count(1000 * seed)

    def watch(model: nn.Sequential) -> dict:
        drawn = [batch_of(data, batch, next(seeds)) for _ in range(batches)]
        moved = after(model, step(model, *drawn[0], rate))
        old, new = (hidden_layers(m, data.x_test)[-1] for m in (model, moved))
        sd = old.y.std(0, correction=0)
        units = {
            "mean": mean_drift(old.y, new.y),
            "spread": spread_drift(old.y, new.y),
            "wasserstein": wasserstein(old.y, new.y) / sd,
            "displacement": displacement(old.y, new.y) / sd,
            "x mean": mean_drift(old.x, new.x),
            "x spread": spread_drift(old.x, new.x),
            "share": class_share(old.y, data.y_test),
        }
        shifts = [layer_shifts(model, u, labels, rate) for u, labels in drawn]
        read = [
            cross_entropy(model[-1](h.y.sigmoid()), data.y_test).item()
            for h in (old, new)
        ]
        return {
            **{name: value.median().item() for name, value in units.items()},
            "y": old.y,
            "moments y": torch.stack([old.y.mean(0), sd]),
            **{
                name: [[getattr(s, name) for s in layers] for layers in shifts]
                for name in ("distance", "relative", "cosine", "gain")
            },
            "test gain": read[0] - read[1],
        }

    return watch


def path_lengths(samples: list[Tensor]) -> Tensor:
    """Return how far each unit's distribution travelled, summed from look to look.

    Parameters
    ----------
    samples : list of torch.Tensor of shape (N, units)
        The values of the same examples at successive times.
    """
    return sum(wasserstein(a, b) for a, b in itertools.pairwise(samples))


def typical_unit(samples: list[Tensor]) -> int:
    """Return the unit whose path length is the median of all (the lower, of two)."""
    lengths = path_lengths(samples)
    return int(lengths.argsort()[(len(lengths) - 1) // 2])


def until_loss(
    model: nn.Sequential, data: Data, target: float, *, every: int = 5, **options
) -> tuple[nn.Sequential, int]:
    """Train and return the model as it was when its loss first fell below `target`.

    Parameters
    ----------
    model : torch.nn.Sequential
        Of sigmoid layers; trained, in place, for as long as `options` say.
    data : Data
        The loss is that of all its training examples, taken as one batch.
    target : float
        Cross-entropy to reach.
    every : int
        How often, in steps, to look.
    **options
        For `experiments.training.train`.

    Returns
    -------
    model : torch.nn.Sequential
        A copy of the model at that time.
    when : int
        The number of steps that it took.

    Raises
    ------
    ValueError
        If the loss stays above `target`.
    """
    found = []
    looks = itertools.count(0, every)

    def watch(model):
        when = next(looks)
        if not found:
            with torch.no_grad():
                last = hidden_layers(model, data.x)[-1]
                loss = cross_entropy(model[-1](last.y.sigmoid()), data.y).item()
            if loss < target:
                found.extend((copy.deepcopy(model), when))
        return {}

    train(model, data, watch=watch, every=every, **options)
    if not found:
        raise ValueError(f"target: the loss did not fall below {target}")
    return found[0], found[1]


def own_mean_step(
    model: nn.Sequential, u: Tensor, labels: Tensor, rate: float
) -> dict[str, Tensor]:
    """Return how the last hidden layer's own step moves the means of its x.

    Parameters
    ----------
    model : torch.nn.Sequential
        In training mode; not changed.
    u, labels : torch.Tensor
        The batch; the means are those over this batch.
    rate : float
        Learning rate.

    Returns
    -------
    dict of str to torch.Tensor
        "common", shape (units,): the part that comes from the summed error signal.
        "rest", shape (units,): what is left. "sd", shape (units,): of x. "offset",
        "variance", scalars: squared length of the mean input (with 1 for a bias), and
        the summed variance of the inputs.
    """
    model = copy.deepcopy(model)
    place = [k for k, layer in enumerate(model) if isinstance(layer, nn.Linear)][-2]
    with torch.no_grad():
        below = model[:place](u)
    x = model[place](below).detach().requires_grad_()
    (delta,) = torch.autograd.grad(cross_entropy(model[place + 1 :](x), labels), x)
    mean = below.mean(0)
    offset = mean @ mean + (model[place].bias is not None)
    return {
        "common": -rate * offset * delta.sum(0),
        "rest": -rate * delta.T @ ((below - mean) @ mean),
        "sd": x.detach().std(0, correction=0),
        "offset": offset,
        "variance": below.var(0, correction=0).sum(),
    }


def centred_step(
    model: nn.Sequential, u: Tensor, labels: Tensor, rate: float
) -> dict[str, Tensor]:
    """Return the parameters after a step without its pushes along mean inputs.

    In every hidden layer the gradient for the weights, the sum of delta_n a_n^T over
    the batch, becomes that of delta_n (a_n - mean a)^T, and biases stay. The last
    layer makes its whole step.

    Parameters
    ----------
    model : torch.nn.Sequential
        Without normalisation; not changed.
    u, labels, rate : torch.Tensor, torch.Tensor, float
        The batch, its classes, the learning rate.
    """
    parameters = step(model, u, labels, rate)
    with torch.no_grad():
        for place, layer in enumerate(model[:-1]):
            if isinstance(layer, nn.Linear):
                push = parameters[f"{place}.bias"] - layer.bias  # -rate * sum of delta
                parameters[f"{place}.weight"] -= torch.outer(push, u.mean(0))
                parameters[f"{place}.bias"] = layer.bias.detach()
            u = layer(u)
    return parameters


def block_moves(
    model: nn.Sequential, u: Tensor, labels: Tensor, rate: float
) -> dict[str, tuple[float, float]]:
    """Return what a step does to the last hidden layer, whole and in parts.

    Parameters
    ----------
    model : torch.nn.Sequential
        Without normalisation; not changed.
    u, labels, rate : torch.Tensor, torch.Tensor, float
        The batch, its classes, the learning rate.

    Returns
    -------
    dict of str to tuple of float
        Move of the mean and Wasserstein distance, in standard deviations, medians over
        units, for the "whole" step, for the layer's "own" step alone, and for the
        "centred" step.
    """
    whole = step(model, u, labels, rate)
    last = [k for k, layer in enumerate(model) if isinstance(layer, nn.Linear)][-2]
    steps = {
        "whole": whole,
        "own": {n: p for n, p in whole.items() if int(n.split(".")[0]) == last},
        "centred": centred_step(model, u, labels, rate),
    }
    old = hidden_layers(model, u)[-1].y
    moves = {}
    for name, parameters in steps.items():
        new = hidden_layers(after(model, parameters), u)[-1].y
        distance = wasserstein(old, new) / old.std(0, correction=0)
        moves[name] = mean_drift(old, new).median().item(), distance.median().item()
    return moves


def step_response(
    model: nn.Sequential, data: Data, rates: Sequence[float], *, batch: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Return what steps of different lengths below do to the last layer.

    Parameters
    ----------
    model : torch.nn.Sequential
        In training mode; not changed.
    data, batch, seed : Data, int, int
        Each step is tried with the same four batches, drawn with this seed.
    rates : sequence of float
        Learning rates of the step.

    Returns
    -------
    relative, gain : torch.Tensor of shape (rates,)
        Relative change of the gradient, median over batches; share of the batches whose
        loss falls.
    """
    shifts = [
        [
            layer_shifts(model, *batch_of(data, batch, 100 * seed + k), rate)[-1]
            for k in range(4)
        ]
        for rate in rates
    ]
    relative = torch.tensor([[s.relative for s in row] for row in shifts])
    falls = torch.tensor([[float(s.gain > 0) for s in row] for row in shifts])
    return relative.quantile(0.5, dim=1), falls.mean(1)
