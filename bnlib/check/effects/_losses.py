"""Losses, scale-invariant and not, for learners' own tests to tell apart.

But: they say nothing about the tests (`_invariance`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Planted:
    """A loss that remembers where it was asked.

    `what` it is, as a phrase; the weights `w` to test it at; `value`, the function that
    returns the loss; on what inputs it `shows` that it is not invariant; whether it is
    `large`, so that its rounding errors are.
    """

    what: str
    w: np.ndarray
    value: Callable
    shows: str = ""
    large: bool = False
    calls: list = field(default_factory=list)

    def __call__(self, w):
        """Return the loss and its gradient."""
        w = np.array(w, dtype=np.float64)
        self.calls.append(w)
        return float(self.value(w)), _gradient(self.value, w)

    def lengths(self):
        """Return the lengths at which it was asked, in units of that of `w`."""
        unit = np.linalg.norm(self.w)
        return [float(np.linalg.norm(c) / unit) for c in self.calls]

    def turned(self):
        """Whether it was asked at a negative multiple of `w`."""
        return any(
            c.shape == self.w.shape
            and np.sum(c * self.w) < -0.999 * np.linalg.norm(c) * np.linalg.norm(self.w)
            for c in self.calls
        )


def _gradient(f, w):
    """Return the gradient by complex steps, exact to rounding."""
    gradient = np.empty(w.shape)
    step = 1e-30
    for i in np.ndindex(w.shape):
        moved = w.astype(complex)
        moved[i] += 1j * step
        gradient[i] = f(moved).imag / step
    return gradient


def _norm(w):
    return np.sqrt((w * w).sum())  # of complex w as well: an analytic function


def _normalised(x, w, eps=0.0):
    z = x @ w
    c = z - z.mean(axis=0)
    return c / np.sqrt((c * c).mean(axis=0) + eps)


def _relu(z):
    return np.where(z.real > 0, z, 0)


def _logistic(z, t):
    return np.log(1 + np.exp(-t * z)).mean()


def _draw_weights(rng):
    """Draw weights of length 4."""
    w = rng.normal(size=4)
    return 4 * w / np.linalg.norm(w)


def invariant_ones(rng):
    """Return the losses that a test must accept."""
    x = rng.normal(size=(12, 4)) + 1
    t = np.where(rng.random(12) < 0.5, -1.0, 1.0)
    a = rng.normal(size=4)
    many = rng.normal(size=(4, 3))
    far = x + 1000 * rng.normal(size=4)  # rounding shows
    v = rng.normal(size=3)
    w = _draw_weights(rng)
    return [
        Planted(
            "a unit in front of batch norm",
            w,
            lambda w: _logistic(_normalised(x, w), t),
        ),
        Planted(
            "a unit in front of batch norm and ReLU",
            w,
            lambda w: _logistic(_relu(_normalised(x, w)) - 0.5, t),
        ),
        Planted(
            "a layer of three units in front of batch norm and ReLU",
            many,
            lambda w: _logistic(_relu(_normalised(x, w)) @ v, t),
        ),
        Planted("the cosine with a target", w, lambda w: 2 - (w * a).sum() / _norm(w)),
        Planted(
            "a loss of about a million, whose inputs are far from 0",
            w,
            lambda w: 1e6 * _logistic(_normalised(far, w), t),
            large=True,
        ),
    ]


_PLAIN = "It shows at nearly any a other than 1."


def other_ones(rng):
    """Return the losses that a test must reject, from plain to hidden."""
    x = rng.normal(size=(12, 4)) + 1
    t = np.where(rng.random(12) < 0.5, -1.0, 1.0)
    a = rng.normal(size=4)
    w = _draw_weights(rng)
    length = np.sqrt((w**2).sum())
    both = np.concatenate([x, -x])  # half of them are active, whatever w is

    def base(w):
        return _logistic(_normalised(x, w), t)

    def grows_above(w):
        over = _norm(w) / length - 1
        return base(w) + (over**3 if over.real > 0 else 0)

    def grows_below(w):
        under = 1 - _norm(w) / length
        return base(w) + (under**3 if under.real > 0 else 0)

    return [
        Planted("w ↦ ‖w‖²", w, lambda w: (w * w).sum(), _PLAIN),
        Planted(
            "a linear unit without batch norm", w, lambda w: _logistic(x @ w, t), _PLAIN
        ),
        Planted(
            "a ReLU without batch norm",
            w,
            lambda w: ((_relu(both @ w) - 1) ** 2).mean(),
            _PLAIN,
        ),
        Planted(
            "a unit in front of batch norm, with an eps as large as the variance",
            0.3 * w,
            lambda w: _logistic(_normalised(x, w, 1.0), t),
            "It shows at a larger or smaller a. Is your tolerance tight? 1e-6 will do.",
        ),
        Planted(
            "batch norm and weight decay of 0.00001",
            w,
            lambda w: base(w) + 0.5e-5 * (w * w).sum(),
            "The difference is small but not rounding. Is your tolerance tight? 1e-6 "
            "will do.",
        ),
        Planted(
            "a minimum along its own line: (‖w‖² − c)², and w has just that length",
            w,
            lambda w: (
                1 + ((w * w).sum() / length**2 - 1) ** 2 + (w * a).sum() / _norm(w)
            ),
            _ONE_SIDE,
        ),
        Planted(
            "a loss that is invariant for w that are shorter, and not for longer ones",
            w,
            grows_above,
            "It shows at an a clearly above 1: try both sides, 0.1 and 10 for example.",
        ),
        Planted(
            "a loss that is invariant for w that are longer, and not for shorter ones",
            w,
            grows_below,
            "It shows at an a clearly below 1: try both sides, 0.1 and 10 for example.",
        ),
        Planted(
            "w ↦ 1e-9·‖w‖², a tiny loss",
            w,
            lambda w: 1e-9 * (w * w).sum(),
            "That loss is tiny, and every difference of it is below your tolerance. "
            "Compare relatively: |L(aw) − L(w)| ≤ 1e-6·|L(w)|.",
        ),
    ]


_ONE_SIDE = (
    "There the gradient is orthogonal to w at w, and nowhere else on its line. Try "
    "several a·w."
)
