"""The right layers, a block and a network, as functions of arrays, with knobs.

A norm is a dictionary: ``gamma``, ``beta``, ``running_mean``, ``running_var``, and
``groups``, 0 for batch norm. A convolution has ``w``, ``bias``, ``stride``.

But: no classes with state; those are the learner's.
"""

import numpy as np

EPS = 1e-5


def columns(x, kernel, stride):
    """Return the patches under a kernel as columns: (N, C·k², positions)."""
    around = kernel // 2
    padded = np.pad(x, ((0, 0), (0, 0), (around, around), (around, around)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (2, 3))
    patches = patches[:, :, ::stride, ::stride].transpose(0, 1, 4, 5, 2, 3)
    n, c, *_, h, w = patches.shape
    return patches.reshape(n, c * kernel**2, h * w)


def image(cols, shape, kernel, stride):
    """Add columns up to images of a shape: the transpose of `columns`."""
    n, c, h, w = shape
    around, out_h, out_w = kernel // 2, -(-h // stride), -(-w // stride)
    cols = cols.reshape(n, c, kernel, kernel, out_h, out_w)
    padded = np.zeros((n, c, h + 2 * around, w + 2 * around))
    for i in range(kernel):
        for j in range(kernel):
            down = slice(i, i + stride * (out_h - 1) + 1, stride)
            across = slice(j, j + stride * (out_w - 1) + 1, stride)
            padded[:, :, down, across] += cols[:, :, i, j]
    return padded[:, :, around : around + h, around : around + w]


def conv(x, layer):
    """Return the output of a convolution."""
    w, stride = layer["w"], layer["stride"]
    out = w.reshape(len(w), -1) @ columns(x, w.shape[-1], stride)
    h, across = (-(-size // stride) for size in x.shape[2:])
    out = out + layer["bias"][:, None]
    return out.reshape(len(x), len(w), h, across)


def conv_backward(dy, x, layer):
    """Return dx and dw."""
    w, stride = layer["w"], layer["stride"]
    dy = dy.reshape(*dy.shape[:2], -1)
    cols = columns(x, w.shape[-1], stride)
    dw = (dy @ cols.transpose(0, 2, 1)).sum(0).reshape(w.shape)
    dcols = w.reshape(len(w), -1).T @ dy
    return image(dcols, x.shape, w.shape[-1], stride), dw


def split(x, groups):
    """Return x with an axis for groups, and the axes that share statistics."""
    n, c, h, w = x.shape
    if groups:
        return x.reshape(n, groups, c // groups, h, w), (2, 3, 4)
    return x, (0, 2, 3)


def along(vector):
    """Return a vector of channels in a shape that broadcasts against images."""
    return vector.reshape(1, -1, 1, 1)


def norm(x, layer, training=True):
    """Return y, and the mean and biased variance of the batch."""
    gamma, beta = along(layer["gamma"]), along(layer["beta"])
    if not layer["groups"] and not training:
        mean, var = layer["running_mean"], layer["running_var"]
        y = gamma * (x - along(mean)) / np.sqrt(along(var) + EPS) + beta
        return y, mean, var
    z, axes = split(x, layer["groups"])
    mean, var = z.mean(axes, keepdims=True), z.var(axes, keepdims=True)
    xhat = ((z - mean) / np.sqrt(var + EPS)).reshape(x.shape)
    return gamma * xhat + beta, mean.reshape(-1), var.reshape(-1)


def norm_backward(dy, x, layer):
    """Return dx, dgamma and dbeta in training mode."""
    z, axes = split(x, layer["groups"])
    centred = z - z.mean(axes, keepdims=True)
    s = np.sqrt((centred**2).mean(axes, keepdims=True) + EPS)
    xhat = centred / s
    d = (along(layer["gamma"]) * dy).reshape(z.shape)
    dx = d - d.mean(axes, keepdims=True)
    dx = (dx - xhat * (d * xhat).mean(axes, keepdims=True)) / s
    dgamma = (dy * xhat.reshape(x.shape)).sum((0, 2, 3))
    return dx.reshape(x.shape), dgamma, dy.sum((0, 2, 3))


def updated(layer, mean, var, count):
    """Return the running statistics after a batch of `count` values a channel."""
    return (
        0.9 * layer["running_mean"] + 0.1 * mean,
        0.9 * layer["running_var"] + 0.1 * var * count / (count - 1),
    )


def forward(chain, x, training=True):
    """Return a chain's output, and its layers' inputs; a layer is a dictionary.

    In training, running statistics in the chain are replaced.
    """
    inputs = []
    for layer in chain:
        inputs.append(x)
        if "w" in layer:
            x = conv(x, layer)
        elif "gamma" in layer:
            x, mean, var = norm(x, layer, training)
            if training and not layer["groups"]:
                count = x.size // len(mean)
                moved = updated(layer, mean, var, count)
                layer["running_mean"], layer["running_var"] = moved
        else:
            x = np.maximum(x, 0)
    return x, inputs


def backward(chain, dy, inputs):
    """Return the gradient of a chain's input, and those of its layers' parameters."""
    grads = []
    for layer, x in zip(reversed(chain), reversed(inputs), strict=True):
        if "w" in layer:
            dy, dw = conv_backward(dy, x, layer)
            grads.append({"w": dw})
        elif "gamma" in layer:
            dy, dgamma, dbeta = norm_backward(dy, x, layer)
            grads.append({"gamma": dgamma, "beta": dbeta})
        else:
            dy = dy * (x > 0)
            grads.append({})
    return dy, grads[::-1]


def cross_entropy(logits, y):
    """Return the mean loss and its gradient."""
    z = logits - logits.max(1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    truth = np.eye(logits.shape[1])[y]
    return -(log_p * truth).sum() / len(y), (np.exp(log_p) - truth) / len(y)


class Network:
    """A residual network: a stem, blocks of a branch and a skip, and a head.

    Parameters
    ----------
    stem : list of dict
        A chain.
    blocks : list of (list, list)
        Branch and skip.
    head : dict
        ``w`` of shape (classes, C) and ``bias``.
    """

    def __init__(self, stem, blocks, head):
        self.stem, self.blocks, self.head = stem, blocks, head

    def forward(self, x, training=True):
        """Return logits; keep what `backward` needs."""
        x, inputs = forward(self.stem, x, training)
        self._seen = [inputs]
        for branch, skip in self.blocks:
            one, inputs = forward(branch, x, training)
            other, skipped = forward(skip, x, training)
            x = np.maximum(one + other, 0)
            self._seen.append((inputs, skipped, one + other))
        self._shape, self._means = x.shape, x.mean((2, 3))
        return self._means @ self.head["w"].T + self.head["bias"]

    def backward(self, dlogits):
        """Return the gradients of all layers, in the order of `layers`."""
        head = {"w": dlogits.T @ self._means, "bias": dlogits.sum(0)}
        each = dlogits @ self.head["w"] / (self._shape[2] * self._shape[3])
        dx = np.broadcast_to(each[:, :, None, None], self._shape)
        found = [head]
        for (branch, skip), seen in zip(
            reversed(self.blocks), reversed(self._seen[1:]), strict=True
        ):
            inputs, skipped, z = seen
            dx = dx * (z > 0)
            one, of_branch = backward(branch, dx, inputs)
            other, of_skip = backward(skip, dx, skipped)
            dx = one + other
            found = of_branch + of_skip + found
        _, of_stem = backward(self.stem, dx, self._seen[0])
        return of_stem + found

    def layers(self):
        """Return all layers, those without parameters as well."""
        inside = [layer for block in self.blocks for chain in block for layer in chain]
        return [*self.stem, *inside, self.head]


def read(network):
    """Return a copy of a learner's network as a `Network`.

    Parameters
    ----------
    network : object
        Has ``stem``, ``blocks`` (with ``branch`` and ``skip``) and ``head``.
    """
    blocks = [(_chain(b.branch), _chain(b.skip)) for b in network.blocks]
    head = {name: np.array(getattr(network.head, name)) for name in ("w", "bias")}
    return Network(_chain(network.stem), blocks, head)


def _chain(layers):
    kinds = (
        ("w", "bias", "stride"),
        ("gamma", "beta", "running_mean", "running_var", "groups"),
    )
    chain = []
    for layer in layers:
        names = next((names for names in kinds if hasattr(layer, names[0])), ())
        chain.append({name: np.array(getattr(layer, name)) for name in names})
    return chain
