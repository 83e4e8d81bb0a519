"""Fully connected networks with and without batch normalisation, side by side.

The first axis of every parameter counts networks, which differ in their seed and in
their learning rate: a grid of rates costs little more than one run. Batch statistics
only; no running ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from experiments.data import Data
from experiments.training import descend

EPS = 1e-5


@dataclass
class Nets:
    """ReLU networks of one shape.

    Attributes
    ----------
    weights : list of torch.Tensor
        One for each layer, shape (nets, inputs, outputs).
    shifts : list of torch.Tensor
        Beta, or the bias of a layer that is not normalised; shape (nets, 1, outputs).
    scales : list of torch.Tensor
        Gamma of each hidden layer, shape (nets, 1, outputs); empty if the networks are
        not normalised.
    """

    weights: list[torch.Tensor]
    shifts: list[torch.Tensor]
    scales: list[torch.Tensor]

    @property
    def parameters(self) -> list[torch.Tensor]:
        """All that is trained."""
        return self.weights + self.shifts + self.scales

    def moved(self, steps: Sequence[torch.Tensor]) -> "Nets":
        """Return networks with a step added to each of the `parameters`."""
        new = [p + step for p, step in zip(self.parameters, steps, strict=True)]
        layers = len(self.weights)
        return Nets(new[:layers], new[layers : 2 * layers], new[2 * layers :])


def start(
    widths: Sequence[int], seeds: Sequence[int], *, normalised: bool, copies: int = 1
) -> Nets:
    """Return networks at He initialisation, `copies` of each seed next to one another.

    Parameters
    ----------
    widths : sequence of int
        Inputs, hidden layers, classes.
    seeds : sequence of int
        Networks of one seed have the same weights, normalised or not.
    normalised : bool
        Whether batch normalisation stands before every ReLU.
    copies : int
        Such as the number of learning rates.
    """
    sources = [torch.Generator().manual_seed(seed) for seed in seeds]
    weights = []
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        gain = 1 if layer == len(widths) - 2 else 2  # no ReLU after the last
        draws = [torch.randn(inputs, outputs, generator=source) for source in sources]
        weights.append((gain / inputs) ** 0.5 * torch.stack(draws))
    weights = [w.repeat_interleave(copies, dim=0) for w in weights]
    nets = len(weights[0])
    shifts = [torch.zeros(nets, 1, outputs) for outputs in widths[1:]]
    hidden = widths[1:-1] if normalised else ()
    return Nets(weights, shifts, [torch.ones(nets, 1, outputs) for outputs in hidden])


@dataclass
class Pass:
    """What `forward` returns.

    Attributes
    ----------
    logits : torch.Tensor
        Shape (nets, examples, classes).
    hidden : list of torch.Tensor
        What goes into each ReLU, shape (nets, examples, units).
    statistics : list of tuple of torch.Tensor
        Mean and variance of each normalised layer, shape (nets, 1, units).
    """

    logits: torch.Tensor
    hidden: list[torch.Tensor]
    statistics: list[tuple[torch.Tensor, torch.Tensor]]


def forward(nets: Nets, x: torch.Tensor, *, noise=None, statistics=None) -> Pass:
    """Apply the networks.

    Parameters
    ----------
    nets : Nets
        The networks.
    x : torch.Tensor
        Shape (examples, inputs), the same for all, or (nets, examples, inputs).
    noise : callable, optional
        ``noise(layer, h)`` takes and returns what goes into a ReLU.
    statistics : list, optional
        Of another pass, to normalise with instead of this batch's.
    """
    hidden, used = [], []
    for layer, (w, shift) in enumerate(zip(nets.weights, nets.shifts, strict=True)):
        h = x @ w
        if layer == len(nets.weights) - 1:
            return Pass(h + shift, hidden, used)
        if nets.scales:
            given = statistics and statistics[layer]
            mean = given[0] if given else h.mean(1, keepdim=True)
            h = h - mean
            variance = given[1] if given else h.square().mean(1, keepdim=True)
            used.append((mean, variance))
            factor = torch.rsqrt(variance + EPS) * nets.scales[layer]
            h = torch.addcmul(shift, h, factor)
        else:
            h = h + shift
        if noise is not None:
            h = noise(layer, h)
        hidden.append(h)
        x = torch.relu(h)
    raise ValueError("nets: no layers")


def losses(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return each network's mean cross-entropy; y has shape (nets, examples)."""
    each = cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none")
    return each.view(y.shape).mean(1)


class MovingNoise:
    """Noise whose distribution is another one at each step, and for each unit.

    To unit j at step t belong a scale s and a shift m, drawn uniformly from
    [1, 1 + strength / 2] and [-strength, strength]; its value h for an example becomes
    s * h + m, plus a little noise of standard deviation 0.1 drawn for every value.

    Parameters
    ----------
    strength : float
        How far the distribution moves.
    frozen : bool
        Whether scales and shifts stay what they were at the first step: as strong a
        disturbance, which does not move.
    seed : int
        Of all that is drawn.
    """

    def __init__(self, strength: float, *, frozen: bool = False, seed: int = 0):
        self._strength = strength
        self._frozen = frozen
        self._generator = torch.Generator().manual_seed(seed)
        self._moments: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def step(self) -> None:
        """Move on to the next step's distribution."""
        if not self._frozen:
            self._moments.clear()

    def __call__(self, layer: int, h: torch.Tensor) -> torch.Tensor:
        """Return the disturbed values of a layer."""
        if layer not in self._moments:
            draw = torch.rand(2, len(h), 1, h.shape[2], generator=self._generator)
            scale = 1 + self._strength / 2 * draw[0]
            self._moments[layer] = scale, self._strength * (2 * draw[1] - 1)
        scale, shift = self._moments[layer]
        return scale * h + shift + 0.1 * torch.randn(h.shape, generator=self._generator)


def train(
    nets: Nets,
    data: Data,
    *,
    rates: Sequence[float],
    seeds: Sequence[int],
    steps: int,
    batch: int = 64,
    noise: MovingNoise | None = None,
    half_life: float = np.inf,
    watch: Callable[[Nets, torch.Tensor, torch.Tensor], dict] | None = None,
    every: int = 1,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Train by plain stochastic gradient descent.

    Parameters
    ----------
    nets : Nets
        From `start` with these seeds and ``copies=len(rates)``. Changed in place.
    data : Data
        What to learn.
    rates : sequence of float
        Learning rates, the same for every seed.
    seeds : sequence of int
        Of the order of examples; networks of one seed meet the same batches.
    steps, batch : int
        How many steps, of how many examples each.
    noise : MovingNoise, optional
        Disturbs what goes into every ReLU.
    half_life : float
        Steps after which the learning rate is halved, gradually.
    watch : callable, optional
        ``watch(nets, x, y)`` returns what to remember, by name: each an array whose
        first axis counts networks. Called before the first step and after each `every`.

    Returns
    -------
    losses : numpy.ndarray of shape (seeds, rates, steps)
        Of each step's batch, before the step; not finite where it diverged.
    seen : dict of str to numpy.ndarray
        What was watched, shape (looks, nets, ...).
    """
    rate = torch.tensor(rates, dtype=torch.float32).repeat(len(seeds))
    sources = [torch.Generator().manual_seed(1000 + seed) for seed in seeds]
    seen: dict[str, list] = {}

    def examples():
        for step in range(steps + 1):
            rows = torch.stack(
                [torch.randint(len(data.x), (batch,), generator=g) for g in sources]
            ).repeat_interleave(len(rates), dim=0)
            x, y = data.x[rows], data.y[rows]
            if noise is not None:
                noise.step()
            if watch is not None and step % every == 0:
                for name, value in watch(nets, x, y).items():
                    seen.setdefault(name, []).append(np.asarray(value))
            if step < steps:
                yield x, y

    history = descend(
        nets.parameters,
        lambda x, y: losses(forward(nets, x, noise=noise).logits, y),
        examples(),
        lambda step: 0.5 ** (step / half_life) * rate,
    )
    history = history.view(steps, len(seeds), len(rates)).permute(1, 2, 0).numpy()
    return history, {name: np.array(values) for name, values in seen.items()}


@torch.no_grad()
def test_accuracy(nets: Nets, data: Data) -> np.ndarray:
    """Return each network's share of right test answers, in per cent.

    Normalised with the statistics of the whole training set.
    """
    statistics = forward(nets, data.x).statistics
    logits = forward(nets, data.x_test, statistics=statistics).logits
    return 100 * (logits.argmax(2) == data.y_test).float().mean(1).numpy()


def average(history: np.ndarray, last: int | None = None) -> np.ndarray:
    """Return the mean loss of all or of the last steps; infinite if not a number."""
    mean = history[..., -(last or 0) :].mean(axis=-1)
    return np.where(np.isfinite(mean), mean, np.inf)


def tuned(
    widths: Sequence[int],
    data: Data,
    *,
    normalised: bool,
    rates: Sequence[float],
    steps: int,
    noise: Callable[[], MovingNoise] | None = None,
    half_life: float = np.inf,
    last: int | None = None,
    seeds: Sequence[int] = (100, 101),
) -> float:
    """Return the learning rate with the lowest loss, over seeds kept for tuning.

    Parameters
    ----------
    widths, data, normalised, rates, steps, half_life
        As for `start` and `train`.
    noise : callable, optional
        Makes the noise for a run.
    last : int, optional
        Judge by the mean loss of so many last steps instead of all.
    seeds : sequence of int
        Not those that results are reported for.
    """
    nets = start(widths, seeds, normalised=normalised, copies=len(rates))
    history, _ = train(
        nets,
        data,
        rates=rates,
        seeds=seeds,
        steps=steps,
        noise=noise and noise(),
        half_life=half_life,
    )
    return float(rates[average(history, last).mean(axis=0).argmin()])


def largest_rate(history: np.ndarray, rates: Sequence[float]) -> np.ndarray:
    """Return the largest rate that still trains, for each seed.

    It trains if the mean loss of the last 20 steps is below 2; guessing among ten
    classes has 2.30.
    """
    trains = average(history, 20) < 2
    return np.where(trains, rates, 0).max(axis=1)


def moments(nets: Nets, x: torch.Tensor, noise: MovingNoise | None = None) -> dict:
    """Return mean and standard deviation of what goes into each ReLU.

    Returns
    -------
    dict of str to numpy.ndarray
        "mean" and "sd", shape (nets, layers, units), over the examples of x.
    """
    with torch.no_grad():
        hidden = torch.stack(forward(nets, x, noise=noise).hidden, dim=1)
    return {
        "mean": hidden.mean(2).numpy(),
        "sd": hidden.std(2, correction=0).numpy(),
    }


def shift(seen: dict[str, np.ndarray]) -> np.ndarray:
    """Return how far the distributions moved from look to look.

    Parameters
    ----------
    seen : dict
        Moments by `train`, shape (looks, nets, layers, units).

    Returns
    -------
    numpy.ndarray of shape (looks - 1, nets, layers)
        Root mean square over units of the Wasserstein distance between two Gaussians
        with these moments, divided by the root mean square standard deviation.
    """
    squares = np.diff(seen["mean"], axis=0) ** 2 + np.diff(seen["sd"], axis=0) ** 2
    return np.sqrt(squares.mean(-1) / (seen["sd"][:-1] ** 2).mean(-1))


def gradient(nets: Nets, x: torch.Tensor, y: torch.Tensor) -> tuple:
    """Return each network's loss and the gradient of all its parameters."""
    moving = [p.detach().requires_grad_() for p in nets.parameters]
    layers = len(nets.weights)
    nets = Nets(moving[:layers], moving[layers : 2 * layers], moving[2 * layers :])
    loss = losses(forward(nets, x).logits, y)
    return loss.detach(), torch.autograd.grad(loss.sum(), moving)


def norm(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return each network's Euclidean length of several tensors together."""
    return sum(t.square().sum((1, 2)) for t in tensors).sqrt()


def landscape(
    nets: Nets, x: torch.Tensor, y: torch.Tensor, etas: torch.Tensor
) -> dict[str, np.ndarray]:
    """Walk along the gradient, and watch loss and gradient.

    Parameters
    ----------
    nets : Nets
        Where to start.
    x, y : torch.Tensor
        The batch, shape (nets, examples, inputs) and (nets, examples).
    etas : torch.Tensor of shape (points, nets)
        The points walked to are the parameters minus eta times the gradient.

    Returns
    -------
    dict of str to numpy.ndarray
        "start" : the loss and "slope" : the gradient's length at the start, shape
        (nets,); and for each point, shape (nets, points), "loss", "change" : distance
        of the gradient there from the gradient at the start, "distance" : length of
        the way.
    """
    here, g = gradient(nets, x, y)
    slope = norm(g)
    found = {"start": here, "slope": slope, "loss": [], "change": [], "distance": []}
    for eta in etas:
        there = nets.moved([-eta.view(-1, 1, 1) * part for part in g])
        loss, new = gradient(there, x, y)
        found["loss"].append(loss)
        found["change"].append(norm([a - b for a, b in zip(new, g, strict=True)]))
        found["distance"].append(eta * slope)
    return {
        name: (torch.stack(v, 1) if isinstance(v, list) else v).numpy()
        for name, v in found.items()
    }


@torch.no_grad()
def one_by_one(
    nets: Nets, x: torch.Tensor, y: torch.Tensor, etas: torch.Tensor
) -> dict[str, np.ndarray]:
    """Return what a gradient step does, all layers at once and each by itself.

    Parameters
    ----------
    nets, x, y
        As for `landscape`.
    etas : torch.Tensor of shape (nets,)
        The step's learning rate.

    Returns
    -------
    dict of str to numpy.ndarray
        Decreases of the loss, shape (nets,): "predicted" to first order, "together",
        and "alone" : the sum over layers, each moved with the others left in place.
    """
    with torch.enable_grad():
        here, g = gradient(nets, x, y)
    steps = [-etas.view(-1, 1, 1) * part for part in g]
    layers = len(nets.weights)

    def decrease(moved) -> torch.Tensor:
        chosen = [
            step if k % layers in moved else torch.zeros_like(step)
            for k, step in enumerate(steps)
        ]
        return here - losses(forward(nets.moved(chosen), x).logits, y)

    return {
        "predicted": (etas * norm(g) ** 2).numpy(),
        "together": decrease(range(layers)).numpy(),
        "alone": sum(decrease([layer]) for layer in range(layers)).numpy(),
    }


def sharpness(
    nets: Nets, x: torch.Tensor, y: torch.Tensor, iterations: int = 20
) -> np.ndarray:
    """Return the largest eigenvalue, in magnitude, of each network's Hessian.

    By power iteration; x and y as for `landscape`.
    """
    moving = [p.detach().requires_grad_() for p in nets.parameters]
    layers = len(nets.weights)
    nets = Nets(moving[:layers], moving[layers : 2 * layers], moving[2 * layers :])
    loss = losses(forward(nets, x).logits, y).sum()
    g = torch.autograd.grad(loss, moving, create_graph=True)
    source = torch.Generator().manual_seed(0)
    v = [torch.randn(p.shape, generator=source) for p in moving]
    for _ in range(iterations):
        length = norm(v).view(-1, 1, 1)
        v = [part / length for part in v]
        v = torch.autograd.grad(g, moving, grad_outputs=v, retain_graph=True)
    return norm(v).numpy()


def arriving(nets: Nets, x: torch.Tensor, y: torch.Tensor) -> dict[str, np.ndarray]:
    """Describe the gradient that arrives at each hidden layer from above.

    Returns
    -------
    dict of str to numpy.ndarray
        Shape (nets, layers). "removed" : the share of its squared length, over all
        units, that lies along the vector of ones or along the unit's standardised
        values; "factor" : mean over units of gamma squared over variance (with the
        values' own variance and gamma 1 where nothing is normalised).
    """
    leaf = Nets([w.detach().requires_grad_() for w in nets.weights], nets.shifts, [])
    leaf.scales = nets.scales
    done = forward(leaf, x)
    gradients = torch.autograd.grad(losses(done.logits, y).sum(), done.hidden)
    removed, factor = [], []
    for layer, (d, h) in enumerate(zip(gradients, done.hidden, strict=True)):
        h = h.detach() - h.detach().mean(1, keepdim=True)
        variance = h.square().mean(1, keepdim=True) + 1e-12
        inside = d.sum(1) ** 2 + (d * h / variance.sqrt()).sum(1) ** 2
        removed.append(inside.sum(1) / d.shape[1] / d.square().sum((1, 2)))
        if nets.scales:
            variance = done.statistics[layer][1]
            factor.append((nets.scales[layer] ** 2 / variance).mean((1, 2)))
        else:
            factor.append((1 / variance).mean((1, 2)))
    return {
        "removed": torch.stack(removed, 1).detach().numpy(),
        "factor": torch.stack(factor, 1).detach().numpy(),
    }


def tails(nets: Nets, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """Return the kurtosis of each weight matrix's gradient, shape (nets, layers).

    A Gaussian has 3.
    """
    _, gradients = gradient(nets, x, y)
    weights = [g.flatten(1) for g in gradients[: len(nets.weights)]]
    centred = [g - g.mean(1, keepdim=True) for g in weights]
    return np.stack(
        [((c**4).mean(1) / (c**2).mean(1) ** 2).numpy() for c in centred], axis=1
    )


def least_squares(seed: int, size: int = 20) -> tuple:
    """Return covariance S, u = E[y x] and a first direction.

    The largest eigenvalue of S is 1, its condition number 100.
    """
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(size, size)))[0]
    S = rotation * np.geomspace(1, 0.01, size) @ rotation.T
    return S, S @ rng.normal(size=size), rng.normal(size=size)


def descend_weights(S, u, w, eta: float, steps: int) -> np.ndarray:
    """Return the weights after gradient descent on least squares."""
    for _ in range(steps):
        w = w - eta * (S @ w - u)
    return w


def descend_direction(S, u, v, eta: float, steps: int, rates=None) -> np.ndarray:
    """Return the weights c v after gradient descent on the direction v alone.

    The length is the best one at every step; `rates` is a list that collects the
    effective rates.
    """
    for _ in range(steps):
        c = u @ v / (v @ S @ v)
        if rates is not None:
            rates.append(eta * c**2)
        v = v - eta * c * (S @ (c * v) - u)
    return u @ v / (v @ S @ v) * v


def descend_both(S, u, v, eta: float, steps: int) -> np.ndarray:
    """Return the weights after gradient descent on length and direction together."""
    g = 1.0
    for _ in range(steps):
        length = np.sqrt(v @ S @ v)
        residual = S @ (g * v / length) - u
        slope = v @ residual / length
        v = v - eta * g / length * (residual - slope / length * (S @ v))
        g = g - eta * slope
    return g * v / np.sqrt(v @ S @ v)
