"""Exercise: the training loop, tried on a few images for a few steps.

With rate 0 the network stands still, and the losses tell which images were in a batch;
with all images in one batch, every step is known to the last digit.

But: no accuracy here; that is `_reach`'s.
"""

import copy
from itertools import combinations

import numpy as np

from bnlib.check._exercise import Exercise
from bnlib.check.capstone import _network as right

N = 6
EPOCHS = 3  # that two shuffles agree happens; that three do, hardly ever
CLOSE = 1e-4  # an answer may compute in float32
ORDER = "for each epoch `rng.permutation(len(x))`, and batches cut from that"


class _Training(Exercise):
    def _judge(self, learner, seed):
        rng = np.random.default_rng(seed)
        # Images far apart, so that each has a loss of its own.
        x = rng.normal(size=(N, 1, 4, 4)) * np.linspace(1, 3, N).reshape(-1, 1, 1, 1)
        y = rng.permutation(N)
        seed = int(rng.integers(1000))
        self._order(learner, x, y, seed)
        self._sizes(learner, x, y, seed)
        for groups in (0, 4):
            self._steps(learner, x, y, groups, seed)
        return "trains as it should, on a few images for a few steps"

    def _train(self, learner, x, y, groups, batch, steps, rate, seed):
        given = x.copy(), y.copy()
        what = f" with {len(x)} images, batch {batch}, {steps} steps"
        result = self._result(
            learner, *given, groups, batch, steps, rate, seed, on=what
        )
        if not isinstance(result, tuple | list) or len(result) != 2:
            kind = "None" if result is None else f"a {type(result).__name__}"
            raise self._failure(
                f"It returns {kind}; expected two things: the network, and the list of "
                "losses. `return network, losses`."
            )
        if not all(np.array_equal(*pair) for pair in zip(given, (x, y), strict=True)):
            raise self._failure(
                "It changes x or y in place. Shuffle an array of numbers, "
                f"{ORDER}, and leave the data as they are."
            )
        network, losses = result
        losses = np.asarray(losses, dtype=np.float64)
        if losses.shape != (steps,):
            raise self._failure(
                f"It returns {losses.size} losses for {steps} steps; expected one for "
                "each. A step is one batch, and `steps` is how many there are in all, "
                "over as many epochs as it takes."
            )
        return network, losses

    def _each(self, network, x, y):
        """Return the loss of each image; group norm makes them independent."""
        logits = np.asarray(network.forward(x.copy()), dtype=np.float64)
        return np.array([right.cross_entropy(logits[[k]], y[[k]])[0] for k in range(N)])

    def _order(self, learner, x, y, seed):
        network, losses = self._train(learner, x, y, 4, 1, N * EPOCHS, 0.0, seed)
        each = self._each(network, x, y)
        nearest = abs(losses[:, None] - each).argmin(1)
        if not np.allclose(losses, each[nearest], rtol=CLOSE, atol=CLOSE):
            raise self._failure(self._unknown(losses, network, x, y, each))
        epochs = nearest.reshape(EPOCHS, N)
        if (epochs == np.arange(N)).all():
            raise self._failure(
                "The images come in the order in which they lie, in every epoch. "
                f"Shuffle: {ORDER}."
            )
        if not (np.sort(epochs, 1) == np.arange(N)).all():
            often = np.bincount(nearest, minlength=N)
            if (often == EPOCHS).all():
                say = "An epoch begins before the one before it is over."
            else:
                say = (
                    f"In {EPOCHS} epochs of {N} images some come {often.max()} times, "
                    f"some {often.min()} times. An epoch shows every image once: draw "
                    "an order, not images."
                )
            raise self._failure(f"{say} In words of NumPy: {ORDER}.")
        if (epochs == epochs[0]).all():
            raise self._failure(
                "The order is the same in every epoch. Shuffle anew for each: the "
                "generator is made once, before the loop, and asked again and again."
            )
        _, again = self._train(learner, x, y, 4, 1, N, 0.0, seed)
        if not np.allclose(again, losses[:N], rtol=CLOSE, atol=CLOSE):
            raise self._failure(
                "Two runs with the same seed are not the same. Weights *and* order "
                "come from `seed`: `Network(seed, groups)`, and for the order "
                "`np.random.default_rng(seed)`. Nobody could repeat your experiment."
            )
        _, other = self._train(learner, x, y, 4, 1, 1, 0.0, seed + 1)
        if any(np.isclose(other, self._each(network, x, y), rtol=1e-9)):
            raise self._failure(
                "Another seed gives the same weights. `Network(seed, groups)`."
            )

    def _unknown(self, losses, network, x, y, each):
        """Say what losses may be that are not those of one image with its label."""
        if np.allclose(losses, each.mean(), rtol=CLOSE):
            return (
                "Every batch holds all images, whatever `batch` says. The loss is of "
                "`x[batch]`, with as many images as asked for."
            )
        logits = np.asarray(network.forward(x.copy()), dtype=np.float64)
        known = [
            right.cross_entropy(logits[[i]], y[[j]])[0]
            for i in range(N)
            for j in range(N)
        ]
        nearest = abs(losses[:, None] - np.array(known)).min(1)
        if (nearest < CLOSE * (1 + abs(losses))).all():
            return (
                "Images have the labels of others. x and y are to be shuffled in the "
                "*same* order: one array of numbers for both, `x[k], y[k]`."
            )
        return (
            "With rate 0 and one image in a batch the losses are not those of single "
            "images. Does the network stand still where the rate is 0? Is it "
            "`Network(seed, groups)`? Is the loss that of the batch, not an average "
            "over several?"
        )

    def _sizes(self, learner, x, y, seed):
        size = 4
        network, losses = self._train(learner, x, y, 4, size, 4, 0.0, seed)
        each = self._each(network, x, y)

        def fits(loss, size):
            means = [each[list(c)].mean() for c in combinations(range(N), size)]
            return np.isclose(means, loss, rtol=CLOSE / 10, atol=1e-9).any()

        for loss in losses:
            if fits(loss, size):
                continue
            if fits(loss, N - size):
                raise self._failure(
                    f"Of {N} images and batches of {size}, the {N - size} that are "
                    "left over are a batch of their own. A batch of one or two has "
                    "hardly a variance; leave them out until the next shuffle."
                )
            raise self._failure(
                f"With batches of {size} of {N} images a loss is {loss:.6g}, which is "
                f"the mean of no {size} images. Are there {size} different ones in "
                "each batch? Is the loss a "
                "mean, as `cross_entropy` returns it?"
            )

    def _steps(self, learner, x, y, groups, seed):
        steps, rate = 3, 0.2
        start, _ = self._train(learner, x, y, groups, N, 0, rate, seed)
        if start.stem[1].groups != groups:
            raise self._failure(
                f"Asked for groups={groups}, it trains a network with "
                f"groups={start.stem[1].groups}. `Network(seed, groups)`."
            )
        start = right.read(start)
        network, losses = self._train(learner, x, y, groups, N, steps, rate, seed)
        found = losses, *_values(right.read(network))
        kind = "group norm" if groups else "batch norm"
        if _agree(found, _descend(start, x, y, steps, rate)):
            return
        for message, knobs in MISTAKES:
            if _agree(found, _descend(start, x, y, steps, rate, **knobs)):
                raise self._failure(message)
        truth = _descend(start, x, y, steps, rate)
        off = next(
            k for k, pair in enumerate(zip(found, truth, strict=True)) if _off(*pair)
        )
        if off == 0:
            losses, expected = np.round(losses, 5), np.round(truth[0], 5)
            say = f"the losses are {losses}; expected {expected}"
        else:
            say = f"the losses are right, and then {_name(start, off - 1)} is not"
        raise self._failure(
            f"On {N} images in one batch, {steps} steps, rate {rate}, {kind}: {say}. A "
            "step: forward, loss, backward, `sgd_step` of *all* parameters with the "
            "rate of that step, and the new values go back into the layers. Where a "
            "layer's check above does not pass, mend that first."
        )


def _descend(
    network,
    x,
    y,
    steps,
    rate,
    *,
    schedule="from 0",
    velocity="kept",
    moves=("w", "gamma", "beta", "bias"),
    head=True,
    mode="training",
    looks=1,
    written="before",
    gradients="new",
):
    """Return the losses and all values after some steps with all images."""
    network = copy.deepcopy(network)
    layers = network.layers()
    speed = [{} for _ in layers]
    losses, total = [], [{} for _ in layers]
    for step in range(steps):
        for _ in range(looks):
            logits = network.forward(x, training=mode == "training")
        loss, dlogits = right.cross_entropy(logits, y)
        grads = network.backward(dlogits)
        if gradients == "added up":
            total = [
                {name: t.get(name, 0) + g for name, g in gs.items()}
                for t, gs in zip(total, grads, strict=True)
            ]
            grads = total
        share = {
            "from 0": 1 - step / steps,
            "from 1": 1 - (step + 1) / steps,
            "constant": 1,
            "to the last": 1 - step / (steps - 1),
            "rising": step / steps,
        }[schedule]
        for layer, gs, vs in zip(layers, grads, speed, strict=True):
            if layer is network.head and not head:
                continue
            for name, g in gs.items():
                if name not in moves:
                    continue
                if g.ndim > 1:
                    g = g + 1e-4 * layer[name]
                old = 0 if velocity == "forgotten" else 0.9 * vs.get(name, 0)
                vs[name] = old + g
                layer[name] = layer[name] - rate * share * vs[name]
        if written == "after":
            loss, _ = right.cross_entropy(network.forward(x), y)
        losses.append(loss)
    return np.array(losses), *_values(network)


def _values(network):
    """Return all arrays of a network, in order."""
    return [
        layer[name] for layer in network.layers() for name in _names(layer, network)
    ]


def _names(layer, network):
    if layer is network.head:
        return ("w", "bias")
    if "w" in layer:
        return ("w",)
    # running_var is as right as the learner's Norm, which has a check of its own.
    return ("gamma", "beta", "running_mean") if layer else ()


def _name(network, k):
    """Say where array number k is."""
    found = [
        (f"layer {n} of {len(network.layers())}", name)
        for n, layer in enumerate(network.layers(), 1)
        for name in _names(layer, network)
    ]
    return f"{found[k][1]} of {found[k][0]}"


def _off(found, truth):
    scale = max(1e-3, np.abs(truth).max())
    return found.shape != truth.shape or not (
        np.abs(found - truth).max() <= CLOSE * scale
    )


def _agree(found, truth):
    return not any(_off(*pair) for pair in zip(found, truth, strict=True))


MISTAKES = (
    (
        "Nothing is learned: after the steps all parameters are as they were. "
        "`sgd_step` returns new values; they have to go back into the layers.",
        {"moves": ()},
    ),
    (
        "The rate is constant. It falls: in step t, counted from 0, it is "
        "rate·(1 − t/steps).",
        {"schedule": "constant"},
    ),
    (
        "The rate falls one step too early: the last step has rate 0. Steps count from "
        "0: rate·(1 − t/steps).",
        {"schedule": "from 1"},
    ),
    (
        "The rate falls to 0 in the last step, which is lost. rate·(1 − t/steps).",
        {"schedule": "to the last"},
    ),
    ("The rate rises. It falls: rate·(1 − t/steps).", {"schedule": "rising"}),
    (
        "The velocity is forgotten from step to step: there is no momentum. Make it "
        "zero once, before the loop, and hand each step what the last one returned.",
        {"velocity": "forgotten"},
    ),
    (
        "Gamma and beta are never moved. They are parameters like the weights.",
        {"moves": ("w", "bias")},
    ),
    ("Gamma is never moved.", {"moves": ("w", "beta", "bias")}),
    ("Beta is never moved.", {"moves": ("w", "gamma", "bias")}),
    ("The head's bias is never moved.", {"moves": ("w", "gamma", "beta")}),
    ("The head is never moved.", {"head": False}),
    ("Weights are never moved.", {"moves": ("gamma", "beta", "bias")}),
    (
        "Only weights move. Gamma, beta and the head's bias are parameters as well.",
        {"moves": ("w",)},
    ),
    (
        "The network trains in evaluation mode: statistics stand still, and no "
        "gradient should go through them. Training is in training mode.",
        {"mode": "evaluation"},
    ),
    (
        "Each batch goes through the network twice, so that the running statistics "
        "move twice in a step. Once is enough: `backward` needs what the last "
        "`forward` kept.",
        {"looks": 2},
    ),
    (
        "The losses are those after the steps. The loss of a step is the one whose "
        "gradient it takes; another forward pass costs time and moves the running "
        "statistics.",
        {"written": "after"},
    ),
    (
        "Gradients add up over the steps. Each step takes those of its own batch.",
        {"gradients": "added up"},
    ),
)

training = _Training(
    name="train",
    outputs=("network", "losses"),
    formula=None,
    cases=None,
    mistakes=(),
    section="capstone-training",
)
