"""A small classifier in NumPy, with or without batch norm, and a task for it.

It trains in a second on one core. Its batch norm can be replaced by a learner's.

But: no checks and no running statistics here.
"""

from copy import copy, deepcopy
from functools import cache
from itertools import pairwise

import numpy as np

EPS = 1e-5
INPUTS, CLASSES = 16, 10


@cache
def _teacher():
    """Return the weights of the network that names the classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(INPUTS, 24)) / 2, rng.normal(size=(24, CLASSES))


def draw_examples(rng, n):
    """Return n random inputs, shape (n, 16), and what a fixed network calls them."""
    first, second = _teacher()
    x = rng.normal(size=(n, INPUTS))
    return x, (np.tanh(x @ first) @ second).argmax(axis=1)


def batch_norm(z, gamma, beta):
    """Return batch norm of z, and what its backward pass needs."""
    centred = z - z.mean(axis=0)
    s = np.sqrt((centred**2).mean(axis=0) + EPS)
    return gamma * centred / s + beta, (centred / s, s)


def batch_norm_backward(dy, gamma, kept):
    """Return dz, dgamma, dbeta."""
    xhat, s = kept
    d = gamma * dy
    dz = (d - d.mean(axis=0) - xhat * (d * xhat).mean(axis=0)) / s
    return dz, (dy * xhat).sum(axis=0), dy.sum(axis=0)


class Network:
    """Hidden ReLU layers and a linear one, for classification.

    Parameters
    ----------
    seed : int
        Of the weights (He initialisation); the same with and without batch norm.
    norm : bool
        Whether batch norm stands before each ReLU.
    depth, width : int
        Hidden layers, and units in each.
    """

    def __init__(self, seed, *, norm, depth=8, width=32):
        rng = np.random.default_rng(seed)
        sizes = [INPUTS, *[width] * depth, CLASSES]
        gains = [2.0] * depth + [1.0]
        self.norm = norm
        self.weights = [
            rng.normal(size=pair) * np.sqrt(gain / pair[0])
            for gain, pair in zip(gains, pairwise(sizes), strict=True)
        ]
        self.gammas = [np.ones(size) for size in sizes[1:-1]] if norm else []
        self.betas = [np.zeros(size) for size in sizes[1:]]

    @property
    def parameters(self):
        """All that is trained, a list of arrays."""
        return self.weights + self.betas + self.gammas

    def forward(self, x, noise=None):
        """Return the logits, what goes into each ReLU, and what `backward` needs.

        ``noise.forward(layer, z, gamma, beta)`` returns what goes into the ReLU, and
        whatever ``noise.backward`` wants to have back.
        """
        kept, hidden = [], []
        for k, w in enumerate(self.weights[:-1]):
            z = x @ w
            if not self.norm:
                h, own = z + self.betas[k], None
            elif noise is None:
                h, own = batch_norm(z, self.gammas[k], self.betas[k])
            else:
                h, own = noise.forward(k, z, self.gammas[k], self.betas[k])
            kept.append((x, z, h, own))
            hidden.append(h)
            x = np.maximum(h, 0)
        return x @ self.weights[-1] + self.betas[-1], hidden, (kept, x)

    def loss_and_gradients(self, x, y, noise=None):
        """Return the cross-entropy and its gradients, in the order of `parameters`."""
        logits, _, (kept, last) = self.forward(x, noise)
        logits = logits - logits.max(axis=1, keepdims=True)
        shares = np.exp(logits)
        shares /= shares.sum(axis=1, keepdims=True)
        rows = np.arange(len(y))
        loss = -np.log(np.maximum(shares[rows, y], 1e-300)).mean()
        d = shares
        d[rows, y] -= 1
        d /= len(y)
        weights, betas, gammas = [last.T @ d], [d.sum(axis=0)], []
        d = d @ self.weights[-1].T
        for k in reversed(range(len(kept))):
            below, z, h, own = kept[k]
            d = d * (h > 0)
            if not self.norm:
                dbeta = d.sum(axis=0)
            else:
                if noise is None:
                    d, dgamma, dbeta = batch_norm_backward(d, self.gammas[k], own)
                else:
                    d, dgamma, dbeta = noise.backward(d, z, self.gammas[k], own)
                gammas.append(dgamma)
            weights.append(below.T @ d)
            betas.append(dbeta)
            d = d @ self.weights[k].T
        return float(loss), weights[::-1] + betas[::-1] + gammas[::-1]

    def step(self, gradients, rate):
        """Make a step of gradient descent, in place."""
        for p, g in zip(self.parameters, gradients, strict=True):
            p -= rate * g

    def as_function(self, x, y):
        """Return (loss_and_gradient, w): the loss on a batch, of the hidden weights.

        `w` is one long vector of them; the network itself is left alone.
        """
        net = deepcopy(self)
        hidden = net.weights[:-1]
        shapes = [w.shape for w in hidden]
        ends = np.cumsum([w.size for w in hidden])[:-1]

        def loss_and_gradient(w):
            other = copy(net)
            parts = zip(np.split(w, ends), shapes, strict=True)
            other.weights = [part.reshape(shape) for part, shape in parts]
            other.weights.append(net.weights[-1])
            loss, gradients = other.loss_and_gradients(x, y)
            return loss, np.concatenate([g.ravel() for g in gradients[: len(hidden)]])

        return loss_and_gradient, np.concatenate([w.ravel() for w in hidden])
