"""Exercises 2 and 3: group norm of (N, C, H, W), forwards and backwards.

One group is layer norm over (C, H, W), as many as channels is instance norm.
"""

from bnlib.check._exercise import Exercise, Mistake
from bnlib.check.alternatives._batches import draw, draw_gradient, group_cases
from bnlib.check.alternatives._formula import (
    Sets,
    affine,
    gradients,
    standardise,
    widen,
)
from bnlib.check.alternatives._mistakes import (
    AFFINE,
    CHANGED,
    OUTSIDE,
    SIGNS,
    denominators,
    inputs,
    variances,
)
from bnlib.check.backward._mistakes import PARAMETERS


def _sets(x, groups, kind="group"):
    """Return which entries of (N, C, H, W) share statistics."""
    n, c, *positions = x.shape
    size = c // groups
    if kind == "inverse":  # layer norm for instance norm, and the other way round
        return _sets(x, c + 1 - groups if groups in (1, c) else groups)
    if kind in ("strided", "sizes"):
        reduced = (1, 3, 4) if kind == "strided" else (2, 3, 4)
        return Sets((n, size, groups, *positions), reduced)
    if kind == "last":
        return Sets((n, x[0].size // groups, groups), (1,))
    if kind == "first":
        return Sets((groups, x.size // groups), (1,))
    reduced = {
        "group": (2, 3, 4),
        "batch": (0, 3, 4),
        "layer": (1, 2, 3, 4),
        "instance": (3, 4),
        "group and batch": (0, 2, 3, 4),
        "channels": (2,),
        "all channels": (1, 2),
        "group index": (1, 3, 4),
    }[kind]
    return Sets((n, groups, size, *positions), reduced)


def _forward(
    x,
    gamma,
    beta,
    num_groups,
    eps=1e-5,
    *,
    sets="group",
    affine_kind="gamma xhat + beta",
    **statistics,
):
    x, gamma, beta = widen(x, gamma, beta)
    top, s = standardise(x, _sets(x, num_groups, sets), eps, **statistics)
    size = x.shape[1] // num_groups
    misplaced = {
        "by group": lambda a: a[:num_groups].repeat(size),
        "first of the group": lambda a: a[::size].repeat(size),
        "tiled": lambda a: a.reshape(num_groups, size).T.ravel(),
    }
    if affine_kind in misplaced:
        gamma, beta = (misplaced[affine_kind](a) for a in (gamma, beta))
        affine_kind = "gamma xhat + beta"
    return (affine(top / s, gamma, beta, affine_kind),)


def _backward(
    dy,
    x,
    gamma,
    num_groups,
    eps=1e-5,
    *,
    sets="group",
    means="group",
    one_mean=None,
    parameters=(0, 2, 3),
    **knobs,
):
    dy, x, gamma = widen(dy, x, gamma)
    if one_mean:
        which, kind = one_mean
        knobs[which] = _sets(x, num_groups, kind)
    return gradients(
        dy,
        x,
        gamma,
        _sets(x, num_groups, sets),
        eps,
        means=_sets(x, num_groups, means),
        parameters=parameters,
        **knobs,
    )


_CHOICES = (
    (
        "batch",
        "That is batch norm: each channel by all samples. Group norm never looks at "
        "another sample: reshape x to (N, G, C//G, H, W) and reduce over the last "
        "three axes.",
    ),
    (
        "layer",
        "The statistics are over all channels of a sample, whatever `num_groups`: "
        "that is one group, layer norm over (C, H, W). Each group has its own.",
    ),
    (
        "instance",
        "The statistics are each channel's own, whatever `num_groups`: that is "
        "instance norm, C groups. The C/G channels of a group share theirs.",
    ),
    (
        "strided",
        "The groups hold every G-th channel (c modulo G). A group is C/G neighbouring "
        "channels, 0 to C/G − 1 the first: reshape to (N, G, C//G, H, W), not "
        "(N, C//G, G, H, W), and reduce over axes 2, 3, 4.",
    ),
    (
        "sizes",
        "There are C/G groups of G channels. `num_groups` is the number of groups, not "
        "their size: reshape to (N, G, C//G, H, W).",
    ),
    (
        "group index",
        "You reduce over the groups and leave the channels within a group apart. In "
        "(N, G, C//G, H, W) the axes that share statistics are 2, 3 and 4.",
    ),
    (
        "last",
        "`reshape(N, -1, G)` makes every G-th value a set, across channels: the "
        "array is read in the order in which it lies in memory. Put the groups before "
        "the channels of a group: (N, G, C//G, H, W), or (N, G, -1).",
    ),
    (
        "first",
        "`reshape(G, -1)` makes G sets of the whole batch, and mixes samples. Each "
        "sample has its own groups: (N, G, C//G, H, W), or (N·G, -1).",
    ),
    (
        "inverse",
        "One group and C groups are the wrong way round. num_groups=1 is one group of "
        "all channels (layer norm), num_groups=C is each channel by itself (instance "
        "norm).",
    ),
    (
        "group and batch",
        "The statistics are over the samples as well. No sample of group norm depends "
        "on another: leave axis 0 out.",
    ),
    (
        "channels",
        "The statistics are over the channels of a group only, so that each position "
        "has its own. They are over its positions too: axes 2, 3 and 4 of "
        "(N, G, C//G, H, W).",
    ),
    (
        "all channels",
        "The statistics are over the channels only, at each position: layer norm as in "
        "a transformer. Group norm's are over a group's channels and all positions.",
    ),
)
_LIKELY = ("batch", "layer", "instance", "strided")
_SETS = tuple(
    Mistake(text, {"sets": kind}, alone=kind not in _LIKELY) for kind, text in _CHOICES
)
_SETS_BACKWARD = tuple(
    Mistake(text, {"sets": kind, "means": kind}, alone=kind not in _LIKELY)
    for kind, text in _CHOICES
)
WHOSE = "each group's"
_PLACE = (
    "gamma and beta are not lined up with the channels: `gamma * xhat` broadcasts "
    "along the last axis, and fails unless that happens to be C long. Reshape them, to "
    "(1, C, 1, 1), after xhat has its shape (N, C, H, W) again."
)

group = Exercise(
    name="group_norm",
    outputs=("y",),
    formula=_forward,
    cases=lambda rng: group_cases(rng, draw),
    section="one-picture-function",
    page="one_picture",
    mistakes=(
        *_SETS,
        Mistake(_PLACE, {"affine_kind": "plain"}),
        Mistake(
            "gamma and beta have one value for each group in your code, the first G "
            "of C. They have one for each channel, whatever the number of groups.",
            {"affine_kind": "by group"},
        ),
        Mistake(
            "All channels of a group get the gamma and beta of its first channel. Each "
            "channel has its own, whatever the number of groups.",
            {"affine_kind": "first of the group"},
        ),
        Mistake(
            "gamma and beta reach the wrong channels: channel c of group g is number "
            "g·C/G + c. `gamma.reshape(1, C, 1, 1)`, applied in the shape "
            "(N, C, H, W), cannot go wrong.",
            {"affine_kind": "tiled"},
        ),
        *variances(WHOSE, "M"),
        *SIGNS,
        *AFFINE,
        *denominators("v"),
    ),
)

group_backward = Exercise(
    name="group_norm_backward",
    outputs=("dx", "dgamma", "dbeta"),
    examine=("dbeta", "dgamma", "dx"),
    formula=_backward,
    cases=lambda rng: group_cases(rng, draw_gradient, x_at=1),
    section="one-picture-blind",
    page="one_picture",
    changed=CHANGED,
    mistakes=(
        *_SETS_BACKWARD,
        *(
            Mistake(
                "The means in dx are over other values than the statistics. Both are "
                f"over a group: C/G channels and their positions. (Yours: {name}.)",
                {"means": kind},
                alone=True,
            )
            for kind, name in (
                ("batch", "each channel over the batch"),
                ("instance", "each channel's positions"),
                ("layer", "all channels of a sample"),
                ("channels", "the channels of a group at one position"),
                ("strided", "every G-th channel"),
                ("group and batch", "the group in all samples"),
            )
        ),
        *(
            Mistake(
                f"{mean} in dx is over {name}. It is over the values that share "
                "statistics: a group's channels and their positions.",
                {"one_mean": (knob, kind)},
                alone=True,
            )
            for mean, knob in (
                ("mean(d)", "mean_sets"),
                ("mean(d·xhat)", "xhat_sets"),
            )
            for kind, name in (
                ("instance", "each channel's positions"),
                ("layer", "all channels of a sample"),
                ("batch", "each channel over the batch"),
            )
        ),
        *(
            Mistake(
                f"dgamma and dbeta are summed over {where} only. gamma and beta are "
                "shared by all samples and positions: sum over axes (0, 2, 3), to "
                "shape (C,).",
                {"parameters": axes},
            )
            for axes, where in (((0,), "the samples"), ((2, 3), "the positions"))
        ),
        Mistake(
            "dgamma and dbeta are summed over each sample, channels included. There is "
            "one for each channel: sum over axes (0, 2, 3), to shape (C,).",
            {"parameters": (1, 2, 3)},
        ),
        OUTSIDE,
        *PARAMETERS,
        *inputs("the group's", "M"),
        Mistake(
            "The means in dx are divided by N. The values that share a mean are "
            "M = C/G·H·W.",
            {"count": "N"},
        ),
        Mistake(_PLACE, {"with_gamma": "gamma"}),
        *variances(WHOSE, "M"),
        *denominators("v", forward=False),
    ),
)
