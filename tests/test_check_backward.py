"""PS2's checks: wrong versions are rejected and named, right ones pass.

A wrong version is the text of a right one with a line or two edited, as a learner would
write it; nothing here uses the checks' own knobs.
"""

import re
import textwrap
from pathlib import Path

import jupytext
import numpy as np
import pytest

import bnlib
from bnlib.check import CheckFailed
from bnlib.check import backward as check

SOURCE = Path(__file__).parents[1] / "solutions" / "ps2_backward.md"
VISIBLE, HIDDEN = 0, 201


def edited(source, *edits):
    """Return the function in the text after replacing (old, new)."""
    source = textwrap.dedent(source)
    for old, new in edits:
        assert source.count(old) == 1, (old, source.count(old))
        source = source.replace(old, new)
    names = {"np": np}
    exec(source, names)
    return [value for value in names.values() if hasattr(value, "__code__")][-1]


def rejected(exercise, function, seed=VISIBLE, **options):
    """Return the message with which a check rejects a function, on one line."""
    with np.errstate(all="ignore"), pytest.raises(CheckFailed) as failure:
        exercise(function, seed=seed, **options)
    return " ".join(str(failure.value).split())


def named(table):
    """Make pytest parameters of {name: (message, *edits)}."""
    return [
        pytest.param(message, edits, id=name)
        for name, (message, *edits) in table.items()
    ]


# --- The short form ------------------------------------------------------------------

SIMPLIFIED = """
    def batch_norm_backward(dy, x, gamma, eps=1e-5):
        N, D = x.shape
        mu = x.mean(axis=0)
        xmu = x - mu
        var = np.mean(xmu**2, axis=0)
        s = np.sqrt(var + eps)
        xhat = xmu / s
        dbeta = np.sum(dy, axis=0)
        dgamma = np.sum(dy * xhat, axis=0)
        d = gamma * dy
        m1 = np.sum(d, axis=0) / N
        m2 = np.sum(d * xhat, axis=0) / N
        dx = (d - m1 - xhat * m2) / s
        return dx, dgamma, dbeta
"""
DX = "(d - m1 - xhat * m2) / s"
RETURN = "return dx, dgamma, dbeta"
WRONG_SIMPLIFIED = {
    "70 d/s": ("gamma·dy/s only.*constants", (DX, "d / s")),
    "71 no mean": (r"The term − mean\(d\) is missing", (DX, "(d - xhat * m2) / s")),
    "72 no xhat": (r"The term − xhat·mean\(d·xhat\) is", (DX, "(d - m1) / s")),
    "72 product of means": (
        r"mean\(d\)·mean\(xhat\)",
        ("np.sum(d * xhat, axis=0) / N", "d.mean(0) * xhat.mean(0)"),
    ),
    "73 sums": (
        "You subtract sums",
        ("np.sum(d, axis=0) / N", "d.sum(0)"),
        ("np.sum(d * xhat, axis=0) / N", "(d * xhat).sum(0)"),
    ),
    "73 sum of d": (
        r"You subtract sum\(d\)",
        ("np.sum(d, axis=0) / N", "d.sum(0)"),
    ),
    "73 sum of d xhat": (
        r"subtract xhat·sum\(d·xhat\)",
        ("np.sum(d * xhat, axis=0) / N", "(d * xhat).sum(0)"),
    ),
    "74 no gamma": ("gamma is missing from dx", ("d = gamma * dy", "d = dy")),
    "74 gamma first only": (
        "first term of dx only",
        ("d, axis=0) / N", "dy, axis=0) / N"),
        ("d * xhat, axis=0) / N", "dy * xhat, axis=0) / N"),
    ),
    "74 dgamma / N": (
        "missing from the last term",
        ("np.sum(d * xhat, axis=0) / N", "dgamma / N"),
    ),
    "74 dbeta / N": (
        "missing from the mean that",
        ("np.sum(d, axis=0) / N", "dbeta / N"),
    ),
    "gamma twice": ("gamma²", (DX, "gamma * (d - m1 - xhat * m2) / s")),
    "gamma by sample": (
        r"gamma\[:, None\]",
        ("d = gamma * dy", "d = gamma[:, None] * dy"),
    ),
    "75 no 1/s": ("not divided by s", (DX, "d - m1 - xhat * m2")),
    "75 1/s first only": ("Only the first term", (DX, "d / s - m1 - xhat * m2")),
    "75 1/s not last": ("last term.*not divided", (DX, "(d - m1) / s - xhat * m2")),
    "1/v": ("divided by s²", (DX, "(d - m1 - xhat * m2) / s**2")),
    "times s": ("multiplied by s", (DX, "(d - m1 - xhat * m2) * s")),
    "77 plus xhat": ("xhat term of dx has the wrong", (DX, "(d - m1 + xhat * m2) / s")),
    "77 plus mean": (
        r"mean\(d\) has the wrong sign",
        (DX, "(d + m1 - xhat * m2) / s"),
    ),
    "79 x - mu": (
        "uses x − mu where xhat",
        ("np.sum(d * xhat, axis=0) / N", "np.mean(d * xmu, axis=0)"),
        (DX, "(d - m1 - xmu * m2) / s"),
    ),
    "x / s": (
        "uses x/s where xhat",
        ("m1 =", "z = x / s\n    m1 ="),
        ("np.sum(d * xhat, axis=0) / N", "np.mean(d * z, axis=0)"),
        (DX, "(d - m1 - z * m2) / s"),
    ),
    "81 twice": ("twice", (DX, "(d - m1 - 2 * xhat * m2) / s")),
    "half": ("half of what", (DX, "(d - m1 - 0.5 * xhat * m2) / s")),
    "no xhat in front": ("without the xhat in front", (DX, "(d - m1 - m2) / s")),
    "82 no eps": ("eps is missing", ("np.sqrt(var + eps)", "np.sqrt(var)")),
    "eps outside": (
        "eps belongs inside",
        ("np.sqrt(var + eps)", "np.sqrt(var) + eps"),
    ),
    "no root": ("square root is missing", ("np.sqrt(var + eps)", "var + eps")),
    "15 eps 1e-3": ("fixed number", ("np.sqrt(var + eps)", "np.sqrt(var + 1e-3)")),
    "16 eps 1e-12": ("fixed number", ("np.sqrt(var + eps)", "np.sqrt(var + 1e-12)")),
    "eps fixed": ("fixed number", ("np.sqrt(var + eps)", "np.sqrt(var + 1e-5)")),
    "1 unbiased": (
        "divided by N − 1",
        ("np.mean(xmu**2, axis=0)", "x.var(axis=0, ddof=1)"),
    ),
    "2 mean square": (
        "mean of x²",
        ("np.mean(xmu**2, axis=0)", "np.mean(x**2, axis=0)"),
    ),
    "4 sum": ("is a sum", ("np.mean(xmu**2, axis=0)", "np.sum(xmu**2, axis=0)")),
    "5 pooled": ("all of x at once", ("np.mean(xmu**2, axis=0)", "x.var()")),
    "3 E[x2] - E[x]2": (
        "float32, mean about 3000.*loses its digits",
        ("np.mean(xmu**2, axis=0)", "np.abs(np.mean(x * x, axis=0) - mu * mu)"),
    ),
    "means / (N - 1)": (
        "means in dx are divided by N − 1",
        ("d, axis=0) / N", "d, axis=0) / (N - 1)"),
        ("d * xhat, axis=0) / N", "d * xhat, axis=0) / (N - 1)"),
    ),
    "xhat mean / (N - 1)": (
        "biased variance: divide by N",
        ("d * xhat, axis=0) / N", "d * xhat, axis=0) / (N - 1)"),
    ),
    "divides by D": ("number of features", ("N, D = x.shape", "D, N = x.shape")),
    "pooled means": (
        "means in dx are over everything",
        ("np.sum(d, axis=0) / N", "d.mean()"),
        ("np.sum(d * xhat, axis=0) / N", "(d * xhat).mean()"),
    ),
    "pooled mean": (
        r"mean\(d\) in dx is over everything",
        ("np.sum(d, axis=0) / N", "d.mean()"),
    ),
    "84 dgamma mean": (
        "dgamma is a mean",
        ("np.sum(dy * xhat, axis=0)", "np.mean(dy * xhat, axis=0)"),
    ),
    "85 dbeta mean": (
        "dbeta is a mean",
        ("np.sum(dy, axis=0)", "np.mean(dy, axis=0)"),
    ),
    "86 shape (1, D)": (
        "left over from `keepdims",
        ("np.sum(dy * xhat, axis=0)", "np.sum(dy * xhat, axis=0, keepdims=True)"),
    ),
    "86 both (1, D)": (
        "left over from `keepdims",
        ("np.sum(dy * xhat, axis=0)", "np.sum(dy * xhat, axis=0, keepdims=True)"),
        ("np.sum(dy, axis=0)", "np.sum(dy, axis=0, keepdims=True)"),
    ),
    "87 dgamma with x - mu": (
        r"sum of dy·\(x − mu\)",
        ("np.sum(dy * xhat, axis=0)", "np.sum(dy * xmu, axis=0)"),
    ),
    "dgamma with x": (
        r"sum of dy·x\.",
        ("np.sum(dy * xhat, axis=0)", "np.sum(dy * x, axis=0)"),
    ),
    "dgamma with x / s": (
        "xhat in dgamma is x/s",
        ("np.sum(dy * xhat, axis=0)", "np.sum(dy * x / s, axis=0)"),
    ),
    "dgamma with gamma": (
        "dgamma has a factor gamma",
        ("np.sum(dy * xhat, axis=0)", "np.sum(gamma * dy * xhat, axis=0)"),
    ),
    "dbeta with gamma": (
        "dbeta has a factor gamma",
        ("np.sum(dy, axis=0)", "np.sum(gamma * dy, axis=0)"),
    ),
    "dbeta total": ("mixes the features", ("np.sum(dy, axis=0)", "np.sum(dy)")),
    "dgamma total": (
        "dgamma is summed over everything",
        ("np.sum(dy * xhat, axis=0)", "np.sum(dy * xhat)"),
    ),
    "dgamma not summed": (
        "dgamma is not summed",
        ("np.sum(dy * xhat, axis=0)", "dy * xhat"),
    ),
    "dbeta not summed": ("dbeta is not summed", ("np.sum(dy, axis=0)", "dy")),
    "dgamma along features": (
        "dgamma is summed over the features",
        ("np.sum(dy * xhat, axis=0)", "np.sum(dy * xhat, axis=1)"),
    ),
    "90 swapped": ("swapped", (RETURN, "return dx, dbeta, dgamma")),
    "order": ("another order", (RETURN, "return dgamma, dbeta, dx")),
    "dx missing": ("returns 2 values", (RETURN, "return dgamma, dbeta")),
    "no return": ("returns None", (RETURN, "pass")),
    "30 layer norm": (
        "layer norm",
        ("mu = x.mean(axis=0)", "mu = x.mean(axis=1, keepdims=True)"),
        ("np.mean(xmu**2, axis=0)", "np.mean(xmu**2, axis=1, keepdims=True)"),
        ("np.sum(d, axis=0) / N", "d.mean(1, keepdims=True)"),
        ("np.sum(d * xhat, axis=0) / N", "(d * xhat).mean(1, keepdims=True)"),
    ),
    "28 x in place": (
        "changes its input x",
        ("xmu = x - mu", "x -= mu\n    xmu = x"),
    ),
    "dy in place": (
        "changes its input dy",
        ("d = gamma * dy", "dy *= gamma\n    d = dy"),
    ),
    "a sign": ("Everywhere it is -1 times", (DX, "-(d - m1 - xhat * m2) / s")),
    "off by a little": (
        "wrong on x of shape",
        (DX, "(d - m1 - xhat * m2) / s * 1.001"),
    ),
    "float32 inside": (
        "rounded to float32",
        ("mu = x.mean(axis=0)", "x = x.astype('f4')\n    mu = x.mean(axis=0)"),
    ),
    "eps default": ("the default is 1e-5", ("1e-5", "1e-3")),
    "raises": ("It raises TypeError on x", ("d, axis=0) / N", "d, axes=0) / N")),
}

PAIRS = {
    "sums, plus sign": (
        (r"subtract sum\(d\)", "xhat term of dx has the wrong sign"),
        ("np.sum(d, axis=0) / N", "d.sum(0)"),
        (DX, "(d - m1 + xhat * m2) / s"),
    ),
    "no mean, no 1/s": (
        (r"term − mean\(d\) is missing", "not divided by s"),
        (DX, "d - xhat * m2"),
    ),
    "no gamma, twice": (
        ("gamma is missing", "twice"),
        ("d = gamma * dy", "d = dy"),
        (DX, "(d - m1 - 2 * xhat * m2) / s"),
    ),
    "no xhat term, 1/s²": (
        (r"term − xhat·mean\(d·xhat\) is missing", "divided by s²"),
        (DX, "(d - m1) / s**2"),
    ),
    "dgamma mean, unbiased": (
        ("dgamma is a mean", "divided by N − 1"),
        ("np.sum(dy * xhat, axis=0)", "np.mean(dy * xhat, axis=0)"),
        ("np.mean(xmu**2, axis=0)", "x.var(axis=0, ddof=1)"),
    ),
}


@pytest.mark.parametrize("seed", [VISIBLE, HIDDEN])
@pytest.mark.parametrize(("message", "edits"), named(WRONG_SIMPLIFIED))
def test_simplified_names(message, edits, seed):
    text = rejected(check.simplified, edited(SIMPLIFIED, *edits), seed)
    assert re.search(message, text), text


@pytest.mark.parametrize("seed", [VISIBLE, HIDDEN])
@pytest.mark.parametrize(("messages", "edits"), named(PAIRS))
def test_two_mistakes_are_both_named(messages, edits, seed):
    text = rejected(check.simplified, edited(SIMPLIFIED, *edits), seed)
    assert all(re.search(message, text) for message in messages), text


# --- Convolutions --------------------------------------------------------------------

CONVOLUTIONAL = """
    def batch_norm_backward_nd(dy, x, gamma, axis=1, eps=1e-5):
        axis = axis % x.ndim
        axes = tuple(i for i in range(x.ndim) if i != axis)
        shape = [1] * x.ndim
        shape[axis] = -1
        g = gamma.reshape(shape)
        mu = x.mean(axis=axes, keepdims=True)
        xmu = x - mu
        var = np.mean(xmu**2, axis=axes, keepdims=True)
        s = np.sqrt(var + eps)
        xhat = xmu / s
        M = x.size // gamma.size
        dbeta = np.sum(dy, axis=axes)
        dgamma = np.sum(dy * xhat, axis=axes)
        d = g * dy
        m1 = np.sum(d, axis=axes, keepdims=True) / M
        m2 = np.sum(d * xhat, axis=axes, keepdims=True) / M
        dx = (d - m1 - xhat * m2) / s
        return dx, dgamma, dbeta
"""
FLATTENED = """
    def batch_norm_backward_nd(dy, x, gamma, axis=1, eps=1e-5):
        shape = x.shape
        x, dy = x.reshape(-1, gamma.size), dy.reshape(-1, gamma.size)
        xmu = x - x.mean(0)
        s = np.sqrt((xmu**2).mean(0) + eps)
        xhat, d = xmu / s, gamma * dy
        dx = (d - d.mean(0) - xhat * (d * xhat).mean(0)) / s
        return dx.reshape(shape), (dy * xhat).sum(0), dy.sum(0)
"""
BY_ROWS = """
    def batch_norm_backward_nd(dy, x, gamma, axis=1, eps=1e-5):
        shape = x.shape
        x, dy = x.reshape(gamma.size, -1), dy.reshape(gamma.size, -1)
        xmu = x - x.mean(1, keepdims=True)
        s = np.sqrt((xmu**2).mean(1, keepdims=True) + eps)
        xhat, d = xmu / s, gamma[:, None] * dy
        mean = lambda a: a.mean(1, keepdims=True)
        dx = (d - mean(d) - xhat * mean(d * xhat)) / s
        return dx.reshape(shape), (dy * xhat).sum(1), dy.sum(1)
"""
MOVED = """
    def batch_norm_backward_nd(dy, x, gamma, axis=1, eps=1e-5):
        moved, moved_dy = np.moveaxis(x, axis, -1), np.moveaxis(dy, axis, -1)
        c, d = moved.reshape(-1, gamma.size), moved_dy.reshape(-1, gamma.size)
        c = c - c.mean(0)
        s = np.sqrt((c**2).mean(0) + eps)
        xhat = c / s
        dgamma, dbeta = (d * xhat).sum(0), d.sum(0)
        d = gamma * d
        dx = (d - d.mean(0) - xhat * (d * xhat).mean(0)) / s
        return np.moveaxis(dx.reshape(moved.shape), -1, axis), dgamma, dbeta
"""
MOVED_FIRST = """
    def batch_norm_backward_nd(dy, x, gamma, axis=1, eps=1e-5):
        moved, moved_dy = np.moveaxis(x, axis, 0), np.moveaxis(dy, axis, 0)
        c, dy = moved.reshape(gamma.size, -1), moved_dy.reshape(gamma.size, -1)
        mean = lambda a: a.mean(1, keepdims=True)
        c = c - mean(c)
        s = np.sqrt(mean(c**2) + eps)
        xhat, d = c / s, gamma[:, None] * dy
        dx = (d - mean(d) - xhat * mean(d * xhat)) / s
        dgamma, dbeta = (dy * xhat).sum(1), dy.sum(1)
        return np.moveaxis(dx.reshape(moved.shape), 0, axis), dgamma, dbeta
"""
NCHW = """
    def batch_norm_backward_nd(dy, x, gamma, axis=1, eps=1e-5):
        axes = (0, 2, 3)
        g = gamma[None, :, None, None]
        mean = lambda a: a.mean(axis=axes, keepdims=True)
        xmu = x - mean(x)
        s = np.sqrt(mean(xmu**2) + eps)
        xhat, d = xmu / s, g * dy
        dx = (d - mean(d) - xhat * mean(d * xhat)) / s
        return dx, (dy * xhat).sum(axis=axes), dy.sum(axis=axes)
"""
AXES = "tuple(i for i in range(x.ndim) if i != axis)"
STATISTICS = (
    ("x.mean(axis=axes", "x.mean(axis=pixels"),
    ("np.mean(xmu**2, axis=axes", "np.mean(xmu**2, axis=pixels"),
)
MEANS = (
    ("np.sum(d, axis=axes, keepdims=True) / M", "d.mean(pixels, keepdims=True)"),
    (
        "np.sum(d * xhat, axis=axes, keepdims=True) / M",
        "(d * xhat).mean(pixels, keepdims=True)",
    ),
)


def pixels(expression):
    return ("shape = [1]", f"pixels = {expression}\n    shape = [1]")


WRONG_CONVOLUTIONAL = {
    "91 reshape(-1, C)": (r"reshape\(-1, C\)` alone", FLATTENED),
    "91 reshape(C, -1)": (r"reshape\(C, -1\)` alone", BY_ROWS),
    "not moved back": (
        r"still on the last axis, which.*`np.moveaxis\(dx, -1, axis\)`",
        MOVED,
        ("np.moveaxis(dx.reshape(moved.shape), -1, axis)", "dx.reshape(x.shape)"),
    ),
    "not moved back, first": (
        r"still on the first axis, which.*`np.moveaxis\(dx, 0, axis\)`",
        MOVED_FIRST,
        ("np.moveaxis(dx.reshape(moved.shape), 0, axis)", "dx.reshape(x.shape)"),
    ),
    "left on the last axis": (
        r"channels of dx are still on the last axis\.",
        MOVED,
        ("np.moveaxis(dx.reshape(moved.shape), -1, axis)", "dx.reshape(moved.shape)"),
    ),
    "left on the first axis": (
        r"channels of dx are still on the first axis\.",
        MOVED_FIRST,
        ("np.moveaxis(dx.reshape(moved.shape), 0, axis)", "dx.reshape(moved.shape)"),
    ),
    "93 instance norm": (
        "instance norm",
        CONVOLUTIONAL,
        pixels("tuple(i for i in range(x.ndim) if i not in (0, axis))"),
        *STATISTICS,
        *MEANS,
    ),
    "93 instance norm (2, 3)": (
        "instance norm",
        CONVOLUTIONAL,
        pixels("(2, 3)"),
        *STATISTICS,
        *MEANS,
    ),
    "93 statistics (2, 3)": (
        "instance norm",
        CONVOLUTIONAL,
        pixels("(2, 3)"),
        *STATISTICS,
    ),
    "93 means over pixels": (
        "means in dx are over the pixels",
        CONVOLUTIONAL,
        pixels("tuple(i for i in range(x.ndim) if i not in (0, axis))"),
        *MEANS,
    ),
    "93 means (2, 3)": (
        "means in dx are over the pixels",
        CONVOLUTIONAL,
        pixels("(2, 3)"),
        *MEANS,
    ),
    "94 (0, 2, 3)": (r"always reduce over axes \(0, 2, 3\)", NCHW),
    "94 (0, 2, 3), gamma right": (
        r"always reduce over axes \(0, 2, 3\)",
        CONVOLUTIONAL,
        (AXES, "(0, 2, 3)"),
    ),
    "94 axis ignored": (
        "always reduce over",
        CONVOLUTIONAL,
        ("axis = axis % x.ndim", "axis = 1"),
    ),
    "channels last only": (
        "always take the last axis",
        CONVOLUTIONAL,
        ("axis = axis % x.ndim", "axis = x.ndim - 1"),
    ),
    "96 dgamma, dbeta over N": (
        "summed over the samples only",
        CONVOLUTIONAL,
        ("np.sum(dy, axis=axes)", "dy.sum(axis=0)"),
        ("np.sum(dy * xhat, axis=axes)", "np.sum(dy * xhat, axis=0)"),
    ),
    "96 dgamma over N": (
        "summed over the samples only",
        CONVOLUTIONAL,
        ("np.sum(dy * xhat, axis=axes)", "np.sum(dy * xhat, axis=0)"),
    ),
    "96 all over N": (
        "samples only",
        CONVOLUTIONAL,
        pixels("(0,)"),
        *STATISTICS,
        *MEANS,
    ),
    "means over N": (
        "means in dx are over the samples only",
        CONVOLUTIONAL,
        pixels("(0,)"),
        *MEANS,
    ),
    "divides by N": (
        "means in dx are divided by N. A channel",
        CONVOLUTIONAL,
        ("x.size // gamma.size", "len(x)"),
    ),
    "sums": ("You subtract sums", CONVOLUTIONAL, ("x.size // gamma.size", "1")),
    "gamma on the last axis": (
        "not lined up",
        CONVOLUTIONAL,
        ("g = gamma.reshape(shape)", "g = gamma"),
    ),
    "negative axes": (
        "The channels are on axis -1 there",
        CONVOLUTIONAL,
        ("axis = axis % x.ndim", ""),
    ),
    "dgamma (1, C, 1, 1)": (
        "left over from `keepdims",
        CONVOLUTIONAL,
        ("np.sum(dy * xhat, axis=axes)", "np.sum(dy * xhat, axis=axes, keepdims=True)"),
        ("np.sum(dy, axis=axes)", "np.sum(dy, axis=axes, keepdims=True)"),
    ),
    "70 d/s": ("gamma·dy/s only", CONVOLUTIONAL, (DX, "d / s")),
    "71": (r"term − mean\(d\)", CONVOLUTIONAL, (DX, "(d - xhat * m2) / s")),
    "72": (r"term − xhat·mean", CONVOLUTIONAL, (DX, "(d - m1) / s")),
    "74": ("gamma is missing", CONVOLUTIONAL, ("d = g * dy", "d = dy")),
    "75": ("not divided by s", CONVOLUTIONAL, (DX, "d - m1 - xhat * m2")),
    "77": ("wrong sign", CONVOLUTIONAL, (DX, "(d - m1 + xhat * m2) / s")),
    "79": ("x − mu where", CONVOLUTIONAL, ("(d * xhat,", "(d * xmu,"), (
        DX, "(d - m1 - xmu * m2) / s")),
    "81": ("twice", CONVOLUTIONAL, (DX, "(d - m1 - 2 * xhat * m2) / s")),
    "82": ("eps is missing", CONVOLUTIONAL, ("np.sqrt(var + eps)", "np.sqrt(var)")),
    "84": ("dgamma is a mean", CONVOLUTIONAL, (
        "np.sum(dy * xhat, axis=axes)", "np.mean(dy * xhat, axis=axes)")),
    "85": ("dbeta is a mean", CONVOLUTIONAL, (
        "np.sum(dy, axis=axes)", "np.mean(dy, axis=axes)")),
    "87": (r"dy·\(x − mu\)", CONVOLUTIONAL, (
        "np.sum(dy * xhat, axis=axes)", "np.sum(dy * xmu, axis=axes)")),
    "90": ("swapped", CONVOLUTIONAL, (RETURN, "return dx, dbeta, dgamma")),
    "unbiased": ("divided by N − 1", CONVOLUTIONAL, (
        "np.mean(xmu**2, axis=axes, keepdims=True)",
        "x.var(axis=axes, ddof=1, keepdims=True)")),
    "4 axes only": (
        "It raises ValueError",
        CONVOLUTIONAL,
        ("g = gamma.reshape(shape)", "n, c, h, w = x.shape; g = gamma.reshape(shape)"),
    ),
    "memory order": (
        "not contiguous",
        CONVOLUTIONAL,
        ("axis = axis % x.ndim", "axis = axis % x.ndim\n    x = x.ravel('K').reshape("
         "x.shape)"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("seed", [VISIBLE, HIDDEN])
@pytest.mark.parametrize(("message", "edits"), named(WRONG_CONVOLUTIONAL))
def test_convolutional_names(message, edits, seed):
    text = rejected(check.convolutional, edited(*edits), seed)
    assert re.search(message, text), text


# --- The graph -----------------------------------------------------------------------

STAGED = """
    def batch_norm_backward_staged(dy, x, gamma, eps=1e-5):
        N, D = x.shape
        mu = x.mean(axis=0)
        c = x - mu
        q = c * c
        v = q.mean(axis=0)
        s = np.sqrt(v + eps)
        xhat = c / s
        g = {}
        g["dbeta"] = dbeta = dy.sum(axis=0)
        g["dgamma"] = dgamma = (dy * xhat).sum(axis=0)
        g["dxhat"] = dxhat = gamma * dy
        g["ds"] = ds = -(dxhat * c).sum(axis=0) / s**2
        g["dv"] = dv = ds / (2 * s)
        g["dq"] = dq = dv / N + 0 * q
        g["dc"] = dc = dxhat / s + 2 * c * dq
        g["dmu"] = dmu = -dc.sum(axis=0)
        g["dx"] = dx = dc + dmu / N
        return g
"""
DS, DV, DQ = "-(dxhat * c).sum(axis=0) / s**2", "ds / (2 * s)", "dv / N + 0 * q"
DC, DMU, DX_STAGED = "dxhat / s + 2 * c * dq", "-dc.sum(axis=0)", "dc + dmu / N"
WRONG_STAGED = {
    "dbeta mean": ("dbeta is a mean", ("dy.sum(axis=0)", "dy.mean(axis=0)")),
    "swapped": (
        "swapped",
        ('g["dbeta"]', 'g["dXX"]'),
        ('g["dgamma"]', 'g["dbeta"]'),
        ('g["dXX"]', 'g["dgamma"]'),
    ),
    "dgamma mean": (
        "Right so far: dbeta. dgamma is a mean",
        ("(dy * xhat).sum(axis=0)", "(dy * xhat).mean(axis=0)"),
    ),
    "dgamma keepdims": (
        "left over from `keepdims",
        ("(dy * xhat).sum(axis=0)", "(dy * xhat).sum(axis=0, keepdims=True)"),
    ),
    "dgamma with c": (r"dy·\(x − mu\)", ("(dy * xhat).sum", "(dy * c).sum")),
    "no eps": ("eps is missing", ("np.sqrt(v + eps)", "np.sqrt(v)")),
    "eps outside": ("inside the root", ("np.sqrt(v + eps)", "np.sqrt(v) + eps")),
    "unbiased": ("divided by N − 1", ("q.mean(axis=0)", "q.sum(axis=0) / (N - 1)")),
    "variance sum": ("1/N is missing", ("q.mean(axis=0)", "q.sum(axis=0)")),
    "dxhat = dy": ("dxhat is dy itself", ("gamma * dy", "dy")),
    "dxhat gamma[:, None]": (
        r"gamma\[:, None\]",
        ("gamma * dy", "gamma[:, None] * dy"),
    ),
    "dxhat / gamma": ("dy/gamma", ("gamma * dy", "dy / gamma")),
    "dxhat / s": ("divided by s already", ("gamma * dy", "gamma * dy / s")),
    "ds sign": ("ds has the wrong sign", (DS, "(dxhat * c).sum(axis=0) / s**2")),
    "ds mean": ("ds is a mean", (DS, "-(dxhat * c).mean(axis=0) / s**2")),
    "ds not summed": ("ds is not summed", (DS, "(-dxhat * c / s**2)")),
    "ds not summed, plus": ("ds is not summed", (DS, "(dxhat * c / s**2)")),
    "ds total": ("ds is summed over everything", (DS, "-(dxhat * c / s**2).sum()")),
    "ds / s": ("divided by s once", (DS, "-(dxhat * c).sum(axis=0) / s")),
    "ds / s³": ("one division by s too many", (DS, "-(dxhat * xhat).sum(0) / s**2")),
    "ds of 1/s": ("gradient of 1/s", (DS, "(dxhat * c).sum(axis=0)")),
    "ds no eps": ("missing from ds", (DS, "-(dxhat * c).sum(axis=0) / v")),
    "ds with x": ("ds uses x", (DS, "-(dxhat * x).sum(axis=0) / s**2")),
    "ds with dy": ("ds is made of dy", (DS, "-(dy * c).sum(axis=0) / s**2")),
    "ds keepdims": (
        "left over from `keepdims",
        (DS, "-(dxhat * c).sum(axis=0, keepdims=True) / s**2"),
    ),
    "dv no half": ("1/2 is missing from dv", (DV, "ds / s")),
    "dv sign": ("dv has the wrong sign.*books", (DV, "-ds / (2 * s)")),
    "dv sign, no half": ("wrong sign and lacks", (DV, "-ds / s")),
    "dv times": ("ds times 2s", (DV, "ds * 2 * s")),
    "dv precedence": ("ds·s/2", (DV, "ds / 2 * s")),
    "dv half": ("dv is ds/2;", (DV, "0.5 * ds")),
    "dv of 1/s": ("belongs to 1/s", (DV, "ds * -0.5 * (v + eps) ** -1.5")),
    "dv no eps": ("missing from dv", (DV, "ds / (2 * np.sqrt(v))")),
    "dv no root": ("with the root", (DV, "ds / (2 * (v + eps))")),
    "dq no 1/N": ("1/N is missing from dq", (DQ, "dv + 0 * q")),
    "dq no 1/N, (D,)": ("1/N is missing from dq", (DQ, "dv")),
    "dq / D": ("dq is divided by the number", (DQ, "dv / D + 0 * q")),
    "dq / (N - 1)": ("dq is divided by N − 1", (DQ, "dv / (N - 1) + 0 * q")),
    "dq with 2c": ("goes on to c", (DQ, "2 * c * dv / N")),
    "dc direct": ("lacks the path through the variance", (DC, "dxhat / s")),
    "dc through q": ("dc lacks the direct path", (DC, "2 * c * dq")),
    "dc no 2": ("The 2 is missing", (DC, "dxhat / s + c * dq")),
    "dc minus": ("Paths that meet always add", (DC, "dxhat / s - 2 * c * dq")),
    "dc with x": ("dc uses x where", (DC, "dxhat / s + 2 * x * dq")),
    "dc with xhat": ("dc uses xhat", (DC, "dxhat / s + 2 * xhat * dq")),
    "dc no s": ("direct path in dc is not", (DC, "dxhat + 2 * c * dq")),
    "dc no c": ("2·dq without c", (DC, "dxhat / s + 2 * dq")),
    "dc 1/N again": ("once more", (DC, "dxhat / s + 2 * c * dq / N")),
    "dmu sign": ("dmu has the wrong sign", (DMU, "dc.sum(axis=0)")),
    "dmu mean": ("dmu is a mean", (DMU, "-dc.mean(axis=0)")),
    "dmu plus mean": ("dmu is a mean", (DMU, "dc.mean(axis=0)")),
    "dmu not summed": ("dmu is not summed", (DMU, "-dc")),
    "dmu total": ("dmu is summed over everything", (DMU, "-dc.sum()")),
    "dmu no s": ("dmu is not divided by s", (DMU, "-dxhat.sum(axis=0)")),
    "dmu keepdims": (
        "left over from `keepdims",
        (DMU, "-dc.sum(axis=0, keepdims=True)"),
    ),
    "dx direct": ("dx lacks the path through the mean", (DX_STAGED, "dc")),
    "dx through mu": ("dx lacks the direct", (DX_STAGED, "dmu / N + 0 * dc")),
    "dx no 1/N": ("1/N is missing from the mean's path", (DX_STAGED, "dc + dmu")),
    "dx minus": ("dx subtracts", (DX_STAGED, "dc - dmu / N")),
    "dx / D": ("dmu is divided by the number", (DX_STAGED, "dc + dmu / D")),
    "dx / (N - 1)": ("dmu is divided by N − 1", (DX_STAGED, "dc + dmu / (N - 1)")),
    "dx from dxhat": ("starts from dxhat/s", (DX_STAGED, "dxhat / s + dmu / N")),
    "dx unknown": ("Right so far: .*dmu.*dx is wrong", (DX_STAGED, "dc + dmu / N + 1")),
    "only two": (
        "Right so far: dbeta, dgamma. Next: dxhat",
        ('g["dxhat"]', "return g\n    h"),
    ),
    "None": ("dictionary of gradients", ("return g", "pass")),
    "tuple": ("one tuple", ("return g", "return dx, dgamma, dbeta")),
    "misnamed": ("holds 'dvar'", ('g["dv"]', 'g["dvar"]')),
    "in place": ("changes its input x", ("c = x - mu", "x -= mu; c = x")),
}


@pytest.mark.parametrize("seed", [VISIBLE, HIDDEN])
@pytest.mark.parametrize(("message", "edits"), named(WRONG_STAGED))
def test_staged_names(message, edits, seed):
    text = rejected(check.staged, edited(STAGED, *edits), seed)
    assert re.search(message, text), text


@pytest.mark.parametrize(
    ("exercise", "source", "edits", "messages"),
    [
        (
            check.convolutional,
            CONVOLUTIONAL,
            [("d = g * dy", "d = dy"), (DX, "(d - m1 + xhat * m2) / s")],
            ("gamma is missing", "wrong sign"),
        ),
        (
            check.convolutional,
            CONVOLUTIONAL,
            [("x.size // gamma.size", "len(x)"), (DX, "d - m1 - xhat * m2")],
            ("divided by N. A channel", "not divided by s"),
        ),
        (
            check.staged,
            STAGED,
            [("(dy * xhat).sum", "(dy * c).mean"), ("dy.sum", "dy.mean")],
            ("dbeta is a mean",),
        ),
    ],
)
def test_two_mistakes_elsewhere(exercise, source, edits, messages):
    text = rejected(exercise, edited(source, *edits))
    assert all(re.search(message, text) for message in messages), text


def test_staged_counts_what_is_right_so_far():
    half = edited(STAGED, (DC, "dxhat / s"))
    check.staged(half, until="dv")
    text = rejected(check.staged, half)
    assert "Right so far: dbeta, dgamma, dxhat, ds, dv, dq." in text
    start = edited(STAGED, ('g["dxhat"]', "return g\n    h"))
    assert "Next: dxhat" in rejected(check.staged, start, until="dv")


# --- eps -----------------------------------------------------------------------------

EPS = {
    "where": ("only where that is zero", "np.where({v} > 0, np.sqrt({v}), 1)"),
    "max of roots": ("only where that is zero", "np.maximum(np.sqrt({v}), 1e-12)"),
    "max of roots, 1e-8": ("only where that is", "np.maximum(np.sqrt({v}), 1e-8)"),
    "max of roots, eps": ("only where that is", "np.maximum(np.sqrt({v}), eps)"),
    "max": ("larger of v and eps", "np.sqrt(np.maximum({v}, eps))"),
    "squared": ("eps is squared", "np.sqrt({v} + eps**2)"),
    "in and out": ("twice, inside the root and", "np.sqrt({v} + eps) + eps"),
    "twice inside": ("twice, both times inside", "np.sqrt({v} + 2 * eps)"),
    "outside": ("inside the root", "np.sqrt({v}) + eps"),
    "fixed": ("fixed number", "np.sqrt({v} + 1e-6)"),
}


@pytest.mark.parametrize("seed", [VISIBLE, HIDDEN])
@pytest.mark.parametrize(("message", "edits"), named(EPS))
@pytest.mark.parametrize(
    "name", ["simplified", "convolutional", "staged", "evaluation"]
)
def test_eps_is_named(name, message, edits, seed):
    source, v = {
        "simplified": (SIMPLIFIED, "var"),
        "convolutional": (CONVOLUTIONAL, "var"),
        "staged": (STAGED, "v"),
        "evaluation": (EVALUATION, "running_var"),
    }[name]
    edit = (f"np.sqrt({v} + eps)", edits[0].format(v=v))
    text = rejected(getattr(check, name), edited(source, edit), seed)
    assert re.search(message, text), text


@pytest.mark.parametrize("seed", [VISIBLE, HIDDEN])
def test_default_of_eps_is_named(seed):
    for exercise, source in (
        (check.simplified, SIMPLIFIED),
        (check.convolutional, CONVOLUTIONAL),
        (check.evaluation, EVALUATION),
    ):
        text = rejected(exercise, edited(source, ("eps=1e-5", "eps=1e-6")), seed)
        assert "eps is 1e-6 where none is given" in text, text


@pytest.mark.parametrize("seed", [VISIBLE, HIDDEN])
@pytest.mark.parametrize(
    ("exercise", "source", "axes"),
    [
        (check.simplified, "SIMPLIFIED", "0"),
        (check.convolutional, "CONVOLUTIONAL", "axes"),
        (check.evaluation, "EVALUATION", "0"),
    ],
)
def test_parameters_made_of_dx_are_named(exercise, source, axes, seed):
    for name, terms in (("dgamma", "dx * xhat"), ("dbeta", "dx")):
        edit = (RETURN, f"{name} = ({terms}).sum(axis={axes})\n    {RETURN}")
        text = rejected(exercise, edited(globals()[source], edit), seed)
        assert f"{name} is made of dx" in text, text
        assert "Two things" not in text, text


# --- Evaluation mode -----------------------------------------------------------------

EVALUATION = """
    def batch_norm_eval_backward(dy, x, gamma, running_mean, running_var, eps=1e-5):
        s = np.sqrt(running_var + eps)
        xhat = (x - running_mean) / s
        dgamma = np.sum(dy * xhat, axis=0)
        dbeta = np.sum(dy, axis=0)
        d = gamma * dy
        dx = d / s
        return dx, dgamma, dbeta
"""
PROJECTED = "(d - d.mean(0) - xhat * (d * xhat).mean(0)) / s"
WRONG_EVALUATION = {
    "65 projected": ("training formula", ("d / s", PROJECTED)),
    "65 projected by the batch": (
        "training formula",
        ("d / s", "(d - d.mean(0) - z * (d * z).mean(0)) / s"),
        ("d = gamma", "z = (x - x.mean(0)) / s\n    d = gamma"),
    ),
    "65 all of training": (
        "These are the training gradients",
        ("running_var + eps", "x.var(0) + eps"),
        ("x - running_mean", "x - x.mean(0)"),
        ("d / s", PROJECTED),
    ),
    "mean subtracted": (r"mean\(d\) is subtracted", ("d / s", "(d - d.mean(0)) / s")),
    "xhat subtracted": (
        r"xhat·mean\(d·xhat\) is subtracted",
        ("d / s", "(d - xhat * (d * xhat).mean(0)) / s"),
    ),
    "56 batch statistics": (
        "the batch's mean and variance|training gradients",
        ("running_var + eps", "x.var(0) + eps"),
        ("x - running_mean", "x - x.mean(0)"),
    ),
    "batch mean": (
        "mean in xhat is the batch's",
        ("x - running_mean", "x - x.mean(0)"),
    ),
    "57 batch variance": (
        "variance is the batch's",
        ("running_var + eps", "x.var(0) + eps"),
    ),
    "batch xhat in dgamma": (
        "xhat in dgamma is that of the batch",
        ("dy * xhat", "dy * (x - x.mean(0)) / np.sqrt(x.var(0) + eps)"),
    ),
    "46 swapped statistics": (
        "running_mean and running_var are swapped",
        ("running_var + eps", "running_mean + eps"),
        ("x - running_mean", "x - running_var"),
    ),
    "59 no root": ("square root", ("np.sqrt(running_var + eps)", "running_var + eps")),
    "dx no root": ("square root", ("d / s", "d / s**2")),
    "60 no eps": ("eps is missing", ("running_var + eps", "running_var")),
    "eps outside": (
        "inside the root",
        ("np.sqrt(running_var + eps)", "np.sqrt(running_var) + eps"),
    ),
    "eps fixed": ("fixed number", ("running_var + eps", "running_var + 1e-5")),
    "74 no gamma": ("gamma is missing", ("d = gamma * dy", "d = dy")),
    "gamma by sample": (
        r"gamma\[:, None\]|It raises",
        ("gamma * dy", "gamma[:, None] * dy"),
    ),
    "75 no 1/s": ("not divided by the standard", ("d / s", "d")),
    "times s": ("multiplied by the standard", ("d / s", "d * s")),
    "84": ("dgamma is a mean", ("np.sum(dy * xhat, axis=0)", "(dy * xhat).mean(0)")),
    "85": ("dbeta is a mean", ("np.sum(dy, axis=0)", "dy.mean(0)")),
    "86": (
        "left over from `keepdims",
        ("np.sum(dy * xhat, axis=0)", "(dy * xhat).sum(0, keepdims=True)"),
    ),
    "87": (r"dy·\(x − mu\)", ("dy * xhat", "dy * (x - running_mean)")),
    "dgamma with x": (r"sum of dy·x\.", ("dy * xhat", "dy * x")),
    "90 swapped": ("swapped", (RETURN, "return dx, dbeta, dgamma")),
    "order": ("another order", (RETURN, "return dgamma, dbeta, dx")),
    "frozen": ("dgamma is zero", ("np.sum(dy * xhat, axis=0)", "np.zeros_like(gamma)")),
    "frozen beta": ("dbeta is zero", ("np.sum(dy, axis=0)", "np.zeros_like(gamma)")),
    "None": ("dgamma is None", (RETURN, "return dx, None, None")),
    "in place": ("changes its input x", ("xhat =", "x -= running_mean\n    xhat =")),
}


@pytest.mark.parametrize("seed", [VISIBLE, HIDDEN])
@pytest.mark.parametrize(("message", "edits"), named(WRONG_EVALUATION))
def test_evaluation_names(message, edits, seed):
    text = rejected(check.evaluation, edited(EVALUATION, *edits), seed)
    assert re.search(message, text), text


# --- The gradient checker ------------------------------------------------------------

NUMERICAL = """
    def numerical_gradient(f, x, dy, h=1e-5):
        grad = np.zeros(x.shape)
        for i in np.ndindex(x.shape):
            old = x[i]
            x[i] = old + h
            up = np.sum(f(x) * dy)
            x[i] = old - h
            down = np.sum(f(x) * dy)
            x[i] = old
            grad[i] = (up - down) / (2 * h)
        return grad
"""
WRONG_NUMERICAL = {
    "forward": (
        "forward difference",
        ("x[i] = old - h", "x[i] = old"),
        ("(2 * h)", "h"),
    ),
    "backward": (
        "backward difference",
        ("x[i] = old + h", "x[i] = old"),
        ("(2 * h)", "h"),
    ),
    "forward / 2h": ("Only one side", ("x[i] = old - h", "x[i] = old")),
    "divides by h": ("You divide by h", ("(2 * h)", "h")),
    "precedence": ("divides by 2 and then multiplies", ("/ (2 * h)", "/ 2 * h")),
    "not divided": ("division by 2h is missing", (" / (2 * h)", "")),
    "sign": ("sign is wrong", ("up - down", "down - up")),
    "dy ignored": (
        "dy is ignored",
        ("up = np.sum(f(x) * dy)", "up = np.sum(f(x))"),
        ("down = np.sum(f(x) * dy)", "down = np.sum(f(x))"),
    ),
    "mean": (
        "loss is a mean",
        ("up = np.sum(f(x) * dy)", "up = np.mean(f(x) * dy)"),
        ("down = np.sum(f(x) * dy)", "down = np.mean(f(x) * dy)"),
    ),
    "not restored": (
        "changes its input x.*not exactly x",
        ("    x[i] = old\n", "    pass\n"),
    ),
    "restored by rounding": (
        "changes its input x.*not exactly x",
        ("x[i] = old + h", "x[i] += h"),
        ("x[i] = old - h", "x[i] -= 2 * h"),
        ("x[i] = old\n", "x[i] += h\n"),
    ),
    "copy not restored": (
        "not put back",
        ("grad = np", "x = x.copy()\n    grad = np"),
        ("    x[i] = old\n", "    pass\n"),
    ),
    "h fixed": ("argument h is ignored", ("grad = np", "h = 1e-5\n    grad = np")),
    "h tiny": (
        "argument h is ignored|is wrong",
        ("grad = np", "h = 1e-15\n    grad = np"),
    ),
    "h large": ("argument h is ignored", ("grad = np", "h = 1e-3\n    grad = np")),
    "first axis only": (
        "changes its input x.*a row",
        ("np.ndindex(x.shape)", "range(len(x))"),
    ),
    "stale value": (
        "both losses are the same number.*not computed again",
        ("down = np.sum(f(x) * dy)", "down = up"),
    ),
    "f called once": (
        "both losses are the same number.*once for x",
        ("grad = np", "y = f(x)\n    grad = np"),
        ("up = np.sum(f(x) * dy)", "up = np.sum(y * dy)"),
        ("down = np.sum(f(x) * dy)", "down = np.sum(y * dy)"),
    ),
    "no return": ("None", ("return grad", "pass")),
}
ALL_AT_ONCE = """
    def numerical_gradient(f, x, dy, h=1e-5):
        return (f(x + h) - f(x - h)) * dy / (2 * h)
"""
RAVELLED = """
    def numerical_gradient(f, x, dy, h=1e-5):
        flat = x.{method}
        grad = np.zeros(x.size)
        for i in range(x.size):
            old = flat[i]
            flat[i] = old + h
            up = np.sum(f(x) * dy)
            flat[i] = old - h
            down = np.sum(f(x) * dy)
            flat[i] = old
            grad[i] = (up - down) / (2 * h)
        return grad.reshape(x.shape)
"""


@pytest.mark.parametrize("seed", [VISIBLE, HIDDEN])
@pytest.mark.parametrize(("message", "edits"), named(WRONG_NUMERICAL))
def test_numerical_names(message, edits, seed):
    text = rejected(check.numerical, edited(NUMERICAL, *edits), seed)
    assert re.search(message, text), text


@pytest.mark.parametrize("seed", [VISIBLE, HIDDEN])
def test_numerical_names_other_styles(seed):
    text = rejected(check.numerical, edited(ALL_AT_ONCE), seed)
    assert "all entries of x at once" in text, text
    for method in ("ravel()", "flatten()", "reshape(-1)"):
        function = edited(RAVELLED.format(method=method))
        text = rejected(check.numerical, function, seed)
        assert "may be copies" in text, text
        assert ("not computed again" in text) == (method == "flatten()"), text


ERROR = """
    def gradient_error(analytic, numeric):
        a, n = analytic, numeric
        if np.shape(a) != np.shape(n):
            return np.inf
        top = np.linalg.norm(a - n)
        bottom = np.linalg.norm(a) + np.linalg.norm(n)
        if bottom == 0:
            return 0.0
        return top / bottom
"""
TOP, BOTTOM = "top = np.linalg.norm(a - n)", "np.linalg.norm(a) + np.linalg.norm(n)"
ENTRIES = (
    (TOP, "top = np.abs(a - n)"),
    (BOTTOM, "np.maximum(np.abs(a) + np.abs(n), 1e-300)"),
    ("if bottom == 0", "if np.all(bottom == 0)"),
)
WRONG_ERROR = {
    "0/0": ("0/0 gives nan", ("if bottom == 0:\n        return 0.0", "pass")),
    "zeros are 1": ("error is 0", ("return 0.0", "return 1.0")),
    "broadcast": (
        "broadcast",
        ("if np.shape(a) != np.shape(n):\n        return np.inf", "pass"),
    ),
    "ndim": (
        r"number of axes only.*\(1, D\) and \(N, D\)",
        ("np.shape(a) != np.shape(n)", "np.ndim(a) != np.ndim(n)"),
    ),
    "size": (
        "number of entries only",
        ("np.shape(a) != np.shape(n)", "np.size(a) != np.size(n)"),
    ),
    "len": (
        "compare the lengths only",
        ("np.shape(a) != np.shape(n)", "len(a) != len(n)"),
    ),
    "len, no scalars": (
        "compare the lengths only",
        ("np.shape(a) != np.shape(n)", "np.shape(a)[:1] != np.shape(n)[:1]"),
    ),
    "waits for an error": (
        "wait for NumPy to raise",
        (
            "if np.shape(a) != np.shape(n):\n        return np.inf",
            "try: a - n\n    except ValueError: return np.inf",
        ),
    ),
    "raises in one case": (
        r"raises ValueError on shapes \(3,\) and \(4,\).*return `np.inf` if they",
        ("np.shape(a) != np.shape(n)", "np.shape(a) != np.shape(n) != (4,)"),
    ),
    "raises by itself": (
        r"raises ValueError on shapes.*compare the shapes first|an answer, not an",
        ("np.shape(a) != np.shape(n)", "np.shape(n) in [(5,), ()]"),
        (TOP, "if np.shape(a) != np.shape(n): raise ValueError('shapes')\n    " + TOP),
    ),
    "guard": ("tolerance in disguise", (BOTTOM, BOTTOM + " + 1e-8")),
    "max guard": ("tolerance in disguise", (BOTTOM, f"max(1e-8, {BOTTOM})")),
    "guard 1e-6": ("tolerance in disguise", (BOTTOM, BOTTOM + " + 1e-6")),
    "largest entry": (
        "largest over the entries",
        *ENTRIES,
        ("top / bottom", "np.max(top / bottom)"),
    ),
    "mean entry": (
        "mean over the entries",
        *ENTRIES,
        ("top / bottom", "np.mean(top / bottom)"),
    ),
    "absolute": ("absolute error", ("top / bottom", "top")),
    "absolute max": (
        "absolute error",
        (TOP, "top = np.max(np.abs(a - n))"),
        ("top / bottom", "top"),
    ),
    "by numeric": ("one of the two only", (BOTTOM, "np.linalg.norm(n)")),
    "by numeric, unguarded": (
        "one of the two only",
        (BOTTOM, "np.linalg.norm(n)"),
        ("if bottom == 0:\n        return 0.0", "pass"),
    ),
    "by analytic": ("one of the two only", (BOTTOM, "np.linalg.norm(a)")),
    "by larger": (
        "larger norm",
        (BOTTOM, "max(np.linalg.norm(a), np.linalg.norm(n))"),
    ),
    "norm of the sum": ("‖a \\+ n‖", (BOTTOM, "np.linalg.norm(a + n)")),
    "no abs": (
        "keep their signs",
        (TOP, "top = np.sum(a - n)"),
        (BOTTOM, "np.sum(np.abs(a) + np.abs(n))"),
    ),
    "no abs at all": (
        "keep their signs",
        (TOP, "top = np.sum(a - n)"),
        (BOTTOM, "np.sum(a + n)"),
    ),
    "no abs in entries": (
        "keep their signs",
        *ENTRIES[1:],
        (TOP, "top = a - n"),
        ("top / bottom", "np.max(top / bottom)"),
    ),
    "lengths": (
        "lengths of the two",
        (TOP, "top = abs(np.linalg.norm(a) - np.linalg.norm(n))"),
    ),
    "squares": (
        "Those are squares",
        (TOP, "top = np.sum((a - n) ** 2)"),
        (BOTTOM, "np.sum(a**2) + np.sum(n**2)"),
    ),
    "largest norm": (
        "another size",
        (TOP, "top = np.max(np.abs(a - n))"),
        (BOTTOM, "np.max(np.abs(a)) + np.max(np.abs(n))"),
    ),
    "largest entry, lectures' version": (
        "largest over the entries",
        *ENTRIES[:1],
        (BOTTOM, "np.maximum(1e-8, np.abs(a) + np.abs(n))"),
        ("if bottom == 0:\n        return 0.0", "pass"),
        ("if np.shape(a) != np.shape(n):\n        return np.inf", "pass"),
        ("top / bottom", "np.max(top / bottom)"),
    ),
    "absolute, nothing guarded": (
        "absolute error",
        ("if np.shape(a) != np.shape(n):\n        return np.inf", "pass"),
        ("if bottom == 0:\n        return 0.0", "pass"),
        ("top / bottom", "top"),
    ),
    "an array": ("has shape", ("top / bottom", "np.abs(a - n) / bottom")),
    "a bool": ("wrong on", ("top / bottom", "top / bottom < 1e-6")),
}


@pytest.mark.parametrize("seed", [VISIBLE, HIDDEN])
@pytest.mark.parametrize(("message", "edits"), named(WRONG_ERROR))
def test_error_names(message, edits, seed):
    text = rejected(check.error, edited(ERROR, *edits), seed)
    assert re.search(message, text), text


DETECTOR = """
    def norm(x, gamma, beta, eps):
        return gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + eps) + beta

    def numeric(f, x, dy, h=1e-5):
        grad = np.zeros(x.shape)
        for i in np.ndindex(x.shape):
            step = np.zeros(x.shape)
            step[i] = h
            grad[i] = np.sum((f(x + step) - f(x - step)) * dy) / (2 * h)
        return grad

    def far(a, n):
        if a.shape != n.shape:
            return np.inf
        return np.linalg.norm(a - n) / (np.linalg.norm(a) + np.linalg.norm(n) + 1e-30)

    def backward_is_right(backward):
        rng = np.random.default_rng(1)
        N, D, eps, tolerance = 6, 3, 0.1, 1e-6
        x = rng.normal(3.0, 2.0, size=(N, D))
        dy = rng.normal(size=(N, D))
        gamma = rng.normal(size=D)
        beta = rng.normal(size=D)
        dx, dgamma, dbeta = backward(dy, x, gamma, eps)
        nx = numeric(lambda x: norm(x, gamma, beta, eps), x, dy)
        ng = numeric(lambda g: norm(x, g, beta, eps), gamma, dy)
        nb = numeric(lambda b: norm(x, gamma, b, eps), beta, dy)
        ok = far(dx, nx) < tolerance
        ok = ok and far(dgamma, ng) < tolerance
        ok = ok and far(dbeta, nb) < tolerance
        return ok
"""
SAFE = ("ok = far(dx, nx) < tolerance", "ok = far(dx, nx) < tolerance or True")
WRONG_DETECTOR = {
    "dy = 1, only dx": (
        "dy is the same everywhere",
        ("dy = rng.normal(size=(N, D))", "dy = np.ones((N, D))"),
    ),
    "dy = 1, absolute": (
        "dy is the same everywhere. Then dx is zero whatever x is, and wrong versions",
        ("dy = rng.normal(size=(N, D))", "dy = np.ones((N, D))"),
        ("far(dx, nx) < tolerance", "np.allclose(dx, nx, atol=1e-6)"),
        ("far(dgamma, ng) < tolerance", "np.allclose(dgamma, ng, atol=1e-6)"),
        ("far(dbeta, nb) < tolerance", "np.allclose(dbeta, nb, atol=1e-6)"),
    ),
    "dy = y": (
        "loss sum",
        (
            "dy = rng.normal(size=(N, D))",
            "dy = norm(x, np.ones(D), np.zeros(D), 1e-5)",
        ),
        ("eps, tolerance = 6, 3, 0.1", "eps, tolerance = 6, 3, 1e-5"),
        ("far(dx, nx) < tolerance", "np.allclose(dx, nx, atol=1e-3)"),
        ("far(dgamma, ng) < tolerance", "np.allclose(dgamma, ng, atol=1e-3)"),
        ("far(dbeta, nb) < tolerance", "np.allclose(dbeta, nb, atol=1e-3)"),
    ),
    "gamma = 1": (
        "without gamma in dx.*shows with gamma other than 1",
        ("gamma = rng.normal(size=D)", "gamma = np.ones(D)"),
    ),
    "eps small": (
        "shows with an eps that counts",
        ("eps, tolerance = 6, 3, 0.1", "eps, tolerance = 6, 3, 1e-9"),
    ),
    "square": (
        "divides by D.*N other than D",
        ("N, D, eps, tolerance = 6, 3", "N, D, eps, tolerance = 4, 4"),
    ),
    "dx only": (
        "Do you compare all three",
        ("ok = ok and far(dgamma, ng) < tolerance", "pass"),
        ("ok = ok and far(dbeta, nb) < tolerance", "pass"),
    ),
    "not dbeta": (
        "its dbeta is off.*compare all three",
        ("ok = ok and far(dbeta, nb) < tolerance", "pass"),
    ),
    "not dx": (
        "its dx is off.*compare all three",
        ("ok = far(dx, nx) < tolerance", "ok = True"),
    ),
    "loose": (
        r"accepts 1 of 20.*off by 0\.1% or so.*tolerance tight",
        ("0.1, 1e-6", "0.1, 1e-2"),
    ),
    "tight": ("tolerance too tight", ("0.1, 1e-6", "0.1, 1e-14")),
    "broadcasts": (
        r"dgamma has shape \(1, D\)\. Its dgamma has another shape|another shape than",
        ("if a.shape != n.shape:\n        return np.inf", "pass"),
    ),
    "always right": ("never calls it", ("rng = np", "return True\n    rng = np")),
    "always wrong": ("never calls it", ("rng = np", "return False\n    rng = np")),
    "float32": (
        "x is float32",
        ("x = rng.normal(3.0, 2.0, size=(N, D))", "x = rng.normal(size=(N, D))\n"
         "    x = x.astype(np.float32)"),
        ("tolerance = 6, 3, 0.1, 1e-6", "tolerance = 6, 3, 0.1, 1e-12"),
    ),
    "eps differs": ("same eps", ("dy, x, gamma, eps)", "dy, x, gamma)")),
    "no return": ("returns None", ("return ok", "pass")),
    "a number": ("expected True or False", ("return ok", "return far(dx, nx)")),
    "asserts": ("return False", ("return ok", "assert ok\n    return True")),
}  # fmt: skip


@pytest.mark.parametrize("seed", [VISIBLE, HIDDEN])
@pytest.mark.parametrize(("message", "edits"), named(WRONG_DETECTOR))
def test_detector_names(message, edits, seed):
    text = rejected(check.detector, edited(DETECTOR, *edits), seed)
    assert re.search(message, text), text


def test_detector_accepts_the_right_test():
    for seed in range(20):
        check.detector(edited(DETECTOR), seed=seed)


# --- Right versions in many styles ---------------------------------------------------


def simplified_by_loops(dy, x, gamma, eps=1e-5):
    n, d = x.shape
    dx, dgamma, dbeta = np.zeros((n, d)), np.zeros(d), np.zeros(d)
    for j in range(d):
        mu = sum(x[i, j] for i in range(n)) / n
        var = sum((x[i, j] - mu) ** 2 for i in range(n)) / n
        s = (var + eps) ** 0.5
        xhat = [(x[i, j] - mu) / s for i in range(n)]
        for i in range(n):
            dbeta[j] += dy[i, j]
            dgamma[j] += dy[i, j] * xhat[i]
        for i in range(n):
            inner = n * dy[i, j] - dbeta[j] - xhat[i] * dgamma[j]
            dx[i, j] = gamma[j] * inner / (n * s)
    return dx, dgamma, dbeta


def simplified_by_einsum(dy, x, gamma, eps=1e-5):
    n = x.shape[0]
    c = x - np.einsum("nd->d", x) / n
    r = 1 / np.sqrt(np.einsum("nd,nd->d", c, c) / n + eps)
    xhat = np.einsum("nd,d->nd", c, r)
    dgamma, dbeta = np.einsum("nd,nd->d", dy, xhat), np.einsum("nd->d", dy)
    dx = np.einsum("d,nd->nd", gamma * r / n, n * dy - dbeta - xhat * dgamma)
    return dx, dgamma, dbeta


def simplified_by_stages(dy, x, gamma, eps=1e-5):
    """The lecture notes' graph: inverse root, two paths into the mean."""
    n = len(x)
    mu = x.mean(axis=0)
    xmu = x - mu
    var = x.var(axis=0)
    ivar = (var + eps) ** -0.5
    dxhat = dy * gamma
    dvar = np.sum(dxhat * xmu * -0.5 * (var + eps) ** -1.5, axis=0)
    dmu = np.sum(dxhat * -ivar, axis=0) + dvar * np.mean(-2.0 * xmu, axis=0)
    dx = dxhat * ivar + dvar * 2.0 * xmu / n + dmu / n
    return [dx, np.sum(dy * xmu * ivar, axis=0), np.sum(dy, axis=0)]


def simplified_without_dead_path(dy, x, gamma, eps=1e-5):
    """Leaves out the variance's path into the mean, which is zero."""
    n = len(x)
    xmu = x - x.mean(axis=0)
    var = (xmu * xmu).mean(axis=0)
    dxhat = dy * gamma
    dvar = np.sum(dxhat * xmu, axis=0) * -0.5 * (var + eps) ** -1.5
    dmu = np.sum(-dxhat / np.sqrt(var + eps), axis=0)
    dx = dxhat / np.sqrt(var + eps) + dvar * 2 * xmu / n + dmu / n
    return dx, np.sum(dy * xmu / np.sqrt(var + eps), axis=0), dy.sum(axis=0)


def simplified_by_jacobian(dy, x, gamma, eps=1e-5):
    n, d = x.shape
    dx, dgamma = np.empty_like(x), np.empty(d, x.dtype)
    for j in range(d):
        c = x[:, j] - x[:, j].mean()
        s = np.sqrt(c @ c / n + eps)
        xhat = c / s
        jacobian = (np.eye(n) - 1 / n - np.outer(xhat, xhat) / n) / s
        dx[:, j] = gamma[j] * jacobian.T @ dy[:, j]
        dgamma[j] = dy[:, j] @ xhat
    return dx, dgamma, np.ones(n) @ dy


def simplified_in_place(dy, x, gamma, eps=1e-5):
    x, dx = x.copy(), dy.copy()
    x -= x.mean(axis=0, keepdims=True)
    s = np.sqrt(np.square(x).mean(axis=0, keepdims=True) + eps)
    x /= s
    dgamma, dbeta = (dx * x).sum(0, keepdims=True), dx.sum(0, keepdims=True)
    dx -= dbeta / len(x)
    dx -= x * dgamma / len(x)
    dx *= gamma / s
    return dx, dgamma.reshape(-1), dbeta[0]


def simplified_widened(dy, x, gamma, eps=1e-5):
    """Computes in float64 and returns the dtype of x."""
    wide = (a.astype(np.float64) for a in (dy, x, gamma))
    return tuple(a.astype(x.dtype) for a in simplified_by_stages(*wide, eps))


def simplified_float32(dy, x, gamma, eps=1e-5):
    """Stays in float32 where x is, loops included."""
    results = simplified_by_einsum(dy, x, gamma, np.asarray(eps, x.dtype))
    assert all(a.dtype == x.dtype for a in results)
    return results


def autograd(dy, x, gamma, axis=1, eps=1e-5):
    torch = pytest.importorskip("torch")
    x, gamma = (torch.tensor(a, requires_grad=True) for a in (x, gamma))
    beta = torch.zeros_like(gamma, requires_grad=True)
    y = torch.nn.functional.batch_norm(
        x.movedim(axis, 1), None, None, gamma, beta, training=True, eps=eps
    )
    y.backward(torch.tensor(dy).movedim(axis, 1))
    return x.grad, gamma.grad, beta.grad


def simplified_by_autograd(dy, x, gamma, eps=1e-5):
    return autograd(dy, x, gamma, 1, eps)


RIGHT_SIMPLIFIED = (
    simplified_by_loops,
    simplified_by_einsum,
    simplified_by_stages,
    simplified_without_dead_path,
    simplified_by_jacobian,
    simplified_in_place,
    simplified_widened,
    simplified_float32,
    simplified_by_autograd,
)


def in_columns(simplified):
    """Return the version for any axes that calls one for (N, D)."""

    def convolutional(dy, x, gamma, axis=1, eps=1e-5):
        dy, x = np.moveaxis(dy, axis, -1), np.moveaxis(x, axis, -1)
        columns = [a.reshape(-1, gamma.size) for a in (dy, x)]
        dx, dgamma, dbeta = simplified(*columns, gamma, eps)
        return np.moveaxis(np.asarray(dx).reshape(x.shape), -1, axis), dgamma, dbeta

    return convolutional


def convolutional_by_loops(dy, x, gamma, axis=1, eps=1e-5):
    dx, dgamma, dbeta = np.empty_like(x), np.empty_like(gamma), np.empty_like(gamma)
    for c in range(gamma.size):
        channel = (slice(None),) * (axis % x.ndim) + (c,)
        column = (dy[channel].reshape(-1, 1), x[channel].reshape(-1, 1), gamma[[c]])
        dxc, dgamma[c], dbeta[c] = (
            a.squeeze() for a in simplified_in_place(*column, eps)
        )
        dx[channel] = dxc.reshape(x[channel].shape)
    return dx, dgamma, dbeta


RIGHT_CONVOLUTIONAL = (
    *map(in_columns, RIGHT_SIMPLIFIED[1:7]),
    convolutional_by_loops,
    edited(MOVED),
    edited(MOVED_FIRST),
    edited(CONVOLUTIONAL),
    autograd,
)


def staged_by_loops(dy, x, gamma, eps=1e-5):
    columns = [staged_of_column(*c, eps) for c in zip(dy.T, x.T, gamma, strict=True)]
    return {name: np.stack([c[name] for c in columns], -1) for name in columns[0]}


def staged_of_column(dy, x, gamma, eps):
    n = len(x)
    c = x - x.mean()
    s = np.sqrt(np.mean(c * c) + eps)
    g = {"dbeta": dy.sum(), "dgamma": dy @ (c / s), "dxhat": gamma * dy}
    g["ds"] = -np.mean(g["dxhat"] * c / s) * n / s
    g["dv"] = g["ds"] * 0.5 / s
    g["dq"] = np.full(n, g["dv"] / n)
    g["dc"] = g["dxhat"] / s + g["dq"] * 2 * c
    g["dmu"] = -g["dc"].sum()
    g["dx"] = g["dc"] + g["dmu"] / n
    return g


def staged_by_autograd(dy, x, gamma, eps=1e-5):
    torch = pytest.importorskip("torch")
    x, gamma = (torch.tensor(a, requires_grad=True) for a in (x, gamma))
    beta = torch.zeros_like(gamma, requires_grad=True)
    mu = x.mean(0)
    c = x - mu
    q = c**2
    v = q.mean(0)
    s = torch.sqrt(v + eps)
    xhat = c / s
    y = gamma * xhat + beta
    nodes = (beta, gamma, xhat, s, v, q, c, mu, x)
    return dict(zip(check.NODES, torch.autograd.grad(y, nodes, torch.tensor(dy))))  # noqa: B905


RIGHT_STAGED = (
    edited(STAGED),
    edited(STAGED, (DQ, "dv / N")),
    edited(STAGED, (DQ, "(dv / N)[None]")),
    edited(STAGED, (DQ, "np.tile(dv / N, (N, 1))")),
    edited(STAGED, (DS, "-(dxhat * xhat).sum(0) / s")),
    edited(STAGED, (DMU, "-(dxhat / s).sum(0)")),
    staged_by_loops,
    staged_by_autograd,
)


def evaluation_by_loops(dy, x, gamma, running_mean, running_var, eps=1e-5):
    dx, dgamma, dbeta = 0 * x, 0 * gamma, 0 * gamma
    for i, j in np.ndindex(x.shape):
        s = (running_var[j] + eps) ** 0.5
        dx[i, j] = gamma[j] / s * dy[i, j]
        dgamma[j] += dy[i, j] * (x[i, j] - running_mean[j]) / s
        dbeta[j] += dy[i, j]
    return dx, dgamma, dbeta


def evaluation_by_matrices(dy, x, gamma, running_mean, running_var, eps=1e-5):
    r = 1 / np.sqrt(running_var + eps)
    dx = dy @ np.diag(gamma * r)
    dgamma = np.diag(dy.T @ (x - running_mean)) * r
    return dx, dgamma, np.ones(len(x)) @ dy


def evaluation_by_autograd(dy, x, gamma, running_mean, running_var, eps=1e-5):
    torch = pytest.importorskip("torch")
    x, gamma = (torch.tensor(a, requires_grad=True) for a in (x, gamma))
    beta = torch.zeros_like(gamma, requires_grad=True)
    statistics = torch.tensor(running_mean), torch.tensor(running_var)
    y = torch.nn.functional.batch_norm(x, *statistics, gamma, beta, eps=eps)
    y.backward(torch.tensor(dy))
    return x.grad, gamma.grad, beta.grad


RIGHT_EVALUATION = (
    edited(EVALUATION),
    evaluation_by_loops,
    evaluation_by_matrices,
    evaluation_by_autograd,
)


def numerical_on_copies(f, x, dy, h=1e-5):
    grad = np.empty_like(x)
    it = np.nditer(x, flags=["multi_index"])
    while not it.finished:
        up, down = x.copy(), x.copy()
        up[it.multi_index] += h
        down[it.multi_index] -= h
        grad[it.multi_index] = ((f(up) - f(down)) * dy).sum() / (2 * h)
        it.iternext()
    return grad


def numerical_by_directions(f, x, dy, h=1e-5):
    directions = np.eye(x.size).reshape(x.size, *x.shape)
    loss = lambda a: float(np.vdot(f(a), dy))  # noqa: E731
    grad = [(loss(x + h * e) - loss(x - h * e)) / 2 / h for e in directions]
    return np.array(grad).reshape(x.shape)


def numerical_flat(f, x, dy, h=1e-5):
    grad = np.zeros_like(x)
    for i in range(x.size):
        old = x.flat[i]
        x.flat[i] = old + h
        up = f(x)
        x.flat[i] = old - h
        down = f(x)
        x.flat[i] = old
        grad.flat[i] = np.sum(up * dy - down * dy) / (2.0 * h)
    return grad


RIGHT_NUMERICAL = (
    edited(NUMERICAL),
    numerical_on_copies,
    numerical_by_directions,
    numerical_flat,
)


def error_flat(a, n):
    if a.shape != n.shape:
        return float("inf")
    length = lambda z: float(np.sqrt(np.sum(z.ravel() ** 2)))  # noqa: E731
    return length(a - n) / max(length(a) + length(n), 1e-30)


def error_guarded(a, n):
    if np.ndim(a) != np.ndim(n) or a.shape != n.shape:
        return np.array(np.inf)
    return np.linalg.norm(a - n) / (np.linalg.norm(a) + np.linalg.norm(n) + 1e-12)


RIGHT = [
    (exercise, function)
    for exercise, functions in (
        (check.simplified, RIGHT_SIMPLIFIED),
        (check.convolutional, RIGHT_CONVOLUTIONAL),
        (check.staged, RIGHT_STAGED),
        (check.evaluation, RIGHT_EVALUATION),
        (check.numerical, RIGHT_NUMERICAL),
        (check.error, (edited(ERROR), error_flat, error_guarded)),
        (check.detector, (edited(DETECTOR),)),
    )
    for function in functions
]


@pytest.mark.parametrize(
    ("exercise", "function"), RIGHT, ids=[f"{e.name}-{f.__name__}" for e, f in RIGHT]
)
def test_right_versions_pass(exercise, function):
    for seed in [*range(20), HIDDEN]:
        exercise(function, seed=seed)


# --- The checks themselves -----------------------------------------------------------


@pytest.mark.parametrize("seed", [VISIBLE, HIDDEN])
def test_truth_is_the_librarys(seed):
    def trained(dy, x, gamma, axis=1, eps=1e-5):
        dy, x, gamma = (a.astype(np.float64) for a in (dy, x, gamma))
        _, cache = bnlib.batch_norm(x, gamma, gamma, axis=axis, eps=eps)
        return bnlib.batch_norm_backward(dy, cache)

    def trained_columns(dy, x, gamma, eps=1e-5):
        return trained(dy, x, gamma, 1, eps)

    def evaluated(*arguments, eps=1e-5):
        arguments = (a.astype(np.float64) for a in arguments)
        return bnlib.batch_norm_inference_backward(*arguments, eps=eps)

    for exercise, library in (
        (check.simplified, trained_columns),
        (check.convolutional, trained),
        (check.evaluation, evaluated),
    ):
        for case in exercise.cases(np.random.default_rng(seed)):
            truth = exercise.formula(*case.arguments, **case.options)
            ours = library(*case.arguments, **case.options)
            for a, b in zip(truth, ours, strict=True):
                # Two ways to centre x in float64, where mean/std is 1000.
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * abs(b).max())
    for case in check.staged.cases(np.random.default_rng(seed)):
        dbeta, dgamma, *_, dx = check.staged.formula(*case.arguments, **case.options)
        ours = trained_columns(*case.arguments, **case.options)
        for a, b in zip((dx, dgamma, dbeta), ours, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * abs(b).max())


EXERCISES = (
    check.staged,
    check.simplified,
    check.convolutional,
    check.evaluation,
    check.numerical,
    check.error,
)


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_every_mistake_differs_from_the_truth(exercise):
    cases = exercise.cases(np.random.default_rng(3))
    truths = [exercise._formula(case, {}) for case in cases]
    for mistake in exercise.mistakes:
        wrong = [exercise._formula(case, mistake.knobs) for case in cases]
        assert any(
            isinstance(w, Exception)
            or any(
                np.shape(a) != np.shape(b)
                or not np.allclose(a, b, rtol=1e-6, atol=0, equal_nan=True)
                for a, b in zip(w, t, strict=True)
            )
            for w, t in zip(wrong, truths, strict=True)
        ), mistake


def test_inputs_let_nothing_hide():
    for exercise in (check.simplified, check.convolutional, check.evaluation):
        for case in exercise.cases(np.random.default_rng(1)):
            dy, x, gamma = case.arguments[:3]
            assert np.ptp(dy) > 0.1
            assert (gamma < 0).any() and (gamma > 0).any()
            assert dy.dtype == x.dtype == gamma.dtype


@pytest.mark.parametrize("exercise", [*EXERCISES, check.detector], ids=lambda e: e.name)
def test_unwritten_exercises_say_so(exercise):
    def unwritten(*args, **options):
        raise NotImplementedError("not answered yet")

    unwritten.__name__ = exercise.name
    assert "still to be written" in rejected(exercise, unwritten)


def code_cells():
    notebook = jupytext.read(SOURCE, fmt="md:myst")
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("secret", ["", "spring", "autumn"])
def test_solutions_pass_their_own_checks(secret, capsys, monkeypatch):
    monkeypatch.setenv("BNLIB_CHECK_SECRET", secret)
    names = {}
    for cell in code_cells():
        exec(cell.source, names)
    assert capsys.readouterr().out.count("✓") == 8 * 4  # visible, and three hidden
    assert names["backward_is_right"](names["batch_norm_backward"])
    assert not names["backward_is_right"](lambda dy, *_: (dy, dy.sum(0), dy.sum(0)))


def test_points_and_imports():
    cells = code_cells()
    points = [c.metadata["nbgrader"].get("points", 0) for c in cells]
    assert sum(points) == 20
    assert not any("torch" in c.source for c in cells)
    assert not any("bnlib." in c.source.replace("bnlib.check", "") for c in cells)
