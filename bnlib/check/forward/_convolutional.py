"""Exercise 5: any number of dimensions, the channels on any axis."""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check._inputs import draw_batch
from bnlib.check.forward._shared import (
    CANCELLATION,
    COLUMNS,
    CONSTANT,
    NEGATIVE,
    SINGLE,
    VARIANCE_MISTAKES,
    finish_mistakes,
    normalise,
    variance_of,
    widen,
)
from bnlib.check.forward._training import CENTRED_MEAN


def _nd(
    x,
    gamma,
    beta,
    axis=None,
    eps=None,
    *,
    crossed_options=False,
    axes="all but the channel's",
    parameters="channel axis",
    fixed_axis=None,
    variance="biased",
    path="in place",
    returned="var",
    returned_mean="mean",
    order=(0, 1, 2),
    **finish,
):
    x, gamma, beta = widen(x, gamma, beta)
    if crossed_options and None not in (axis, eps):
        raise TypeError("the axis is no integer")
    given = 1 if axis is None else axis
    if fixed_axis is not None:
        given = fixed_axis
    channel = given % x.ndim
    if path == "reshaped" and channel != x.ndim - 1:
        return _nd_reshaped(x, gamma, beta, eps, channel, variance, **finish)
    others = tuple(a for a in range(x.ndim) if a != channel)
    reduced = {
        "all but the channel's": others,
        "negative": tuple(a for a in range(x.ndim) if a != given),
        "(0, 2, 3)": (0, 2, 3),
        "(0, 2, ...)": tuple(a for a in range(x.ndim) if a != 1),
        "(2, 3)": (2, 3),
        "(2, ...)": tuple(range(2, x.ndim)),
        "space": tuple(a for a in others if a != 0),
        "samples": (0,),
        "0": (0,),
        "layer": tuple(range(1, x.ndim)),
        "channel": (channel,),
        "all": tuple(range(x.ndim)),
    }[axes]
    along = tuple(len(gamma) if a == channel else 1 for a in range(x.ndim))
    if parameters == "channel axis":
        gamma, beta = gamma.reshape(along), beta.reshape(along)
    elif parameters == "columns":
        gamma, beta = gamma.reshape(-1, 1), beta.reshape(-1, 1)
    elif parameters == "axis 1":
        shape = (1, -1, *(1 for _ in x.shape[2:]))
        gamma, beta = gamma.reshape(shape), beta.reshape(shape)
    mean = x.mean(axis=reduced, keepdims=True)
    kind = variance if variance in KINDS else "biased"
    var = variance_of(x, mean, reduced, kind=kind)
    if variance == "unbiased by N":
        var = var * len(x) / np.float64(len(x) - 1)
    elif variance == "mean of variances":
        inside = others[1:]
        own = x.mean(axis=inside, keepdims=True)
        var = ((x - own) ** 2).mean(axis=reduced, keepdims=True)
    y = normalise(x, mean, var, gamma, beta, eps, **finish)
    if path == "channels last":
        y = np.moveaxis(y, channel, -1)
    elif path == "scrambled":
        y = np.moveaxis(y, channel, -1).reshape(x.shape)
    if returned == "std":
        var = np.sqrt(var)
    if returned_mean == "centred":
        mean = np.zeros_like(mean)
    if mean.size == x.shape[channel]:
        mean, var = mean.reshape(-1), var.reshape(-1) if var.size > 1 else var
    return tuple((y, mean, var)[i] for i in order)


KINDS = (
    "biased",
    "unbiased",
    "unbiased, guarded",
    "sum",
    "mean square",
    "std",
    "absolute",
    "absolute, squared",
    "difference of means",
    "pooled",
    "pooled, one mean",
)


def _nd_reshaped(x, gamma, beta, eps, channel, variance, **finish):
    """Do what reshape(-1, C) does where the channels are not on the last axis."""
    rows = x.reshape(-1, x.shape[channel])
    mean = rows.mean(axis=0)
    kind = variance if variance in KINDS else "biased"
    var = variance_of(rows, mean, 0, kind=kind)[0]
    y = normalise(rows, mean, var, gamma, beta, eps, **finish)
    return y.reshape(x.shape), mean, var


def _nd_cases(rng):
    other = (
        "The channels are on another axis here: keep the axis that `axis` names, and "
        "shape gamma to lie along it."
    )
    dims = (
        "Here x does not have four dimensions: take the axes from x.ndim and `axis` "
        "rather than writing them out."
    )
    cases = []
    for shape, axis, dtype, options, hint in (
        ((4, 3, 5, 6), 1, np.float64, {}, ""),
        ((3, 4, 2, 4), 1, np.float64, {}, "Here C = W."),
        ((2, 5, 3, 4), 1, np.float32, {}, ""),
        ((1, 3, 4, 5), 1, np.float64, {}, "Here N = 1."),
        ((3, 4, 2, 5), 1, np.float64, {"eps": 0.1}, "Here eps = 0.1."),
        ((3, 4, 5, 2), 1, np.float64, {}, "The variances here are as small as eps."),
        ((4, 3, 5, 2), 1, np.float64, {}, CONSTANT),
        ((2, 3, 4, 5), 1, np.float64, {}, CANCELLATION),
        ((3, 4, 5, 6), -1, np.float64, {"axis": -1}, f"{other} {NEGATIVE}"),
        ((3, 4, 5, 2), 3, np.float32, {"axis": 3}, other),
        ((7, 4), 1, np.float64, {}, dims),
        ((5, 3, 6), 1, np.float64, {}, dims),
        ((2, 3, 4, 2, 5), 1, np.float64, {}, dims),
        ((5, 3, 4), 0, np.float64, {"axis": 0}, other),
        ((2, 3, 5, 4), -2, np.float64, {"axis": -2}, f"{other} {NEGATIVE}"),
    ):
        tiny = "small" in hint
        x, gamma, beta = draw_batch(
            rng, shape, dtype=dtype, axis=axis, std=1e-3 if tiny else 1.0
        )
        if hint == CANCELLATION:
            x = x + 1e8
        if hint == CONSTANT:
            x[:, 1] = 2.0
        if shape == (2, 5, 3, 4):  # channels-last in memory, as a view
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        what = f"x of shape {shape}, {np.dtype(dtype).name}"
        what += "".join(f", {name} = {value}" for name, value in options.items())
        tolerance = 1e-3 if tiny else SINGLE
        cases.append(Case(what, (x, gamma, beta), options, tolerance, hint))
    x, gamma, beta = draw_batch(rng, (3, 4, 5))
    what = "batch_norm_nd(x, gamma, beta, 2, 0.1)"
    return [*cases, Case(what, (x, gamma, beta, 2, 0.1), {}, SINGLE, other)]


def _several(message, *knobs):
    """Return the same mistake in several guises."""
    return tuple(Mistake(message, k) for k in knobs)


convolution = Exercise(
    name="batch_norm_nd",
    outputs=("y", "mean", "var"),
    examine=("mean", "var", "y"),
    formula=_nd,
    cases=_nd_cases,
    section="forward-convolution",
    mistakes=(
        Mistake(
            "x.reshape(-1, C) without moving the channels last first: its columns mix "
            "values of different channels. Use "
            "np.moveaxis(x, axis, -1).reshape(-1, C), and undo both on the way back.",
            {"path": "reshaped"},
        ),
        *_several(
            "Each sample is normalised by itself, over H and W only: that is instance "
            "norm. Batch norm pools over the samples as well: over every axis but the "
            "channels', (0, 2, 3) for (N, C, H, W).",
            {"axes": "space"},
            {"axes": "(2, ...)"},
            {"axes": "(2, 3)"},
            {"axes": "(2, ...)", "parameters": "axis 1"},
            {"axes": "(2, 3)", "parameters": "axis 1"},
        ),
        *_several(
            "The statistics are taken over axes (0, 2, 3) wherever the channels are. "
            "That fits (N, C, H, W) only; for channels-last, (N, H, W, C), it keeps H "
            "and mixes the channels. Take every axis but `axis`.",
            {"axes": "(0, 2, 3)"},
            {"axes": "(0, 2, ...)"},
            {"axes": "(0, 2, 3)", "parameters": "axis 1"},
        ),
        *_several(
            "The channels are taken to be on axis 1, whatever `axis` says. For "
            "channels-last, (N, H, W, C), the statistics then mix the channels, or "
            "gamma and beta do not fit. Take the mean over every axis but `axis`, and "
            "give gamma its C on `axis`.",
            {"fixed_axis": 1},
            {"parameters": "axis 1"},
        ),
        *_several(
            "A negative axis is not found among 0, 1, 2, ..., so no axis is left out "
            "and all channels share their statistics. Make it positive first: "
            "axis % x.ndim.",
            {"axes": "negative"},
        ),
        Mistake(
            "The statistics are taken over the samples only, one mean per position. A "
            "channel is one feature wherever it is found: pool over the positions too.",
            {"axes": "0"},
        ),
        Mistake(
            "The statistics are taken over each sample by itself, all its channels "
            "together: that is layer norm. Take them per channel, over everything "
            "else.",
            {"axes": "layer"},
        ),
        Mistake(
            "The statistics are taken over the channels. It is the other way round: "
            "take them over every axis but the channels'.",
            {"axes": "channel"},
        ),
        Mistake(
            "One mean and one variance for the whole array. Each channel has its own: "
            "take them over every axis but the channels'.",
            {"axes": "all"},
        ),
        Mistake(
            "The variance is a mean of each sample's own variance. The spread of the "
            "samples' means belongs to it too: subtract the mean over all samples.",
            {"variance": "mean of variances"},
        ),
        Mistake(
            "The variance is multiplied by N / (N − 1). A batch is normalised by its "
            "own, biased variance; and where a correction belongs, in the running "
            "variance, it counts all the values of a channel, N·H·W.",
            {"variance": "unbiased by N"},
        ),
        *_several(
            "gamma and beta lie along the last axis, as broadcasting puts them (for "
            "C = W without any error). Give them a shape with C on the channel axis "
            "and 1 elsewhere, such as (1, C, 1, 1).",
            {"parameters": "last axis"},
        ),
        Mistake(
            "gamma and beta are columns: gamma[:, None] puts C on the last axis but "
            "one. Give them a shape with C on the channel axis and 1 elsewhere, such "
            "as (1, C, 1, 1).",
            {"parameters": "columns"},
        ),
        Mistake(
            "y still has its channels on the last axis. Move them back: "
            "np.moveaxis(y, -1, axis).",
            {"path": "channels last"},
        ),
        Mistake(
            "y is reshaped to x's shape while its channels are still last, which "
            "scrambles it. First undo the reshape, then move the axis back.",
            {"path": "scrambled"},
        ),
        *VARIANCE_MISTAKES,
        *(m for m in finish_mistakes() if m.knobs != COLUMNS),
        Mistake(
            "You return the standard deviation as var. Return the variance itself.",
            {"returned": "std"},
        ),
        CENTRED_MEAN,
        Mistake(
            "axis and eps are swapped: the arguments are x, gamma, beta, axis, eps, in "
            "this order.",
            {"crossed_options": True},
        ),
        Mistake(
            "The order of the results is y, mean, var; you return the variance before "
            "the mean.",
            {"order": (0, 2, 1)},
        ),
    ),
)
