"""Experiments that a learner's own functions take part in; they print a table.

But: nothing is graded here.
"""

import numpy as np

from bnlib.check.effects._network import Network, draw_examples

# Of the rates 0.03, 0.1, 0.3, 1 the one with the lowest mean loss, on two other seeds.
RATES = {"plain": 0.3, "batch norm": 1.0, "moving noise": 1.0, "frozen noise": 1.0}
BATCH = 64


class _Noise:
    """The learner's noisy batch norm, in the layers of one network at one step."""

    def __init__(self, forward, backward, strength, step):
        self._forward, self._backward = forward, backward
        self._strength, self._step = strength, step

    def forward(self, layer, z, gamma, beta):
        seed = 1000 * self._step + layer
        y, scale, _ = self._forward(z, gamma, beta, self._strength, seed)
        return np.asarray(y), np.asarray(scale)

    def backward(self, dy, z, gamma, scale):
        return self._backward(dy, z, gamma, scale)


def noise_experiment(
    noisy_batch_norm,
    noisy_batch_norm_backward,
    wasserstein,
    *,
    strength=0.7,
    steps=150,
    seeds=(0, 1, 2),
    rates=RATES,
):
    """Train four kinds of network and print how far they shift and how well they learn.

    Eight hidden layers of 32 ReLU units, ten classes, batches of 64, plain gradient
    descent. "Shift" is the distance, by `wasserstein`, between what goes into the last
    ReLU before and after a step, for 100 fixed inputs and in units of the standard
    deviation before: median over units and over the last 20 steps. The noise of a step
    comes from the step's seeds; frozen noise keeps those of step 0.

    Parameters
    ----------
    noisy_batch_norm, noisy_batch_norm_backward, wasserstein : callable
        The learner's.
    strength : float
        Of the noise.
    steps : int
        How long each network is trained.
    seeds : sequence of int
        One network of each kind for each seed.
    rates : dict
        Learning rates, by kind of network.
    """
    z, ones = np.arange(6.0).reshape(3, 2), np.ones(2)
    if not (
        _is_written(noisy_batch_norm, z, ones, ones, strength, 0)
        and _is_written(noisy_batch_norm_backward, z, z, ones, ones)
        and _is_written(wasserstein, z, z)
    ):
        return
    print(f"{'network':14}{'rate':>5}{'shift a step':>20}{'mean training loss':>24}")
    for kind, rate in rates.items():
        noisy = noisy_batch_norm, noisy_batch_norm_backward
        with np.errstate(all="ignore"):  # a rate may be too large
            results = [
                _train(kind, rate, seed, strength, steps, noisy, wasserstein)
                for seed in seeds
            ]
        shifts, losses = np.array(results).T
        print(f"{kind:14}{rate:5g}{_spread(shifts):>20}{_spread(losses):>24}")
    print(f"(median of {len(seeds)} networks, lowest and highest in brackets)")


def _is_written(function, *arguments):
    """Say so if the learner has not written the function yet."""
    try:
        function(*arguments)
    except NotImplementedError:
        print(f"Write {function.__name__} first.")
        return False
    return True


def _spread(values):
    low, middle, high = np.min(values), np.median(values), np.max(values)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _train(kind, rate, seed, strength, steps, noisy, wasserstein):
    """Return the shift a step at the end, and the mean loss."""
    net = Network(seed, norm=kind != "plain")
    rng = np.random.default_rng(1000 + seed)
    inputs, _ = draw_examples(np.random.default_rng(99), 100)
    losses, shifts, before = [], [], None
    for step in range(steps):
        noise = None
        if "noise" in kind:
            noise = _Noise(*noisy, strength, step if kind == "moving noise" else 0)
        if step >= steps - 21:
            after = net.forward(inputs, noise)[1][-1]
            if before is not None:
                sd = np.maximum(before.std(axis=0), 1e-12)
                shifts.append(np.median(wasserstein(before, after) / sd))
            before = after
        x, y = draw_examples(rng, BATCH)
        loss, gradients = net.loss_and_gradients(x, y, noise)
        net.step(gradients, rate)
        losses.append(loss)
    return np.median(shifts), np.mean(losses)


def landscape_experiment(
    along_gradient, *, etas=(0.05, 0.1, 0.2, 0.4), steps=100, factor=4.0, seed=0
):
    """Walk along the gradient of two networks, and print what `along_gradient` finds.

    The networks are those of `noise_experiment`, before training and after `steps`
    steps. The last two rows are the trained normalised network with all weights in
    front of its batch norms multiplied by `factor`, first with the same steps and then
    with steps that are `factor` squared times as long. All walk on the same 128
    examples, in the space of the hidden layers' weights.

    Parameters
    ----------
    along_gradient : callable
        The learner's.
    etas : sequence of float
        The points of the walk.
    steps, seed : int
        How long the networks are trained; of their weights.
    factor : float
        Multiplies the weights in the last row.
    """
    x, y = draw_examples(np.random.default_rng(7), 128)
    etas = np.array(etas)
    trial = Network(seed, norm=False).as_function(x, y)
    if not _is_written(along_gradient, *trial, etas):
        return
    rows = []
    for kind in ("plain", "batch norm"):
        net = Network(seed, norm=kind != "plain")
        rows.append((f"{kind}, at the start", net.as_function(x, y), etas))
        rng = np.random.default_rng(1000 + seed)
        for _ in range(steps):
            net.step(net.loss_and_gradients(*draw_examples(rng, BATCH))[1], RATES[kind])
        rows.append((f"{kind}, trained", net.as_function(x, y), etas))
    for w in net.weights[:-1]:
        w *= factor
    longer = net.as_function(x, y)
    rows.append((f"... weights × {factor:g}", longer, etas))
    rows.append((f"... and η × {factor**2:g}", longer, factor**2 * etas))
    print(f"{'network':24}{'loss':>8}{'range R':>10}{'change P':>10}{'smooth B':>10}")
    for name, (function, w), walked in rows:
        loss, _ = function(w)
        found = along_gradient(function, w, walked)
        print(f"{name:24}{loss:8.3f}" + "".join(f"{v:10.3g}" for v in found))
