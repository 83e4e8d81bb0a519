"""Exercise: a convolution by matrix product, forward and backward."""

import numpy as np

from bnlib.check._exercise import Case, Mistake
from bnlib.check.capstone import _network as right
from bnlib.check.capstone._layers import CHANGED, Layers, draw_images, named


def _conv(
    w,
    bias,
    stride,
    batches,
    dys,
    *,
    adds="bias",
    kernel="as it is",
    dw_is="sum",
    dw_flipped=False,
    remembers="the last",
    dx_is="all",
    dx_kernel="as it is",
    grads="new",
):
    layer = {"w": w, "bias": bias, "stride": np.int64(stride)}
    used = layer | {"w": w[:, :, ::-1, ::-1] if kernel == "flipped" else w}
    if kernel == "transposed":
        used["w"] = w.swapaxes(2, 3)
    if adds == "nothing":
        used["bias"] = np.zeros(len(w))
    elif adds == "twice":
        used["bias"] = 2 * bias
    x, dy = batches[-1], dys[-1]
    y = right.conv(x, used)
    seen = batches[0] if remembers == "the first" else x
    dx, dw = right.conv_backward(dy, seen, used)
    if dw_is == "mean":
        dw = dw / len(x)
    elif dw_is == "first":
        _, dw = right.conv_backward(dy[:1], seen[:1], layer)
    elif dw_is == "last":
        _, dw = right.conv_backward(dy[-1:], seen[-1:], layer)
    if dw_flipped:
        dw = dw[:, :, ::-1, ::-1]
    if grads == "added up":
        for x0, dy0 in zip(batches[:-1], dys[:-1], strict=True):
            dw = dw + right.conv_backward(dy0, x0, layer)[1]
    turned = {
        "as it is": w,
        "flipped": w[:, :, ::-1, ::-1],
        "transposed": w.swapaxes(2, 3),
    }[dx_kernel]
    if dx_kernel != "as it is":
        dx, _ = right.conv_backward(dy, seen, layer | {"w": turned})
    if dx_is == "overwritten":
        dx = _overwritten(dy, x, layer)
    elif dx_is == "mean":
        dx = dx / len(x)
    return y, dx, dw


def _overwritten(dy, x, layer):
    """Return dx where patches that overlap overwrite each other."""
    w, stride = layer["w"], int(layer["stride"])
    k, a = w.shape[-1], w.shape[-1] // 2
    n, c, h, across = x.shape
    cols = w.reshape(len(w), -1).T @ dy.reshape(*dy.shape[:2], -1)
    cols = cols.reshape(n, c, k, k, *dy.shape[2:])
    padded = np.zeros((n, c, h + 2 * a, across + 2 * a))
    for i in range(k):
        for j in range(k):
            rows = slice(i, i + stride * (dy.shape[2] - 1) + 1, stride)
            along = slice(j, j + stride * (dy.shape[3] - 1) + 1, stride)
            padded[:, :, rows, along] = cols[:, :, i, j]
    return padded[:, :, a : a + h, a : a + across]


def _drive(conv, w, bias, stride, batches, dys):
    """Run it on several batches; return what is seen of the last."""
    layer = conv(0, w.shape[1], len(w), w.shape[-1], stride)
    layer.w, layer.bias = w, bias
    for x, dy in zip(batches, dys, strict=True):
        y = layer.forward(x)
        dx = layer.backward(dy)
    return y, dx, named(layer.grads, "w", "the convolution")


def _cases(rng):
    cases = []
    for inputs, outputs, kernel, stride, (h, w) in (
        (3, 4, 3, 1, (4, 5)),
        (2, 3, 3, 2, (6, 5)),
        (4, 2, 1, 2, (4, 3)),
        (1, 3, 5, 1, (5, 6)),
    ):
        batches = [draw_images(rng, (4, inputs, h, w)) for _ in range(2)]
        out = -(-h // stride), -(-w // stride)
        dys = [rng.normal(size=(len(x), outputs, *out)) for x in batches]
        weights = rng.normal(size=(outputs, inputs, kernel, kernel))
        what = f"{inputs} → {outputs} channels, kernel {kernel}, stride {stride}"
        arguments = (weights, rng.normal(size=outputs), stride, batches, dys)
        cases.append(Case(f"{what}, images of {h} × {w}", arguments))
    return cases


conv = Layers(
    name="Conv",
    outputs=("y", "dx", "grads['w']"),
    formula=_conv,
    cases=_cases,
    run=_drive,
    section="capstone-convolution",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "The bias is not added. It is 0 until the network is folded; then it is "
            "where beta and the mean go.",
            {"adds": "nothing"},
        ),
        Mistake("The bias is added twice.", {"adds": "twice"}),
        Mistake(
            "The kernel is turned round. What deep learning calls a convolution does "
            "not flip: the weights, as they are, times the columns.",
            {"kernel": "flipped"},
        ),
        Mistake(
            "Rows and columns of the kernel are exchanged.",
            {"kernel": "transposed"},
        ),
        Mistake(
            "grads['w'] is a mean over the images. It is their sum: the loss has "
            "divided by N already.",
            {"dw_is": "mean"},
        ),
        Mistake(
            "Only the first image counts in grads['w']. Sum over all of them.",
            {"dw_is": "first"},
        ),
        Mistake(
            "Only the last image counts in grads['w']. Sum over all of them.",
            {"dw_is": "last"},
        ),
        Mistake(
            "grads['w'] is turned round. It is dY times the transposed columns, as "
            "they are.",
            {"dw_flipped": True},
        ),
        Mistake(
            "`backward` uses the first x that the layer ever saw. Each `forward` has "
            "to remember its own.",
            {"remembers": "the first"},
        ),
        *(
            Mistake(
                "For dx the kernel is turned or transposed. With `image` there is "
                "nothing to turn: it puts each entry back where it came from. "
                "dx = image(Wᵀ dY).",
                {"dx_kernel": kind},
            )
            for kind in ("flipped", "transposed")
        ),
        Mistake(
            "In dx patches overwrite each other where they overlap. `image` adds.",
            {"dx_is": "overwritten"},
        ),
        Mistake("dx is divided by the number of images.", {"dx_is": "mean"}),
        Mistake(
            "Gradients add up over calls. Each `backward` makes new ones.",
            {"grads": "added up"},
        ),
    ),
)
