"""Normalisation across features: small transformers whose norms can be exchanged.

Everything here carries an axis of *runs* in front: networks that differ in their seed
or learning rate are trained as one, their weights stacked. The stream between the
layers has shape (runs, N T, width), one row for each token.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linprog
from torch import Tensor, nn

from experiments.data import digits

EPS = 1e-5


class Norm(nn.Module):
    """What stands in the place of a normalisation, for stacked runs.

    Parameters
    ----------
    kind : str
        "layer"; "RMS"; "simple": layer normalisation without gamma and beta; "detach":
        layer normalisation whose mean and deviation count as constants in the backward
        pass; "batch": each feature over all tokens of the batch, running statistics in
        evaluation; "none".
    runs, width : int
        Stacked networks, features.
    """

    def __init__(self, kind: str, runs: int, width: int):
        super().__init__()
        self.kind = kind
        self.gamma = self.beta = None
        if kind not in ("none", "simple"):
            self.gamma = nn.Parameter(torch.ones(runs, 1, width))
        if kind not in ("none", "simple", "RMS"):
            self.beta = nn.Parameter(torch.zeros(runs, 1, width))
        if kind == "batch":
            self.register_buffer("running_mean", torch.zeros(runs, 1, width))
            self.register_buffer("running_var", torch.ones(runs, 1, width))
            self.seen: list[tuple[Tensor, Tensor]] | None = None  # each batch's

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a stream of shape (runs, tokens, width)."""
        if self.kind == "none":
            return x
        if self.kind == "RMS":
            x_hat = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)
        elif self.kind == "detach":
            mean = x.mean(-1, keepdim=True).detach()
            var = x.var(-1, correction=0, keepdim=True).detach()
            x_hat = (x - mean) * torch.rsqrt(var + EPS)
        elif self.kind == "batch":
            mean, var = self.running_mean, self.running_var
            if self.training:
                var, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
                with torch.no_grad():  # momentum weighs the new value; biased variance
                    self.running_mean.lerp_(mean, 0.1)
                    self.running_var.lerp_(var, 0.1)
                if self.seen is not None:
                    self.seen.append((mean.detach(), var.detach()))
            x_hat = (x - mean) * torch.rsqrt(var + EPS)
        else:
            x_hat = F.layer_norm(x, x.shape[-1:], eps=EPS)
        if self.gamma is not None:
            x_hat = x_hat * self.gamma
        return x_hat if self.beta is None else x_hat + self.beta


class Linear(nn.Module):
    """A linear layer for stacked runs: weights of shape (runs, inputs, outputs)."""

    def __init__(self, runs: int, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(runs, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(runs, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (runs, tokens, inputs) to (runs, tokens, outputs)."""
        return torch.baddbmm(self.bias, x, self.weight)


@dataclass(frozen=True)
class Design:
    """A transformer.

    Attributes
    ----------
    place : str
        "pre": ``x + F(norm(x))``, and one more norm before the readout; "post":
        ``norm(x + F(x))``.
    norm : str
        A kind of `Norm`.
    layers, width, hidden : int
        An attention of one head and a feed-forward part make one layer.
    length : int
        Tokens in a sequence.
    inputs, outputs : int
        Features of an input token; classes.
    causal : bool
        Whether a token attends to itself and earlier ones only.
    pool : bool
        Whether all tokens of a sequence share one answer, from their mean.
    uniform : bool
        Queries and keys start at zero, so that attention starts as a plain average.
    gain : float
        Factor on the first weights of query, key and value. The default, as in
        PyTorch's `MultiheadAttention`, is what comes of drawing them as one matrix.
    """

    place: str = "pre"
    norm: str = "layer"
    layers: int = 6
    width: int = 16
    hidden: int = 32
    length: int = 8
    inputs: int = 29
    outputs: int = 29
    causal: bool = True
    pool: bool = False
    uniform: bool = False
    gain: float = 0.5**0.5


class Layer(nn.Module):
    """Attention, then a feed-forward network, each with its norm and its skip."""

    def __init__(self, design: Design, runs: int):
        super().__init__()
        self.design = design
        width, hidden = design.width, design.hidden
        self.norm_a = Norm(design.norm, runs, width)
        self.norm_f = Norm(design.norm, runs, width)
        self.query, self.key, self.value, self.out = (
            Linear(runs, width, width) for _ in range(4)
        )
        self.up, self.down = Linear(runs, width, hidden), Linear(runs, hidden, width)

    def attention(self, x: Tensor) -> Tensor:
        """Mix the tokens of each sequence."""
        runs, tokens, width = x.shape
        length = self.design.length
        q, k, v = (
            part(x).view(-1, 1, length, width)  # one head
            for part in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.design.causal)
        return self.out(mixed.view(runs, tokens, width))

    def feed_forward(self, x: Tensor) -> Tensor:
        """Change each token by itself."""
        return self.down(torch.relu(self.up(x)))

    def forward(self, x: Tensor) -> Tensor:
        """Pass a stream of shape (runs, tokens, width)."""
        if self.design.place == "pre":
            x = x + self.attention(self.norm_a(x))
            return x + self.feed_forward(self.norm_f(x))
        x = self.norm_a(x + self.attention(x))
        return self.norm_f(x + self.feed_forward(x))


class Transformer(nn.Module):
    """Stacked transformers, one for each seed in a list.

    Weights are drawn with Xavier's variance, 2 / (inputs + outputs); an embedded token
    has variance 1. The output projection of attention is Xavier's too.

    Parameters
    ----------
    design : Design
        What they look like.
    seeds : sequence of int
        Equal seeds give equal first weights.
    """

    def __init__(self, design: Design, seeds: Sequence[int]):
        super().__init__()
        self.design, runs = design, len(seeds)
        self.embed = Linear(runs, design.inputs, design.width)
        self.position = nn.Parameter(torch.empty(runs, design.length, design.width))
        self.layers = nn.ModuleList(Layer(design, runs) for _ in range(design.layers))
        last = design.norm if design.place == "pre" else "none"
        self.norm = Norm(last, runs, design.width)
        self.readout = Linear(runs, design.width, design.outputs)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        with torch.no_grad():
            for part in self.modules():
                if isinstance(part, Linear):
                    sd = (2 / sum(part.weight.shape[1:])) ** 0.5
                    for weight, generator in zip(part.weight, generators, strict=True):
                        weight.normal_(std=sd, generator=generator)
            for weight, position, generator in zip(
                self.embed.weight, self.position, generators, strict=True
            ):
                weight.normal_(std=0.5**0.5, generator=generator)
                position.normal_(std=0.5**0.5, generator=generator)
            for layer in self.layers:
                for part in (layer.query, layer.key, layer.value):
                    part.weight.mul_(design.gain)
                if design.uniform:
                    layer.query.weight.zero_()
                    layer.key.weight.zero_()

    def forward(self, x: Tensor, watch: list[Tensor] | None = None) -> Tensor:
        """Return the scores.

        Parameters
        ----------
        x : torch.Tensor
            Shape (runs, N, length, inputs).
        watch : list, optional
            The stream before the first layer and after each is appended, and keeps its
            gradient.

        Returns
        -------
        torch.Tensor
            Shape (runs, N, length, outputs), or (runs, N, 1, outputs) if pooled.
        """
        runs, count, length, _ = x.shape
        stream = self.embed(x.flatten(1, 2)).view(runs, count, length, -1)
        stream = (stream + self.position[:, None]).flatten(1, 2)
        for layer in (None, *self.layers):
            stream = stream if layer is None else layer(stream)
            if watch is not None:
                stream.retain_grad()
                watch.append(stream)
        stream = self.norm(stream)
        if self.design.pool:
            stream = stream.view(runs, count, length, -1).mean(2)
            length = 1
        return self.readout(stream).view(runs, count, length, -1)


def losses(scores: Tensor, y: Tensor) -> Tensor:
    """Return each run's mean cross-entropy in nats.

    Parameters
    ----------
    scores : torch.Tensor
        Shape (runs, N, tokens, classes).
    y : torch.Tensor
        Classes, shape (runs, N, tokens).
    """
    each = F.cross_entropy(scores.flatten(0, -2), y.flatten(), reduction="none")
    return each.view(len(scores), -1).mean(1)


Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Task:
    """What to learn: functions that draw examples.

    Attributes
    ----------
    train, validation, test : callable
        Each takes how many, and a generator; it returns inputs of shape (N, length,
        inputs) and classes of shape (N, length), or (N, 1) for a whole sequence.
    """

    train: Draw
    validation: Draw
    test: Draw


def windows(ids: Tensor, length: int) -> Draw:
    """Return what draws pieces of a long sequence of symbols, and their successors.

    Parameters
    ----------
    ids : torch.Tensor
        Symbols from 0 on, int64.
    length : int
        Of a piece; its inputs are one-hot.
    """
    codes = torch.eye(int(ids.max()) + 1)
    steps = torch.arange(length + 1)

    def draw(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        starts = torch.randint(len(ids) - length, (count, 1), generator=generator)
        piece = ids[starts + steps]
        return codes[piece[:, :-1]], piece[:, 1:]

    return draw


def python_help(length: int = 8) -> Task:
    """Return the task to continue the text behind Python's ``help()`` topics.

    29 symbols: small letters, space, full stop and comma; all else became a space.
    Eight tenths of the text are for training, one and one for validation and test.
    """
    from pydoc_data.topics import topics

    text = " ".join(topics[name] for name in sorted(topics)).lower()
    text = re.sub("[^a-z.,]+", " ", text)
    place = {symbol: k for k, symbol in enumerate(sorted(set(text)))}
    ids = torch.tensor([place[symbol] for symbol in text])
    cuts = int(0.8 * len(ids)), int(0.9 * len(ids))
    return Task(*(windows(part, length) for part in ids.tensor_split(cuts)))


def coins(length: int = 8, seed: int = 0) -> Task:
    """Return the task to predict the next throw of a fair coin, which nobody can."""
    generator = torch.Generator().manual_seed(seed)
    throws = torch.randint(2, (3, 100_000), generator=generator)
    return Task(*(windows(part, length) for part in throws))


def digit_rows(seed: int = 0) -> Task:
    """Return the task to tell digits of 8×8 pixels, a row at a time."""
    data = digits(seed=seed)

    def draw_from(x: Tensor, y: Tensor) -> Draw:
        def draw(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            chosen = torch.randint(len(x), (count,), generator=generator)
            return x[chosen].view(-1, 8, 8) / 8**0.5, y[chosen, None]

        return draw

    kept = draw_from(data.x[300:], data.y[300:])
    held_out = draw_from(data.x[:300], data.y[:300])
    return Task(kept, held_out, draw_from(data.x_test, data.y_test))


@dataclass
class Trained:
    """Transformers trained side by side, one for each learning rate and seed.

    Attributes
    ----------
    model : Transformer
        Run ``i * len(seeds) + j`` has ``rates[i]`` and ``seeds[j]``.
    rates, seeds : tuple
        What was tried.
    loss : numpy.ndarray of shape (steps, rates, seeds)
        Of each step's batch.
    validation, test : numpy.ndarray of shape (rates, seeds)
        Loss in evaluation mode.
    """

    model: Transformer
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    loss: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    @property
    def best(self) -> int:
        """The rate whose mean over seeds is best on validation examples."""
        return int(np.nan_to_num(self.validation, nan=np.inf).mean(1).argmin())

    @property
    def rate(self) -> float:
        """That rate."""
        return self.rates[self.best]

    @property
    def score(self) -> np.ndarray:
        """Test loss of each seed at that rate."""
        return self.test[self.best]


def train(
    design: Design,
    task: Task,
    *,
    rates: Sequence[float],
    seeds: Sequence[int],
    steps: int,
    warm: int = 0,
    batch: int = 16,
) -> Trained:
    """Train by Adam with decay rates of 0.9 and 0.98.

    Parameters
    ----------
    design : Design
        The network.
    task : Task
        What to learn.
    rates, seeds : sequence
        A seed decides the first weights and the examples drawn.
    steps, batch : int
        How many steps, of how many sequences each.
    warm : int
        The learning rate rises linearly over so many steps; then, or at once if 0, it
        falls linearly to zero.
    """
    model = Transformer(design, [*seeds] * len(rates)).train()
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    parameters = list(model.parameters())
    sizes = [p[0].numel() for p in parameters]
    first, second = torch.zeros(2, len(parameters[0]), sum(sizes))
    rate = torch.tensor(rates).repeat_interleave(len(seeds)).view(-1, 1)
    history = []
    for step in range(1, steps + 1):
        x, y = zip(*(task.train(batch, g) for g in generators), strict=True)
        x = torch.stack(x).repeat(len(rates), 1, 1, 1)
        y = torch.stack(y).repeat(len(rates), 1, 1)
        loss = losses(model(x), y)
        history.append(loss.detach())
        gradients = torch.autograd.grad(loss.sum(), parameters)
        now = step / warm if step <= warm else (steps + 1 - step) / (steps + 1 - warm)
        with torch.no_grad():
            gradient = torch.cat([g.flatten(1) for g in gradients], 1)
            first.lerp_(gradient, 0.1)
            second.mul_(0.98).addcmul_(gradient, gradient, value=0.02)
            size = (second / (1 - 0.98**step)).sqrt_().add_(1e-8)
            move = rate * (now / (1 - 0.9**step)) * first / size
            for p, part in zip(parameters, move.split(sizes, 1), strict=True):
                p.sub_(part.view_as(p))
    model.eval()

    @torch.no_grad()
    def measure(draw: Draw) -> np.ndarray:
        x, y = draw(400, torch.Generator().manual_seed(0))
        runs = len(rates) * len(seeds)
        scores = model(x.expand(runs, -1, -1, -1))
        return losses(scores, y.expand(runs, -1, -1)).view(len(rates), -1).numpy()

    return Trained(
        model=model,
        rates=tuple(rates),
        seeds=tuple(seeds),
        loss=torch.stack(history).view(steps, len(rates), -1).numpy(),
        validation=measure(task.validation),
        test=measure(task.test),
    )


@dataclass
class Start:
    """What a transformer looks like before its first step; runs in the first axis.

    Attributes
    ----------
    stream : numpy.ndarray of shape (runs, layers + 1)
        Mean square of the stream's entries, before the first layer and after each.
    alike : numpy.ndarray of shape (runs, layers)
        Squared length of the tokens' mean, over their mean squared length, of what
        each attention reads: 1 if all tokens of a sequence are equal, 1/n if they are
        at right angles.
    gradient : numpy.ndarray of shape (runs, layers + 1)
        Root mean square over tokens of the length of the loss's gradient with respect
        to the stream.
    gradient_alike : numpy.ndarray of shape (runs, layers)
        As `alike`, of the gradient with respect to what attention adds to the stream.
    weight : numpy.ndarray of shape (runs, layers)
        Length of the gradient with respect to each layer's last matrix, ``down``.
    """

    stream: np.ndarray
    alike: np.ndarray
    gradient: np.ndarray
    gradient_alike: np.ndarray
    weight: np.ndarray


def likeness(x: Tensor, length: int) -> Tensor:
    """Return how alike the tokens of a sequence are, for each run, from 1/n to 1."""
    x = x.view(len(x), -1, length, x.shape[-1])
    return x.mean(2).square().sum((1, 2)) / x.square().sum(-1).mean(2).sum(1)


def start(design: Design, seeds: Sequence[int], sequences: int = 8) -> Start:
    """Measure stream and gradients of untrained transformers.

    Inputs are Gaussian vectors of expected length 1, targets are drawn at random, and
    the loss is the mean over all tokens.
    """
    model = Transformer(design, seeds)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    shape = sequences, design.length
    x = torch.stack(
        [torch.randn(*shape, design.inputs, generator=g) for g in generators]
    )
    y = torch.stack(
        [torch.randint(design.outputs, shape, generator=g) for g in generators]
    )
    read: list[Tensor] = []
    added: list[Tensor] = []

    def keep(_, inputs, output):
        output.retain_grad()
        added.append(output)

    for layer in model.layers:
        layer.value.register_forward_hook(lambda _, i, o: read.append(i[0].detach()))
        layer.out.register_forward_hook(keep)
    watch: list[Tensor] = []
    losses(model(x / design.inputs**0.5, watch), y).sum().backward()

    def gather(values):
        return torch.stack(list(values), 1).detach().numpy()

    tokens = sequences * design.length
    return Start(
        stream=gather(x.square().mean((1, 2)) for x in watch),
        alike=gather(likeness(x, design.length) for x in read),
        gradient=gather(tokens * x.grad.square().sum(2).mean(1).sqrt() for x in watch),
        gradient_alike=gather(likeness(x.grad, design.length) for x in added),
        weight=gather(
            layer.down.weight.grad.square().sum((1, 2)).sqrt() for layer in model.layers
        ),
    )


@torch.no_grad()
def without_mean(model: Transformer) -> Transformer:
    """Return a transformer with RMS normalisation that computes the same.

    Parameters
    ----------
    model : Transformer
        With layer normalisation in "pre" placement. Every matrix that writes to the
        stream loses the mean over its outputs, so that the stream has mean zero; each
        beta moves into the bias of the matrices that read it.
    """
    design = replace(model.design, norm="RMS")
    twin = Transformer(design, [0] * len(model.position))
    twin.load_state_dict(model.state_dict(), strict=False)
    writers = [twin.embed, *(p for m in twin.layers for p in (m.out, m.down))]
    for part in writers:
        for p in (part.weight, part.bias):
            p.sub_(p.mean(-1, keepdim=True))
    twin.position.sub_(twin.position.mean(-1, keepdim=True))
    pairs = [(model.norm.beta, (twin.readout,))]
    for old, new in zip(model.layers, twin.layers, strict=True):
        pairs += [(old.norm_a.beta, (new.query, new.key, new.value))]
        pairs += [(old.norm_f.beta, (new.up,))]
    for beta, readers in pairs:
        for part in readers:
            part.bias.add_(beta @ part.weight)
    return twin.eval()


def unselectable(keys: np.ndarray) -> float:
    """Return the share of keys that no query prefers to all others.

    Parameters
    ----------
    keys : numpy.ndarray of shape (n, d)
        A query q prefers the key with the largest inner product.
    """
    count, width = keys.shape
    hidden = 0
    for k in range(count):
        others = np.delete(keys, k, axis=0) - keys[k]
        # Maximise the margin m with others @ q + m <= 0, each |q_i| <= 1.
        answer = linprog(
            np.append(np.zeros(width), -1.0),
            A_ub=np.column_stack([others, np.ones(count - 1)]),
            b_ub=np.zeros(count - 1),
            bounds=[(-1, 1)] * width + [(None, 1)],
        )
        hidden += -answer.fun < 1e-9
    return hidden / count


@torch.no_grad()
def fluctuation(
    model: Transformer, task: Task, *, batch: int, batches: int = 60
) -> np.ndarray:
    """Return how much the statistics of batch normalisation vary between batches.

    Parameters
    ----------
    model : Transformer
        With batch normalisation; its weights stand still, its running statistics move.
    task : Task
        Its training examples are drawn, the same for all runs.
    batch, batches : int
        Sequences in a batch, number of batches.

    Returns
    -------
    numpy.ndarray of shape (2, runs, norms)
        Root mean square over features of: the standard deviation of a batch's mean,
        over the feature's standard deviation; the standard deviation of a batch's
        variance, over the variance. For M independent Gaussian values they would be
        about 1 / sqrt(M) and sqrt(2 / M).
    """
    norms = [part for part in model.modules() if isinstance(part, Norm)]
    for norm in norms:
        norm.seen = []
    model.train()
    generator = torch.Generator().manual_seed(0)
    for _ in range(batches):
        x, _ = task.train(batch, generator)
        model(x.expand(len(model.position), -1, -1, -1))
    model.eval()
    found = []
    for norm in norms:
        mean, var = (torch.stack(values) for values in zip(*norm.seen, strict=True))
        norm.seen = None
        whole = var.mean(0) + mean.var(0, correction=0)
        of_mean = (mean.var(0) / whole).mean((1, 2)).sqrt()
        of_var = (var.var(0) / whole.square()).mean((1, 2)).sqrt()
        found.append(torch.stack([of_mean, of_var]))
    return torch.stack(found, 2).numpy()


def influence(norm: str, *, sequences: int = 2, length: int = 6) -> np.ndarray:
    """Return how much each token's output depends on each token's input.

    An untrained causal transformer of one layer, in training mode.

    Returns
    -------
    numpy.ndarray of shape (tokens, tokens)
        Length of the Jacobian of an output token (row) with respect to an input token
        (column), over the largest.
    """
    design = Design(norm=norm, layers=1, length=length, inputs=16)
    model = Transformer(design, [0]).train()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, sequences, length, 16, generator=generator) / 4
    jacobian = torch.autograd.functional.jacobian(model, x)
    tokens = sequences * length
    jacobian = jacobian.view(tokens, design.outputs, tokens, 16)
    size = jacobian.square().sum((1, 3)).sqrt()
    return (size / size.max()).numpy()
