"""Networks whose weights are normalised: many side by side, in one set of tensors.

A network here is one slice of tensors with a leading axis; slices share nothing. All
seeds and learning rates of a comparison thus train in one loop.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import batch_norm, group_norm, layer_norm

from experiments.data import Data
from experiments.training import cross_entropies, descend

WIDTHS = (64, 48, 48, 48, 48, 10)
METHODS = (
    "plain",
    "plain, data",
    "batch",
    "weight",
    "weight, data",
    "standard",
    "spectral",
)
EPS = 1e-5


def unit_rows(v: Tensor) -> Tensor:
    """Divide each row (last axis) by its Euclidean norm."""
    return v / v.norm(dim=-1, keepdim=True)


def standardise_rows(v: Tensor) -> Tensor:
    """Subtract each row's mean and divide by its (biased) standard deviation."""
    return layer_norm(v, v.shape[-1:], eps=0.0)  # in one kernel


@torch.no_grad()
def power_step(w: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Take one step of power iteration.

    Parameters
    ----------
    w : torch.Tensor of shape (..., rows, columns)
        Matrices.
    u : torch.Tensor of shape (..., rows)
        Estimates of their first left singular vectors.

    Returns
    -------
    u, v : torch.Tensor
        Better estimates of the left and right ones, unit vectors; ``u @ w @ v`` is
        then a lower bound of the largest singular value.
    """
    v = unit_rows((u.unsqueeze(-2) @ w).squeeze(-2))
    return unit_rows((w @ v.unsqueeze(-1)).squeeze(-1)), v


def spectral_norm(w: Tensor) -> Tensor:
    """Return the largest singular values; NaN where a matrix is not finite."""
    finite = w.isfinite().all(-1).all(-1)
    values = torch.linalg.matrix_norm(w.detach().nan_to_num(0.0, 0.0, 0.0), 2)
    return values.where(finite, torch.nan)


class Networks:
    """Several ReLU networks that differ in seed and in learning rate alone.

    But: the output layer is never normalised, whatever the method.

    Parameters
    ----------
    method : str
        One of `METHODS`. "weight" starts with g = ||v||; "plain, data" and
        "weight, data" start with lengths and biases that give the first batch mean 0
        and variance 1; "standard" is weight standardisation followed by group
        normalisation.
    seeds, rates : sequence
        A network for each pair, rates varying slowest.
    widths : sequence of int
        Inputs, hidden layers, classes.
    groups : int
        Of group normalisation.
    rounds : int
        Of power iteration, each training step.
    """

    def __init__(
        self,
        method: str,
        seeds: Sequence[int],
        rates: Sequence[float] = (0.1,),
        *,
        widths: Sequence[int] = WIDTHS,
        groups: int = 4,
        rounds: int = 1,
    ):
        self.method, self.groups, self.rounds = method, groups, rounds
        self.size = len(seeds) * len(rates)
        self.rate = torch.tensor([r for r in rates for _ in seeds])
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]

        def draw(*shape: int) -> Tensor:
            one = torch.stack([torch.randn(shape, generator=g) for g in generators])
            return one.repeat(len(rates), *(1 for _ in shape))

        self.v, self.g, self.b, self.u, self.running = [], [], [], [], []
        for inputs, outputs in pairwise(widths):
            v = draw(outputs, inputs) * (2 / inputs) ** 0.5
            self.v.append(v)
            length = v.norm(dim=-1) if "weight" in method else torch.ones(v.shape[:2])
            self.g.append(length)
            self.b.append(torch.zeros(self.size, outputs))
            self.u.append(unit_rows(draw(outputs)))
            zero, one = torch.zeros(self.size, outputs), torch.ones(self.size, outputs)
            self.running.append([zero, one])
        if method == "spectral":  # a good estimate to start from
            for _ in range(15):
                for k, w in enumerate(self.v[:-1]):
                    self.u[k], _ = power_step(w, self.u[k])
        has_g = "weight" in method or method in ("batch", "standard")
        self.parameters = [
            p.requires_grad_() for p in self.v + self.b + (self.g[:-1] if has_g else [])
        ]

    def weight(self, k: int, *, update: bool = False) -> Tensor:
        """Return the matrices that layer k multiplies with, (networks, out, in).

        Parameters
        ----------
        k : int
            Which layer, from 0; the last is returned as it is.
        update : bool
            Whether spectral normalisation takes a step of power iteration first.
        """
        v = self.v[k]
        if k == len(self.v) - 1:
            return v
        if "weight" in self.method:
            return v * (self.g[k] / v.norm(dim=-1)).unsqueeze(-1)
        if self.method == "standard":
            return standardise_rows(v)
        if self.method == "spectral":
            return v / self.sigma(k, update=update)[:, None, None]
        return v

    def sigma(self, k: int, *, update: bool = False) -> Tensor:
        """Estimate layer k's largest singular values, differentiable in the weights."""
        u = self.u[k]
        for _ in range(self.rounds if update else 1):
            u, right = power_step(self.v[k].detach(), u)
        if update:
            self.u[k] = u
        return torch.einsum("no,noi,ni->n", u, self.v[k], right)

    def _normalise(self, k: int, z: Tensor, training: bool) -> Tensor:
        if self.method == "standard":
            z = group_norm(z.flatten(0, 1), self.groups, eps=EPS).view_as(z)
            return self.g[k].unsqueeze(1) * z
        # Each unit of each network is a channel.
        units = z.mT.reshape(1, -1, z.shape[1])
        mean, var = (s.view(-1) for s in self.running[k])
        gamma = self.g[k].view(-1)
        y = batch_norm(units, mean, var, gamma, None, training, 0.1, EPS)
        return y.view_as(z.mT).mT

    def __call__(
        self, x: Tensor, *, training: bool = False, pre: list | None = None
    ) -> Tensor:
        """Return scores, shape (networks, examples, classes).

        Parameters
        ----------
        x : torch.Tensor of shape (networks, examples, inputs)
        training : bool
            Whether batch normalisation uses the batch, and power iteration advances.
        pre : list, optional
            Receives the inputs of the ReLUs, layer by layer.
        """
        for k in range(len(self.v)):
            w = self.weight(k, update=training)
            last = k == len(self.v) - 1
            if self.method in ("batch", "standard") and not last:
                z = self._normalise(k, x @ w.mT, training) + self.b[k].unsqueeze(1)
            else:
                z = torch.baddbmm(self.b[k].unsqueeze(1), x, w.mT)
            if pre is not None and not last:
                pre.append(z)
            x = z if last else z.relu()
        return x

    @torch.no_grad()
    def start_from(self, x: Tensor) -> None:
        """Choose lengths and biases so that units have mean 0 and variance 1 on `x`."""
        for k in range(len(self.v) - 1):
            t = x @ unit_rows(self.v[k]).mT
            sd, mean = torch.std_mean(t, 1, correction=0)
            sd = sd.clamp(min=1e-3)
            if "weight" in self.method:
                self.g[k].copy_(1 / sd)
            else:
                self.v[k].copy_(unit_rows(self.v[k]) / sd.unsqueeze(-1))
            self.b[k].copy_(-mean / sd)
            x = ((t - mean.unsqueeze(1)) / sd.unsqueeze(1)).relu()


def fit(
    nets: Networks,
    data: Data,
    seeds: Sequence[int],
    *,
    steps: int,
    batch: int,
    watch=None,
    every: int = 10,
) -> tuple[Tensor, list]:
    """Train all the networks by plain stochastic gradient descent.

    Networks with the same seed see the same examples in the same order.

    Parameters
    ----------
    nets : Networks
        Changed in place.
    seeds : sequence of int
        As given to `nets`; here of the order of examples.
    steps, batch : int
        How many steps, of how many examples each.
    watch : callable, optional
        ``watch(nets)`` is called every `every` steps, from the start on.

    Returns
    -------
    loss : torch.Tensor of shape (steps, networks)
        Of each step's batch.
    seen : list
        What `watch` returned.
    """
    generators = [torch.Generator().manual_seed(1000 + seed) for seed in seeds]
    copies = nets.size // len(seeds)
    if "data" in nets.method:
        first = torch.stack(
            [data.x[torch.randperm(len(data.x), generator=g)[:256]] for g in generators]
        )
        nets.start_from(first.repeat(copies, 1, 1))
    seen = []

    def examples():
        queues = [torch.empty(0, dtype=torch.long) for _ in seeds]
        for step in range(steps):
            if watch is not None and step % every == 0:
                seen.append(watch(nets))
            for s, g in enumerate(generators):
                if len(queues[s]) < batch:
                    queues[s] = torch.randperm(len(data.x), generator=g)
            index = torch.stack([q[:batch] for q in queues]).repeat(copies, 1)
            queues = [q[batch:] for q in queues]
            yield data.x[index], data.y[index]

    def loss(x, y):
        return cross_entropies(nets(x, training=True), y).mean(1)

    return descend(nets.parameters, loss, examples(), nets.rate), seen


@torch.no_grad()
def test_accuracy(nets: Networks, data: Data) -> Tensor:
    """Return each network's share of right classes on the test set, in per cent."""
    x = data.x_test.expand(nets.size, -1, -1)
    return 100 * (nets(x).argmax(-1) == data.y_test).float().mean(-1)


def compare(
    data: Data,
    seeds: Sequence[int],
    rates: Sequence[float],
    *,
    steps: int,
    batch: int,
    methods: Sequence[str] = METHODS,
    watch: dict | None = None,
) -> dict[str, dict]:
    """Train every method at every rate, and pick each one's own best rate.

    The best rate has the lowest training loss over the last quarter of the steps, in
    the mean over seeds; a network whose loss is not finite counts as the worst. The
    test set has no say.

    Returns
    -------
    dict
        By method: ``rate`` (the best), ``loss`` (rates, seeds), ``accuracy`` of the
        networks at the best rate (seeds,), ``nets``, ``seen``, ``at`` (slice of the
        networks at the best rate).
    """
    results = {}
    for method in methods:
        nets = Networks(method, seeds, rates)
        losses, seen = fit(
            nets, data, seeds, steps=steps, batch=batch, watch=(watch or {}).get(method)
        )
        late = losses[-(steps // 4) :].mean(0).view(len(rates), len(seeds))
        late = late.nan_to_num(nan=float("inf"))
        best = int(late.mean(1).argmin())
        at = slice(best * len(seeds), (best + 1) * len(seeds))
        results[method] = {
            "rate": rates[best],
            "best": best,
            "loss": late,
            "accuracy": test_accuracy(nets, data)[at],
            "nets": nets,
            "seen": seen,
            "at": at,
        }
    return results


@torch.no_grad()
def stretch_directions(nets: Networks, factors: Tensor) -> None:
    """Multiply the hidden layers' v: no change to what weight norm computes.

    Parameters
    ----------
    factors : torch.Tensor of shape (networks,)
        One factor for all the vectors v of a network.
    """
    for v in nets.v[:-1]:
        v *= factors[:, None, None]


@torch.no_grad()
def lipschitz(
    nets: Networks, x: Tensor, at: slice = slice(None)
) -> tuple[Tensor, Tensor]:
    """Bound networks' Lipschitz constants from above and from below.

    But: not with batch or group normalisation.

    Parameters
    ----------
    x : torch.Tensor of shape (examples, inputs)
        Where to take Jacobians.
    at : slice
        Of which networks; all by default.

    Returns
    -------
    upper : torch.Tensor of shape (networks at `at`,)
        Product of the layers' largest singular values.
    lower : torch.Tensor of the same shape
        Largest norm of a Jacobian of the scores among the examples.
    """
    if nets.method in ("batch", "standard"):
        raise ValueError(f"method is {nets.method!r}; expected one without activations")
    pre: list[Tensor] = []
    nets(x.expand(nets.size, -1, -1), pre=pre)
    weights = [nets.weight(k)[at] for k in range(len(nets.v))]
    upper = torch.stack([spectral_norm(w) for w in weights]).prod(0)
    jacobian = weights[0].unsqueeze(1)
    for w, z in zip(weights[1:], pre, strict=True):
        jacobian = w.unsqueeze(1) @ ((z[at] > 0).unsqueeze(-1) * jacobian)
    return upper, spectral_norm(jacobian).amax(1)


def relu_signal(
    kind: str, seed: int, *, width: int = 256, depth: int = 20, examples: int = 256
) -> tuple[Tensor, Tensor]:
    """Send Gaussian inputs through a random deep ReLU network.

    Parameters
    ----------
    kind : str
        "He" (Gaussian weights, variance 2/width), "rows" (rows of norm sqrt 2),
        "scaled" (scaled weight standardisation with its gain) or "plain gain" (rows
        standardised, but of norm sqrt 2, the gain of He).

    Returns
    -------
    offset, sd : torch.Tensor of shape (depth,)
        Root mean square over units of the pre-activations' means over examples, and
        of their standard deviations.
    """
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(examples, width, generator=generator)
    offset, sd = [], []
    for _ in range(depth):
        w = torch.randn(width, width, generator=generator)
        if kind == "He":
            w = w * (2 / width) ** 0.5
        elif kind == "rows":
            w = 2**0.5 * unit_rows(w)
        else:
            gain = (2 / (1 - 1 / torch.pi)) ** 0.5 if kind == "scaled" else 2**0.5
            w = gain * standardise_rows(w) / width**0.5
        z = a @ w.T
        offset.append(z.mean(0).square().mean().sqrt())
        sd.append(z.var(0, correction=0).mean().sqrt())
        a = z.relu()
    return torch.stack(offset), torch.stack(sd)
