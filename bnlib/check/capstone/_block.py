"""Exercise: a residual block, which starts as its skip."""

import numpy as np

from bnlib.check._exercise import Case, Mistake
from bnlib.check.capstone import _network as right
from bnlib.check.capstone._layers import (
    CHANGED,
    Layers,
    draw_images,
    draw_norm,
    named,
)

OUTPUTS = (
    "the branch's gammas in a new block",
    "y of a new block",
    "y",
    "dx",
    "the first convolution's gradient",
    "the first norm's dgamma",
    "the second convolution's gradient",
    "the second norm's dgamma",
    "the second norm's dbeta",
    "the skip's gradients",
)
SKIPPED = (
    "The skip's layers are left out, in `forward` or in `backward`. Where `self.skip` "
    "has layers, x goes through them; backwards, the gradient goes through them in "
    "reverse."
)


def _block(
    weights,
    norms,
    skip_weights,
    stride,
    x,
    dy,
    *,
    starts="as its skip",
    last_relu="after the sum",
    skip="of x",
    sign=1.0,
    half=False,
    back="both",
    relu_back="before both",
    down="both",
    inner_relu=True,
):
    def chains(norms):
        branch, other = _chains(weights, norms, skip_weights, stride)
        return branch if inner_relu else [k for k in branch if k], other

    def forward(branch, other, x):
        one, inputs = right.forward(branch, x)
        two, skipped = right.forward(other, one if skip == "of the branch" else x)
        if skip in ("x", "0"):
            two = x if skip == "x" else np.zeros_like(one)
        elif skip == "relu":
            two = np.maximum(two, 0)
        z = (one + sign * two) / (2 if half else 1)
        y = {
            "after the sum": np.maximum(z, 0),
            "before the sum": np.maximum(one, 0) + two,
            "none": z,
            "both": np.maximum(np.maximum(one, 0) + two, 0),
        }[last_relu]
        return y, (one if relu_back == "of the branch" else z), inputs, skipped

    branch, other = chains([_fresh(norm) for norm in norms])
    ones = np.ones_like(branch[-1]["gamma"])
    if starts != "gamma 1":
        branch[1 if starts == "first gamma 0" else -1]["gamma"] = 0 * ones
    if starts == "both 0" and other:
        other[-1]["gamma"] = 0 * ones
    gammas = np.concatenate([k["gamma"] for k in branch if "gamma" in k])
    new = forward(branch, other, x)[0]

    branch, other = chains(norms)
    y, z, inputs, skipped = forward(branch, other, x)
    masked = dy * (z > 0)
    to_branch = dy if relu_back in ("none", "skip only") else masked
    to_skip = dy if relu_back in ("none", "branch only") else masked
    dbranch, of_branch = right.backward(branch, to_branch, inputs)
    dskip, of_skip = right.backward(other, to_skip, skipped)
    dx = {
        "both": lambda: dbranch + sign * dskip,
        "branch": lambda: dbranch,
        "skip": lambda: dskip,
        "dy": lambda: dbranch + to_skip,
        "product": lambda: dbranch * dskip,
        "mean": lambda: (dbranch + dskip) / 2,
    }[back]()
    grads = [g for layer in of_skip for g in layer.values()]
    conv2, norm2 = of_branch[-2], of_branch[-1]
    return (
        gammas,
        new,
        y,
        dx,
        of_branch[0]["w"],
        of_branch[1]["gamma"],
        conv2["w"],
        norm2["gamma"],
        norm2["beta"],
        np.concatenate([np.zeros(1), *(g.ravel() for g in grads)]),
    )


def _fresh(norm):
    """Return the norm as it is in a new block."""
    c = len(norm["gamma"])
    return norm | {"gamma": np.ones(c), "beta": np.zeros(c)}


def _chains(weights, norms, skip_weights, stride):
    """Return the branch and the skip as chains of dictionaries."""

    def conv(w, stride):
        return {"w": w, "bias": np.zeros(len(w)), "stride": np.int64(stride)}

    norms = [dict(n) for n in norms]
    branch = [conv(weights[0], stride), norms[0], {}, conv(weights[1], 1), norms[1]]
    skip = [conv(skip_weights, stride), norms[2]] if len(norms) > 2 else []
    return branch, skip


def _drive(block_class, weights, norms, skip_weights, stride, x, dy):
    """Build a block, set its parameters, and return what is seen of it."""
    inputs, outputs = weights[0].shape[1], len(weights[0])
    block = block_class(0, inputs, outputs, stride, int(norms[0]["groups"]))
    branch, skip = list(block.branch), list(block.skip)
    branch[0].w, branch[3].w = weights
    if skip:
        skip[0].w = skip_weights
    gammas = np.concatenate([branch[k].gamma for k in (1, 4)])
    new = block.forward(x)
    parts = [branch[1], branch[4], *skip[1:]]
    for layer, values in zip(parts, norms, strict=True):
        for name in ("gamma", "beta", "running_mean", "running_var"):
            setattr(layer, name, values[name].copy())
    y = block.forward(x)
    dx = block.backward(dy)
    grads = [layer.grads for layer in (branch[0], branch[1], branch[3], branch[4])]
    found = [
        named(grads[k], name, of)
        for k, name, of in (
            (0, "w", "branch[0]"),
            (1, "gamma", "branch[1]"),
            (2, "w", "branch[3]"),
            (3, "gamma", "branch[4]"),
            (3, "beta", "branch[4]"),
        )
    ]
    of_skip = [np.zeros(1)]
    if skip:
        of_skip.append(np.ravel(named(skip[0].grads, "w", "skip[0]")))
        for name in ("gamma", "beta"):
            of_skip.append(np.ravel(named(skip[1].grads, name, "skip[1]")))
    return (gammas, new, y, dx, *found, np.concatenate(of_skip))


def _cases(rng):
    cases = []
    for inputs, outputs, stride, groups in (
        (4, 4, 1, 0),
        (2, 4, 2, 0),
        (4, 4, 1, 2),
        (3, 6, 2, 3),
    ):
        changes = stride > 1 or inputs != outputs
        weights = [
            rng.normal(size=(outputs, inputs, 3, 3)) / np.sqrt(9 * inputs),
            rng.normal(size=(outputs, outputs, 3, 3)) / np.sqrt(9 * outputs),
        ]
        norms = [draw_norm(rng, outputs, groups) for _ in range(2 + changes)]
        across = rng.normal(size=(outputs, inputs, 1, 1))
        x = draw_images(rng, (3, inputs, 4, 6))
        dy = rng.normal(size=(3, outputs, 4 // stride, 6 // stride))
        what = f"{inputs} → {outputs} channels, stride {stride}"
        what += f", {groups} groups" if groups else ", batch norm"
        cases.append(Case(what, (weights, norms, across, stride, x, dy)))
    return cases


block = Layers(
    name="Block",
    outputs=OUTPUTS,
    formula=_block,
    cases=_cases,
    run=_drive,
    section="capstone-block",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "A new block is not its skip: the last norm's gamma starts at 1. Set it to "
            "0 in `__init__`, `self.branch[-1].gamma[:] = 0`.",
            {"starts": "gamma 1"},
            alone=True,
        ),
        Mistake(
            "The gamma that starts at 0 is the *first* norm's. It would stay there: "
            "the ReLU behind it lets no gradient through at 0. It is the last norm's, "
            "`self.branch[-1].gamma[:] = 0`.",
            {"starts": "first gamma 0"},
            alone=True,
        ),
        Mistake(
            "The skip starts at 0 as well. Only the branch's last gamma does: with "
            "both at 0 a new block forgets its input, and nothing gets through.",
            {"starts": "both 0"},
            alone=True,
        ),
        Mistake(
            "The last ReLU comes before the sum. It comes after it: relu(F(x) + S(x)).",
            {"last_relu": "before the sum", "relu_back": "of the branch"},
            alone=True,
        ),
        Mistake(
            "The ReLU after the sum is missing: y = relu(F(x) + S(x)).",
            {"last_relu": "none", "relu_back": "none"},
            alone=True,
        ),
        Mistake(
            "The last ReLU comes before the sum. It comes after it: relu(F(x) + S(x)).",
            {"last_relu": "before the sum"},
            alone=True,
        ),
        Mistake(
            "The branch goes through a ReLU before the sum, too. There is one ReLU "
            "inside the branch and one after the sum: F may be negative.",
            {"last_relu": "both"},
            alone=True,
        ),
        Mistake(
            "The ReLU after the sum is missing: y = relu(F(x) + S(x)).",
            {"last_relu": "none"},
            alone=True,
        ),
        Mistake(
            "The skip is forgotten: y = relu(F(x) + S(x)).", {"skip": "0"}, alone=True
        ),
        Mistake(
            "The skip takes the branch's output. Both begin at x: they are side by "
            "side, not one after the other.",
            {"skip": "of the branch"},
            alone=True,
        ),
        Mistake(
            SKIPPED,
            {"skip": "x"},
            alone=True,
        ),
        Mistake(
            "The skip goes through a ReLU of its own. S is the identity, or a "
            "convolution and a norm.",
            {"skip": "relu"},
            alone=True,
        ),
        Mistake(
            "The skip is subtracted: y = relu(F(x) + S(x)).", {"sign": -1.0}, alone=True
        ),
        Mistake(
            "You take the mean of branch and skip. It is their sum.",
            {"half": True},
            alone=True,
        ),
        Mistake(
            "The ReLU inside the branch is skipped.", {"inner_relu": False}, alone=True
        ),
        Mistake(
            "The skip's gradient is forgotten. Forwards x goes both ways; backwards "
            "what returns on both adds up.",
            {"back": "branch"},
            alone=True,
        ),
        Mistake(
            "The branch's gradient is forgotten in dx. What returns on both ways adds "
            "up.",
            {"back": "skip"},
            alone=True,
        ),
        Mistake(
            SKIPPED,
            {"back": "dy"},
            alone=True,
        ),
        Mistake(
            "The gradients of the two ways are multiplied. They add up.",
            {"back": "product"},
            alone=True,
        ),
        Mistake(
            "You take the mean of the two gradients. It is their sum.",
            {"back": "mean"},
            alone=True,
        ),
        Mistake(
            "The gradient does not go through the last ReLU: where y is 0, nothing "
            "comes back.",
            {"relu_back": "none"},
            alone=True,
        ),
        Mistake(
            "On the skip the gradient passes by the last ReLU. The ReLU comes after "
            "the sum, so that its mask is for both ways.",
            {"relu_back": "branch only"},
            alone=True,
        ),
        Mistake(
            "On the branch the gradient passes by the last ReLU. The ReLU comes after "
            "the sum, so that its mask is for both ways.",
            {"relu_back": "skip only"},
            alone=True,
        ),
    ),
)
