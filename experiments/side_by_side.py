"""Many small networks trained side by side, in one loop.

All learning rates and seeds of a comparison are one set of stacked tensors: a grid of
runs costs little more than one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.functional import cross_entropy

from experiments.data import Data
from experiments.training import batches


@dataclass
class Runs:
    """What came of training at several rates and with several seeds.

    Attributes
    ----------
    rates : tuple of float
        The learning rates.
    validation, test : numpy.ndarray of shape (rates, seeds)
        Share of right classes, in per cent, in evaluation mode.
    loss : numpy.ndarray of shape (steps, rates, seeds)
        Of each step's batch.
    state : dict of str to torch.Tensor
        Parameters and buffers after training, of shape (rates, seeds, ...).
    """

    rates: tuple[float, ...]
    validation: np.ndarray
    test: np.ndarray
    loss: np.ndarray
    state: dict[str, torch.Tensor]

    @property
    def best(self) -> int:
        """The rate that is best on the validation examples, in the mean over seeds."""
        return int(self.validation.mean(axis=1).argmax())

    @property
    def rate(self) -> float:
        """The learning rate chosen so."""
        return self.rates[self.best]

    @property
    def accuracy(self) -> np.ndarray:
        """Test accuracy of each seed at that rate."""
        return self.test[self.best]


def train_many(
    model: Callable[[], nn.Module],
    tasks: Sequence[Data],
    *,
    rates: Sequence[float],
    seeds: Sequence[int],
    steps: int,
    batch: int,
    held_out: int = 300,
    momentum: float = 0.9,
    adjust: Callable[[str, torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
) -> Runs:
    """Train one network for each rate and seed, all side by side.

    Each run is what `experiments.training.train` would do, to rounding.

    Parameters
    ----------
    model : callable
        Makes a network; called after ``torch.manual_seed(seed)``.
    tasks : sequence of Data
        One for each seed, all of one size.
    rates, seeds : sequence
        What to try.
    steps, batch, momentum
        As for `train`.
    held_out : int
        How many training examples to leave for the choice of the rate.
    adjust : callable, optional
        ``adjust(name, gradient, parameter)`` returns the gradient to go on with,
        gradient clipping for example; tensors of all runs, of shape (runs, ...).
    """
    kept = [
        Data(d.x[held_out:], d.y[held_out:], d.x[:held_out], d.y[:held_out])
        for d in tasks
    ]
    networks = []
    for _ in rates:
        for seed in seeds:
            torch.manual_seed(seed)
            networks.append(model())
    parameters, buffers = stack_module_state(networks)
    network = networks[0].train()
    runs = len(networks)

    def loss_of(parameters, buffers, x, y):
        return cross_entropy(functional_call(network, (parameters, buffers), (x,)), y)

    every_loss = vmap(loss_of)
    velocity = {name: torch.zeros_like(p) for name, p in parameters.items()}
    rate = torch.tensor(rates).repeat_interleave(len(seeds))
    sources = [batches(d, batch, seed) for d, seed in zip(kept, seeds, strict=True)]
    losses = []
    for _ in range(steps):
        x, y = zip(*map(next, sources), strict=True)
        loss = every_loss(
            parameters, buffers, _repeat(x, len(rates)), _repeat(y, len(rates))
        )
        losses.append(loss.detach())
        # No run's loss depends on another's parameters: the sum's gradient has each.
        gradients = torch.autograd.grad(loss.sum(), tuple(parameters.values()))
        with torch.no_grad():
            for (name, p), g in zip(parameters.items(), gradients, strict=True):
                g = g if adjust is None else adjust(name, g, p)
                velocity[name].mul_(momentum).add_(g)
                p.sub_(rate.view(-1, *(1 for _ in p.shape[1:])) * velocity[name])
    network.eval()

    @torch.no_grad()
    def accuracy(x: Iterable[torch.Tensor], y: Iterable[torch.Tensor]) -> np.ndarray:
        def predict(parameters, buffers, x):
            return functional_call(network, (parameters, buffers), (x,))

        output = vmap(predict)(parameters, buffers, _repeat(x, len(rates)))
        right = output.argmax(-1) == _repeat(y, len(rates))
        return 100 * right.float().mean(-1).view(len(rates), len(seeds)).numpy()

    return Runs(
        rates=tuple(rates),
        validation=accuracy([d.x_test for d in kept], [d.y_test for d in kept]),
        test=accuracy([d.x_test for d in tasks], [d.y_test for d in tasks]),
        loss=torch.stack(losses).view(steps, runs // len(seeds), -1).numpy(),
        state={
            name: p.detach().unflatten(0, (len(rates), len(seeds)))
            for name, p in (parameters | buffers).items()
        },
    )


def _repeat(tensors: Iterable[torch.Tensor], times: int) -> torch.Tensor:
    """Stack one tensor for each seed, and repeat the stack for each rate."""
    stack = torch.stack(tuple(tensors))
    return stack.repeat(times, *(1 for _ in stack.shape[1:]))
