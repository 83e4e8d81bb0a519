"""The loops of all experiments: one network, or many side by side."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from experiments.data import Data


@dataclass
class History:
    """What happened in training.

    Attributes
    ----------
    loss : list of float
        Of each step's batch; a run that diverges ends early.
    seen : dict of str to list
        What `watch` returned, by name; ``seen["step"]`` says when.
    diverged : bool
        Whether the loss was no longer finite.
    """

    loss: list[float] = field(default_factory=list)
    seen: dict[str, list] = field(default_factory=lambda: {"step": []})
    diverged: bool = False


def batches(data: Data, size: int, seed: int) -> Iterator[tuple]:
    """Yield batches of training examples for ever, each epoch in another order.

    A last batch that would be smaller is left out.
    """
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(data.x), generator=generator)
        for part in order[: len(order) // size * size].view(-1, size):
            yield data.x[part], data.y[part]


def train(
    model: nn.Module,
    data: Data,
    *,
    rate: float,
    steps: int,
    batch: int = 64,
    seed: int = 0,
    momentum: float = 0.0,
    decay: float = 0.0,
    watch: Callable[[nn.Module], dict] | None = None,
    every: int = 10,
) -> History:
    """Train a classifier by stochastic gradient descent.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place; left in training mode.
    data : Data
        What to learn.
    rate, momentum, decay : float
        Learning rate, the optimiser's momentum, weight decay.
    steps, batch : int
        How many steps, of how many examples each.
    seed : int
        Of the order of examples. The weights' seed is the caller's:
        ``torch.manual_seed(seed)`` before the model is made.
    watch : callable, optional
        ``watch(model)`` returns what to remember, by name, before the first step and
        after each `every` steps.
    """
    history = History()

    def look(step: int) -> None:
        if watch is not None:
            history.seen["step"].append(step)
            for name, value in watch(model).items():
                history.seen.setdefault(name, []).append(value)
            model.train()

    # As torch.optim.SGD does, whose first use imports PyTorch's compiler for seconds.
    parameters = list(model.parameters())
    velocities = [torch.zeros_like(p) for p in parameters]
    model.train()
    look(0)
    for step, (x, y) in zip(
        range(1, steps + 1), batches(data, batch, seed), strict=False
    ):
        loss = cross_entropy(model(x), y)
        if not torch.isfinite(loss):
            history.diverged = True
            break
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for p, v, gradient in zip(parameters, velocities, gradients, strict=True):
                if momentum or decay:
                    gradient = v.mul_(momentum).add_(gradient).add_(p, alpha=decay)
                p.sub_(gradient, alpha=rate)
        history.loss.append(loss.item())
        if step % every == 0:
            look(step)
    return history


def step(loss: torch.Tensor, parameters: Sequence[torch.Tensor], rate: float) -> None:
    """Take one step of plain gradient descent; the parameters are changed in place.

    But: no momentum, no weight decay; `train` has them.
    """
    gradients = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for p, gradient in zip(parameters, gradients, strict=True):
            p.sub_(gradient, alpha=rate)


def cross_entropies(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of each example, in the shape of y.

    The last axis of the logits counts classes. (PyTorch's `cross_entropy` wants it
    second, and takes such tensors for images, at several times the cost.)
    """
    each = cross_entropy(logits.flatten(0, -2), y.flatten(), reduction="none")
    return each.view(y.shape)


def descend(
    parameters: Sequence[torch.Tensor],
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    examples: Iterable[tuple[torch.Tensor, torch.Tensor]],
    rate: torch.Tensor | Callable[[int], torch.Tensor],
    *,
    adjust: Callable[[list[torch.Tensor]], Sequence[torch.Tensor]] | None = None,
) -> torch.Tensor:
    """Train many networks side by side by plain gradient descent.

    The first axis of every parameter counts networks, or networks times rows. As no
    network's loss depends on another's parameters, the gradient of the sum of losses
    holds the gradient of each.

    Parameters
    ----------
    parameters : sequence of torch.Tensor
        Changed in place.
    loss : callable
        ``loss(x, y)`` returns each network's loss, shape (networks,).
    examples : iterable of tuple
        The batches (x, y), one for each step; the last one ends the training.
    rate : torch.Tensor of shape (networks,), or callable
        Learning rates; ``rate(step)`` if they change, counted from 0.
    adjust : callable, optional
        ``adjust(gradients)`` returns what to subtract instead, times the rate.

    Returns
    -------
    torch.Tensor of shape (steps, networks)
        The loss of each step's batch, before the step.
    """
    history = []
    for p in parameters:
        p.requires_grad_()

    rows = {len(p) for p in parameters}

    def spread(rates):
        """Give each parameter the rates of its rows."""
        each = {n: rates.repeat_interleave(n // len(rates)) for n in rows}
        return [each[len(p)].view(-1, *[1] * (p.ndim - 1)) for p in parameters]

    own = None if callable(rate) else spread(rate)
    for step, (x, y) in enumerate(examples):
        each = loss(x, y)
        gradients = torch.autograd.grad(each.sum(), parameters)
        if callable(rate):
            own = spread(rate(step))
        with torch.no_grad():
            if adjust is not None:
                gradients = adjust(gradients)
            for p, r, gradient in zip(parameters, own, gradients, strict=True):
                p -= r * gradient
        history.append(each.detach())
    return torch.stack(history)


@torch.no_grad()
def accuracy(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the share of right classes, in per cent, in evaluation mode."""
    training = model.training
    model.eval()
    right = (model(x).argmax(1) == y).float().mean().item()
    model.train(training)
    return 100 * right
