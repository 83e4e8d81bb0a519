"""Experiments of the chapter on mechanisms: what batch norm has been shown to do.

Small networks, many at once: every tensor of weights has a leading axis for runs, so
that all seeds and all learning rates of a grid train together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, cross_entropy

from experiments.data import Data, digits
from experiments.training import batches, cross_entropies, descend


@dataclass
class Runs:
    """Parameters of many networks; every tensor begins with an axis for runs.

    Attributes
    ----------
    weights : list of torch.Tensor
        Shape (runs, inputs, outputs), one for each layer.
    gammas, betas : list of torch.Tensor
        Shape (runs, 1, units), one for each hidden layer.
    """

    weights: list[Tensor]
    gammas: list[Tensor]
    betas: list[Tensor]


def initialise(
    sizes: Sequence[int], seeds: Sequence[int], *, copies: int = 1, gain: float = 2.0
) -> Runs:
    """Draw Gaussian weights of variance gain / inputs; gamma is 1, beta is 0.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden layers, outputs.
    seeds : sequence of int
        One network each.
    copies : int
        How often the list of networks is repeated: run ``k * len(seeds) + s`` is copy k
        of seed s.
    gain : float
        2 for ReLU (He initialisation), 1 for linear networks.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    weights = []
    for k, (inputs, outputs) in enumerate(pairwise(sizes)):
        draws = [torch.randn(inputs, outputs, generator=g) for g in generators]
        spread = ((gain if k else 1.0) / inputs) ** 0.5
        weights.append(spread * torch.stack(draws).repeat(copies, 1, 1))
    runs = len(weights[0])
    ones = [torch.ones(runs, 1, n) for n in sizes[1:-1]]
    return Runs(weights, ones, [torch.zeros_like(one) for one in ones])


def standardise(
    z: Tensor,
    *,
    group: int | None = None,
    reference: int | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise by the batch, by parts of it, or by its first examples.

    Parameters
    ----------
    z : torch.Tensor of shape (runs, examples, units)
        Pre-activations.
    group : int, optional
        Examples in a ghost batch, a divisor of the batch.
    reference : int, optional
        Take the statistics from this many examples at the front: what evaluation mode
        does when they are the training set.
    eps : float
        Added to the variance.
    """
    parts = z if group is None else z.unflatten(1, (-1, group))
    if reference is None:  # one call instead of six
        rows = parts.movedim(-2, 0)
        y = batch_norm(rows.flatten(1), None, None, training=True, eps=eps)
        return y.view(rows.shape).movedim(0, -2).reshape(z.shape)
    centred = parts - parts[..., :reference, :].mean(dim=-2, keepdim=True)
    var = centred[..., :reference, :].square().mean(dim=-2, keepdim=True)
    return (centred * torch.rsqrt(var + eps)).reshape(z.shape)


def network(
    x: Tensor,
    runs: Runs,
    *,
    norm: bool = True,
    residual: bool = False,
    activation: Callable[[Tensor], Tensor] = torch.relu,
    watch: Callable[[Tensor], None] | None = None,
    **statistics,
) -> Tensor:
    """Apply linear, (normalise, activate, linear) for every hidden layer.

    Parameters
    ----------
    x : torch.Tensor of shape (examples, inputs) or (runs, examples, inputs)
        Inputs.
    runs : Runs
        The parameters.
    norm : bool
        Whether to normalise; without, gamma and beta still apply.
    residual : bool
        Add a layer's input to its output wherever the two have the same width.
    activation : callable
        Elementwise.
    watch : callable, optional
        Is given the input of every normalisation.
    **statistics
        For `standardise`.

    Returns
    -------
    torch.Tensor of shape (runs, examples, outputs)
    """
    h = x @ runs.weights[0]
    for w, gamma, beta in zip(runs.weights[1:], runs.gammas, runs.betas, strict=True):
        if watch is not None:
            watch(h)
        z = standardise(h, **statistics) if norm else h
        branch = activation(torch.addcmul(beta, gamma, z)) @ w
        h = h + branch if residual and branch.shape == h.shape else branch
    return h


def train_many(
    data: Data,
    runs: Runs,
    rates: Sequence[float],
    seeds: Sequence[int],
    *,
    steps: int,
    batch: int,
    train: Sequence[Tensor] | None = None,
    masks: Sequence[Tensor] | None = None,
    noise: float = 0.0,
    decay: float | Sequence[float] = 0.0,
    watch: Callable[[list[Tensor]], None] | None = None,
    **options,
) -> None:
    """Train all runs by plain gradient descent; they are changed in place.

    Parameters
    ----------
    data : Data
        What to learn.
    runs : Runs
        From `initialise`, with as many copies as there are rates.
    rates, seeds : sequence
        Run ``k * len(seeds) + s`` has rate k and draws its batches with seed s.
    steps, batch : int
        How many steps, of how many examples drawn without replacement.
    train : sequence of torch.Tensor, optional
        The parameters that learn; all of them if not given.
    masks : sequence of torch.Tensor, optional
        Zeros and ones that multiply the gradients, one mask for each tensor.
    noise : float
        Probability that a label is replaced by a random one, anew in every batch.
    decay : float or sequence of float
        Weight decay of the first tensor that learns; one for each rate if they differ.
    watch : callable, optional
        Is given the gradients at every step, before it is taken.
    **options
        For `network`.
    """
    if train is None:
        train = runs.weights + runs.betas
        train += runs.gammas if options.get("norm", True) else []
    rate = torch.tensor(rates).repeat_interleave(len(seeds))
    decays = torch.tensor(decay).expand(len(rates)).repeat_interleave(len(seeds))
    generators = [torch.Generator().manual_seed(1000 + seed) for seed in seeds]

    def examples():
        for _ in range(steps):
            rows, labels = [], []
            for g in generators:
                rows.append(torch.randperm(len(data.x), generator=g)[:batch])
                labels.append(data.y[rows[-1]])
                if noise:
                    wrong = torch.rand(batch, generator=g) < noise
                    draw = torch.randint(0, 10, (batch,), generator=g)
                    labels[-1] = torch.where(wrong, draw, labels[-1])
            x = data.x[torch.stack(rows)].repeat(len(rates), 1, 1)
            yield x, torch.stack(labels).repeat(len(rates), 1)

    def loss(x, y):
        return cross_entropies(network(x, runs, **options), y).mean(1)

    def adjust(grads):
        if watch is not None:
            watch(grads)
        if decays.any():
            train[0].mul_(1 - (rate * decays)[:, None, None])
        grads = [grad.nan_to_num(0, 0, 0) for grad in grads]  # diverged: stays so
        return [g * m for g, m in zip(grads, masks, strict=True)] if masks else grads

    descend(train, loss, examples(), rate, adjust=adjust)
    for p in train:
        p.requires_grad_(False)


@torch.no_grad()
def evaluate(
    runs: Runs, data: Data, x: Tensor, y: Tensor, **options
) -> tuple[Tensor, Tensor]:
    """Return the accuracy in per cent and the loss of every run, shape (runs,).

    Normalises with the statistics of all training examples, layer by layer.
    """
    if options.get("norm", True):
        options["reference"] = len(data.x)
    output = network(torch.cat([data.x, x]), runs, **options)[:, len(data.x) :]
    right = (output.argmax(2) == y).float().mean(1)
    losses = [cross_entropy(one.nan_to_num(0), y) for one in output]
    return 100 * right, torch.stack(losses)


def subset(data: Data, count: int) -> tuple[Data, Tensor, Tensor]:
    """Keep `count` training examples; return 600 others to choose rates by."""
    kept = Data(data.x[:count], data.y[:count], data.x_test, data.y_test)
    return kept, data.x[-600:], data.y[-600:]


def grid(values: Tensor, rates: Sequence, seeds: Sequence) -> np.ndarray:
    """Reshape one number for each run to (rates, seeds)."""
    return values.reshape(len(rates), len(seeds)).numpy()


def each_copy(values: Sequence[float], seeds: Sequence[int]) -> Tensor:
    """Return one value for each copy of the networks, of shape (runs, 1, 1)."""
    return torch.tensor(values).repeat_interleave(len(seeds))[:, None, None]


def trajectory(
    seeds: Sequence[int],
    *,
    rate: float | Callable[[int], float],
    decay: float = 0.0,
    scale: float = 1.0,
    steps: int = 200,
) -> tuple[np.ndarray, np.ndarray]:
    """Train batch-norm networks whose hidden weights have a rate of their own.

    Parameters
    ----------
    seeds : sequence of int
        Of the weights and of the order of examples, the handwritten digits.
    rate : float or callable
        Learning rate of the hidden weights, which are scale invariant; ``rate(t)`` if
        it changes. All other parameters learn with 0.1 and without weight decay.
    decay : float
        Weight decay of the hidden weights.
    scale : float
        What the initial hidden weights are multiplied by.
    steps : int
        Of gradient descent on batches of 64.

    Returns
    -------
    loss, norm : numpy.ndarray of shape (seeds, steps)
        The loss of each batch and the norm of all hidden weights before each step;
        float64, and eps is negligible, so that only rounding blurs the comparison.
    """
    runs = initialise((64, 32, 32, 10), seeds, gain=1.0)
    parts = (runs.weights, runs.gammas, runs.betas)
    runs = Runs(*[[p.double() for p in part] for part in parts])
    hidden, output = runs.weights[:-1], runs.weights[-1:]
    for w in hidden:
        w *= scale / 3**0.5  # as PyTorch's layers start
    sources = [batches(digits(), 64, seed) for seed in seeds]
    norms = []

    def examples():
        for _ in range(steps):
            squares = sum(w.detach().square().sum((1, 2)) for w in hidden)
            norms.append(squares.sqrt())
            x, y = zip(*map(next, sources), strict=True)
            yield torch.stack(x).double(), torch.stack(y)

    def loss(x, y):
        return cross_entropies(network(x, runs, eps=1e-30), y).mean(1)

    def adjust(grads):
        own = rate(len(norms) - 1) if callable(rate) else rate
        pairs = zip(hidden, grads, strict=False)  # the hidden weights come first
        moves = [own * (grad + decay * w) for w, grad in pairs]
        return moves + [0.1 * grad for grad in grads[len(hidden) :]]

    losses = descend(
        [*hidden, *output, *runs.gammas, *runs.betas],
        loss,
        examples(),
        torch.ones(len(seeds)),  # `adjust` knows the rates
        adjust=adjust,
    )
    return losses.T.numpy(), torch.stack(norms, 1).numpy()


def norm_dynamics(
    seeds: Sequence[int],
    settings: Sequence[tuple[float, float, float]],
    *,
    steps: int = 1000,
    every: int = 10,
) -> list[dict[str, np.ndarray]]:
    """Follow the length of the first layer's weight vectors in training.

    Digits, one hidden layer of 32 units with batch norm, labels of which a fifth are
    random, anew in each batch, so that the gradients do not fade.

    Parameters
    ----------
    seeds : sequence of int
    settings : sequence of tuple
        Learning rate of all parameters; weight decay of the first layer; what its
        initial weights are multiplied by.
    steps, every : int

    Returns
    -------
    list of dict
        For each setting "step", of shape (T,); "fourth", the mean over units of
        ``|w|**4``, and "drive", that of ``|w|**2 |g|**2``, the squared gradient at unit
        length, of shape (seeds, T).
    """
    rates, decays, scales = zip(*settings, strict=True)
    runs = initialise((64, 32, 10), seeds, copies=len(settings))
    runs.weights[0] *= each_copy(scales, seeds)
    seen = {"fourth": [], "drive": []}
    step = 0

    def watch(grads):
        nonlocal step
        if step % every == 0:
            length = runs.weights[0].square().sum(1)
            slope = grads[0].square().sum(1)
            seen["fourth"].append((length**2).mean(1))
            seen["drive"].append((length * slope).mean(1))
        step += 1

    train_many(
        digits(), runs, rates, seeds, steps=steps, batch=64, noise=0.2, decay=decays,
        watch=watch,
    )  # fmt: skip
    found = {
        name: torch.stack(values, 1).unflatten(0, (len(settings), -1)).numpy()
        for name, values in seen.items()
    }
    return [
        {"step": np.arange(0, steps, every), "fourth": fourth, "drive": drive}
        for fourth, drive in zip(found["fourth"], found["drive"], strict=True)
    ]


def initial_scales(
    seeds: Sequence[int],
    scales: Sequence[float],
    rates: Sequence[float],
    *,
    norm: bool,
    depth: int = 4,
    width: int = 32,
    steps: int = 150,
) -> np.ndarray:
    """Test accuracy after training from hidden weights of several scales.

    Returns
    -------
    numpy.ndarray of shape (scales, rates, seeds)
        In per cent.
    """
    data, pairs = digits(), [(scale, rate) for scale in scales for rate in rates]
    runs = initialise((64, *[width] * depth, 10), seeds, copies=len(pairs))
    for w in runs.weights[:-1]:
        w *= each_copy([scale for scale, _ in pairs], seeds)
    every = [rate for _, rate in pairs]
    train_many(data, runs, every, seeds, steps=steps, batch=32, norm=norm)
    right, _ = evaluate(runs, data, data.x_test, data.y_test, norm=norm)
    return right.reshape(len(scales), len(rates), len(seeds)).numpy()


def ghost_accuracy(
    seeds: Sequence[int],
    rates: Sequence[float],
    group: int,
    *,
    count: int = 192,
    batch: int = 64,
    width: int = 64,
    steps: int = 300,
    wrong: float = 0.0,
) -> dict[str, np.ndarray]:
    """Train on a few digits with statistics of `group` examples out of each batch.

    Parameters
    ----------
    seeds, rates : sequence
    group : int
        Size of the ghost batches, a divisor of `batch`.
    count, batch, width, steps : int
        Training examples, examples in a step, hidden units, steps.
    wrong : float
        Share of the training labels that are replaced by random ones, for good.

    Returns
    -------
    dict
        "validation", "test" and "train": accuracies in per cent; "test loss" and
        "train loss"; all of shape (rates, seeds) and with the statistics of the whole
        training set.
    """
    data, x, y = subset(digits(), count)
    draw = np.random.default_rng(12)
    labels = torch.tensor(draw.integers(0, 10, count))
    chosen = torch.tensor(draw.random(count) < wrong)
    data = replace(data, y=torch.where(chosen, labels, data.y))
    runs = initialise((64, width, width, 10), seeds, copies=len(rates))
    train_many(data, runs, rates, seeds, steps=steps, batch=batch, group=group)
    found = {"validation": evaluate(runs, data, x, y)[0]}
    found["test"], found["test loss"] = evaluate(runs, data, data.x_test, data.y_test)
    found["train"], found["train loss"] = evaluate(runs, data, data.x, data.y)
    return {name: grid(value, rates, seeds) for name, value in found.items()}


def residual_growth(seed: int, *, blocks: int, norm: bool = True, width: int = 256):
    """Signal and gradient in a random residual network: normalise, ReLU, linear, add.

    Returns
    -------
    square, variance, gradient : numpy.ndarray of shape (blocks + 1,)
        On the skip path, before each block and after the last: mean square over units
        and examples; variance over the batch, mean over units; mean square of the
        gradient of a random linear loss, relative to the last.
    """
    runs = initialise((width, *[width] * (blocks + 1), 1), [seed])
    generator = torch.Generator().manual_seed(seed + 500)
    x = torch.randn(256, width, generator=generator)
    path = []

    def watch(h):
        h.requires_grad_() if not path else h.retain_grad()
        path.append(h)

    network(x, runs, norm=norm, residual=True, watch=watch)
    upstream = torch.randn(path[-1].shape, generator=generator)
    (path[-1] * upstream).sum().backward()
    with torch.no_grad():
        square = [h.square().mean().item() for h in path]
        variance = [h.var(1, correction=0).mean().item() for h in path]
        slope = [h.grad.square().mean().item() for h in path[:-1]]
    return np.array(square), np.array(variance), np.array([*slope, 1.0])


def gradient_growth(
    seed: int,
    *,
    activation: Callable[[Tensor], Tensor],
    norm: bool = True,
    batch: int = 128,
    depth: int = 30,
    width: int = 256,
    gain: float = 2.0,
) -> np.ndarray:
    """Squared gradient norms in a random network without skips, by layer.

    Parameters
    ----------
    seed : int
    activation : callable
        Elementwise.
    norm : bool
        Whether each layer is normalised.
    batch, depth, width : int
    gain : float
        Weight variance times fan-in. With batch norm it does not matter.

    Returns
    -------
    numpy.ndarray of shape (depth,)
        Of the pre-activations, first layer first, relative to the last layer. (A layer
        below them, whose inputs are no activations, is left out.)
    """
    runs = initialise((width, *[width] * (depth + 1), 1), [seed], gain=gain)
    generator = torch.Generator().manual_seed(seed + 500)
    x = torch.randn(batch, width, generator=generator)
    path = []

    def watch(h):
        h.requires_grad_() if not path else h.retain_grad()
        path.append(h)

    output = network(x, runs, norm=norm, activation=activation, watch=watch)
    upstream = torch.randn(output.shape, generator=generator)
    (output * upstream).sum().backward()
    squares = np.array([h.grad.double().square().sum().item() for h in path[1:]])
    return squares / squares[-1]


def explosion_rate(seed: int, *, skip: int = 6, **options) -> float:
    """Return the factor a layer by which squared gradients grow, towards the input.

    Geometric mean over the layers, without the first and the last `skip`.
    """
    squares = gradient_growth(seed, **options)[skip:-skip]
    return (squares[0] / squares[-1]) ** (1 / (len(squares) - 1))


def trainable_depth(
    seeds: Sequence[int],
    rates: Sequence[float],
    depth: int,
    *,
    norm: bool,
    residual: bool,
    branch: float = 1.0,
    width: int = 32,
    steps: int = 70,
) -> np.ndarray:
    """Accuracy on the training digits for a network with `depth` hidden layers.

    Parameters
    ----------
    seeds, rates : sequence
    depth : int
    norm, residual : bool
        As for `network`.
    branch : float
        Multiplies every residual branch at initialisation.
    width, steps : int

    Returns
    -------
    numpy.ndarray of shape (rates, seeds)
        In per cent.
    """
    data = digits()
    runs = initialise((64, *[width] * depth, 10), seeds, copies=len(rates))
    for w in runs.weights[1:-1]:
        w *= branch
    options = {"norm": norm, "residual": residual}
    train_many(data, runs, rates, seeds, steps=steps, batch=64, **options)
    right, _ = evaluate(runs, data, data.x[:500], data.y[:500], **options)
    return grid(right, rates, seeds)


def soft_rank(h: np.ndarray) -> np.ndarray:
    """Return ``trace(M)**2 / |M|**2`` of ``M = h h' / N``; shape (..., units, N)."""
    m = h @ h.swapaxes(-1, -2)
    trace = np.trace(m, axis1=-2, axis2=-1)
    return trace**2 / (m**2).sum(axis=(-2, -1))


def ranks(
    seed: int,
    *,
    width: int,
    depth: int,
    norm: bool,
    relu: bool = False,
    looks: Sequence[int] = (),
    spread: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Follow the rank of hidden representations down a random network.

    As many examples as units; weights Gaussian. Each matrix is divided by its norm
    where it is not normalised, which changes no rank.

    Parameters
    ----------
    seed, width, depth : int
    norm, relu : bool
        Whether layers are normalised; whether ReLU stands between them.
    looks : sequence of int
        After which layers to look, beginning with 1.
    spread : float, optional
        If given, the inputs are a matrix of rank one plus noise of this size.

    Returns
    -------
    soft : numpy.ndarray
        Soft rank after each layer of `looks`.
    singular : numpy.ndarray of shape (looks, width)
        Singular values divided by the root of the number of examples.
    """
    rng = np.random.default_rng(seed)
    h = rng.standard_normal((width, width))
    if spread is not None:
        one = np.outer(rng.standard_normal(width), rng.standard_normal(width))
        h = one + spread * h
    soft, singular = [], []
    for layer in range(1, depth + 1):
        a = np.maximum(h, 0) if relu and layer > 1 else h
        h = rng.standard_normal((width, width)) / width**0.5 @ a
        if norm:
            h -= h.mean(axis=1, keepdims=True)
            h /= np.sqrt((h**2).mean(axis=1, keepdims=True))
        else:
            h /= np.sqrt((h**2).mean())
        if layer in looks:
            soft.append(soft_rank(h))
            singular.append(np.linalg.svd(h, compute_uv=False) / width**0.5)
    return np.array(soft), np.array(singular)


def few_parameters(
    seeds: Sequence[int],
    rates: Sequence[float],
    which: str,
    *,
    sizes: Sequence[int] = (64, 64, 64, 64, 10),
    steps: int = 300,
) -> dict[str, np.ndarray | int]:
    """Train a part of a random network's parameters on the digits.

    Parameters
    ----------
    seeds, rates : sequence
    which : {"affine", "random", "output", "all"}
        All gammas and betas; two random hidden weights for each unit, as many as these,
        with gamma and beta left at 1 and 0; the output layer; everything.
    sizes : sequence of int
    steps : int

    Returns
    -------
    dict
        "test" and "train", accuracies in per cent of shape (rates, seeds); "count", how
        many parameters learn; "off", the share of gammas below 0.01 in size, of the
        same shape.
    """
    data = digits()
    runs = initialise(sizes, seeds, copies=len(rates))
    hidden = runs.weights[:-1]
    masks = None
    if which == "affine":
        train = runs.gammas + runs.betas
    elif which == "random":
        train = hidden
        masks = []
        for w in hidden:
            draws = []
            for seed in seeds:
                g = torch.Generator().manual_seed(seed + 77)
                order = torch.rand(w.shape[1:], generator=g).argsort(0)
                draws.append((order < 2).float())  # two in every column
            masks.append(torch.stack(draws).repeat(len(rates), 1, 1))
    else:
        train = [runs.weights[-1]] if which == "output" else None
    train_many(
        data, runs, rates, seeds, steps=steps, batch=64, train=train, masks=masks
    )
    if which == "all":
        train = runs.weights + runs.gammas + runs.betas
    learn = [m[0] for m in masks] if masks else [torch.ones(p.shape[1:]) for p in train]
    gammas = torch.cat(runs.gammas, dim=2).abs()
    test, _ = evaluate(runs, data, data.x_test, data.y_test)
    seen, _ = evaluate(runs, data, data.x, data.y)
    return {
        "test": grid(test, rates, seeds),
        "train": grid(seen, rates, seeds),
        "count": int(sum(one.sum().item() for one in learn)),
        "off": grid((gammas < 0.01).float().mean((1, 2)), rates, seeds),
    }
