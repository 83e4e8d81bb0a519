"""Exercise: the accuracy of a network in evaluation mode."""

import numpy as np

from bnlib.check._exercise import Case, Mistake
from bnlib.check.capstone import _network as right
from bnlib.check.capstone._layers import OfNetworks, draw_images, draw_norm

OUTPUTS = (
    "accuracy",
    "accuracy of one image",
    "the mode afterwards, if it was training",
    "the mode afterwards, if it was evaluation",
    "the stem's running_mean afterwards",
)


def set_up(network, rng):
    """Give a learner's network norms that have been trained."""
    for layer in network.layers():
        if hasattr(layer, "gamma"):
            values = draw_norm(rng, len(layer.gamma), 0)
            for name in ("gamma", "beta", "running_mean", "running_var"):
                setattr(layer, name, values[name])


def _accuracy(
    mine,
    x,
    y,
    *,
    mode="evaluation",
    afterwards="as it was",
    returns="share",
    over="classes",
    rest="counted",
):
    def measure(x, y):
        logits = mine.forward(x, training=mode == "training")
        if over == "images":
            hit = logits.argmax(0)[: len(y)] == y[: logits.shape[1]]
        elif over == "lowest":
            hit = logits.argmin(1) == y
        else:
            hit = logits.argmax(1) == y
        share = hit.mean()
        return {
            "share": share,
            "per cent": 100 * share,
            "error": 1 - share,
            "count": np.float64(hit.sum()),
        }[returns]

    norm = next(k for k in mine.layers() if "gamma" in k)
    before = norm["running_mean"]
    found = measure(x, y), measure(x[:1], y[:1])
    flags = {
        "as it was": (1.0, 0.0),
        "training": (1.0, 1.0),
        "evaluation": (0.0, 0.0),
        "reversed": (0.0, 1.0),
    }[afterwards]
    after = norm["running_mean"]
    norm["running_mean"] = before
    return (*found, *map(np.float64, flags), after)


class _Accuracy(OfNetworks):
    """Its check makes the learner's own networks, and so needs their class."""

    def __call__(self, learner, network, *, seed=0):
        """Check ``accuracy(network, x, y)`` on networks of the learner's class."""
        rng = np.random.default_rng(seed)
        cases = []
        for groups, n in ((0, 40), (4, 30)):
            kind = "group norm" if groups else "batch norm"
            for _ in range(30):
                net = self._made(network, int(rng.integers(1000)), groups)
                if not groups:
                    set_up(net, rng)
                mine = right.read(net)
                x = draw_images(rng, (n, 1, 8, 8))
                guess = mine.forward(x, training=False).argmax(1)
                if len(set(guess)) > 3:  # else it says the same of nearly any image
                    break
            # Fewer and fewer are right: no part of the images stands for all.
            hit = rng.random(n) < np.linspace(1.0, 0.2, n)
            y = np.where(hit, guess, rng.integers(0, 10, n))
            cases.append((net, Case(f"{n} images, {kind}", (mine, x, y))))
        results = [
            self._observe(lambda m, x, y, net=net: _drive(learner, net, x, y), case)
            for net, case in cases
        ]
        cases = [case for _, case in cases]
        for k in range(len(OUTPUTS)):
            self._examine(k, cases, results)
        print(f"✓ {self.name}: right on {len(cases)} networks")


def _drive(accuracy, network, x, y):
    """Measure in both modes; return what is found, and what it leaves behind."""
    norm = network.stem[1]

    def mode():
        return float(bool(network.stem[1].training))

    network.set_training(True)
    before = np.array(norm.running_mean)
    found = accuracy(network, x, y)
    training = mode()
    network.set_training(False)
    one = accuracy(network, x[:1].copy(), y[:1].copy())
    evaluation = mode()
    after = np.array(norm.running_mean)
    norm.running_mean = before
    return found, one, training, evaluation, after


accuracy = _Accuracy(
    name="accuracy",
    outputs=OUTPUTS,
    formula=_accuracy,
    cases=None,
    section="capstone-evaluation",
    changed="Measuring must leave x and y as they are.",
    mistakes=(
        Mistake(
            "The network is in training mode: what it says of an image depends on the "
            "other images, and its running statistics take in the test data. "
            "`network.set_training(False)` first.",
            {"mode": "training"},
            alone=True,
        ),
        Mistake(
            "The network is in evaluation mode afterwards, though it was in training "
            "mode before: whoever measures in the middle of training would train on "
            "with frozen statistics. Put it back.",
            {"afterwards": "evaluation"},
        ),
        Mistake(
            "The network is in training mode afterwards, though it was in evaluation "
            "mode before. Remember the mode, `network.stem[1].training`, and put it "
            "back.",
            {"afterwards": "training"},
        ),
        Mistake(
            "The mode afterwards is the opposite of the one before.",
            {"afterwards": "reversed"},
        ),
        Mistake(
            "It returns per cent. Return a share, from 0 to 1.", {"returns": "per cent"}
        ),
        Mistake(
            "It returns the error. The accuracy is 1 − error.", {"returns": "error"}
        ),
        Mistake(
            "It returns how many are right. Divide by the number of images.",
            {"returns": "count"},
        ),
        Mistake(
            "The largest is sought over the images. The class of an image is the "
            "largest of its own logits: axis 1.",
            {"over": "images"},
        ),
        Mistake("You take the smallest logit; take the largest.", {"over": "lowest"}),
    ),
)
