"""Recurrent networks whose normalisation can be exchanged.

Everything is written step by step, because *which step it is* is the question.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from experiments.data import Data
from experiments.training import batches, descend


class StepNorm(nn.Module):
    """Batch normalisation with statistics of its own for each time step.

    In training each step is normalised with its batch statistics (biased variance).
    Gamma and beta are the same for all steps. In evaluation, steps after the last one
    that has statistics take those of the last.

    But: with ``steps=1`` all steps share one running mean and one running variance,
    like a `torch.nn.BatchNorm1d` that is called at every step.

    Parameters
    ----------
    width : int
        Number of channels.
    steps : int
        How many steps have running statistics of their own.
    gamma : float
        Initial scale.
    shift : bool
        Whether there is a beta.
    momentum : float
        Weighs the new value. The running variance is that of PyTorch, unbiased.
    """

    def __init__(
        self,
        width: int,
        *,
        steps: int,
        gamma: float = 0.1,
        shift: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), gamma))
        self.beta = nn.Parameter(torch.zeros(width)) if shift else None
        self.register_buffer("running_mean", torch.zeros(steps, width))
        self.register_buffer("running_var", torch.ones(steps, width))
        self.momentum, self.eps = momentum, eps

    def forward(self, z: Tensor, t: int, alive: Tensor | None = None) -> Tensor:
        """Normalise step `t` of a batch, counted from 0.

        Parameters
        ----------
        z : torch.Tensor
            Shape (N, width); (copies, N, width) for networks side by side.
        t : int
            The step.
        alive : torch.Tensor, optional
            Shape (N,), bool: which sequences have not ended. The others do not count
            in the statistics, and are set to zero.
        """
        if alive is not None and not alive.all():
            out = torch.zeros_like(z)
            if alive.sum() > 1 or not self.training:
                out[alive] = self(z[alive], t)
            return out
        t = min(t, len(self.running_mean) - 1)
        copies = z.shape[:-2]
        if copies:  # copies become channels: (N, copies · width)
            z = z.transpose(0, 1).flatten(1)
        z = batch_norm(
            z,
            self.running_mean[t].view(-1),  # a view: it is updated in place
            self.running_var[t].view(-1),
            self.gamma.view(-1),
            None if self.beta is None else self.beta.view(-1),
            self.training,
            self.momentum,
            self.eps,
        )
        return z.unflatten(1, (*copies, -1)).transpose(0, 1) if copies else z


class LayerNorm(nn.Module):
    """Layer normalisation, of one network or of several side by side."""

    def __init__(self, width: int, *, gamma: float = 1.0, shift: bool = False):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), gamma))
        self.beta = nn.Parameter(torch.zeros(width)) if shift else None

    def forward(self, z: Tensor) -> Tensor:
        """Normalise each example, the last axis of `z`."""
        z = F.layer_norm(z, z.shape[-1:]) * self.gamma.unsqueeze(-2)
        return z if self.beta is None else z + self.beta.unsqueeze(-2)


class Stepless(nn.Module):
    """A module that does the same at every step, for the place of a `StepNorm`."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, z: Tensor, t: int, alive: Tensor | None = None) -> Tensor:
        """Apply the module; neither `t` nor `alive` matters."""
        return self.module(z)


class Lstm(nn.Module):
    """An LSTM that reads a sequence and answers at its end.

    Parameters
    ----------
    inputs, units, classes : int
        Sizes.
    norm : str
        "plain"; "input": batch normalisation of the input's contribution over batch
        and time together; "step": `StepNorm` of both contributions and of the cell's
        output; "layer": layer normalisation in the same three places.
    steps : int
        For "step": how many steps have statistics; 1 shares them.
    gamma : float
        Initial scale of all normalisations but "plain".
    seed : int
        Of the weights: the same for all norms.
    forget : float
        Initial bias of the forget gate.
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        classes: int,
        *,
        norm: str,
        steps: int = 1,
        gamma: float | None = None,
        seed: int = 0,
        forget: float = 1.0,
    ):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        w_x = torch.randn(inputs, 4 * units, generator=generator) / inputs**0.5
        blocks = [
            nn.init.orthogonal_(torch.empty(units, units), generator=generator)
            for _ in range(4)
        ]
        self.w_x, self.w_h = nn.Parameter(w_x), nn.Parameter(torch.cat(blocks, 1))
        bias = torch.zeros(4 * units)
        bias[units : 2 * units] = forget
        self.bias = nn.Parameter(bias)
        self.readout = nn.Linear(units, classes)
        with torch.no_grad():
            self.readout.weight.normal_(std=units**-0.5, generator=generator)
            self.readout.bias.zero_()
        self.over_time = None
        if norm == "input":
            self.over_time = StepNorm(4 * units, steps=1, gamma=1.0, shift=True)
        self.norm_x = make_norm(norm, 4 * units, steps, gamma)
        self.norm_h = make_norm(norm, 4 * units, steps, gamma)
        self.norm_c = make_norm(norm, units, steps, gamma, shift=True)

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        *,
        masked: bool = True,
        states: list[Tensor] | None = None,
    ) -> Tensor:
        """Return the scores after the last step of each sequence.

        Parameters
        ----------
        x : torch.Tensor
            Shape (N, T, inputs); (copies, N, T, inputs) for networks side by side.
        lengths : torch.Tensor, optional
            Shape (N,): the state of a sequence stands still after so many steps.
        masked : bool
            Whether sequences that have ended are left out of the statistics.
        states : list of torch.Tensor, optional
            Each step's ``W_h h`` is appended.
        """
        *examples, steps, _ = x.shape
        h = c = x.new_zeros(*examples, self.w_h.shape[-2])
        from_input = x.flatten(-3, -2) @ self.w_x
        if self.over_time is not None:
            from_input = self.over_time(from_input, 0)
        from_input = from_input.unflatten(-2, (-1, steps))
        for t in range(steps):
            alive = None if lengths is None else lengths > t
            from_state = h @ self.w_h
            if states is not None:
                states.append(from_state)
            count = alive if masked else None
            z = self.norm_h(from_state, t, count)
            z = z + self.norm_x(from_input[..., t, :], t, count)
            i, f, o, g = (z + self.bias.unsqueeze(-2)).chunk(4, dim=-1)
            c_new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h_new = torch.sigmoid(o) * torch.tanh(self.norm_c(c_new, t, count))
            if alive is None:
                h, c = h_new, c_new
            else:
                h = torch.where(alive[:, None], h_new, h)
                c = torch.where(alive[:, None], c_new, c)
        return h @ self.readout.weight.mT + self.readout.bias.unsqueeze(-2)


def make_norm(
    kind: str, width: int, steps: int, gamma: float | None, *, shift: bool = False
) -> nn.Module:
    """Return what stands in one of the three places of a cell."""
    if kind == "step":
        return StepNorm(width, steps=steps, gamma=gamma or 0.1, shift=shift)
    if kind == "layer":
        return Stepless(LayerNorm(width, gamma=gamma or 1.0, shift=shift))
    return Stepless(nn.Identity())


def side_by_side(models: Sequence[Lstm]) -> Lstm:
    """Return one network that computes what several do, in one pass.

    Its inputs and scores begin with an axis of copies, and so do its parameters;
    running statistics have the steps first.
    """
    many = copy.deepcopy(models[0])
    parts = [dict(model.named_parameters()) for model in models]
    for name, p in many.named_parameters():
        p.data = torch.stack([part[name].data for part in parts])
    for name, own in many.named_buffers():
        own.data = torch.stack([dict(m.named_buffers())[name] for m in models], 1)
    return many


def one_of(many: Lstm, k: int) -> Lstm:
    """Return network `k` of those that `side_by_side` put together."""
    one = copy.deepcopy(many)
    for p in one.parameters():
        p.data = p.data[k].clone()
    for own in one.buffers():
        own.data = own[:, k].clone()
    return one


def train_side_by_side(
    models: Sequence[Lstm],
    tasks: Sequence[Data],
    *,
    rates: Sequence[float],
    seeds: Sequence[int],
    steps: int = 100,
    batch: int = 64,
    momentum: float = 0.9,
) -> dict[tuple[float, int], tuple[Lstm, float]]:
    """Train networks at several rates: what `train` does, all in one loop.

    Parameters
    ----------
    models, tasks : sequence
        A network and its data for each seed.
    rates, seeds : sequence
        Learning rates; seeds of the order of examples.
    steps, batch, momentum
        As for `experiments.training.train`.

    Returns
    -------
    dict
        For each (rate, seed) the network and its mean loss over the last 30 steps.
    """
    many = side_by_side([*models] * len(rates)).train()
    streams = [batches(task, batch, s) for task, s in zip(tasks, seeds, strict=True)]

    def examples():
        for _ in range(steps):
            x, y = zip(*(next(stream) for stream in streams), strict=True)
            yield torch.stack(x * len(rates)), torch.stack(y * len(rates))

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(many(x).mT, y, reduction="none").mean(1)

    parameters = list(many.parameters())
    velocity = [torch.zeros_like(p) for p in parameters]

    def adjust(gradients):
        for v, gradient in zip(velocity, gradients, strict=True):
            v.mul_(momentum).add_(gradient)
        return velocity

    own = torch.tensor(rates).repeat_interleave(len(seeds))
    losses = descend(parameters, loss, examples(), own, adjust=adjust)
    last = np.split(losses[-30:].mean(0).numpy(), len(rates))
    return {
        (rate, seed): (one_of(many, i * len(seeds) + j), float(last[i][j]))
        for i, rate in enumerate(rates)
        for j, seed in enumerate(seeds)
    }


def sequences(data: Data, *, size: int = 8, order: Tensor | None = None) -> Data:
    """Return the digits as sequences of `size` pixels a step.

    Parameters
    ----------
    data : Data
        Inputs of shape (N, 64).
    size : int
        8 reads row by row, 1 pixel by pixel.
    order : torch.Tensor, optional
        A permutation of the 64 pixels, the same for all digits.
    """

    def cut(x: Tensor) -> Tensor:
        x = x if order is None else x[:, order]
        return x.reshape(len(x), -1, size)

    return Data(cut(data.x), data.y, cut(data.x_test), data.y_test)


def glimpses(data: Data, steps: int, *, copies: int = 1, seed: int = 0) -> Data:
    """Return sequences that show one row of a digit a step, drawn at random.

    Each step's distribution is the same, however long the sequence; more steps show
    more of the digit.

    Parameters
    ----------
    data : Data
        Inputs of shape (N, 64).
    steps : int
        Length of the sequences.
    copies : int
        How many sequences to draw for each training example.
    seed : int
        Of the rows drawn.

    Returns
    -------
    Data
        Inputs of shape (N, steps, 16): eight pixels, and which row it is (one-hot).
    """
    generator = torch.Generator().manual_seed(seed)

    def look(x: Tensor) -> Tensor:
        rows = torch.randint(8, (len(x), steps), generator=generator)
        pixels = x.view(-1, 8, 8)[torch.arange(len(x))[:, None], rows]
        return torch.cat([pixels, torch.eye(8)[rows]], dim=2)

    x, y = data.x.repeat(copies, 1), data.y.repeat(copies)
    return Data(look(x), y, look(data.x_test), data.y_test)


def padded(data: Data, shortest: int, *, seed: int = 0) -> Data:
    """Return sequences of random length, filled up with zeros to the longest.

    Parameters
    ----------
    data : Data
        Inputs of shape (N, T, features), none of whose steps is all zeros.
    shortest : int
        Lengths are uniform from `shortest` to T. The test sequences keep theirs.
    seed : int
        Of the lengths.
    """
    generator = torch.Generator().manual_seed(seed)
    n, steps, _ = data.x.shape
    lengths = torch.randint(shortest, steps + 1, (n, 1), generator=generator)
    alive = torch.arange(steps) < lengths
    return Data(data.x * alive[..., None], data.y, data.x_test, data.y_test)


class Padded(nn.Module):
    """An `Lstm` for padded sequences: steps that are all zeros are padding.

    Parameters
    ----------
    model : Lstm
        Its state stands still during padding.
    masked : bool
        Whether padding is left out of the statistics.
    """

    def __init__(self, model: Lstm, *, masked: bool):
        super().__init__()
        self.model, self.masked = model, masked

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores after the last step that is not padding."""
        lengths = (x != 0).any(dim=2).sum(dim=1)
        return self.model(x, lengths, masked=self.masked)


def step_norms(model: nn.Module) -> list[StepNorm]:
    """Return the normalisations of a model that have statistics for each step."""
    return [part for part in model.modules() if isinstance(part, StepNorm)]


def share(
    model: nn.Module, *, pooled: bool = False, places: tuple[int, ...] = (0, 1, 2)
) -> nn.Module:
    """Return a copy whose steps share one running mean and variance.

    Parameters
    ----------
    model : torch.nn.Module
        Has statistics for each step.
    pooled : bool
        Mean and variance of all steps taken together; otherwise what a
        `torch.nn.BatchNorm1d` called at every step would hold at the end of a
        sequence, if the statistics of the steps did not change.
    places : tuple of int
        Which of an `Lstm`'s normalisations: 0 of the input's contribution, 1 of the
        state's, 2 of the cell's output.
    """
    model = copy.deepcopy(model)
    norms = step_norms(model)
    for norm in (norms[place] for place in places):
        means, variances = norm.running_mean, norm.running_var
        steps = len(means)
        if pooled:
            mean = means.mean(0)
            variance = variances.mean(0) + means.var(0, correction=0)
        else:
            weight = (1 - norm.momentum) ** torch.arange(steps - 1, -1, -1.0)
            weight = weight / weight.sum()
            mean, variance = weight @ means, weight @ variances
        norm.running_mean, norm.running_var = mean[None], variance[None]
    return model


def extend(model: nn.Module, steps: int, how: str) -> nn.Module:
    """Return a copy that has statistics for more steps than it was trained with.

    Parameters
    ----------
    model : torch.nn.Module
        Has statistics for each step.
    steps : int
        How many steps there are to be.
    how : str
        "fresh": mean 0 and variance 1, as if the places had been reserved before
        training; "again": those of the first steps once more; "last": those of the
        last.
    """
    model = copy.deepcopy(model)
    for norm in step_norms(model):
        known = len(norm.running_mean)
        if how == "fresh":
            more = steps - known
            norm.running_mean = F.pad(norm.running_mean, (0, 0, 0, more), value=0.0)
            norm.running_var = F.pad(norm.running_var, (0, 0, 0, more), value=1.0)
        else:
            t = torch.arange(steps)
            t = t % known if how == "again" else t.clamp(max=known - 1)
            norm.running_mean, norm.running_var = (
                norm.running_mean[t],
                norm.running_var[t],
            )
    return model


def rnn_gradients(
    x: Tensor, gamma: float, *, mix: bool, units: int, seed: int
) -> Tensor:
    """Return the size of the loss's gradient with respect to each hidden state.

    ``h_t = tanh(BN(W_h h_{t-1} + W_x x_t))`` at initialisation, each step with its own
    statistics. The loss is a random linear function of the last state, another one for
    each example. Like the RNN of Cooijmans et al. (2017), figure 1a.

    Parameters
    ----------
    x : torch.Tensor
        Shape (N, T, inputs). All zeros: the states differ by the noise in h_0.
    gamma : float
        The scale after normalisation.
    mix : bool
        Whether ``W_h`` is a random orthogonal matrix; else the identity.
    units, seed : int
        Size of the state; seed of the weights and of h_0.

    Returns
    -------
    torch.Tensor
        Shape (T,): root mean square over examples and units, divided by the last
        step's.
    """
    generator = torch.Generator().manual_seed(seed)
    w_h = torch.eye(units)
    if mix:
        nn.init.orthogonal_(w_h, generator=generator)
    w_x = 0.1 * torch.randn(x.shape[2], units, generator=generator)
    h = 0.1 * torch.randn(len(x), units, generator=generator)
    scale = torch.full((units,), gamma)
    h.requires_grad_()
    states = []
    for t in range(x.shape[1]):
        z = h @ w_h + x[:, t] @ w_x
        h = torch.tanh(batch_norm(z, None, None, scale, None, True))
        h.retain_grad()
        states.append(h)
    (h * torch.randn(h.shape, generator=generator)).sum().backward()
    sizes = torch.stack([state.grad.pow(2).mean().sqrt() for state in states])
    return sizes / sizes[-1]


@torch.no_grad()
def state_moments(model: Lstm, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of ``W_h h`` at each step, over examples.

    Parameters
    ----------
    model : Lstm
        In training mode or not; its running statistics are not changed.
    x : torch.Tensor
        Shape (N, T, inputs).

    Returns
    -------
    mean, sd : torch.Tensor
        Shape (T, channels).
    """
    states: list[Tensor] = []
    copy.deepcopy(model)(x, states=states)
    stacked = torch.stack(states)
    return stacked.mean(1), stacked.std(1, correction=0)
