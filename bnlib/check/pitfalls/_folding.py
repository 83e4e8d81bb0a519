"""Exercise: fold both batch norms of a small CNN into its convolutions.

But: no convolution here; a right fold is known by its weights and biases.
"""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.pitfalls._shared import CHANGED

OUTPUTS = tuple(
    f"{layer}.{part}"
    for layer in ("conv1", "conv2", "linear")
    for part in ("weight", "bias")
)
ALL = "sqrt(v + eps)"


def draw_network(rng, channels=(2, 3, 4), classes=5, *, biases=(True, True)):
    """Draw a trained network: gammas of both signs, variances far from 1."""
    net = {}
    for k in (1, 2):
        before, after = channels[k - 1 : k + 1]
        net[f"conv{k}.weight"] = rng.normal(size=(after, before, 3, 3))
        if biases[k - 1]:
            net[f"conv{k}.bias"] = rng.normal(size=after)
        sign = np.where(np.arange(after) % 2, -1, 1)
        net[f"norm{k}.gamma"] = sign * rng.uniform(0.5, 2.0, size=after)
        net[f"norm{k}.beta"] = rng.normal(1.0, 0.5, size=after)
        net[f"norm{k}.running_mean"] = rng.normal(size=after)
        net[f"norm{k}.running_var"] = rng.uniform(0.2, 9.0, size=after)
        net[f"norm{k}.eps"] = (1e-5, 1e-3)[k - 1]
    net["linear.weight"] = rng.normal(size=(classes, channels[-1]))
    net["linear.bias"] = rng.normal(size=classes)
    return net


def fold(net, **knobs):
    """Return the folded network, right unless a knob is turned."""
    return dict(zip(OUTPUTS, _folding(net, **knobs), strict=True))


def _folding(
    net,
    *,
    scale=ALL,
    bias="all",
    axis="output",
    sign="kept",
    gamma="all",
    only="both",
    of="own",
    swapped=False,
    weight="scaled",
    linear="as it is",
):
    """Return weights and biases of conv1, conv2 and linear."""
    out = []
    for k in (1, 2):
        w = np.array(net[f"conv{k}.weight"], dtype=np.float64)
        b = net.get(f"conv{k}.bias")
        b = np.zeros(len(w)) if b is None else np.array(b, dtype=np.float64)
        if only not in ("both", k):
            out += [w, b]
            continue
        j = k if of == "own" else of
        names = ("gamma", "beta", "running_mean", "running_var", "eps")
        g, beta, mean, var, eps = (net[f"norm{j}.{name}"] for name in names)
        if swapped:
            mean, var = var, mean
        if sign == "lost":
            g = abs(g)
        if gamma == "none":
            g = np.ones_like(g)
        s = _scale(scale, g, var, eps, net["norm1.eps"])
        shape = {
            "output": (-1, 1, 1, 1),
            "input": (1, -1, 1, 1),
            "kernel": (-1,),
        }[axis]
        folded = w * s.reshape(shape) if weight == "scaled" else w
        out.append(folded)
        out.append(_shift(bias, s, b, mean, beta))
    weights = np.array(net["linear.weight"], dtype=np.float64)
    if linear == "scaled":
        weights = weights * s
    return (*out, weights, np.array(net["linear.bias"], dtype=np.float64))


def _scale(kind, g, var, eps, first):
    """Return s; `first` is the first norm's eps."""
    return {
        ALL: lambda: g / np.sqrt(var + eps),
        "sqrt(v)": lambda: g / np.sqrt(var),
        "sqrt(v) + eps": lambda: g / (np.sqrt(var) + eps),
        "v + eps": lambda: g / (var + eps),
        "1e-5": lambda: g / np.sqrt(var + 1e-5),
        "1e-3": lambda: g / np.sqrt(var + 1e-3),
        "first's": lambda: g / np.sqrt(var + first),
        "times": lambda: g * np.sqrt(var + eps),
    }[kind]()


def _shift(kind, s, b, mean, beta):
    """Return the new bias."""
    return {
        "all": lambda: s * (b - mean) + beta,
        "old bias forgotten": lambda: beta - s * mean,
        "old bias not scaled": lambda: b + beta - s * mean,
        "mean not scaled": lambda: s * b - mean + beta,
        "mean forgotten": lambda: s * b + beta,
        "mean added": lambda: s * (b + mean) + beta,
        "beta forgotten": lambda: s * (b - mean),
        "beta scaled": lambda: s * (b - mean + beta),
        "as it was": lambda: b,
        "only beta": lambda: beta,
    }[kind]()


class _Fold(Exercise):
    """An exercise whose answer is a dictionary, that of a network without norms."""

    def _unpack(self, result, case):
        if not isinstance(result, dict):
            kind = "None" if result is None else f"a {type(result).__name__}"
            raise self._failure(
                f"It returns {kind}; expected a dictionary, the folded network."
            )
        if left := sorted(key for key in result if "norm" in str(key)):
            raise self._failure(
                f"The folded network still has {left[0]!r}: whoever runs it would "
                "normalise once more. Leave out all that belongs to a norm."
            )
        if missing := [key for key in OUTPUTS if key not in result]:
            raise self._failure(
                f"The folded network has no {missing[0]!r} (on {case.what}). It needs "
                f"{', '.join(OUTPUTS)}: a convolution without a bias gets one, since "
                "beta and the mean must go somewhere."
            )
        return super()._unpack(tuple(result[key] for key in OUTPUTS), case)


def _fold_cases(rng):
    none = (
        "Some convolution has no bias there, as is usual before a batch norm: the key "
        "is missing. Take 0."
    )
    return [
        Case("channels 2, 3, 4, with biases", (draw_network(rng),)),
        Case("channels 1, 4, 2, with biases", (draw_network(rng, (1, 4, 2)),)),
        Case(
            "no biases before the norms",
            (draw_network(rng, (3, 4, 6), biases=(False, False)),),
            hint=none,
        ),
        Case(
            "a bias in conv1 only",
            (draw_network(rng, (3, 3, 3), biases=(True, False)),),
            hint=none,
        ),
    ]


_SHIFT = "the new bias is s·(bias − running_mean) + beta"

folding = _Fold(
    name="fold_network",
    outputs=OUTPUTS,
    formula=_folding,
    cases=_fold_cases,
    section="capstone-fold",
    changed=CHANGED + " Whoever trains on needs the network as it was.",
    mistakes=(
        Mistake(
            "The convolution's old bias is forgotten. Where there is one, it goes "
            f"through the norm like everything else: {_SHIFT}.",
            {"bias": "old bias forgotten"},
        ),
        Mistake(
            "The convolution's old bias is not scaled. The norm multiplies it like "
            f"everything else: {_SHIFT}.",
            {"bias": "old bias not scaled"},
        ),
        Mistake(
            f"running_mean is not scaled: {_SHIFT}.",
            {"bias": "mean not scaled"},
        ),
        Mistake(f"running_mean is missing: {_SHIFT}.", {"bias": "mean forgotten"}),
        Mistake(
            f"running_mean is added; it is subtracted: {_SHIFT}.",
            {"bias": "mean added"},
        ),
        Mistake(f"beta is missing: {_SHIFT}.", {"bias": "beta forgotten"}),
        Mistake(
            f"beta is multiplied by s; it is added at the end: {_SHIFT}.",
            {"bias": "beta scaled"},
        ),
        Mistake(f"The bias is as it was: {_SHIFT}.", {"bias": "as it was"}),
        Mistake(f"The bias is beta only: {_SHIFT}.", {"bias": "only beta"}),
        Mistake(
            "The sign of gamma is lost. A trained gamma may be negative: s = gamma / "
            "sqrt(running_var + eps).",
            {"sign": "lost"},
        ),
        Mistake(
            "gamma is missing: s = gamma / sqrt(running_var + eps).",
            {"gamma": "none"},
        ),
        Mistake(
            "The weights are scaled along their input channels. A norm scales what "
            "comes *out* of the convolution: axis 0 of the weight, `s[:, None, None, "
            "None]`.",
            {"axis": "input"},
        ),
        Mistake(
            "`weight * s` lines s up with the width of the kernel. A norm scales the "
            "output channels: axis 0 of the weight, `s[:, None, None, None]`.",
            {"axis": "kernel"},
        ),
        Mistake(
            "The weights are as they were. The norm multiplies by s as well, not only "
            "shifts: `weight * s[:, None, None, None]`.",
            {"weight": "as it was"},
        ),
        Mistake(
            "eps is missing. Each norm brings its own: sqrt(running_var + eps).",
            {"scale": "sqrt(v)"},
        ),
        Mistake(
            "eps stands outside the root: sqrt(running_var + eps).",
            {"scale": "sqrt(v) + eps"},
        ),
        Mistake(
            "The square root is missing: s = gamma / sqrt(running_var + eps).",
            {"scale": "v + eps"},
        ),
        *(
            Mistake(
                "All norms have the same eps in your function. Each norm brings its "
                "own, `net['norm2.eps']` for the second: frameworks differ.",
                {"scale": scale},
            )
            for scale in ("1e-5", "1e-3", "first's")
        ),
        Mistake(
            "You multiply by the standard deviation; divide by it: s = gamma / "
            "sqrt(running_var + eps).",
            {"scale": "times"},
        ),
        Mistake("Only the first norm is folded; conv2 is as it was.", {"only": 1}),
        Mistake("Only the second norm is folded; conv1 is as it was.", {"only": 2}),
        *(
            Mistake(
                f"Both convolutions are folded with norm{k}'s values. Each has its own "
                "norm.",
                {"of": k},
            )
            for k in (1, 2)
        ),
        Mistake(
            "running_mean and running_var are swapped.",
            {"swapped": True},
        ),
        Mistake(
            "The linear layer is scaled too. There is no norm behind it, and a ReLU "
            "between it and the norm: leave it as it is.",
            {"linear": "scaled"},
        ),
    ),
)
