"""Exercise: fold a whole residual network, and find it equal.

But: no formula for the answer; the folded network has to give the same outputs.
"""

import copy

import numpy as np

from bnlib.check.capstone import _network as right
from bnlib.check.capstone._accuracy import set_up
from bnlib.check.capstone._layers import OfNetworks

SAME = 1e-6  # relative to the largest logit; a fold in float64 is good to 1e-13


class _Folding(OfNetworks):
    """Its check makes the learner's own networks, and so needs their class."""

    def __call__(self, learner, network, *, seed=0):
        """Check ``fold(network)`` on networks of the learner's class."""
        rng = np.random.default_rng(seed)
        net = self._made(network, int(rng.integers(1000)), 0)
        group = self._made(network, 1, 4)
        set_up(net, rng)
        net.set_training(False)
        x = rng.normal(size=(6, 1, 8, 8))
        mine = right.read(net)
        before = self._result(net.forward, x.copy(), on=" in the network's `forward`")
        before = np.array(before)
        folded = self._result(learner, net, on=" on a network with batch norm")
        if folded is None:
            raise self._failure("It returns None; is the `return` missing?")
        self._unchanged(net, mine, before, x)
        self._equal(folded, mine, before, x)
        if left := sum(hasattr(layer, "gamma") for layer in folded.layers()):
            raise self._failure(
                f"The outputs are equal, but {left} norms are still there: nothing is "
                "gained. Take each out of its list once it is folded."
            )
        self._refuses(learner, group, x)
        print(f"✓ {self.name}: no norms left, and the same outputs")

    def _unchanged(self, net, mine, before, x):
        after = right.read(net)
        kept = len(after.layers()) == len(mine.layers()) and all(
            one.keys() == other.keys()
            and all(np.array_equal(one[name], other[name]) for name in one)
            for one, other in zip(after.layers(), mine.layers(), strict=True)
        )
        if not kept:
            raise self._failure(
                "It changes the network that it was given. Whoever trains on needs "
                "that as it was, and it shares its layers with yours: "
                "`copy.deepcopy(network)` first."
            )

    def _equal(self, folded, mine, before, x):
        for training in (False, True):
            folded.set_training(training)
            try:
                got = np.asarray(folded.forward(x.copy()), dtype=np.float64)
            except Exception as error:
                raise self._failure(
                    f"The folded network raises {type(error).__name__}: {error}"
                ) from error
            if not np.isfinite(got).all():
                raise self._failure(
                    "The folded network's outputs are not finite. Is there a root of a "
                    "negative number: are running_mean and running_var swapped?"
                )
            off = abs(got - before).max() / abs(before).max()
            if off <= SAME:
                continue
            if training:
                raise self._failure(
                    "In evaluation mode the outputs are equal, in training mode they "
                    "are not: there are still norms in the folded network."
                )
            for message, knobs in MISTAKES:
                wrong = _fold(mine, **knobs).forward(x, training=False)
                if abs(got - wrong).max() <= SAME * abs(wrong).max():
                    raise self._failure(message)
            raise self._failure(
                f"The outputs differ by {off:.1e} of the largest logit. Fold one "
                "convolution with its norm first, and compare that pair: w·s along "
                "axis 0, bias s·(bias − running_mean) + beta, with s = gamma / "
                "sqrt(running_var + 1e-5)."
            )

    def _refuses(self, learner, group, x):
        try:
            folded = learner(group)
        except NotImplementedError:
            raise
        except Exception:
            return
        group.set_training(False)
        same = "other outputs than"
        if hasattr(folded, "forward"):
            got, want = (np.asarray(n.forward(x.copy())) for n in (folded, group))
            if np.allclose(got, want):
                same = "the same outputs as"
        raise self._failure(
            f"It takes a network with group norm, and returns one with {same} before. "
            "Group norm takes its statistics from each image, which no constant can "
            "stand for: raise a ValueError where a norm has groups."
        )


def _fold(
    network,
    *,
    where="everywhere",
    bias="all",
    scale="sqrt(v + eps)",
    sign="kept",
    gamma="kept",
    axis=0,
    weight="scaled",
    statistics="running",
):
    """Return a folded copy, right unless a knob is turned."""
    network = copy.deepcopy(network)
    chains = [("stem", network.stem)]
    for branch, skip in network.blocks:
        chains += [("branch", branch), ("skip", skip)]
    for name, chain in chains:
        for k in reversed(range(len(chain))):
            if "gamma" not in chain[k] or name in _left(where):
                continue
            if where == "first of each" and k > 1:
                continue
            norm, conv = chain[k], chain[k - 1]
            del chain[k]
            if where == "dropped":
                continue
            g = abs(norm["gamma"]) if sign == "lost" else norm["gamma"]
            g = np.ones_like(g) if gamma == "missing" else g
            mean, v = norm["running_mean"], norm["running_var"]
            if statistics == "fresh":
                mean, v = np.zeros_like(v), np.ones_like(v)
            s = {
                "sqrt(v + eps)": lambda g=g, v=v: g / np.sqrt(v + right.EPS),
                "v + eps": lambda g=g, v=v: g / (v + right.EPS),
                "sqrt(v)": lambda g=g, v=v: g / np.sqrt(v),
                "1e-3": lambda g=g, v=v: g / np.sqrt(v + 1e-3),
                "times": lambda g=g, v=v: g * np.sqrt(v + right.EPS),
            }[scale]()
            if weight == "scaled":
                shape = [1, 1, 1, 1]
                shape[axis] = len(s)
                if axis == 0 or conv["w"].shape[axis] == len(s):
                    conv["w"] = conv["w"] * s.reshape(shape)
            conv["bias"] = {
                "all": lambda s=s, m=mean, b=norm["beta"]: b - s * m,
                "no mean": lambda b=norm["beta"]: b,
                "no beta": lambda s=s, m=mean: -s * m,
                "mean not scaled": lambda m=mean, b=norm["beta"]: b - m,
                "mean added": lambda s=s, m=mean, b=norm["beta"]: b + s * m,
                "beta scaled": lambda s=s, m=mean, b=norm["beta"]: s * (b - m),
                "as it was": lambda b=conv["bias"]: b,
            }[bias]()
    return network


def _left(where):
    return {"no skips": ("skip",), "stem only": ("branch", "skip")}.get(
        where, ("stem",) if where == "no stem" else ()
    )


_BIAS = "the new bias is s·(bias − running_mean) + beta"
MISTAKES = (
    (
        "The norms are taken out and not folded: each has a scale and a shift, which "
        "the convolution before it has to do from now on.",
        {"where": "dropped"},
    ),
    (f"beta is missing: {_BIAS}.", {"bias": "no beta"}),
    (f"running_mean is missing: {_BIAS}.", {"bias": "no mean"}),
    (f"running_mean is not scaled: {_BIAS}.", {"bias": "mean not scaled"}),
    (f"running_mean is added: {_BIAS}.", {"bias": "mean added"}),
    (f"beta is scaled: {_BIAS}.", {"bias": "beta scaled"}),
    (f"The biases are as they were: {_BIAS}.", {"bias": "as it was"}),
    (
        "The square root is missing: s = gamma / sqrt(running_var + 1e-5).",
        {"scale": "v + eps"},
    ),
    (
        "eps is missing: s = gamma / sqrt(running_var + 1e-5).",
        {"scale": "sqrt(v)"},
    ),
    ("eps is 1e-3; the layers have 1e-5.", {"scale": "1e-3"}),
    (
        "You multiply by the standard deviation; divide by it: s = gamma / "
        "sqrt(running_var + 1e-5).",
        {"scale": "times"},
    ),
    ("The sign of gamma is lost; a trained gamma may be negative.", {"sign": "lost"}),
    ("gamma is missing: s = gamma / sqrt(running_var + 1e-5).", {"gamma": "missing"}),
    (
        "The weights are as they were; they are multiplied by s along axis 0.",
        {"weight": "as it was"},
    ),
    (
        "The weights are scaled along their input channels. A norm scales what comes "
        "*out*: axis 0, `s[:, None, None, None]`.",
        {"axis": 1},
    ),
    (
        "The norms' statistics are 0 and 1 in it: those of a new layer, not of the "
        "trained one.",
        {"statistics": "fresh"},
    ),
)

folding = _Folding(
    name="fold",
    outputs=("folded",),
    formula=None,
    cases=None,
    mistakes=(),
    section="capstone-fold",
)
