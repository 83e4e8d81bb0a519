"""Networks whose two modes disagree, and what to do about it."""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from experiments.data import Data
from experiments.models import mlp
from experiments.training import accuracy, batches, step, train

WIDTHS = (64, 100, 100, 10)


def network(seed: int, *, norm: bool = True, momentum: float | None = 0.1) -> nn.Module:
    """Return a network of two hidden layers for the digits.

    Parameters
    ----------
    seed : int
        Of the weights.
    norm : bool
        Whether hidden layers are batch normalised.
    momentum : float, optional
        Of the running statistics; None: the plain mean of all batches.
    """
    torch.manual_seed(seed)
    return mlp(
        WIDTHS,
        norm=(lambda width: nn.BatchNorm1d(width, momentum=momentum)) if norm else None,
    )


def norm_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the batch normalisations of a model, by name."""
    return {n: m for n, m in model.named_modules() if isinstance(m, _BatchNorm)}


@torch.no_grad()
def compare_modes(model: nn.Module, x: Tensor) -> dict[str, tuple[float, float]]:
    """Return how far batch and running statistics are apart, layer by layer.

    The model stays as it is. Each layer sees what it sees in training mode, so that an
    error of one layer is not counted again in the next.

    Parameters
    ----------
    model : torch.nn.Module
        With batch normalisations.
    x : torch.Tensor
        A batch of inputs; the larger, the finer the comparison.

    Returns
    -------
    dict of str to (float, float)
        For each layer, over its channels, the mean distance of the means in standard
        deviations, and the mean absolute logarithm of the ratio of standard deviations.
    """
    probe, rows = copy.deepcopy(model).eval(), {}
    for name, layer in norm_layers(probe).items():

        def look(layer: nn.Module, inputs: tuple, name: str = name) -> None:
            values = inputs[0].transpose(0, 1).flatten(1)
            v, mu = torch.var_mean(values, 1, correction=0)
            sd, running_sd = ((u + layer.eps).sqrt() for u in (v, layer.running_var))
            d, rho = (layer.running_mean - mu) / sd, sd / running_sd
            rows[name] = d.abs().mean().item(), rho.log().abs().mean().item()

        layer.train().register_forward_pre_hook(look)
    probe(x)
    return rows


@torch.no_grad()
def batch_predictions(model: nn.Module, x: Tensor, size: int | None = None) -> Tensor:
    """Return a model's outputs with the statistics of batches of x.

    The model stays as it is, its running statistics too; dropout is off.

    Parameters
    ----------
    model : torch.nn.Module
        With or without batch normalisations.
    x : torch.Tensor
        Inputs, normalised in the order in which they stand.
    size : int, optional
        Of the batches; None: all in one. A last one of fewer than two joins the one
        before.
    """
    probe = copy.deepcopy(model).eval()
    for layer in norm_layers(probe).values():
        layer.train()
    parts = list(x.split(size or len(x)))
    if len(parts) > 1 and len(parts[-1]) < 2:
        parts[-2:] = [torch.cat(parts[-2:])]
    return torch.cat([probe(part) for part in parts])


def share_right(outputs: Tensor, y: Tensor) -> float:
    """Return the share of right classes, in per cent."""
    return 100 * (outputs.argmax(1) == y).double().mean().item()


@torch.no_grad()
def recompute(model: nn.Module, parts: Iterable[Tensor]) -> nn.Module:
    """Replace running statistics by those of given batches; weights stay as they are.

    The mean of the batches' means, and the mean of their unbiased variances: this is
    PreciseBN of Wu and Johnson (2021) with the variance as in fvcore. But: the variance
    *between* the batches' means is not in it. Shuffle the examples first.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place, in its batch normalisations only; returned in evaluation mode.
    parts : iterable of torch.Tensor
        Batches of inputs, as in training.
    """
    layers = norm_layers(model).values()
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.train().reset_running_stats()
        layer.momentum = None  # every batch weighs the same
    for x in parts:
        model(x)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    return model.eval()


def shuffled(x: Tensor, size: int = 64, seed: int = 0) -> tuple[Tensor, ...]:
    """Return examples in random order, in batches; a smaller last one is left out."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    return x[order[: len(x) // size * size]].split(size)


def train_on(
    model: nn.Module,
    stream: Iterable[tuple[Tensor, Tensor]],
    *,
    rate: float,
    steps: int,
    prepare: Callable[[nn.Module], object] = nn.Module.train,
) -> None:
    """Train a classifier on a given stream of batches, by gradient descent.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place.
    stream : iterable of (x, y)
        One batch for each step.
    rate, steps : float, int
        Learning rate, how many steps.
    prepare : callable
        Sets the modes, once; ``model.train()`` unless told otherwise.
    """
    prepare(model)
    learning = [p for p in model.parameters() if p.requires_grad]
    for (x, y), _ in zip(stream, range(steps), strict=False):
        step(cross_entropy(model(x), y), learning, rate)


def trained(
    seed: int,
    data: Data,
    *,
    rate: float,
    steps: int = 300,
    norm: bool = True,
    momentum: float | None = 0.1,
) -> nn.Module:
    """Return a trained `network`, in evaluation mode."""
    model = network(seed, norm=norm, momentum=momentum)
    train(model, data, rate=rate, steps=steps, seed=seed)
    return model.eval()


def tune(data: Data, rates: Iterable[float], *, norm: bool, seeds=(100, 101)):
    """Return the rate that is best on 300 training examples held out.

    By the mean accuracy in evaluation mode over seeds of their own.
    """
    held = Data(data.x[300:], data.y[300:], data.x[:300], data.y[:300])

    def score(rate: float) -> float:
        models = (trained(seed, held, rate=rate, norm=norm) for seed in seeds)
        return sum(accuracy(m, held.x_test, held.y_test) for m in models)

    return max(rates, key=score)


def without_start(model: nn.Module, steps: int) -> nn.Module:
    """Return a copy whose running statistics have forgotten their start, 0 and 1.

    As in Adam: take away what is left of the start, divide by the rest of the weight.
    """
    corrected = copy.deepcopy(model)
    for layer in norm_layers(corrected).values():
        left = (1 - layer.momentum) ** steps
        layer.running_mean.div_(1 - left)
        layer.running_var.sub_(left).div_(1 - left)
    return corrected


class Frozen(nn.Module):
    """A part of a network that stays in evaluation mode and is not trained."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> nn.Module:
        """Stay in evaluation mode, whatever the network around is told."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the body's output."""
        return self.body(x)


# Fine-tuning


def only(data: Data, classes: range) -> Data:
    """Return the examples of some classes, numbered from 0."""
    start = classes.start
    keep, keep_test = ((y >= start) & (y < classes.stop) for y in (data.y, data.y_test))
    return Data(
        data.x[keep],
        data.y[keep] - start,
        data.x_test[keep_test],
        data.y_test[keep_test] - start,
    )


def changed(data: Data, how: Callable[[Tensor], Tensor]) -> Data:
    """Return the data with all inputs changed."""
    return Data(how(data.x), data.y, how(data.x_test), data.y_test)


def fine_tune(model: nn.Module, data: Data, *, frozen: str, seed: int) -> nn.Module:
    """Return a copy whose last layer is new and trained; the others' weights stay.

    Parameters
    ----------
    model : torch.nn.Sequential
        A trained network; not changed.
    data : Data
        Of the new task, five classes.
    frozen : str
        "weights": ``requires_grad = False`` and nothing else, so that the running
        statistics go on moving; "all": the body is in evaluation mode besides.
    seed : int
        Of the new layer and of the order of examples.
    """
    tuned = copy.deepcopy(model)
    tuned.requires_grad_(False)
    torch.manual_seed(seed)
    tuned[-1] = nn.Linear(tuned[-1].in_features, 5)

    def modes(net: nn.Module) -> None:
        net.train(frozen == "weights")

    train_on(tuned, batches(data, 64, seed), rate=0.1, steps=200, prepare=modes)
    return tuned.eval()


# Shifted inputs


def shifts(seed: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return changes of digits, by name; each takes and returns inputs (N, 64)."""
    generator = torch.Generator().manual_seed(seed)
    pattern = torch.randn(64, generator=generator)
    gains = (0.6 * torch.randn(64, generator=generator)).exp()

    def image(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda x: change(x.view(-1, 8, 8)).reshape(len(x), 64)

    def noise(x: Tensor) -> Tensor:
        return x + torch.randn(x.shape, generator=generator)

    return {
        "none": lambda x: x,
        "contrast × 0.3": lambda x: 0.3 * x,
        "contrast × 3": lambda x: 3 * x,
        "brightness + 2": lambda x: x + 2,
        "a pattern added": lambda x: x + pattern,
        "inverted": lambda x: -x,
        "gain by pixel": lambda x: gains * x,
        "noise": noise,
        "moved by a pixel": image(lambda x: x.roll(1, 2)),
        "turned by 90°": image(lambda x: x.rot90(1, (1, 2))),
    }


def blend(model: nn.Module, prior: float) -> nn.Module:
    """Return a copy that mixes its statistics with those of each batch it gets.

    ``prior`` counts how many examples the running statistics are worth, N in Schneider
    et al. (2020): weight ``prior / (prior + len(x))`` for them, the rest for the batch.
    """
    mixed = copy.deepcopy(model).eval()
    for layer in norm_layers(mixed).values():
        own = layer.running_mean.clone(), layer.running_var.clone()

        def mix(layer: nn.Module, inputs: tuple, own: tuple = own) -> None:
            (x,) = inputs
            v, mu = torch.var_mean(x, 0, correction=0)
            weight = len(x) / (prior + len(x))
            layer.running_mean.copy_(own[0].lerp(mu, weight))
            layer.running_var.copy_(own[1].lerp(v, weight))

        layer.register_forward_pre_hook(mix)
    return mixed


@torch.no_grad()
def blended_predictions(model: nn.Module, x: Tensor, size: int, prior: float) -> Tensor:
    """Return outputs of batches of x with statistics blended for each batch."""
    mixed = blend(model, prior)
    return torch.cat([mixed(part) for part in x.split(size)])


# Across the batch


def standardise_each(x: Tensor) -> Tensor:
    """Return examples with mean 0 and standard deviation 1 over their own pixels."""
    return (x - x.mean(1, keepdim=True)) / x.std(1, correction=0, keepdim=True)


def sorted_batches(data: Data, size: int, seed: int) -> Iterator[tuple]:
    """Yield batches of one class each, the class drawn at random, for ever."""
    generator = torch.Generator().manual_seed(seed)
    of_class = [torch.nonzero(data.y == c)[:, 0] for c in range(10)]
    while True:
        for c in torch.randperm(10, generator=generator).tolist():
            drawn = torch.randint(len(of_class[c]), (size,), generator=generator)
            part = of_class[c][drawn]
            yield data.x[part], data.y[part]


def comparator(seed: int, *, norm: bool) -> nn.Module:
    """Return a network that sees one number of an example, perhaps normalised."""
    torch.manual_seed(seed)
    first = [nn.BatchNorm1d(1)] if norm else []
    return nn.Sequential(*first, nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 2))


def pairs(seed: int) -> Iterator[tuple]:
    """Yield batches of two random numbers; the class says which is the larger one."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        x = torch.randn(2, 1, generator=generator)
        yield x, (x > x.flip(0))[:, 0].long()


def neighbour_effect(model: nn.Module, x: Tensor) -> float:
    """Return the derivative of the first example's output by the others' inputs.

    The greatest absolute value; exactly zero if examples do not know each other. In the
    modes that the model is in; running statistics stay as they are.
    """
    probe = copy.deepcopy(model)
    x = x.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(probe(x)[0].sum(), x)
    return gradient[1:].abs().max().item()


# Two domains


def domain_batches(
    one: Data, other: Data, *, mixed: bool, seed: int
) -> Iterator[tuple]:
    """Yield batches of 64: half of each domain, or from one domain in turn."""
    streams = [batches(one, 32 if mixed else 64, seed)]
    streams.append(batches(other, 32 if mixed else 64, seed + 1000))
    while True:
        parts = [next(stream) for stream in streams]
        if mixed:
            yield tuple(torch.cat(both) for both in zip(*parts, strict=True))
        else:
            yield from parts


def discriminator(
    data: Data, fake: Callable[[Tensor], Tensor], *, mixed: bool, seed: int
) -> float:
    """Train a network to tell digits from fakes; return its accuracy in per cent.

    Parameters
    ----------
    data : Data
        Real digits; the first half of each part stays real.
    fake : callable
        Makes fakes out of the other half.
    mixed : bool
        Whether real ones and fakes are normalised together, in training and in the
        test, or in batches of their own. The test uses batch statistics, as in the
        training of a GAN.
    seed : int
        Of weights and order.
    """
    torch.manual_seed(seed)
    model = mlp((64, 100, 100, 2))
    half = len(data.x) // 2
    real = batches(replace(data, x=data.x[:half], y=data.y[:half]), 64, seed)
    other = batches(replace(data, x=data.x[half:], y=data.y[half:]), 64, seed + 1)

    def logits(x: Tensor, z: Tensor) -> Tensor:
        if mixed:
            return model(torch.cat([x, z]))
        return torch.cat([model(x), model(z)])

    labels = torch.arange(2).repeat_interleave(64)
    for (x, _), (z, _), _ in zip(real, other, range(200), strict=False):
        step(cross_entropy(logits(x, fake(z)), labels), [*model.parameters()], 0.1)
    half = len(data.x_test) // 2
    with torch.no_grad():
        outputs = logits(data.x_test[:half], fake(data.x_test[half : 2 * half]))
    return share_right(outputs, torch.arange(2).repeat_interleave(half))
