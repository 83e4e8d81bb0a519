"""Exercise: the training gradients of images, and of any number of axes.

But: no formula here; that of `_training` is for any number of axes already.
"""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.backward._batches import CONSTANT, EPS, LARGE, LAYOUT, SMALL, draw
from bnlib.check.backward._mistakes import CHANGED, INPUT, PARAMETERS, STATISTICS
from bnlib.check.backward._training import training


def _image_cases(rng):
    cases = []
    for shape, axis, what, dtype, mean, std, tolerance, hint in (
        ((5, 3, 4, 6), 1, "(N, C, H, W)", np.float64, 0.5, 1.0, 1e-9, ""),
        ((4, 5, 6, 3), -1, "(N, H, W, C)", np.float64, 1.0, 1.0, 1e-9, ""),
        ((3, 3, 3, 3), 3, "(N, H, W, C)", np.float64, 1.0, 2.0, 1e-9, ""),
        ((4, 4, 4, 4), 1, "(N, C, H, W)", np.float64, 1.0, 2.0, 1e-9, ""),
        ((7, 4), 1, "(N, C)", np.float64, -1.0, 2.0, 1e-9, ""),
        ((4, 3, 7), 1, "(N, C, L)", np.float64, 2.0, 1.0, 1e-9, ""),
        ((3, 2, 4, 5, 2), 1, "(N, C, D, H, W)", np.float64, 2.0, 1.0, 1e-9, ""),
        ((4, 6, 5), -2, "(N, C, L)", np.float64, 1.0, 1.0, 1e-9, ""),
        ((3, 5, 4), 0, "(C, N, L)", np.float64, 1.0, 1.0, 1e-9, ""),
        ((3, 2, 4, 5), 1, "(N, C, H, W)", np.float64, 3.0, 3e-3, 1e-9, SMALL),
        ((2, 3, 4, 5), 1, "(N, C, H, W)", np.float32, 1.0, 1.0, 2e-5, ""),
        ((2, 4, 3, 3), 1, "(N, C, H, W)", np.float32, 3e3, 1.0, 3e-2, LARGE),
    ):
        place = f"The channels are on axis {axis} there: reduce over every other axis."
        text = f"x of shape {what} = {shape}, axis={axis}, {np.dtype(dtype).name}"
        arguments = draw(rng, shape, axis=axis, dtype=dtype, mean=mean, std=std)
        options = {} if axis == 1 else {"axis": axis}
        hint = hint or (place if axis != 1 or len(shape) != 4 else "")
        cases.append(Case(text, arguments, options, tolerance, hint))
    arguments = draw(rng, (4, 2, 3, 5), axis=1)
    cases.append(Case("eps = 0.1", arguments, {"eps": 0.1}, hint=EPS))
    dy, x, gamma = draw(rng, (3, 4, 5, 2), axis=-1)
    view = (dy.transpose(0, 3, 1, 2), x.transpose(0, 3, 1, 2), gamma)
    cases.append(Case("an (N, C, H, W) view of an NHWC array", view, hint=LAYOUT))
    dy, x, gamma = draw(rng, (4, 3, 2, 5), axis=1)
    x[:, 1] = 2.0
    cases.append(Case("a channel that is constant", (dy, x, gamma), hint=CONSTANT))
    return cases


_AXES = (
    Mistake(
        "You always take the last axis for the channels. They are on `axis`.",
        {"channel": -1},
    ),
    Mistake(
        "`reshape(-1, C)` alone puts values of different channels into one column: it "
        "reads the array in the order in which it lies in memory. Bring the channel "
        "axis to the end first (`np.moveaxis(x, axis, -1)`), then reshape, and undo "
        "both for dx.",
        {"flattened": "(-1, C)"},
    ),
    Mistake(
        "`reshape(C, -1)` alone puts values of different channels into one row. Bring "
        "the channel axis to the front first (`np.moveaxis(x, axis, 0)`), then "
        "reshape, and undo both for dx.",
        {"flattened": "(C, -1)"},
    ),
    *(
        Mistake(
            f"dx is reshaped to x.shape with its channels still on the {place} axis, "
            "which puts its values in wrong places. Undo both steps in reverse: "
            "reshape to the shape that the moved x had, then move the axis back, "
            f"`np.moveaxis(dx, {number}, axis)`.",
            {"left": f"{place}, reshaped"},
        )
        for place, number in (("last", -1), ("first", 0))
    ),
    *(
        Mistake(
            f"The channels of dx are still on the {place} axis. Move them back to "
            f"where x has them: `np.moveaxis(dx, {number}, axis)`.",
            {"left": place},
        )
        for place, number in (("last", -1), ("first", 0))
    ),
    *(
        Mistake(
            "The statistics are over the pixels of each image, which is instance norm. "
            "In batch norm a channel's mean and variance are over the samples as well: "
            "every axis but the channel's, M = N·H·W values.",
            {"statistics": axes, "means": axes},
        )
        for axes in ("spatial", "(2, 3)")
    ),
    *(
        Mistake(
            "The means in dx are over the pixels of each image only. They are over the "
            "same values as the batch's mean: every axis but the channel's.",
            {"means": axes},
        )
        for axes in ("spatial", "(2, 3)")
    ),
    *(
        Mistake(
            "You always reduce over axes (0, 2, 3), which is right for channels on "
            "axis 1. Reduce over every axis but `axis`: for NHWC that is (0, 1, 2).",
            knobs,
        )
        for knobs in (
            dict.fromkeys(("statistics", "means", "parameters"), "(0, 2, 3)"),
            {"channel": 1},
        )
    ),
    Mistake(
        "The means in dx are divided by N. A channel has M = N·H·W values (the size of "
        "x divided by C), and all of them share one mean.",
        {"count": "N"},
    ),
    Mistake(
        "dgamma and dbeta are summed over the samples only, so that every pixel keeps "
        "one of its own. gamma and beta are shared by all pixels of a channel: sum "
        "over every axis but `axis`, to shape (C,).",
        {"parameters": "0"},
    ),
    Mistake(
        "Everything is over the samples only, so that each pixel has statistics and "
        "parameters of its own. A channel shares one of each among all samples and "
        "pixels: reduce over every axis but `axis`.",
        dict.fromkeys(("statistics", "means", "parameters"), "0"),
    ),
    Mistake(
        "The statistics are over the samples only, so that each pixel has its own. A "
        "channel's are over every axis but `axis`: M = N·H·W values.",
        {"statistics": "0", "means": "0"},
    ),
    Mistake(
        "The means in dx are over the samples only. They are over the same values as "
        "the batch's mean: every axis but the channel's.",
        {"means": "0"},
    ),
    Mistake(
        "The statistics are over each sample by itself, all its channels together: "
        "that is layer norm. Reduce over every axis but `axis`.",
        dict.fromkeys(("statistics", "means", "parameters"), "1, ..."),
    ),
    Mistake(
        "gamma is a column: gamma[:, None] puts C on the last axis but one. Give it a "
        "shape with C on the channel axis and 1 elsewhere: (1, C, 1, 1) for NCHW.",
        {"with_gamma": "gamma[:, None]"},
    ),
    Mistake(
        "gamma is not lined up with the channel axis: `gamma * dy` multiplies along "
        "the last axis, and fails unless that happens to be as long. Reshape it, to "
        "(1, C, 1, 1) for NCHW.",
        {"with_gamma": "gamma"},
    ),
)

convolutional = Exercise(
    name="batch_norm_backward_nd",
    outputs=("dx", "dgamma", "dbeta"),
    examine=("dbeta", "dgamma", "dx"),
    formula=training,
    cases=_image_cases,
    section="backward-convolution",
    changed=CHANGED,
    mistakes=(*_AXES, *PARAMETERS, *INPUT, *STATISTICS),
)
