"""PS7's versions.

A wrong version is a right one with a line or two edited, as a learner would write it:
``(numbers of the misconception, what the message must say, old, new, ...)``. Nothing
here uses the checks' own knobs.

The layers stand on one another, so that a text begins with the cells that it needs.
"""

# ruff: noqa: E501  (a row of a table is a line)

import re
from pathlib import Path
from types import SimpleNamespace

from bnlib.check import capstone
from versions import Right, Wrong, edited, right, wrong

TEXT = (Path(__file__).parents[2] / "solutions" / "ps7_capstone.md").read_text()


def cell(name):
    """Return the text of a cell of the set, as its solution has it."""
    start = TEXT.index("---\n", re.search(rf"{{grade_id: {name}[,}}]", TEXT).end()) + 4
    text = TEXT[start : TEXT.index("```", start)]
    return re.sub(
        r"^ *### (BEGIN|END) SOLUTION\n| +# In practice:.*\n( +# .*\n)*",
        "",
        text,
        flags=re.MULTILINE,
    )


def network():
    """Return the text of the cell that is given, with the head and the network."""
    start = TEXT.index("class Head")
    return TEXT[start : TEXT.index("```", start)]


NORMS = cell("norms")
GIVEN = cell("given")
LAYERS = "\n".join([NORMS, cell("norm"), GIVEN, cell("image"), cell("conv")])
NETWORK = "\n".join([LAYERS, cell("block"), network()])


class WithNetwork:
    """A check that needs the learner's network too: a pair that the text calls `pair`."""

    name = "pair"

    def __init__(self, exercise):
        self.exercise = exercise

    def __call__(self, pair, *, seed=0):
        """Check the pair's first with its second."""
        self.exercise(*pair, seed=seed)


CHECKS = SimpleNamespace(
    norm=capstone.norm,
    image=capstone.image,
    conv=capstone.conv,
    block=capstone.block,
    loss=capstone.loss,
    step=capstone.step,
    training=capstone.training,
    accuracy=WithNetwork(capstone.accuracy),
    folding=WithNetwork(capstone.folding),
)


def rows(exercise, source, table, before="", after=""):
    """Return wrong versions of a cell, with the cells that it needs around it."""
    return [
        Wrong(v.exercise, f"{before}\n{v.source}\n{after}", v.says, v.listed)
        for v in wrong(exercise, source, table)
    ]


def styles(exercise, sources, before="", after=""):
    """Return right versions of a cell, with the cells that it needs around it."""
    return [
        Right(v.exercise, f"{before}\n{v.source}\n{after}", v.style)
        for v in right(exercise, sources)
    ]


# fmt: off
# The layer of norms

NORM = """
class Norm:
    def __init__(self, channels, groups=0):
        self.gamma, self.beta = np.ones(channels), np.zeros(channels)
        self.running_mean, self.running_var = np.zeros(channels), np.ones(channels)
        self.groups, self.training, self.grads = groups, True, {}

    def forward(self, x):
        self.x = x
        N, C, H, W = x.shape
        if self.groups > 0:
            return group_norm(x, self.gamma, self.beta, self.groups)
        if self.training:
            y, mean, var = batch_norm_nd(x, self.gamma, self.beta)
            self.running_mean, self.running_var = update_running(self.running_mean, self.running_var, mean, var, N * H * W)
            return y
        mean, var = self.running_mean, self.running_var
        s = np.sqrt(var + 1e-5)
        xhat = (x - mean.reshape(1, C, 1, 1)) / s.reshape(1, C, 1, 1)
        return self.gamma.reshape(1, C, 1, 1) * xhat + self.beta.reshape(1, C, 1, 1)

    def backward(self, dy):
        if self.groups > 0:
            dx, dgamma, dbeta = group_norm_backward(dy, self.x, self.gamma, self.groups)
        else:
            dx, dgamma, dbeta = batch_norm_backward_nd(dy, self.x, self.gamma)
        self.grads["gamma"] = dgamma
        self.grads["beta"] = dbeta
        return dx
"""
MOVE = "            self.running_mean, self.running_var = update_running(self.running_mean, self.running_var, mean, var, N * H * W)\n"
EVAL = "        mean, var = self.running_mean, self.running_var\n"
WRONG_NORM = [
    ("number of \\*images", "N * H * W)", "N)"),
    ("number of \\*images", "N * H * W)", "len(x))"),
    ("with H·W", "N * H * W)", "H * W)"),
    ("number of channels", "N * H * W)", "C)"),
    (34, "biased variance", MOVE, MOVE.replace(", N * H * W", ", 10**12")),
    (33, "weighs the \\*old", "N * H * W)", "N * H * W, momentum=0.9)"),
    (40, "running_mean is wrong", "N * H * W)", "N * H * W, momentum=1.0)"),
    (47, "never move", MOVE, ""),
    (48, "never move", MOVE, MOVE.replace("self.running_mean, self.running_var = ", "")),
    (42, "Only running_mean moves", MOVE, MOVE.replace("self.running_mean, self.running_var =", "self.running_mean, _ =")),
    ("Only running_var moves", MOVE, MOVE.replace("self.running_mean, self.running_var =", "_, self.running_var =")),
    (56, "training mode for ever", "if self.training:", "if True:"),
    (56, "batch's own statistics", EVAL, "        mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))\n"),
    ("move in evaluation, and stand still|wrong way round", "if self.training:", "if not self.training:"),
    (64, "Training uses the running", "            return y\n", ""),
    (59, "square root is missing", "s = np.sqrt(var + 1e-5)", "s = var + 1e-5"),
    (60, "eps is missing", "s = np.sqrt(var + 1e-5)", "s = np.sqrt(var)"),
    ("eps stands outside", "s = np.sqrt(var + 1e-5)", "s = np.sqrt(var) + 1e-5"),
    ("eps is 1e-3", "s = np.sqrt(var + 1e-5)", "s = np.sqrt(var + 1e-3)"),
    (62, "gamma and beta are missing", "return self.gamma.reshape(1, C, 1, 1) * xhat + self.beta.reshape(1, C, 1, 1)", "return xhat"),
    (63, "beta is missing", " * xhat + self.beta.reshape(1, C, 1, 1)", " * xhat"),
    ("gamma is missing", "self.gamma.reshape(1, C, 1, 1) * xhat", "xhat"),
    ("It raises", "mean.reshape(1, C, 1, 1)", "mean", "s.reshape(1, C, 1, 1)", "s"),
    ("batch norm all the same|Group norm uses running", "        if self.groups > 0:\n            return group_norm(x, self.gamma, self.beta, self.groups)\n", ""),
    ("Group norm uses running", "if self.groups > 0:\n            return", "if self.groups > 0 and self.training:\n            return"),
    ("All channels are one group", "self.beta, self.groups)", "self.beta, 1)", "self.gamma, self.groups)", "self.gamma, 1)"),
    ("its own group", "self.beta, self.groups)", "self.beta, C)", "self.gamma, self.groups)", "self.gamma, len(self.gamma))"),
    ("gamma and beta are swapped|It is right on", "group_norm(x, self.gamma, self.beta", "group_norm(x, self.beta, self.gamma"),
    ("gets batch norm's", "        if self.groups > 0:\n            dx, dgamma, dbeta = group_norm_backward(dy, self.x, self.gamma, self.groups)\n        else:\n", "        if True:\n"),
    (70, "as constants", "batch_norm_backward_nd(dy, self.x, self.gamma)\n", "batch_norm_backward_nd(dy, self.x, self.gamma)\n            dx = dy * (self.gamma / self.x.std(axis=(0, 2, 3)))[:, None, None]\n", "dx, dgamma, dbeta = group_norm_backward(dy, self.x, self.gamma, self.groups)", "G = self.groups\n            dx, dgamma, dbeta = group_norm_backward(dy, self.x, self.gamma, G)\n            z = self.x.reshape(len(dy), G, -1)\n            d = (dy * self.gamma[:, None, None]).reshape(z.shape)\n            dx = (d / np.sqrt(z.var(axis=2, keepdims=True) + 1e-5)).reshape(dy.shape)", "self.x.std(axis=(0, 2, 3))", "np.sqrt(self.x.var(axis=(0, 2, 3)) + 1e-5)"),
    ("dx is dy", "        return dx\n", "        return dy\n"),
    ("returns None|dx is None", "        return dx\n", ""),
    (90, "are swapped", 'self.grads["gamma"] = dgamma', 'self.grads["gamma"] = dbeta', 'self.grads["beta"] = dbeta', 'self.grads["beta"] = dgamma'),
    ("Gradients add up", 'self.grads["gamma"] = dgamma', 'self.grads["gamma"] = self.grads.get("gamma", 0) + dgamma', 'self.grads["beta"] = dbeta', 'self.grads["beta"] = self.grads.get("beta", 0) + dbeta'),
    (84, 85, "are means", '= dgamma', '= dgamma / (dy.size / dy.shape[1])', '= dbeta', '= dbeta / (dy.size / dy.shape[1])'),
    ("has no 'gamma'", 'self.grads["gamma"]', 'self.grads["dgamma"]', 'self.grads["beta"]', 'self.grads["dbeta"]'),
    ("first x that the layer", "        self.x = x\n", "        if not hasattr(self, 'x'):\n            self.x = x\n"),
    ("changes its input", "        self.x = x\n", "        x -= x.mean() * 0.1\n        self.x = x\n"),
]
RIGHT_NORM = {
    "the set's own": cell("norm"),
    "as a table has it": NORM,
    "grads made anew, count by np.prod": edited(NORM, 'self.grads["gamma"] = dgamma\n        self.grads["beta"] = dbeta', 'self.grads = dict(gamma=dgamma, beta=dbeta)', "N * H * W", "np.prod(x.shape) // C"),
    "remembers a copy, and what it needs only": edited(NORM, "self.x = x\n", "self.x = x.copy()\n"),
    "evaluation by moving the axes": edited(NORM, "        xhat = (x - mean.reshape(1, C, 1, 1)) / s.reshape(1, C, 1, 1)\n        return self.gamma.reshape(1, C, 1, 1) * xhat + self.beta.reshape(1, C, 1, 1)", "        xhat = (np.moveaxis(x, 1, -1) - mean) / s\n        return np.moveaxis(self.gamma * xhat + self.beta, -1, 1)"),
    "the mode first": edited(NORM, "        if self.groups > 0:\n            return group_norm(x, self.gamma, self.beta, self.groups)\n        if self.training:", "        if self.groups:\n            y = group_norm(x, self.gamma, self.beta, num_groups=self.groups)\n            return y\n        elif self.training is True:"),
}

# Back to the image

IMAGE = """
def image(cols, shape, kernel, stride):
    N, C, H, W = shape
    p = kernel // 2
    oh, ow = (H + stride - 1) // stride, (W + stride - 1) // stride
    cols = cols.reshape(N, C, kernel, kernel, oh, ow)
    out = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for i in range(kernel):
        for j in range(kernel):
            out[:, :, i:i + stride * oh:stride, j:j + stride * ow:stride][:, :, :oh, :ow] += cols[:, :, i, j]
    return out[:, :, p:p + H, p:p + W]
"""
ADD = "out[:, :, i:i + stride * oh:stride, j:j + stride * ow:stride][:, :, :oh, :ow] += cols[:, :, i, j]"
WRONG_IMAGE = [
    ("overwrite each other", "+= cols", "*= 0\n            out[:, :, i:i + stride * oh:stride, j:j + stride * ow:stride] += cols"),
    ("overwrite each other", ADD, "out[:, :, i:i + stride * oh:stride, j:j + stride * ow:stride] = cols[:, :, i, j]"),
    ("average", "    return out", "    n = np.zeros_like(out)\n    for i in range(kernel):\n        for j in range(kernel):\n            n[:, :, i:i + stride * oh:stride, j:j + stride * ow:stride] += 1\n    out = out / np.maximum(n, 1)\n    return out"),
    ("cut off at the end only", "p:p + H, p:p + W]", ":H, :W]"),
    ("Twice too much|image is wrong|has shape", "p:p + H, p:p + W]", "2 * p:, 2 * p:]"),
    ("has shape", "[:, :, p:p + H, p:p + W]", ""),
    ("has shape", "p:p + H, p:p + W]", "p:-p, p:-p]"),
    ("stride is forgotten", ADD, "out[:, :, i:i + oh, j:j + ow] += cols[:, :, i, j]"),
    ("turned round", "cols[:, :, i, j]", "cols[:, :, kernel - 1 - i, kernel - 1 - j]"),
    ("turned round|turned", "cols[:, :, i, j]", "cols[:, :, -1 - i, -1 - j]"),
    ("exchanged", "cols[:, :, i, j]", "cols[:, :, j, i]"),
    ("read as \\(k, k, C\\)", "cols.reshape(N, C, kernel, kernel, oh, ow)", "cols.reshape(N, kernel, kernel, C, oh, ow).transpose(0, 3, 1, 2, 4, 5)"),
    ("last row and column|left out", "for i in range(kernel)", "for i in range(max(kernel - 1, 1))", "for j in range(kernel)", "for j in range(max(kernel - 1, 1))"),
    ("It raises", "(H + stride - 1) // stride, (W + stride - 1) // stride", "H // stride, W // stride"),
    ("It raises", "(H + stride - 1) // stride, (W + stride - 1) // stride", "H, W"),
    ("It raises", "H + 2 * p, W + 2 * p", "H, W"),
    ("returns None", "    return out", "    out"),
    ("changes its input", "    out = np.zeros", "    cols *= 2\n    cols = cols / 2\n    out = np.zeros"),
    ("wrong|has shape", "oh, ow)\n    out", "ow, oh).swapaxes(4, 5)\n    out"),
    ("wrong on", "+= cols[:, :, i, j]", "+= cols[:, :, i, j] / kernel**2"),
]
RIGHT_IMAGE = {
    "the set's own": cell("image"),
    "slices that are too long": IMAGE,
    "with np.add.at": GIVEN + """
def image(cols, shape, kernel, stride):
    numbers = np.arange(1, np.prod(shape) + 1, dtype=float).reshape(shape)
    source = columns(numbers, kernel, stride).astype(int)
    out = np.zeros(np.prod(shape) + 1)
    np.add.at(out, source.ravel(), np.ravel(cols))
    return out[1:].reshape(shape)
""",
    "position by position": """
def image(cols, shape, kernel, stride):
    N, C, H, W = shape
    p, out_w = kernel // 2, int(np.ceil(W / stride))
    out = np.zeros((N, C, H + 2 * p, W + 2 * p))
    for k in range(cols.shape[2]):
        i, j = stride * (k // out_w), stride * (k % out_w)
        out[:, :, i:i + kernel, j:j + kernel] += cols[:, :, k].reshape(N, C, kernel, kernel)
    return out[:, :, p:H + p, p:W + p]
""",
    "with np.bincount": GIVEN + """
def image(cols, shape, kernel, stride):
    n = int(np.prod(shape))
    index = columns(np.arange(1.0, n + 1).reshape(shape), kernel, stride).astype(int)
    return np.bincount(index.ravel(), cols.ravel(), n + 1)[1:].reshape(shape)
""",
}

# Convolution

CONV = """
class Conv:
    def __init__(self, rng, inputs, outputs, kernel=3, stride=1):
        rng = np.random.default_rng(rng)
        sd = np.sqrt(2 / (inputs * kernel**2))
        self.w = sd * rng.standard_normal((outputs, inputs, kernel, kernel))
        self.bias = np.zeros(outputs)
        self.stride, self.grads = stride, {}

    def forward(self, x):
        F, C, k, _ = self.w.shape
        N, _, H, W = x.shape
        self.x = x
        cols = columns(x, k, self.stride)
        y = self.w.reshape(F, -1) @ cols
        y = y + self.bias[:, None]
        return y.reshape(N, F, -(-H // self.stride), -(-W // self.stride))

    def backward(self, dy):
        F, C, k, _ = self.w.shape
        cols = columns(self.x, k, self.stride)
        d = dy.reshape(len(dy), F, -1)
        dw = np.einsum("nfp,ncp->fc", d, cols)
        self.grads["w"] = dw.reshape(self.w.shape)
        dcols = np.einsum("fc,nfp->ncp", self.w.reshape(F, -1), d)
        return image(dcols, self.x.shape, k, self.stride)
"""
WRONG_CONV = [
    ("bias is not added", "        y = y + self.bias[:, None]\n", ""),
    ("added twice", "y = y + self.bias[:, None]", "y = y + 2 * self.bias[:, None]"),
    ("It raises", "self.bias[:, None]", "self.bias"),
    ("kernel is turned round", "self.w.reshape(F, -1) @ cols", "self.w[:, :, ::-1, ::-1].reshape(F, -1) @ cols"),
    ("Rows and columns of the kernel|exchanged", "self.w.reshape(F, -1) @ cols", "self.w.transpose(0, 1, 3, 2).reshape(F, -1) @ cols"),
    ("mean over the images", '= dw.reshape(self.w.shape)', '= dw.reshape(self.w.shape) / len(dy)'),
    ("mean over the images", 'dw = np.einsum("nfp,ncp->fc", d, cols)', 'dw = (d @ cols.transpose(0, 2, 1)).mean(axis=0)'),
    ("Only the first image", 'd, cols)', 'd[:1], cols[:1])'),
    ("Only the last image", 'd, cols)', 'd[-1:], cols[-1:])'),
    ("turned round", "dw.reshape(self.w.shape)", "dw.reshape(self.w.shape)[:, :, ::-1, ::-1]"),
    ("has shape", 'self.grads["w"] = dw.reshape(self.w.shape)', 'self.grads["w"] = dw'),
    ("has shape|has no", 'dw = np.einsum("nfp,ncp->fc", d, cols)\n        self.grads["w"] = dw.reshape(self.w.shape)', 'dw = d @ cols.transpose(0, 2, 1)\n        self.grads["w"] = dw.reshape(len(dy), *self.w.shape)'),
    ("Gradients add up", 'self.grads["w"] = dw', 'self.grads["w"] = self.grads.get("w", 0) + dw'),
    ("has no 'w'", 'self.grads["w"]', 'self.grads["dw"]'),
    ("turned or transposed", "image(dcols", 'image(np.einsum("fc,nfp->ncp", self.w[:, :, ::-1, ::-1].reshape(F, -1), d)'),
    ("turned or transposed", "image(dcols", 'image(np.einsum("fc,nfp->ncp", self.w.transpose(0, 1, 3, 2).reshape(F, -1), d)'),
    ("divided by the number", "return image(dcols", "return 1 / len(dy) * image(dcols"),
    ("first x that the layer", "        self.x = x\n", "        self.x = getattr(self, 'x', x)\n"),
    ("It raises", "image(dcols, self.x.shape, k, self.stride)", "image(dcols, self.x.shape, k, 1)"),
    ("It raises", "columns(x, k, self.stride)", "columns(x, k, 1)"),
    ("dx is None|returns None", "        return image", "        image"),
    ("It raises", "-(-H // self.stride), -(-W // self.stride))", "H, W)"),
    ("wrong|raises", "-(-H // self.stride), -(-W // self.stride))", "-(-W // self.stride), -(-H // self.stride)).swapaxes(2, 3)"),
    ("changes its input", "        d = dy.reshape(len(dy), F, -1)", "        dy *= 2\n        dy *= 0.7\n        d = dy.reshape(len(dy), F, -1)"),
    ("has shape", "return image(dcols, self.x.shape, k, self.stride)", "return dcols"),
]
OVERWRITES = edited(cell("image"), "+= cols", "= cols")
RIGHT_CONV = {
    "the set's own": cell("conv"),
    "with einsum, columns made twice": CONV,
    "grads made anew": edited(CONV, 'self.grads["w"] = dw.reshape(self.w.shape)', 'self.grads = {"w": dw.reshape(F, C, k, k)}'),
    "all images side by side": edited(CONV, 'dw = np.einsum("nfp,ncp->fc", d, cols)', 'dw = np.hstack(list(d)) @ np.hstack(list(cols)).T'),
    "image by image": edited(CONV, 'dw = np.einsum("nfp,ncp->fc", d, cols)', 'dw = sum(a @ b.T for a, b in zip(d, cols))', "y = self.w.reshape(F, -1) @ cols", "y = np.array([self.w.reshape(F, -1) @ c for c in cols])"),
    "with tensordot": edited(CONV, 'np.einsum("nfp,ncp->fc", d, cols)', 'np.tensordot(d, cols, axes=((0, 2), (0, 2)))'),
}

# The block

BLOCK = """
class Block:
    def __init__(self, rng, inputs, outputs, stride=1, groups=0):
        rng = np.random.default_rng(rng)
        self.branch = [
            Conv(rng, inputs, outputs, stride=stride),
            Norm(outputs, groups),
            Relu(),
            Conv(rng, outputs, outputs),
            Norm(outputs, groups),
        ]
        self.skip = []
        if stride > 1 or inputs != outputs:
            conv = Conv(rng, inputs, outputs, kernel=1, stride=stride)
            self.skip = [conv, Norm(outputs, groups)]
        self.relu = Relu()
        self.branch[-1].gamma = np.zeros(outputs)

    def forward(self, x):
        F = x
        for layer in self.branch:
            F = layer.forward(F)
        S = x
        for layer in self.skip:
            S = layer.forward(S)
        return self.relu.forward(F + S)

    def backward(self, dy):
        dz = self.relu.backward(dy)
        dF = dz
        for layer in self.branch[::-1]:
            dF = layer.backward(dF)
        dS = dz
        for layer in self.skip[::-1]:
            dS = layer.backward(dS)
        return dF + dS
"""
ZERO = "        self.branch[-1].gamma = np.zeros(outputs)\n"
SUM = "self.relu.forward(F + S)"
WRONG_BLOCK = [
    ("new block is not its skip", ZERO, ""),
    ("\\*first\\* norm's", "self.branch[-1].gamma", "self.branch[1].gamma"),
    ("skip starts at 0", ZERO, ZERO + "        for layer in self.skip[1:]:\n            layer.gamma = np.zeros(outputs)\n"),
    ("new block|wrong", "self.branch[-1].gamma = ", "self.branch[-1].beta = "),
    ("new block is not", "self.branch[-1].gamma = np.zeros(outputs)", "gamma = np.zeros(outputs)"),
    ("ReLU comes before the sum", SUM, "self.relu.forward(F) + S"),
    ("through a ReLU before the sum", SUM, "self.relu.forward(np.maximum(F, 0) + S)"),
    ("ReLU after the sum is missing", SUM, "F + S", "dz = self.relu.backward(dy)", "dz = dy"),
    ("skip is forgotten", SUM, "self.relu.forward(F)"),
    ("side by side", "        S = x\n", "        S = F\n"),
    ("layers are left out", "for layer in self.skip:\n            S", "for layer in []:\n            S"),
    ("ReLU of its own", SUM, "self.relu.forward(F + np.maximum(S, 0))"),
    ("subtracted", SUM, "self.relu.forward(F - S)"),
    ("mean of branch and skip", SUM, "self.relu.forward((F + S) / 2)"),
    ("ReLU inside the branch is skipped", "for layer in self.branch:", "for layer in self.branch[:2] + self.branch[3:]:", "for layer in self.branch[::-1]:", "for layer in (self.branch[:2] + self.branch[3:])[::-1]:"),
    ("skip's gradient is forgotten", "return dF + dS", "return dF"),
    ("branch's gradient is forgotten", "return dF + dS", "return dS"),
    ("multiplied", "return dF + dS", "return dF * dS"),
    ("mean of the two", "return dF + dS", "return (dF + dS) / 2"),
    ("not go through the last ReLU", "dz = self.relu.backward(dy)", "dz = dy"),
    ("On the skip the gradient passes by", "        dS = dz\n", "        dS = dy\n"),
    ("On the branch the gradient passes by", "        dF = dz\n", "        dF = dy\n"),
    ("layers are left out", "for layer in self.skip[::-1]:\n", "for layer in []:\n"),
    ("wrong|raises|grads of", "        dS = dz\n", "        dS = dF\n"),
    ("It raises|wrong", "in self.branch[::-1]", "in self.branch"),
    ("dx is None|returns None", "return dF + dS", "dF + dS"),
    ("returns None|It raises|y of a new block is", f"return {SUM}", SUM),
    ("changes its input", "        F = x\n", "        x += 0.1\n        F = x\n"),
]
RIGHT_BLOCK = {
    "the set's own": cell("block"),
    "gamma replaced": BLOCK,
    "with reduce": "from functools import reduce\n" + edited(BLOCK, """        F = x
        for layer in self.branch:
            F = layer.forward(F)
        S = x
        for layer in self.skip:
            S = layer.forward(S)
        return self.relu.forward(F + S)""", """        run = lambda chain: reduce(lambda a, layer: layer.forward(a), chain, x)
        return self.relu.forward(run(self.branch) + run(self.skip))"""),
    "its own ReLU": edited(BLOCK, "self.relu.forward(F + S)", "np.maximum(F + S, 0)", "        return np", "        self.z = F + S\n        return np", "self.relu.backward(dy)", "np.where(self.z > 0, dy, 0)"),
    "gamma times 0": edited(BLOCK, "gamma = np.zeros(outputs)", "gamma *= 0"),
    "layer by layer": edited(BLOCK, """        F = x
        for layer in self.branch:
            F = layer.forward(F)
""", """        conv1, norm1, relu, conv2, norm2 = self.branch
        F = norm2.forward(conv2.forward(relu.forward(norm1.forward(conv1.forward(x)))))
"""),
}

# The loss

LOSS = """
def cross_entropy(logits, y):
    N, K = logits.shape
    z = logits - logits.max(axis=1, keepdims=True)
    e = np.exp(z)
    total = e.sum(axis=1, keepdims=True)
    p = e / total
    log_p = z - np.log(total)
    loss = -log_p[np.arange(N), y].sum() / N
    d = p.copy()
    d[np.arange(N), y] -= 1
    return loss, d / N
"""
LOGP = "log_p = z - np.log(total)"
WRONG_LOSS = [
    ("sum over the images", ".sum() / N", ".sum()"),
    ("divided by the number of classes too", ".sum() / N", ".sum() / (N * K)"),
    ("loss for each image", ".sum() / N", ""),
    ("not divided by N", "return loss, d / N", "return loss, d"),
    ("divided by the number of classes", "return loss, d / N", "return loss, d / K"),
    ("divided by the number of classes too", "return loss, d / N", "return loss, d / (N * K)"),
    ("probabilities alone", "    d[np.arange(N), y] -= 1\n", ""),
    ("add 1", "y] -= 1", "y] += 1"),
    ("wrong sign: it is p", "return loss, d / N", "return loss, -d / N"),
    ("loss has the wrong sign", "loss = -log_p", "loss = log_p"),
    ("sum to 1 over the images", "e.sum(axis=1, keepdims=True)", "e.sum(axis=0, keepdims=True)"),
    ("overflows", "z = logits - logits.max(axis=1, keepdims=True)", "z = logits"),
    ("largest of \\*all", "logits.max(axis=1, keepdims=True)", "logits.max()"),
    ("each row's mean", "logits.max(axis=1, keepdims=True)", "logits.mean(axis=1, keepdims=True)"),
    ("by a small number", LOGP, "log_p = np.log(p + 1e-8)"),
    ("by a small number", LOGP, "log_p = np.log(p + 1e-12)"),
    ("rounded to 0", LOGP, "log_p = np.log(p)"),
    ("by a small number", LOGP, "log_p = np.log(np.clip(p, 1e-7, 1))"),
    ("base 2", LOGP, "log_p = (z - np.log(total)) / np.log(2)"),
    ("not the right one count", "    loss = -log_p[np.arange(N), y].sum() / N\n", "    t = np.eye(K)[y]\n    loss = -(t * np.log(p + 1e-300) + (1 - t) * np.log(1 - p + 1e-300)).sum() / N\n"),
    ("logarithm is missing", LOGP, "log_p = p"),
    ("squared error", "    loss = -log_p[np.arange(N), y].sum() / N\n", "    loss = ((p - np.eye(K)[y]) ** 2).sum() / N\n"),
    ("swapped", "return loss, d / N", "return d / N, loss"),
    ("It returns one", "return loss, d / N", "return loss"),
    ("returns None", "return loss, d / N", "loss, d / N"),
    ("changes its input", "    z = logits - logits", "    logits -= 1\n    z = logits - logits"),
    ("dlogits is wrong|loss is wrong|raises", "d[np.arange(N), y] -= 1", "d[:, y] -= 1"),
]
RIGHT_LOSS = {
    "the set's own": cell("loss"),
    "probabilities and logarithms apart": LOSS,
    "one-hot": """
def cross_entropy(logits, y):
    t = np.eye(logits.shape[1])[y]
    m = logits.max(1)[:, None]
    lse = m + np.log(np.exp(logits - m).sum(1)[:, None])
    return ((lse - logits) * t).sum() / len(y), (np.exp(logits - lse) - t) / len(t)
""",
    "with logaddexp": """
def cross_entropy(logits, y):
    lse = np.logaddexp.reduce(logits, axis=1)
    n = np.arange(len(y))
    d = np.exp(logits - lse[:, None])
    d[n, y] = d[n, y] - 1
    return np.mean(lse - logits[n, y]), d / len(y)
""",
    "image by image": """
def cross_entropy(logits, y):
    loss, d = 0.0, np.zeros_like(logits)
    for n in range(len(y)):
        z = logits[n] - max(logits[n])
        total = np.exp(z).sum()
        loss += (np.log(total) - z[y[n]]) / len(y)
        d[n] = np.exp(z) / total / len(y)
        d[n, y[n]] -= 1 / len(y)
    return float(loss), d
""",
}

# The step

STEP = """
def sgd_step(values, grads, velocity, rate, momentum=0.9, decay=1e-4):
    new_values, new_velocity = [], []
    for w, g, v in zip(values, grads, velocity):
        if w.ndim > 1:
            g = g + decay * w
        v = momentum * v + g
        w = w - rate * v
        new_values.append(w)
        new_velocity.append(v)
    return new_values, new_velocity
"""
DECAY = "        if w.ndim > 1:\n            g = g + decay * w\n"
RENEW = "        v = momentum * v + g\n        w = w - rate * v\n"
WRONG_STEP = [
    ("Gamma, beta and biases are decayed too", "if w.ndim > 1:", "if True:"),
    ("Nothing is decayed", DECAY, ""),
    ("decay is the wrong way round", "w.ndim > 1", "w.ndim == 1"),
    ("Only kernels", "w.ndim > 1", "w.ndim > 2"),
    ("Only matrices with two axes", "w.ndim > 1", "w.ndim == 2"),
    ("makes weights grow", "g + decay * w", "g - decay * w"),
    ("decoupled", DECAY, "", "w = w - rate * v", "w = w - rate * v - (rate * decay * w if w.ndim > 1 else 0)"),
    ("not multiplied by the rate|decoupled", DECAY, "", "w = w - rate * v", "w = w - rate * v - (decay * w if w.ndim > 1 else 0)"),
    ("counts twice", "decay * w", "2 * decay * w"),
    ("counts half", "decay * w", "0.5 * decay * w"),
    ("damped", "momentum * v + g", "momentum * v + (1 - momentum) * g"),
    ("multiplied by the momentum as well", "momentum * v + g", "momentum * (v + g)"),
    ("no momentum", "v = momentum * v + g", "v = g"),
    ("moves by the gradient alone", "w - rate * v", "w - rate * g"),
    ("Nesterov", "w - rate * v", "w - rate * (g + momentum * v)"),
    ("rate is inside", RENEW, "        v = momentum * v + rate * g\n        w = w - v\n"),
    ("uphill", "w - rate * v", "w + rate * v"),
    ("\\*old\\* velocity", RENEW, "        w = w - rate * v\n        v = momentum * v + g\n"),
    ("momentum is 0.9 in your", "momentum * v + g", "0.9 * v + g"),
    ("decay is 1e-4 in your", "decay * w", "1e-4 * w"),
    ("wrong sign", "new_velocity.append(v)", "new_velocity.append(-v)", "momentum * v + g", "-momentum * v + g"),
    ("no momentum", "return new_values, new_velocity", "return new_values, [np.zeros_like(v) for v in velocity]"),
    ("two lists", "return new_values, new_velocity", "return new_values"),
    ("two lists", "return new_values, new_velocity", "new_values, new_velocity"),
    ("changes its input", "w = w - rate * v", "w -= rate * v"),
    ("two lists|raises|returns", "return new_values, new_velocity", "return list(zip(new_values, new_velocity))"),
    ("wrong", "return new_values, new_velocity", "return new_velocity, new_values"),
]
RIGHT_STEP = {
    "the set's own": cell("step"),
    "names of its own": STEP,
    "two comprehensions": """
def sgd_step(values, grads, velocity, rate, momentum=0.9, decay=1e-4):
    pulls = [decay * (w.ndim > 1) for w in values]
    vs = [momentum * v + g + p * w for w, g, v, p in zip(values, grads, velocity, pulls)]
    return [w - rate * v for w, v in zip(values, vs)], vs
""",
    "by index, in copies": """
def sgd_step(values, grads, velocity, rate, momentum=0.9, decay=1e-4):
    values, velocity = [w.copy() for w in values], [v.copy() for v in velocity]
    for k in range(len(values)):
        velocity[k] *= momentum
        velocity[k] += grads[k]
        if len(values[k].shape) >= 2:
            velocity[k] += decay * values[k]
        values[k] -= rate * velocity[k]
    return values, velocity
""",
    "tuples": edited(STEP, "return new_values, new_velocity", "return tuple(new_values), tuple(new_velocity)"),
}

# Training

TRAIN = """
def train(x, y, groups, batch, steps, rate, seed=0):
    network = Network(seed, groups)
    rng = np.random.default_rng(seed + 1)
    parameters = network.parameters()
    velocity = [np.zeros_like(getattr(layer, name)) for layer, name in parameters]
    losses = []
    order = rng.permutation(len(x))
    start = 0
    for t in range(steps):
        if start + batch > len(x):
            order = rng.permutation(len(x))
            start = 0
        k = order[start:start + batch]
        start += batch
        logits = network.forward(x[k])
        loss, dlogits = cross_entropy(logits, y[k])
        losses.append(loss)
        network.backward(dlogits)
        values = [getattr(layer, name) for layer, name in parameters]
        grads = [layer.grads[name] for layer, name in parameters]
        values, velocity = sgd_step(values, grads, velocity, rate * (1 - t / steps))
        for (layer, name), value in zip(parameters, values):
            setattr(layer, name, value)
    return network, losses
"""
PUT = "            setattr(layer, name, value)\n"
RATE = "rate * (1 - t / steps)"
WRONG_TRAIN = [
    ("Nothing is learned", PUT, "            value = value\n"),
    ("rate is constant", RATE, "rate"),
    ("one step too early", RATE, "rate * (1 - (t + 1) / steps)"),
    ("lost", RATE, "rate * (1 - t / max(1, steps - 1))"),
    ("rises", RATE, "rate * t / steps"),
    ("no momentum", "values, velocity = sgd_step(values, grads, velocity", "velocity = [np.zeros_like(v) for v in values]\n        values, velocity = sgd_step(values, grads, velocity"),
    ("no momentum", "values, velocity = sgd_step", "values, _ = sgd_step"),
    ("Gamma and beta are never", "parameters = network.parameters()", 'parameters = [p for p in network.parameters() if p[1] in ("w", "bias")]'),
    ("Only weights move", "parameters = network.parameters()", 'parameters = [p for p in network.parameters() if p[1] == "w"]'),
    ("bias is never moved", "parameters = network.parameters()", 'parameters = [p for p in network.parameters() if p[1] != "bias"]'),
    ("evaluation mode", "    parameters = ", "    network.set_training(False)\n    parameters = "),
    ("twice", "losses.append(loss)", "losses.append(cross_entropy(network.forward(x[k]), y[k])[0])"),
    ("after the steps", "        losses.append(loss)\n", "", PUT, PUT + "        losses.append(cross_entropy(network.forward(x[k]), y[k])[0])\n"),
    ("add up over the steps", "        values, velocity = sgd", "        total = grads if t == 0 else [a + b for a, b in zip(total, grads)]\n        values, velocity = sgd", "sgd_step(values, grads,", "sgd_step(values, total,"),
    ("in which they lie", "    order = rng.permutation(len(x))\n    start", "    order = np.arange(len(x))\n    start", "            order = rng.permutation(len(x))\n", ""),
    ("same in every epoch", "            order = rng.permutation(len(x))\n", ""),
    ("same in every epoch", "            order = rng.permutation(len(x))\n", "            order = np.random.default_rng(seed + 1).permutation(len(x))\n"),
    ("some come", "k = order[start:start + batch]", "k = rng.integers(0, len(x), batch)"),
    ("some come|epoch", "k = order[start:start + batch]", "k = rng.choice(len(x), batch, replace=False)"),
    ("labels of others", "y[k]", "y[rng.permutation(len(x))[:batch]]"),
    ("labels of others|labels", "y[k])\n        losses", "y[start - batch:start])\n        losses"),
    ("all images, whatever", "k = order[start:start + batch]", "k = order"),
    ("same seed are not the same", "default_rng(seed + 1)", "default_rng()"),
    ("same weights", "Network(seed, groups)", "Network(0, groups)"),
    ("groups=0|groups", "Network(seed, groups)", "Network(seed)"),
    ("left over", "if start + batch > len(x):", "if start >= len(x):"),
    ("losses for|epochs", "for t in range(steps):", "for t in range(steps * len(x) // batch):"),
    ("losses for", "        losses.append(loss)\n", "        if t % 10 == 0:\n            losses.append(loss)\n"),
    ("in place", "    losses = []\n", "    losses = []\n    x -= x.mean()\n"),
    ("two things", "return network, losses", "return network"),
    ("returns None", "return network, losses", "network, losses"),
    ("It raises", "network.backward(dlogits)", "network.backward(loss)"),
]
RIGHT_TRAIN = {
    "the set's own": cell("training"),
    "with a place in the order": TRAIN,
    "float32": edited(TRAIN, "    losses = []\n", "    losses = []\n    x = x.astype(np.float32)\n    for layer, name in parameters:\n        setattr(layer, name, getattr(layer, name).astype(np.float32))\n"),
    "epochs in a generator": edited(TRAIN, "    order = rng.permutation(len(x))\n    start = 0\n    for t in range(steps):\n", """    def batches():
        while True:
            order = rng.permutation(len(x))
            for i in range(len(x) // batch):
                yield order[i * batch:(i + 1) * batch]

    for t, k in zip(range(steps), batches()):
""", """        if start + batch > len(x):
            order = rng.permutation(len(x))
            start = 0
        k = order[start:start + batch]
        start += batch
""", ""),
    "shuffled copies": edited(TRAIN, "            order = rng.permutation(len(x))\n", "            rng.shuffle(order)\n"),
}

# Accuracy

ACCURACY = """
def accuracy(network, x, y):
    before = network.stem[1].training
    network.set_training(False)
    guess = np.argmax(network.forward(x), axis=1)
    network.set_training(before)
    return np.mean(guess == y)
"""
WRONG_ACCURACY = [
    (56, "training mode", "    network.set_training(False)\n", "    network.set_training(True)\n"),
    (56, "training mode|evaluation mode", "    network.set_training(False)\n", ""),
    ("in evaluation mode afterwards", "    network.set_training(before)\n", ""),
    ("in training mode afterwards", "network.set_training(before)", "network.set_training(True)"),
    ("opposite", "network.set_training(before)", "network.set_training(not before)"),
    ("per cent", "np.mean(guess == y)", "100 * np.mean(guess == y)"),
    ("returns the error", "np.mean(guess == y)", "np.mean(guess != y)"),
    ("Divide by the number", "np.mean(guess == y)", "np.sum(guess == y)"),
    ("smallest logit", "np.argmax", "np.argmin"),
    ("over the images|raises", "axis=1", "axis=0"),
    ("over the images|wrong", ", axis=1", ""),
    ("is None", "    return np.mean", "    np.mean"),
    ("of shape|has shape", "np.mean(guess == y)", "guess == y"),
    ("wrong", "np.mean(guess == y)", "np.mean((guess == y)[:10])"),
    ("wrong|raises", "guess == y)", "guess[1:] == y[1:])"),
    ("wrong", "guess == y)", "abs(guess - y) <= 1)"),
    ("in place|as they are", "    before =", "    x *= 0.5\n    x *= 2.0001\n    before ="),
    ("wrong", "network.forward(x)", "network.forward(1 - x)"),
    ("wrong|evaluation", "    before = network.stem[1].training\n", "    before = network.stem[1].training\n    for layer in network.layers():\n        layer.running_mean = np.zeros_like(getattr(layer, 'gamma', 0))\n"),
]
RIGHT_ACCURACY = {
    "the set's own": cell("accuracy"),
    "np.mean": ACCURACY,
    "a copy": """
import copy

def accuracy(network, x, y):
    network = copy.deepcopy(network)
    network.set_training(False)
    return (network.forward(x).argmax(-1) == y).sum() / len(y)
""",
    "in parts": edited(ACCURACY, "np.argmax(network.forward(x), axis=1)", "np.concatenate([network.forward(x[i:i + 7]).argmax(1) for i in range(0, len(x), 7)])"),
    "with finally": """
def accuracy(network, x, y):
    was = network.stem[1].training
    try:
        network.set_training(False)
        z = network.forward(x)
    finally:
        network.set_training(was)
    return float(sum(int(np.argmax(row)) == k for row, k in zip(z, y)) / len(y))
""",
}

# Folding

FOLD = """
import copy

def fold(network):
    new = copy.deepcopy(network)
    for chain in new.chains():
        layers = []
        for layer in chain:
            if isinstance(layer, Norm):
                if layer.groups > 0:
                    raise ValueError("group norm cannot be folded")
                conv = layers[-1]
                s = layer.gamma / np.sqrt(layer.running_var + 1e-5)
                conv.w = conv.w * s[:, None, None, None]
                conv.bias = (conv.bias - layer.running_mean) * s + layer.beta
            else:
                layers.append(layer)
        chain[:] = layers
    return new
"""
BIAS = "(conv.bias - layer.running_mean) * s + layer.beta"
SCALE = "layer.gamma / np.sqrt(layer.running_var + 1e-5)"
WEIGHT = "conv.w * s[:, None, None, None]"
WRONG_FOLD = [
    ("beta is missing", BIAS, "(conv.bias - layer.running_mean) * s"),
    ("running_mean is missing", BIAS, "conv.bias * s + layer.beta"),
    ("running_mean is not scaled", BIAS, "conv.bias * s - layer.running_mean + layer.beta"),
    ("running_mean is added", BIAS, "(conv.bias + layer.running_mean) * s + layer.beta"),
    ("beta is scaled", BIAS, "(conv.bias - layer.running_mean + layer.beta) * s"),
    ("biases are as they were", f"                conv.bias = {BIAS}\n", ""),
    (59, "square root is missing", SCALE, "layer.gamma / (layer.running_var + 1e-5)"),
    (60, "eps is missing", SCALE, "layer.gamma / np.sqrt(layer.running_var)"),
    ("eps is 1e-3", "1e-5", "1e-3"),
    ("divide by it", SCALE, "layer.gamma * np.sqrt(layer.running_var + 1e-5)"),
    ("sign of gamma", SCALE, "np.abs(layer.gamma) / np.sqrt(layer.running_var + 1e-5)"),
    ("gamma is missing", SCALE, "1 / np.sqrt(layer.running_var + 1e-5)"),
    ("weights are as they were", f"                conv.w = {WEIGHT}\n", ""),
    ("swapped", SCALE, "layer.gamma / np.sqrt(layer.running_mean + 1e-5)", "conv.bias - layer.running_mean", "conv.bias - layer.running_var"),
    ("not folded", f"                conv.w = {WEIGHT}\n                conv.bias = {BIAS}\n", ""),
    ("outputs differ|raises", WEIGHT, "conv.w * s"),
    ("raises", WEIGHT, "conv.w * s[None, :, None, None]"),
    ("deepcopy", "copy.deepcopy(network)", "copy.copy(network)"),
    ("deepcopy", "copy.deepcopy(network)", "network"),
    ("norms are still there|outputs differ|still norms", "        chain[:] = layers\n", ""),
    ("still norms|norms are still|training mode", "        for layer in chain:\n", "        if chain in [b.skip for b in new.blocks]:\n            continue\n        for layer in chain:\n"),
    ("group norm", '                if layer.groups > 0:\n                    raise ValueError("group norm cannot be folded")\n', ""),
    ("group norm", '                    raise ValueError("group norm cannot be folded")\n', "                    return network\n"),
    ("returns None", "    return new\n", "    new\n"),
    ("raises", "conv = layers[-1]", "conv = layers[0]\n                assert conv.w.shape[0] == 8"),
    ("norms are still there|training mode", "        chain[:] = layers\n", "", f"                conv.w = {WEIGHT}\n                conv.bias = {BIAS}\n", f"                layer.gamma, layer.beta = s * np.sqrt(1 + 1e-5), {BIAS}\n                layer.running_mean, layer.running_var = 0 * s, 0 * s + 1\n"),
]
RIGHT_FOLD = {
    "the set's own": cell("folding"),
    "a new list": FOLD,
    "with zip": """
import copy

def fold(network):
    if network.stem[1].groups:
        raise TypeError("statistics of group norm are not constant")
    network = copy.deepcopy(network)
    for chain in network.chains():
        for conv, norm in zip(list(chain[:-1]), list(chain[1:])):
            if type(norm) is Norm:
                s = norm.gamma * (norm.running_var + 1e-5) ** -0.5
                conv.w = np.einsum("f,fckl->fckl", s, conv.w)
                conv.bias = s * conv.bias + norm.beta - s * norm.running_mean
        chain[:] = [layer for layer in chain if not isinstance(layer, Norm)]
    return network
""",
    "from the back": edited(FOLD, FOLD[FOLD.index("        layers = []"):FOLD.index("    return new")], """        k = len(chain) - 1
        while k > 0:
            norm = chain[k]
            if hasattr(norm, "gamma"):
                if norm.groups:
                    raise ValueError("groups")
                s = norm.gamma / np.sqrt(norm.running_var + 1e-5)
                chain[k - 1].w *= s.reshape(-1, 1, 1, 1)
                chain[k - 1].bias = norm.beta + s * (chain[k - 1].bias - norm.running_mean)
                del chain[k]
            k -= 1
"""),
    "in float32": edited(FOLD, "conv.w = ", "conv.w = 1.0 * ", "+ layer.beta", "+ 1.0 * layer.beta"),
}

PAIR = "pair = {}, Network\n"
WRONG = [
    *rows("norm", NORM, WRONG_NORM, NORMS),
    *rows("image", IMAGE, WRONG_IMAGE),
    *rows("conv", CONV, WRONG_CONV, "\n".join([GIVEN, cell("image")])),
    *rows("block", BLOCK, WRONG_BLOCK, LAYERS),
    *rows("loss", LOSS, WRONG_LOSS),
    *rows("step", STEP, WRONG_STEP),
    *rows("training", TRAIN, WRONG_TRAIN, "\n".join([NETWORK, cell("loss"), cell("step")])),
    *rows("accuracy", ACCURACY, WRONG_ACCURACY, NETWORK, PAIR.format("accuracy")),
    *rows("folding", FOLD, WRONG_FOLD, NETWORK, PAIR.format("fold")),
]
RIGHT = [
    *styles("norm", RIGHT_NORM, NORMS),
    *styles("image", RIGHT_IMAGE),
    *styles("conv", RIGHT_CONV, "\n".join([GIVEN, cell("image")])),
    *styles("block", RIGHT_BLOCK, LAYERS),
    *styles("loss", RIGHT_LOSS),
    *styles("step", RIGHT_STEP),
    *styles("training", RIGHT_TRAIN, "\n".join([NETWORK, cell("loss"), cell("step")])),
    *styles("accuracy", RIGHT_ACCURACY, "import copy\n" + NETWORK, PAIR.format("accuracy")),
    *styles("folding", RIGHT_FOLD, "import copy\n" + NETWORK, PAIR.format("fold")),
]
