"""Repairs of batch normalisation: layers, and what is left of its three defects.

The layers work side by side (under `torch.func.vmap`), so that `train_many` can train
many networks of them at once.
"""

import copy
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn.functional import batch_norm

import bnlib
from experiments.data import Data
from experiments.models import cnn
from experiments.side_by_side import Runs
from experiments.training import train

# -- Layers ----------------------------------------------------------------------------


class FilterResponseNorm2d(nn.Module):
    """Filter response normalisation, with its thresholded rectifier if wanted.

    Each channel of each example is divided by its root mean square over positions. No
    mean is subtracted, no other example looked at, and training is evaluation.

    Parameters
    ----------
    channels : int
        C.
    threshold : bool
        Return ``max(y, tau)`` with a learned tau for each channel, which starts at 0
        (the paper's TLU); no activation should follow then. Otherwise return y.
    eps : float
        Added to the mean square.
    learn_eps : bool
        Learn one eps for each channel; its absolute value is added. For maps of one
        position, where y is else no more than a sign.
    """

    def __init__(
        self,
        channels: int,
        *,
        threshold: bool = False,
        eps: float = 1e-6,
        learn_eps: bool = False,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        eps = torch.full((channels,), float(eps))
        if learn_eps:
            self.eps = nn.Parameter(eps)
        else:
            self.register_buffer("eps", eps)
        self.threshold = nn.Parameter(torch.zeros(channels)) if threshold else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise x, of shape (N, C, H, W)."""
        square = x.square().mean((2, 3), keepdim=True) + _column(self.eps.abs())
        y = _column(self.weight) * x * square.rsqrt() + _column(self.bias)
        return (
            y if self.threshold is None else torch.maximum(y, _column(self.threshold))
        )


class BatchRenorm2d(nn.Module):
    """Batch renormalisation with a schedule that the layer keeps itself.

    Plain batch normalisation for `start` steps, then the bounds widen in a straight
    line until `end`, where they are `r_max` and `d_max`.

    Parameters
    ----------
    channels : int
        C.
    r_max, d_max : float
        Final bounds of the corrections, at least 1 and 0; may be infinite if `start`
        and `end` are 0.
    start, end : int
        Training steps.
    momentum : float
        Weight of the *new* value in the running statistics; the variance in them is
        biased, as the paper's.
    eps : float
        Added to variances.
    constant : bool
        Whether r and d are constants for the gradient, as they should be.
    """

    def __init__(
        self,
        channels: int,
        *,
        r_max: float = 3.0,
        d_max: float = 5.0,
        start: int = 0,
        end: int = 0,
        momentum: float = 0.1,
        eps: float = 1e-5,
        constant: bool = True,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("step", torch.zeros(()))
        self.r_max, self.d_max, self.start, self.end = r_max, d_max, start, end
        self.momentum, self.eps, self.constant = momentum, eps, constant

    def bounds(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return r_max and d_max for the present step."""
        if self.end == 0:
            return torch.as_tensor(self.r_max), torch.as_tensor(self.d_max)
        share = (self.step - self.start) / max(self.end - self.start, 1)
        share = share.clamp(0.0, 1.0)
        return 1 + share * (self.r_max - 1), share * self.d_max

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise x, of shape (N, C, H, W)."""
        sd_running = (self.running_var + self.eps).sqrt()
        if not self.training:
            y = (x - _column(self.running_mean)) / _column(sd_running)
            return _column(self.weight) * y + _column(self.bias)
        # Clones: the gradient would otherwise see the updated buffers.
        mean_running, sd_running = self.running_mean.clone(), sd_running.clone()
        mean = x.mean((0, 2, 3))
        var = (x - _column(mean)).square().mean((0, 2, 3))
        sd = (var + self.eps).sqrt()
        r_max, d_max = self.bounds()
        r, d = sd / sd_running, (mean - mean_running) / sd_running
        if self.constant:
            r, d = r.detach(), d.detach()
        r = torch.minimum(torch.maximum(r, 1 / r_max), r_max)
        d = torch.minimum(torch.maximum(d, -d_max), d_max)
        y = (x - _column(mean)) / _column(sd) * _column(r) + _column(d)
        for running, new in ((self.running_mean, mean), (self.running_var, var)):
            running.mul_(1 - self.momentum).add_(self.momentum * new.detach())
        self.step.add_(1)
        return _column(self.weight) * y + _column(self.bias)


class GhostBatchNorm2d(nn.Module):
    """Batch normalisation of each `size` consecutive examples by themselves.

    In training; the running statistics get the mean over the parts, with the biased
    variance. Evaluation is that of batch normalisation.
    """

    def __init__(self, channels: int, *, size: int, momentum: float = 0.1):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.size, self.momentum, self.eps = size, momentum, 1e-5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise x, of shape (N, C, H, W)."""
        if not self.training:
            return batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias
            )
        parts = x.unflatten(0, (-1, self.size))
        axes = (1, 3, 4)
        mean = parts.mean(axes, keepdim=True)
        centred = parts - mean
        var = centred.square().mean(axes, keepdim=True)
        x_hat = (centred * (var + self.eps).rsqrt()).flatten(0, 1)
        for running, new in ((self.running_mean, mean), (self.running_var, var)):
            new = new.detach().mean(0).flatten()
            running.mul_(1 - self.momentum).add_(self.momentum * new)
        return _column(self.weight) * x_hat + _column(self.bias)


class ExampleWeighted(nn.Module):
    """Evaluation in which each example counts in its own statistics.

    Parameters
    ----------
    layer : torch.nn.BatchNorm2d
        A trained layer; its running statistics and parameters are used.
    share : float
        Weight of the example, 0 to 1; 0 is ordinary evaluation.
    """

    def __init__(self, layer: nn.BatchNorm2d, share: float):
        super().__init__()
        self.layer, self.share = layer, share

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise x, of shape (N, C, H, W)."""
        var, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        mean, var = merge_share(
            mean,
            var,
            _column(self.layer.running_mean),
            _column(self.layer.running_var),
            self.share,
        )
        y = (x - mean) * (var + self.layer.eps).rsqrt()
        return y * _column(self.layer.weight) + _column(self.layer.bias)


def merge_share(mean, var, running_mean, running_var, share):
    """Return mean and variance of a mixture that takes `share` from the first."""
    rest = 1 - share
    shift = mean - running_mean
    mixed = running_mean + share * shift
    return mixed, share * var + rest * running_var + share * rest * shift**2


def weigh_examples(model: nn.Sequential, share: float) -> nn.Sequential:
    """Return an evaluating copy whose batch norms count the example with `share`."""
    layers = [
        ExampleWeighted(m, share) if isinstance(m, nn.BatchNorm2d) else m
        for m in copy.deepcopy(model)
    ]
    return nn.Sequential(*layers).eval()


def networks(make: Callable[[], nn.Module], runs: Runs) -> list[nn.Module]:
    """Return the trained networks of the best rate, one for each seed, evaluating."""
    models = []
    for seed in range(runs.test.shape[1]):
        model = make().eval()
        model.load_state_dict({k: v[runs.best, seed] for k, v in runs.state.items()})
        models.append(model)
    return models


def _column(values: torch.Tensor) -> torch.Tensor:
    """Return one value per channel in the shape that broadcasts over positions."""
    return values.view(-1, 1, 1)


# -- What is left of the defects -------------------------------------------------------


@dataclass(frozen=True)
class Repair:
    """One way to normalise, by bnlib, without gamma and beta.

    Attributes
    ----------
    train : callable
        ``train(x)`` returns y and a cache.
    backward : callable
        ``backward(dy, cache)`` returns dx first.
    evaluate : callable
        ``evaluate(x)`` returns y.
    """

    train: Callable
    backward: Callable
    evaluate: Callable


def repairs(x: np.ndarray, size: int) -> dict[str, Repair]:
    """Return the repairs that the chapter compares, for batches of `size`.

    Parameters
    ----------
    x : numpy.ndarray of shape (N, C, H, W)
        All examples; the running statistics are theirs, exactly.
    size : int
        Examples in a batch, a multiple of 4.
    """
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    none = (None, None)
    groups = x.shape[1] // 4

    def running(x):
        return bnlib.batch_norm_inference(x, *none, mean, var)

    def frozen_backward(dy, x):
        return bnlib.batch_norm_inference_backward(dy, x, None, mean, var)

    def weighted(x):
        own = x.mean((2, 3), keepdims=True), x.var((2, 3), keepdims=True)
        m, v = merge_share(*own, mean[:, None, None], var[:, None, None], 1 / size)
        return (x - m) / np.sqrt(v + 1e-5)

    def renorm(**bounds):
        return Repair(
            partial(
                bnlib.batch_renorm, gamma=None, beta=None, running_mean=mean,
                running_var=var, **bounds,
            ),
            bnlib.batch_renorm_backward,
            running,
        )  # fmt: skip

    def single(forward, backward, **options):
        call = partial(forward, gamma=None, beta=None, **options)
        return Repair(call, backward, lambda x: call(x)[0])

    plain = partial(bnlib.batch_norm, gamma=None, beta=None)
    ghost = partial(bnlib.ghost_batch_norm, gamma=None, beta=None, ghost_size=size // 4)
    return {
        "batch norm": Repair(plain, bnlib.batch_norm_backward, running),
        "ghost, a quarter": Repair(ghost, bnlib.ghost_batch_norm_backward, running),
        "example weighted": Repair(plain, bnlib.batch_norm_backward, weighted),
        "renorm, 1.1 and 0.1": renorm(r_max=1.1, d_max=0.1),
        "renorm, no bounds": renorm(r_max=np.inf, d_max=np.inf),
        "frozen": Repair(lambda x: (running(x), x), frozen_backward, running),
        "group norm": single(
            bnlib.group_norm, bnlib.group_norm_backward, num_groups=groups
        ),
        "filter response": single(
            bnlib.filter_response_norm, bnlib.filter_response_norm_backward
        ),
    }


def defects(
    repair: Repair, x: np.ndarray, size: int, *, targets=6, draws=30, seed=0
) -> dict[str, float]:
    """Measure what an example's company does to it in one layer.

    Parameters
    ----------
    repair : Repair
        How to normalise.
    x : numpy.ndarray of shape (N, C, H, W)
        Where to draw from.
    size : int
        Examples in a batch: one that stays, the rest drawn anew.
    targets, draws : int
        How many examples to look at, in how many batches each.
    seed : int
        Of the drawing.

    Returns
    -------
    dict
        ``noise``: standard deviation of an output over the draws. ``modes``: distance
        of the mean over draws from evaluation. ``coupling``: length of the gradient
        that reaches the others, over that of all of it, where the loss is the
        example's own. The first two root mean squares over outputs, over the standard
        deviation of the outputs in evaluation.
    """
    rng = np.random.default_rng(seed)
    scale = repair.evaluate(x).std()
    noise, modes, others, whole = [], [], 0.0, 0.0
    for target in rng.choice(len(x), targets, replace=False):
        outputs = []
        for _ in range(draws):
            company = rng.choice(len(x), size - 1, replace=False)
            batch = x[np.concatenate([[target], company])]
            y, cache = repair.train(batch)
            outputs.append(y[0])
            dy = np.zeros_like(y)
            dy[0] = rng.standard_normal(y[0].shape)
            dx = repair.backward(dy, cache)[0]
            others += np.sum(dx[1:] ** 2)
            whole += np.sum(dx**2)
        noise.append(np.var(outputs, axis=0, ddof=1))
        offset = np.mean(outputs, axis=0) - repair.evaluate(x[target][None])[0]
        # The mean of the draws is noisy too: take that out.
        modes.append(offset**2 - noise[-1] / draws)
    return {
        "noise": float(np.sqrt(np.mean(noise)) / scale),
        "modes": float(np.sqrt(max(np.mean(modes), 0.0)) / scale),
        "coupling": float(np.sqrt(others / whole)),
    }


# -- Synchronised statistics -----------------------------------------------------------


def synchronised_norm(parts: Sequence[np.ndarray], eps: float = 1e-5) -> tuple:
    """Normalise (N_k, C) parts on several devices by their common statistics.

    Returns
    -------
    x_hats : list of numpy.ndarray
        One for each part.
    inv_std, count
        Needed again by `synchronised_norm_backward`.
    """
    # What each device sends: its mean, its variance, its count.
    messages = [(x.mean(0), x.var(0), len(x)) for x in parts]
    mean, var, count = messages[0]
    for message in messages[1:]:
        mean, var, count = bnlib.merge_moments((mean, var, count), message)
    inv_std = 1 / np.sqrt(var + eps)
    return [(x - mean) * inv_std for x in parts], inv_std, count


def synchronised_norm_backward(gradients, x_hats, inv_std, count) -> list[np.ndarray]:
    """Return the parts' dx, from the parts' gradients with respect to x-hat."""
    # What each device sends: two sums for each channel.
    messages = [
        (d.sum(0), (d * x_hat).sum(0))
        for d, x_hat in zip(gradients, x_hats, strict=True)
    ]
    total, along = (sum(column) for column in zip(*messages, strict=True))
    return [
        inv_std * (d - total / count - x_hat * along / count)
        for d, x_hat in zip(gradients, x_hats, strict=True)
    ]


# -- Experiments -----------------------------------------------------------------------


def drift(
    data: Data, *, constant: bool, rate: float, seeds: Sequence[int], steps: int = 80
) -> tuple[np.ndarray, np.ndarray]:
    """Train with the running statistics as the forward pass's.

    Renormalisation without bounds, after 10 steps of batch normalisation.

    Parameters
    ----------
    data : Data
        Images.
    constant : bool
        Whether r and d are constants for the gradient.
    rate : float
        Learning rate, with momentum 0.9, batches of 32.
    seeds : sequence of int
        For the weights and the order.
    steps : int
        How many.

    Returns
    -------
    loss : numpy.ndarray of shape (seeds, steps)
        Of each step's batch; not a number after divergence.
    sd : numpy.ndarray of shape (seeds, steps // 5 + 1)
        Largest running standard deviation of the last norm's channels, every 5 steps.
    """
    no_bounds = {"r_max": 1e6, "d_max": 1e6, "start": 10, "end": 11}
    norm = partial(BatchRenorm2d, constant=constant, **no_bounds)
    losses = np.full((len(seeds), steps), np.nan)
    spreads = np.full((len(seeds), steps // 5 + 1), np.nan)

    def look(model):
        last = [m for m in model if isinstance(m, BatchRenorm2d)][-1]
        return {"sd": last.running_var.max().sqrt().item()}

    for k, seed in enumerate(seeds):
        torch.manual_seed(seed)
        history = train(
            cnn((8, 16, 16), norm=norm), data, rate=rate, steps=steps, batch=32,
            seed=seed, momentum=0.9, watch=look, every=5,
        )  # fmt: skip
        losses[k, : len(history.loss)] = history.loss
        spreads[k, : len(history.seen["sd"])] = history.seen["sd"]
    return losses, spreads


def lag(step: float, momentum: float, steps: int, start: float = 0.0) -> np.ndarray:
    """Return what is left of a bias that grows by `step`, minus its running mean.

    The running mean is updated after use, with weight `momentum` for the new value.
    """
    bias = running = start
    left = []
    for _ in range(steps):
        left.append(bias - running)
        running += momentum * (bias - running)
        bias += step
    return np.array(left)


def window_errors(
    data: Data,
    *,
    rate: float,
    windows: Sequence[int],
    seed: int,
    batch: int = 4,
    steps: int = 100,
) -> dict[str, np.ndarray]:
    """Estimate a layer's statistics from the last few batches, in three ways.

    A network is trained on small batches. Every 20 steps the means of the second
    convolution's channels over all training examples are compared with estimates from
    the last k batches: their outputs as they were (naive), their inputs as they were
    under today's weights (compensated), and k batches of today (fresh).

    Parameters
    ----------
    data : Data
        Images.
    rate : float
        Learning rate, with momentum 0.9.
    windows : sequence of int
        The k, at most 20.
    seed : int
        For the weights and the order.
    batch, steps : int
        Examples in a step, and how many steps.

    Returns
    -------
    dict of str to numpy.ndarray of shape (windows,)
        Root mean square error of the mean, over the channel's standard deviation.
    """
    torch.manual_seed(seed)
    model = cnn((8, 16, 16), norm=partial(GhostBatchNorm2d, size=batch))
    conv, past = model[3], deque(maxlen=max(windows))
    errors = {name: [] for name in ("naive", "compensated", "fresh")}
    generator = torch.Generator().manual_seed(seed)

    def remember(_, inputs: tuple, output: torch.Tensor) -> None:
        past.append((inputs[0].detach(), output.detach()))

    @torch.no_grad()
    def look(model: nn.Sequential) -> dict:
        if not past:  # before the first step
            return {}
        then = list(past)
        order = torch.randperm(len(data.x), generator=generator)
        order = order[: len(order) // batch * batch]
        copied = copy.deepcopy(model[:3])  # its running statistics must not change
        now = nn.functional.conv2d(
            copied(data.x[order]), conv.weight, stride=2, padding=1
        )
        var, mean = torch.var_mean(now, (0, 2, 3), correction=0)
        for k in windows:
            recent = torch.cat([x for x, _ in then[-k:]])
            estimates = {
                "naive": torch.cat([y for _, y in then[-k:]]),
                "compensated": nn.functional.conv2d(
                    recent, conv.weight, stride=2, padding=1
                ),
                "fresh": now[: k * batch],
            }
            for name, values in estimates.items():
                error = (values.mean((0, 2, 3)) - mean).square() / var
                errors[name].append(error.mean().item())
        return {}

    hook = conv.register_forward_hook(remember)
    train(
        model, data, rate=rate, steps=steps, batch=batch, seed=seed, momentum=0.9,
        watch=look, every=20,
    )  # fmt: skip
    hook.remove()
    return {
        name: np.sqrt(np.mean(np.reshape(values, (-1, len(windows))), axis=0))
        for name, values in errors.items()
    }
