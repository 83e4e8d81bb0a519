"""Backward passes, two right and many wrong, for learners' own tests to tell apart.

But: they say nothing about the tests (`_detector`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bnlib.check.backward._nodes import node_gradients
from bnlib.check.backward._training import columns


@dataclass(frozen=True)
class Planted:
    """A backward pass, right or wrong, that remembers what it was tried on.

    `what` is wrong with it, as a phrase; on what inputs that `shows`; and `gradients`,
    the function that returns dx, dgamma, dbeta.
    """

    what: str
    gradients: Callable
    shows: str = "almost any random input"
    calls: list = field(default_factory=list)

    def __call__(self, dy, x, gamma, eps=1e-5):
        """Return dx, dgamma, dbeta."""
        arguments = tuple(np.array(a) for a in (dy, x, gamma))
        self.calls.append((*arguments, eps))
        return self.gradients(*arguments, eps)


def _knobs(**knobs):
    return lambda dy, x, gamma, eps: columns(dy, x, gamma, eps, **knobs)


def _staged_gradients(dy, x, gamma, eps):
    dbeta, dgamma, *_, dx = node_gradients(dy, x, gamma, eps)
    return dx, dgamma, dbeta


def _scaled(k, factor):
    def gradients(dy, x, gamma, eps):
        results = list(columns(dy, x, gamma, eps))
        results[k] = factor * results[k]
        return tuple(results)

    return gradients


SHAPE = "whose dgamma has shape (1, D)"


def right_ones():
    """Return the passes that a test must accept."""
    return [
        Planted("in one line", columns),
        Planted("walked along the graph", _staged_gradients),
    ]


def wrong_ones(rng):
    """Return the passes that a test must reject, one of them off by little."""
    slightly = 1 + rng.choice([-1, 1]) * rng.uniform(1e-3, 3e-3)
    return [
        Planted("whose dx is gamma·dy/s", _knobs(mean_term="none", xhat_term="none")),
        Planted("without mean(d)", _knobs(mean_term="none")),
        Planted("without the xhat term", _knobs(xhat_term="none")),
        Planted("with sums for means", _knobs(count="1")),
        Planted("with a plus before the xhat term", _knobs(xhat_term="plus")),
        Planted("with twice the xhat term", _knobs(xhat_term="twice")),
        Planted("with N − 1 for N", _knobs(count="M - 1")),
        Planted("without gamma in dx", _knobs(with_gamma="none"), "gamma other than 1"),
        Planted("without 1/s in dx", _knobs(over_s="none"), "a variance other than 1"),
        Planted(
            "with x − mu for xhat in dx",
            _knobs(xhat_in_dx="x - mu"),
            "a variance other than 1",
        ),
        Planted(
            "without eps",
            _knobs(denominator="sqrt(v)"),
            "an eps that counts, such as eps = 0.1",
        ),
        Planted(
            "that ignores its argument eps",
            _knobs(denominator="eps 1e-5"),
            "an eps that counts, such as eps = 0.1",
        ),
        Planted("that divides by D, not N", _knobs(count="D"), "N other than D"),
        Planted("whose dgamma is a mean", _knobs(dgamma="mean")),
        Planted(
            "whose dgamma is sum(dy·(x − mu))",
            _knobs(dgamma="dy (x - mu)"),
            "a variance other than 1",
        ),
        Planted(
            "whose dgamma is sum(dy·x)", _knobs(dgamma="dy x"), "a mean other than 0"
        ),
        Planted("whose dbeta is a mean", _knobs(dbeta="mean")),
        Planted("with dgamma and dbeta swapped", _knobs(order="dx, dbeta, dgamma")),
        Planted(SHAPE, _knobs(keepdims=True)),
        Planted("whose dx is off by 0.1% or so", _scaled(0, slightly)),
    ]
