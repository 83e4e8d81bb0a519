"""Exercise: the transpose of `columns`, which adds patches up to an image."""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.capstone._layers import CHANGED


def _image(
    cols,
    shape,
    kernel,
    stride,
    *,
    writes="adds",
    around="kernel // 2",
    steps="stride",
    flipped=False,
    transposed=False,
    average=False,
    order="channels first",
    misses=None,
):
    n, c, h, w = shape
    a = kernel // 2
    out_h, out_w = -(-h // stride), -(-w // stride)
    cols = np.asarray(cols, dtype=np.float64)
    if order == "channels first":
        cols = cols.reshape(n, c, kernel, kernel, out_h, out_w)
    else:
        cols = cols.reshape(n, kernel, kernel, c, out_h, out_w)
        cols = cols.transpose(0, 3, 1, 2, 4, 5)
    if flipped:
        cols = cols[:, :, ::-1, ::-1]
    if transposed:
        cols = cols.swapaxes(2, 3)
    padded = np.zeros((n, c, h + 2 * a + stride, w + 2 * a + stride))
    counts = np.zeros_like(padded)
    step = 1 if steps == "1" else stride
    for i in range(kernel):
        for j in range(kernel):
            if misses == "last" and kernel > 1 and kernel - 1 in (i, j):
                continue
            down = slice(i, i + step * (out_h - 1) + 1, step)
            across = slice(j, j + step * (out_w - 1) + 1, step)
            if writes == "adds":
                padded[:, :, down, across] += cols[:, :, i, j]
            else:
                padded[:, :, down, across] = cols[:, :, i, j]
            counts[:, :, down, across] += 1
    if average:
        padded = padded / np.maximum(counts, 1)
    start = {"kernel // 2": a, "none": 0, "right": 2 * a}[around]
    return (padded[:, :, start : start + h, start : start + w],)


def _cases(rng):
    cases = []
    for (n, c, h, w), kernel, stride in (
        ((2, 3, 5, 4), 3, 1),
        ((2, 2, 6, 5), 3, 2),
        ((3, 2, 4, 7), 1, 2),
        ((1, 2, 7, 6), 5, 3),
    ):
        positions = -(-h // stride) * -(-w // stride)
        cols = rng.normal(size=(n, c * kernel**2, positions))
        what = f"an image of {h} × {w}, kernel {kernel}, stride {stride}"
        cases.append(Case(what, (cols, (n, c, h, w), kernel, stride)))
    return cases


image = Exercise(
    name="image",
    outputs=("image",),
    formula=_image,
    cases=_cases,
    section="capstone-convolution",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "Patches overlap, and where they do, yours overwrite each other: only the "
            "last counts. A pixel that was copied into nine patches gets the *sum* of "
            "what comes back: `+=`.",
            {"writes": "overwrites"},
        ),
        Mistake(
            "You average what comes back to a pixel. The transpose adds.",
            {"average": True},
        ),
        Mistake(
            "The padding is cut off at the end only. There are kernel // 2 zeros "
            "*around* the image: cut as many off at the beginning.",
            {"around": "none"},
        ),
        Mistake(
            "Twice too much is cut off at the beginning: the image begins at "
            "kernel // 2.",
            {"around": "right"},
        ),
        Mistake(
            "The stride is forgotten: neighbouring columns are neighbouring pixels in "
            "yours. Patch number p begins stride·p pixels from the start.",
            {"steps": "1"},
        ),
        Mistake(
            "The kernel is turned round. Entry (i, j) of a patch goes back to the "
            "pixel that it came from: i down and j across from the patch's corner.",
            {"flipped": True},
        ),
        Mistake(
            "Rows and columns of the kernel are exchanged: the rows of `cols` count "
            "channels, then i, then j.",
            {"transposed": True},
        ),
        Mistake(
            "The rows of `cols` are read as (k, k, C). They are (C, k, k): the channel "
            "is the slowest.",
            {"order": "channels last"},
        ),
        Mistake(
            "The last row and column of the kernel are left out: `range(kernel)`.",
            {"misses": "last"},
        ),
    ),
)
