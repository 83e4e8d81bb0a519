"""Folklore, tested: one set of networks for many claims, and the list of the claims."""

import copy
import functools
import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from IPython.display import Markdown
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from experiments.data import Data, digits
from experiments.models import mlp
from experiments.side_by_side import train_many
from experiments.training import accuracy, train

ACTIVATIONS = {
    "ReLU": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "SELU": nn.SELU,
}
RATES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)

_digits = functools.cache(digits)  # read once for each seed

# -- One grid for many claims ----------------------------------------------------------


def network(
    depth: int,
    *,
    norm: str | None = "before",
    activation: str = "ReLU",
    scale: float = 1.0,
    width: int = 32,
) -> nn.Sequential:
    """Return a network for the digits, with weights at a good scale or off it.

    Parameters
    ----------
    depth, width : int
        Number of hidden layers, and of their units.
    norm : str or None
        Whether batch normalisation stands "before" or "after" each activation.
    activation : str
        A key of `ACTIVATIONS`.
    scale : float
        Factor of the hidden weights, whose standard deviation is otherwise
        sqrt(2 / inputs) for ReLU (He) and sqrt(1 / inputs) for the rest (LeCun).
    """
    make = ACTIVATIONS[activation]
    model = mlp(
        (64, *[width] * depth, 10),
        norm=nn.BatchNorm1d if norm == "before" else None,
        activation=make,
    )
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    for layer in linear:
        gain = 2**0.5 if activation == "ReLU" else 1.0
        gain = 1.0 if layer is linear[-1] else gain * scale
        nn.init.normal_(layer.weight, std=gain / layer.in_features**0.5)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    if norm == "after":  # the layers keep their biases, which set the thresholds
        layers: list[nn.Module] = []
        for layer in model:
            layers.append(layer)
            if isinstance(layer, make):
                layers.append(nn.BatchNorm1d(width))
        model = nn.Sequential(*layers)
    return model


@dataclass
class Arm:
    """What came of one kind of network, at each rate, initial scale and seed.

    Attributes
    ----------
    rates, scales : tuple of float
        Learning rates; factors of the initial weights.
    validation, test : numpy.ndarray of shape (rates, scales, seeds)
        Share of right classes, in per cent.
    loss : numpy.ndarray of shape (steps, rates, scales, seeds)
        Of each step's batch.
    """

    rates: tuple[float, ...]
    scales: tuple[float, ...]
    validation: np.ndarray
    test: np.ndarray
    loss: np.ndarray

    def best(self, scale: float = 1.0) -> int:
        """Return the number of the rate that is best on held-out examples."""
        return int(self.validation[:, self.scales.index(scale)].mean(-1).argmax())

    def rate(self, scale: float = 1.0) -> float:
        """Return the learning rate chosen so, by the mean over seeds."""
        return self.rates[self.best(scale)]

    def accuracy(self, scale: float = 1.0) -> np.ndarray:
        """Test accuracy of each seed at that rate."""
        return self.test[self.best(scale), self.scales.index(scale)]

    def at(self, rate: float, scale: float = 1.0) -> np.ndarray:
        """Test accuracy of each seed at a given rate."""
        return self.test[self.rates.index(rate), self.scales.index(scale)]

    def losses(self, rate: float | None = None, scale: float = 1.0) -> np.ndarray:
        """Loss of each step and seed, at a rate, or else at the best."""
        k = self.best(scale) if rate is None else self.rates.index(rate)
        return self.loss[:, k, self.scales.index(scale)]

    def usable(self, scale: float = 1.0, level: float = 80.0) -> np.ndarray:
        """Return the largest rate at which each seed is above a level, held out."""
        good = self.validation[:, self.scales.index(scale)] >= level
        return np.where(good, np.array(self.rates)[:, None], 0).max(axis=0)


def run(
    make: Callable[..., nn.Module],
    *,
    seeds: Sequence[int],
    scales: Sequence[float] = (1.0,),
    rates: Sequence[float] = RATES,
    steps: int = 100,
    images: bool = False,
) -> Arm:
    """Train a kind of network at all rates, initial scales and seeds, side by side.

    Plain gradient descent on batches of 64 digits; a seed decides the division of the
    data, the weights, and the order.

    Parameters
    ----------
    make : callable
        ``make(scale=1.0)`` returns a network.
    seeds, scales, rates : sequence
        What to try.
    steps : int
        Of each run.
    images : bool
        Whether the network takes images.
    """
    data = [_digits(images=images, seed=seed) for seed in seeds]
    # train_many makes its networks rate by rate, and for each rate seed by seed.
    each = itertools.cycle([scale for scale in scales for _ in seeds])
    runs = train_many(
        lambda: make(scale=next(each)),
        data * len(scales),
        rates=rates,
        seeds=tuple(seeds) * len(scales),
        steps=steps,
        batch=64,
        momentum=0.0,
    )
    shape = (len(rates), len(scales), len(seeds))
    return Arm(
        rates=tuple(rates),
        scales=tuple(scales),
        validation=runs.validation.reshape(shape),
        test=runs.test.reshape(shape),
        loss=runs.loss.reshape(steps, *shape),
    )


def steps_to(loss: np.ndarray, target: float, window: int = 10) -> np.ndarray:
    """Return after how many steps the mean of the last losses is below a target.

    Parameters
    ----------
    loss : array of shape (steps, ...)
        Not finite where a run has diverged.
    target : float
        Of the mean.
    window : int
        How many losses the mean is over.

    Returns
    -------
    numpy.ndarray of shape (...)
        Infinite where it never happens.
    """
    total = np.cumsum(np.concatenate([np.zeros_like(loss[:1]), loss]), axis=0)
    below = (total[window:] - total[:-window]) / window < target
    return np.where(below.any(axis=0), below.argmax(axis=0) + float(window), np.inf)


def roughness(loss: np.ndarray, *, relative: bool = False) -> np.ndarray:
    """Return by how much the loss changes from one batch to the next, on average.

    Parameters
    ----------
    loss : array of shape (steps, ...)
        The second half of the steps counts.
    relative : bool
        In units of the mean loss.
    """
    half = loss[len(loss) // 2 :]
    change = abs(np.diff(half, axis=0)).mean(axis=0)
    return change / half.mean(axis=0) if relative else change


# -- Inputs that look different --------------------------------------------------------


def changes(seed: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return changes of images (N, 1, 8, 8), by name."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "none": lambda x: x,
        "contrast × 0.3": lambda x: 0.3 * x,
        "brightness + 2": lambda x: x + 2,
        "noise": lambda x: x + torch.randn(x.shape, generator=generator),
        "moved by a pixel": lambda x: x.roll(1, 3),
    }


@torch.no_grad()
def with_batch_statistics(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the share of right classes with the statistics of all of x, in per cent.

    The model stays as it is.
    """
    probe = copy.deepcopy(model).train()
    return 100 * (probe(x).argmax(1) == y).float().mean().item()


def robustness(
    make: dict[str, Callable[[], nn.Module]],
    rates: dict[str, float],
    *,
    seeds: Sequence[int],
    steps: int = 150,
) -> dict[str, dict[str, list[float]]]:
    """Train networks on digits, and test them on changed digits.

    Parameters
    ----------
    make, rates : dict
        Networks of images and their learning rates, by name; those named "batch norm"
        are tested in evaluation mode and with the statistics of the test images.
    seeds : sequence of int
        Of the division of the data, the weights, and the order.
    steps : int
        Of training, on batches of 64.

    Returns
    -------
    dict of str to dict of str to list
        For each change and way to predict, the test accuracy of each seed.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for seed in seeds:
        data = _digits(images=True, seed=seed)
        for name, network_of in make.items():
            torch.manual_seed(seed)
            model = network_of()
            train(model, data, rate=rates[name], steps=steps, seed=seed)
            for change, apply in changes(seed).items():
                x, rows = apply(data.x_test), found.setdefault(change, {})
                right = accuracy(model, x, data.y_test)
                if name != "batch norm":
                    rows.setdefault(name, []).append(right)
                    continue
                rows.setdefault(f"{name}, eval", []).append(right)
                by_batch = with_batch_statistics(model, x, data.y_test)
                rows.setdefault(f"{name}, test batch", []).append(by_batch)
    return found


# -- Costs -----------------------------------------------------------------------------


def stack(layers: int, channels: int, *, norm: bool) -> nn.Sequential:
    """Return convolutions of equal width, each with ReLU, and batch norm or not."""
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts.append(nn.Conv2d(channels, channels, 3, padding=1, bias=not norm))
        if norm:
            parts.append(nn.BatchNorm2d(channels))
        parts.append(nn.ReLU())
    return nn.Sequential(*parts)


def folded(model: nn.Sequential) -> nn.Sequential:
    """Return a copy in evaluation mode without batch norm: folded into convolutions."""
    layers: list[nn.Module] = []
    for layer in copy.deepcopy(model).eval():
        if isinstance(layer, nn.BatchNorm2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


def parameters(model: nn.Module) -> int:
    """Return how many numbers are trained."""
    return sum(p.numel() for p in model.parameters())


def timings(
    what: dict[str, Callable[[], object]], *, rounds: int = 5, repeats: int = 5
) -> dict[str, np.ndarray]:
    """Return processor seconds of each call, the least of some, for each round.

    All take turns, so that a busy machine is busy for all of them.
    """
    found: dict[str, list[float]] = {name: [] for name in what}
    for call in what.values():
        call()
    for _ in range(rounds):
        least = dict.fromkeys(what, np.inf)
        for _, (name, call) in itertools.product(range(repeats), what.items()):
            start = time.process_time()
            call()
            least[name] = min(least[name], time.process_time() - start)
        for name, value in least.items():
            found[name].append(value)
    return {name: np.array(values) for name, values in found.items()}


def training_step(model: nn.Module, x: Tensor) -> Callable[[], None]:
    """Return a function that runs a model forwards and backwards."""
    model.train()

    def step() -> None:
        model.zero_grad()
        model(x).square().mean().backward()

    return step


def prediction(model: nn.Module, x: Tensor) -> Callable[[], None]:
    """Return a function that predicts in evaluation mode."""
    model.eval()

    @torch.no_grad()
    def predict() -> None:
        model(x)

    return predict


# -- Company ---------------------------------------------------------------------------


def with_dropout(
    *, norm: bool, drop: float, wrong: float, rate: float, seed: int, steps: int = 150
) -> float:
    """Train on few digits, some with wrong labels; return the test accuracy.

    Parameters
    ----------
    norm : bool
        Whether batch normalisation stands before each activation.
    drop : float
        Share of the units that are dropped after each activation.
    wrong : float
        Share of the 256 training labels that are replaced by random ones.
    rate : float
        Learning rate.
    seed : int
        Of everything.
    steps : int
        Of training, on batches of 64.
    """
    data = _digits(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    x, y = data.x[:256], data.y[:256].clone()
    chosen = torch.rand(len(y), generator=generator) < wrong
    y[chosen] = torch.randint(0, 10, (int(chosen.sum()),), generator=generator)
    torch.manual_seed(seed)
    model = network(2, norm="before" if norm else None, width=64)
    layers: list[nn.Module] = []
    for layer in model:
        layers.append(layer)
        if isinstance(layer, nn.ReLU):
            layers.append(nn.Dropout(drop))
    model = nn.Sequential(*layers)
    train(model, Data(x, y, x, y), rate=rate, steps=steps, seed=seed)
    return accuracy(model, data.x_test, data.y_test)


# -- Gamma and beta --------------------------------------------------------------------


def watch_moments(x: Tensor) -> Callable[[nn.Module], dict]:
    """Return a function for `train` that looks at the moments of each batch norm.

    For each layer and unit, over x with its own statistics: mean and standard deviation
    of x_hat, of the output y, and of what the next linear layer gets.
    """

    @torch.no_grad()
    def watch(model: nn.Module) -> dict:
        h, found = x, {"x_hat": [], "y": [], "input": []}
        for layer in model:
            if isinstance(layer, nn.Linear) and found["y"]:
                found["input"].append(moments(h))
            if isinstance(layer, nn.BatchNorm1d):
                mean, var = h.mean(0), h.var(0, correction=0)
                x_hat = (h - mean) * torch.rsqrt(var + layer.eps)
                found["x_hat"].append(moments(x_hat))
                h = x_hat * layer.weight + layer.bias
                found["y"].append(moments(h))
            else:
                h = layer(h)
        return {name: np.stack(values) for name, values in found.items()}

    return watch


def moments(h: Tensor) -> np.ndarray:
    """Return mean and standard deviation of each column, shape (2, columns)."""
    return torch.stack([h.mean(0), h.std(0, correction=0)]).numpy()


# -- The claims ------------------------------------------------------------------------

KINDS = ("true", "partly", "depends", "false", "not shown")
SECTION = re.compile(
    r"^\(sec:folklore-(\d+)\)=\n#### (\d+)\. (.+)\n\n"
    r"((?:^> .*\n)+)\n\*\*([^*]+?)\.?\*\*",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Claim:
    """One sentence that is said about batch normalisation, and the answer to it.

    Attributes
    ----------
    number : int
        In this course's list.
    title, text : str
        In a few words, and as it is said.
    verdict : str
        One of `KINDS`.
    """

    number: int
    title: str
    text: str
    verdict: str


def claims(page: str | Path) -> list[Claim]:
    """Return the claims of a page, from its sections.

    A section is a label with the number, a heading, the claim as a quotation, and the
    verdict in bold, with which the answer begins.

    Raises
    ------
    ValueError
        If label and heading disagree, or a verdict is none of `KINDS`.
    """
    found = []
    for label, number, title, quote, verdict in SECTION.findall(
        Path(page).read_text(encoding="utf-8")
    ):
        if label != number:
            raise ValueError(f"section {label} has the heading {number}. {title}")
        kind = verdict.lower().removesuffix(" here")
        if kind not in KINDS:
            raise ValueError(f"claim {number}: {verdict!r} is none of {KINDS}")
        text = " ".join(line.removeprefix("> ") for line in quote.splitlines())
        found.append(Claim(int(number), title, text, kind))
    return found


def summary(page: str | Path) -> Markdown:
    """Return a table of all claims, linked to their sections."""
    lines = ["| | the claim, in short | verdict |", "|---|---|---|"]
    lines += [
        f"| {c.number} | {{ref}}`{c.title} <sec:folklore-{c.number}>` | {c.verdict} |"
        for c in sorted(claims(page), key=lambda claim: claim.number)
    ]
    return Markdown("\n".join(lines))


def count(page: str | Path) -> Counter:
    """Count the claims of a page by their verdicts."""
    return Counter(claim.verdict for claim in claims(page))
