"""PS2's versions.

A wrong version is a right one with a line or two edited, as a learner would write it:
``(numbers of the misconception, what the message must say, old, new, ...)``. Nothing
here uses the checks' own knobs.
"""

# ruff: noqa: E501  (a row of a table is a line)

from bnlib.check import backward
from versions import filled, right, wrong

CHECKS = backward

# fmt: off
# Every exercise with an s; {v} is the name of its variance.
EPS = [
    ("only where that is zero", "np.sqrt({v} + eps)", "np.where({v} > 0, np.sqrt({v}), 1)"),
    ("only where that is zero", "np.sqrt({v} + eps)", "np.maximum(np.sqrt({v}), 1e-12)"),
    ("only where that is", "np.sqrt({v} + eps)", "np.maximum(np.sqrt({v}), 1e-8)"),
    ("only where that is", "np.sqrt({v} + eps)", "np.maximum(np.sqrt({v}), eps)"),
    ("larger of v and eps", "np.sqrt({v} + eps)", "np.sqrt(np.maximum({v}, eps))"),
    ("eps is squared", "np.sqrt({v} + eps)", "np.sqrt({v} + eps**2)"),
    ("twice, inside the root and", "np.sqrt({v} + eps)", "np.sqrt({v} + eps) + eps"),
    ("twice, both times inside", "np.sqrt({v} + eps)", "np.sqrt({v} + 2 * eps)"),
    (11, "inside the root", "np.sqrt({v} + eps)", "np.sqrt({v}) + eps"),
    ("fixed number", "np.sqrt({v} + eps)", "np.sqrt({v} + 1e-6)"),
]

DEFAULT = ("eps is 1e-6 where none is given", "eps=1e-5", "eps=1e-6")
RETURN = "return dx, dgamma, dbeta"


def made_of_dx(axes):
    return [
        ("^(?!.*Two things).*dgamma is made of dx", RETURN, f"dgamma = (dx * xhat).sum(axis={axes})\n    {RETURN}"),
        ("^(?!.*Two things).*dbeta is made of dx", RETURN, f"dbeta = dx.sum(axis={axes})\n    {RETURN}"),
    ]


# The short form

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
WRONG_SIMPLIFIED = [
    (70, "gamma·dy/s only.*constants", DX, "d / s"),
    (71, r"The term − mean\(d\) is missing", DX, "(d - xhat * m2) / s"),
    (72, r"The term − xhat·mean\(d·xhat\) is", DX, "(d - m1) / s"),
    (72, r"mean\(d\)·mean\(xhat\)", "np.sum(d * xhat, axis=0) / N", "d.mean(0) * xhat.mean(0)"),
    (73, "You subtract sums", "np.sum(d, axis=0) / N", "d.sum(0)", "np.sum(d * xhat, axis=0) / N", "(d * xhat).sum(0)"),
    (73, r"You subtract sum\(d\)", "np.sum(d, axis=0) / N", "d.sum(0)"),
    (73, r"subtract xhat·sum\(d·xhat\)", "np.sum(d * xhat, axis=0) / N", "(d * xhat).sum(0)"),
    (74, "gamma is missing from dx", "d = gamma * dy", "d = dy"),
    (74, "first term of dx only", "d, axis=0) / N", "dy, axis=0) / N", "d * xhat, axis=0) / N", "dy * xhat, axis=0) / N"),
    (74, "missing from the last term", "np.sum(d * xhat, axis=0) / N", "dgamma / N"),
    (74, "missing from the mean that", "np.sum(d, axis=0) / N", "dbeta / N"),
    ("gamma²", DX, "gamma * (d - m1 - xhat * m2) / s"),
    (31, r"gamma\[:, None\]", "d = gamma * dy", "d = gamma[:, None] * dy"),
    (75, "not divided by s", DX, "d - m1 - xhat * m2"),
    (75, "Only the first term", DX, "d / s - m1 - xhat * m2"),
    (75, "last term.*not divided", DX, "(d - m1) / s - xhat * m2"),
    ("divided by s²", DX, "(d - m1 - xhat * m2) / s**2"),
    ("multiplied by s", DX, "(d - m1 - xhat * m2) * s"),
    (77, "xhat term of dx has the wrong", DX, "(d - m1 + xhat * m2) / s"),
    (77, r"mean\(d\) has the wrong sign", DX, "(d + m1 - xhat * m2) / s"),
    (79, "uses x − mu where xhat", "np.sum(d * xhat, axis=0) / N", "np.mean(d * xmu, axis=0)", DX, "(d - m1 - xmu * m2) / s"),
    (10, "uses x/s where xhat", "m1 =", "z = x / s\n    m1 =", "np.sum(d * xhat, axis=0) / N", "np.mean(d * z, axis=0)", DX, "(d - m1 - z * m2) / s"),
    (81, "twice", DX, "(d - m1 - 2 * xhat * m2) / s"),
    ("half of what", DX, "(d - m1 - 0.5 * xhat * m2) / s"),
    ("without the xhat in front", DX, "(d - m1 - m2) / s"),
    (82, "eps is missing", "np.sqrt(var + eps)", "np.sqrt(var)"),
    (18, "square root is missing", "np.sqrt(var + eps)", "var + eps"),
    (15, "fixed number", "np.sqrt(var + eps)", "np.sqrt(var + 1e-3)"),
    (16, "fixed number", "np.sqrt(var + eps)", "np.sqrt(var + 1e-12)"),
    ("fixed number", "np.sqrt(var + eps)", "np.sqrt(var + 1e-5)"),
    (1, "divided by N − 1", "np.mean(xmu**2, axis=0)", "x.var(axis=0, ddof=1)"),
    (2, "mean of x²", "np.mean(xmu**2, axis=0)", "np.mean(x**2, axis=0)"),
    (4, "is a sum", "np.mean(xmu**2, axis=0)", "np.sum(xmu**2, axis=0)"),
    (5, "all of x at once", "np.mean(xmu**2, axis=0)", "x.var()"),
    (3, "float32, mean about 3000.*loses its digits", "np.mean(xmu**2, axis=0)", "np.abs(np.mean(x * x, axis=0) - mu * mu)"),
    ("means in dx are divided by N − 1", "d, axis=0) / N", "d, axis=0) / (N - 1)", "d * xhat, axis=0) / N", "d * xhat, axis=0) / (N - 1)"),
    ("biased variance: divide by N", "d * xhat, axis=0) / N", "d * xhat, axis=0) / (N - 1)"),
    ("number of features", "N, D = x.shape", "D, N = x.shape"),
    ("means in dx are over everything", "np.sum(d, axis=0) / N", "d.mean()", "np.sum(d * xhat, axis=0) / N", "(d * xhat).mean()"),
    (r"mean\(d\) in dx is over everything", "np.sum(d, axis=0) / N", "d.mean()"),
    (84, "dgamma is a mean", "np.sum(dy * xhat, axis=0)", "np.mean(dy * xhat, axis=0)"),
    (85, "dbeta is a mean", "np.sum(dy, axis=0)", "np.mean(dy, axis=0)"),
    (86, "left over from `keepdims", "np.sum(dy * xhat, axis=0)", "np.sum(dy * xhat, axis=0, keepdims=True)"),
    (86, "left over from `keepdims", "np.sum(dy * xhat, axis=0)", "np.sum(dy * xhat, axis=0, keepdims=True)", "np.sum(dy, axis=0)", "np.sum(dy, axis=0, keepdims=True)"),
    (87, r"sum of dy·\(x − mu\)", "np.sum(dy * xhat, axis=0)", "np.sum(dy * xmu, axis=0)"),
    (r"sum of dy·x\.", "np.sum(dy * xhat, axis=0)", "np.sum(dy * x, axis=0)"),
    ("xhat in dgamma is x/s", "np.sum(dy * xhat, axis=0)", "np.sum(dy * x / s, axis=0)"),
    ("dgamma has a factor gamma", "np.sum(dy * xhat, axis=0)", "np.sum(gamma * dy * xhat, axis=0)"),
    ("dbeta has a factor gamma", "np.sum(dy, axis=0)", "np.sum(gamma * dy, axis=0)"),
    ("mixes the features", "np.sum(dy, axis=0)", "np.sum(dy)"),
    ("dgamma is summed over everything", "np.sum(dy * xhat, axis=0)", "np.sum(dy * xhat)"),
    ("dgamma is not summed", "np.sum(dy * xhat, axis=0)", "dy * xhat"),
    ("dbeta is not summed", "np.sum(dy, axis=0)", "dy"),
    ("dgamma is summed over the features", "np.sum(dy * xhat, axis=0)", "np.sum(dy * xhat, axis=1)"),
    (90, "swapped", RETURN, "return dx, dbeta, dgamma"),
    ("another order", RETURN, "return dgamma, dbeta, dx"),
    ("returns 2 values", RETURN, "return dgamma, dbeta"),
    ("returns None", RETURN, "pass"),
    (30, "layer norm", "mu = x.mean(axis=0)", "mu = x.mean(axis=1, keepdims=True)", "np.mean(xmu**2, axis=0)", "np.mean(xmu**2, axis=1, keepdims=True)", "np.sum(d, axis=0) / N", "d.mean(1, keepdims=True)", "np.sum(d * xhat, axis=0) / N", "(d * xhat).mean(1, keepdims=True)"),
    (28, "changes its input x", "xmu = x - mu", "x -= mu\n    xmu = x"),
    ("changes its input dy", "d = gamma * dy", "dy *= gamma\n    d = dy"),
    ("Everywhere it is -1 times", DX, "-(d - m1 - xhat * m2) / s"),
    ("wrong on x of shape", DX, "(d - m1 - xhat * m2) / s * 1.001"),
    ("rounded to float32", "mu = x.mean(axis=0)", "x = x.astype('f4')\n    mu = x.mean(axis=0)"),
    (15, "the default is 1e-5", "1e-5", "1e-3"),
    ("It raises TypeError on x", "d, axis=0) / N", "d, axes=0) / N"),
    (5, "all of x at once", "np.mean(xmu**2, axis=0)", "np.mean(xmu**2)"),
    (7, "mean absolute", "np.mean(xmu**2, axis=0)", "np.mean(np.abs(xmu), axis=0)"),
    (7, "mean absolute", "np.mean(xmu**2, axis=0)", "np.mean(np.abs(xmu), axis=0) ** 2"),
    ("standard deviation", "np.mean(xmu**2, axis=0)", "x.std(axis=0)"),
    (10, ("xhat in dgamma is x/s", "mean of x²"), "xmu = x - mu", "xmu = x"),
    # Two mistakes.
    ((r"subtract sum\(d\)", "xhat term of dx has the wrong sign"), "np.sum(d, axis=0) / N", "d.sum(0)", DX, "(d - m1 + xhat * m2) / s"),
    ((r"term − mean\(d\) is missing", "not divided by s"), DX, "d - xhat * m2"),
    (("gamma is missing", "twice"), "d = gamma * dy", "d = dy", DX, "(d - m1 - 2 * xhat * m2) / s"),
    ((r"term − xhat·mean\(d·xhat\) is missing", "divided by s²"), DX, "(d - m1) / s**2"),
    (("dgamma is a mean", "divided by N − 1"), "np.sum(dy * xhat, axis=0)", "np.mean(dy * xhat, axis=0)", "np.mean(xmu**2, axis=0)", "x.var(axis=0, ddof=1)"),
    DEFAULT,
    *filled(EPS, v="var"),
    *made_of_dx("0"),
]

# Convolutions

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
STATISTICS = ("x.mean(axis=axes", "x.mean(axis=pixels", "np.mean(xmu**2, axis=axes", "np.mean(xmu**2, axis=pixels")
MEANS = ("np.sum(d, axis=axes, keepdims=True) / M", "d.mean(pixels, keepdims=True)", "np.sum(d * xhat, axis=axes, keepdims=True) / M", "(d * xhat).mean(pixels, keepdims=True)")


def pixels(expression):
    return ("shape = [1]", f"pixels = {expression}\n    shape = [1]")


WRONG_CONVOLUTIONAL = [
    (93, "instance norm", *pixels("tuple(i for i in range(x.ndim) if i not in (0, axis))"), *STATISTICS, *MEANS),
    (93, "instance norm", *pixels("(2, 3)"), *STATISTICS, *MEANS),
    (93, "instance norm", *pixels("(2, 3)"), *STATISTICS),
    (93, "means in dx are over the pixels", *pixels("tuple(i for i in range(x.ndim) if i not in (0, axis))"), *MEANS),
    (93, "means in dx are over the pixels", *pixels("(2, 3)"), *MEANS),
    (94, r"always reduce over axes \(0, 2, 3\)", AXES, "(0, 2, 3)"),
    (94, "always reduce over", "axis = axis % x.ndim", "axis = 1"),
    ("always take the last axis", "axis = axis % x.ndim", "axis = x.ndim - 1"),
    (96, "summed over the samples only", "np.sum(dy, axis=axes)", "dy.sum(axis=0)", "np.sum(dy * xhat, axis=axes)", "np.sum(dy * xhat, axis=0)"),
    (96, "summed over the samples only", "np.sum(dy * xhat, axis=axes)", "np.sum(dy * xhat, axis=0)"),
    (96, "samples only", *pixels("(0,)"), *STATISTICS, *MEANS),
    ("means in dx are over the samples only", *pixels("(0,)"), *MEANS),
    ("means in dx are divided by N. A channel", "x.size // gamma.size", "len(x)"),
    (73, "You subtract sums", "x.size // gamma.size", "1"),
    ("not lined up", "g = gamma.reshape(shape)", "g = gamma"),
    ("The channels are on axis -1 there", "axis = axis % x.ndim", ""),
    (86, "left over from `keepdims", "np.sum(dy * xhat, axis=axes)", "np.sum(dy * xhat, axis=axes, keepdims=True)", "np.sum(dy, axis=axes)", "np.sum(dy, axis=axes, keepdims=True)"),
    (70, "gamma·dy/s only", DX, "d / s"),
    (71, r"term − mean\(d\)", DX, "(d - xhat * m2) / s"),
    (72, r"term − xhat·mean", DX, "(d - m1) / s"),
    (74, "gamma is missing", "d = g * dy", "d = dy"),
    (75, "not divided by s", DX, "d - m1 - xhat * m2"),
    (77, "wrong sign", DX, "(d - m1 + xhat * m2) / s"),
    (79, "x − mu where", "(d * xhat,", "(d * xmu,", DX, "(d - m1 - xmu * m2) / s"),
    (81, "twice", DX, "(d - m1 - 2 * xhat * m2) / s"),
    (82, "eps is missing", "np.sqrt(var + eps)", "np.sqrt(var)"),
    (84, "dgamma is a mean", "np.sum(dy * xhat, axis=axes)", "np.mean(dy * xhat, axis=axes)"),
    (85, "dbeta is a mean", "np.sum(dy, axis=axes)", "np.mean(dy, axis=axes)"),
    (87, r"dy·\(x − mu\)", "np.sum(dy * xhat, axis=axes)", "np.sum(dy * xmu, axis=axes)"),
    (90, "swapped", RETURN, "return dx, dbeta, dgamma"),
    (1, "divided by N − 1", "np.mean(xmu**2, axis=axes, keepdims=True)", "x.var(axis=axes, ddof=1, keepdims=True)"),
    ("It raises ValueError", "g = gamma.reshape(shape)", "n, c, h, w = x.shape; g = gamma.reshape(shape)"),
    ("not contiguous", "axis = axis % x.ndim", "axis = axis % x.ndim\n    x = x.ravel('K').reshape(x.shape)"),
    (2, "mean of x²", "np.mean(xmu**2, axis=axes, keepdims=True)", "np.mean(x**2, axis=axes, keepdims=True)"),
    (3, "loses its digits", "np.mean(xmu**2, axis=axes, keepdims=True)", "np.abs(np.mean(x**2, axis=axes, keepdims=True) - mu * mu)"),
    (4, "is a sum", "np.mean(xmu**2, axis=axes, keepdims=True)", "np.sum(xmu**2, axis=axes, keepdims=True)"),
    (5, "all of x at once", "np.mean(xmu**2, axis=axes, keepdims=True)", "x.var()"),
    (7, "mean absolute", "np.mean(xmu**2, axis=axes, keepdims=True)", "np.mean(np.abs(xmu), axis=axes, keepdims=True) ** 2"),
    (15, "fixed number", "np.sqrt(var + eps)", "np.sqrt(var + 1e-3)"),
    (16, "fixed number", "np.sqrt(var + eps)", "np.sqrt(var + 1e-12)"),
    (18, "square root is missing", "np.sqrt(var + eps)", "(var + eps)"),
    (28, "changes its input x", "xmu = x - mu", "x -= mu\n    xmu = x"),
    (28, "changes its input dy", "d = g * dy", "dy *= g\n    d = dy"),
    (30, "layer norm", AXES, "tuple(range(1, x.ndim))"),
    (31, "gamma is a column", "g = gamma.reshape(shape)", "g = gamma[:, None]"),
    ("The channels are on axis -1 there", "g = gamma.reshape(shape)", "g = gamma[:, None, None]"),
    (73, r"subtract sum\(d\)", "np.sum(d, axis=axes, keepdims=True) / M", "np.sum(d, axis=axes, keepdims=True)"),
    (74, "missing from the last term", "np.sum(d * xhat, axis=axes, keepdims=True) / M", "dgamma.reshape(shape) / M"),
    (86, "keepdims", "np.sum(dy, axis=axes)", "np.sum(dy, axis=axes, keepdims=True)"),
    # Two mistakes.
    (("gamma is missing", "wrong sign"), "d = g * dy", "d = dy", DX, "(d - m1 + xhat * m2) / s"),
    (("divided by N. A channel", "not divided by s"), "x.size // gamma.size", "len(x)", DX, "d - m1 - xhat * m2"),
    DEFAULT,
    *filled(EPS, v="var"),
    *made_of_dx("axes"),
]
WRONG_FLATTENED = [
    (91, r"reshape\(-1, C\)` alone",),
]
WRONG_BY_ROWS = [
    (91, r"reshape\(C, -1\)` alone",),
]
WRONG_MOVED = [
    (r"still on the last axis, which.*`np.moveaxis\(dx, -1, axis\)`", "np.moveaxis(dx.reshape(moved.shape), -1, axis)", "dx.reshape(x.shape)"),
    (r"channels of dx are still on the last axis\.", "np.moveaxis(dx.reshape(moved.shape), -1, axis)", "dx.reshape(moved.shape)"),
]
WRONG_MOVED_FIRST = [
    (r"still on the first axis, which.*`np.moveaxis\(dx, 0, axis\)`", "np.moveaxis(dx.reshape(moved.shape), 0, axis)", "dx.reshape(x.shape)"),
    (r"channels of dx are still on the first axis\.", "np.moveaxis(dx.reshape(moved.shape), 0, axis)", "dx.reshape(moved.shape)"),
]
WRONG_NCHW = [
    (94, r"always reduce over axes \(0, 2, 3\)",),
]

# The graph

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
WRONG_STAGED = [
    (85, "dbeta is a mean", "dy.sum(axis=0)", "dy.mean(axis=0)"),
    (90, "swapped", 'g["dbeta"]', 'g["dXX"]', 'g["dgamma"]', 'g["dbeta"]', 'g["dXX"]', 'g["dgamma"]'),
    (84, "Right so far: dbeta. dgamma is a mean", "(dy * xhat).sum(axis=0)", "(dy * xhat).mean(axis=0)"),
    (86, "left over from `keepdims", "(dy * xhat).sum(axis=0)", "(dy * xhat).sum(axis=0, keepdims=True)"),
    (87, r"dy·\(x − mu\)", "(dy * xhat).sum", "(dy * c).sum"),
    (82, "eps is missing", "np.sqrt(v + eps)", "np.sqrt(v)"),
    (1, "divided by N − 1", "q.mean(axis=0)", "q.sum(axis=0) / (N - 1)"),
    (4, "1/N is missing", "q.mean(axis=0)", "q.sum(axis=0)"),
    (74, "dxhat is dy itself", "gamma * dy", "dy"),
    (31, r"gamma\[:, None\]", "gamma * dy", "gamma[:, None] * dy"),
    ("dy/gamma", "gamma * dy", "dy / gamma"),
    ("divided by s already", "gamma * dy", "gamma * dy / s"),
    ("ds has the wrong sign", DS, "(dxhat * c).sum(axis=0) / s**2"),
    ("ds is a mean", DS, "-(dxhat * c).mean(axis=0) / s**2"),
    ("ds is not summed", DS, "(-dxhat * c / s**2)"),
    ("ds is not summed", DS, "(dxhat * c / s**2)"),
    ("ds is summed over everything", DS, "-(dxhat * c / s**2).sum()"),
    ("divided by s once", DS, "-(dxhat * c).sum(axis=0) / s"),
    ("one division by s too many", DS, "-(dxhat * xhat).sum(0) / s**2"),
    ("gradient of 1/s", DS, "(dxhat * c).sum(axis=0)"),
    ("missing from ds", DS, "-(dxhat * c).sum(axis=0) / v"),
    ("ds uses x", DS, "-(dxhat * x).sum(axis=0) / s**2"),
    ("ds is made of dy", DS, "-(dy * c).sum(axis=0) / s**2"),
    ("left over from `keepdims", DS, "-(dxhat * c).sum(axis=0, keepdims=True) / s**2"),
    ("1/2 is missing from dv", DV, "ds / s"),
    ("dv has the wrong sign.*books", DV, "-ds / (2 * s)"),
    ("wrong sign and lacks", DV, "-ds / s"),
    ("ds times 2s", DV, "ds * 2 * s"),
    ("ds·s/2", DV, "ds / 2 * s"),
    ("dv is ds/2;", DV, "0.5 * ds"),
    ("belongs to 1/s", DV, "ds * -0.5 * (v + eps) ** -1.5"),
    ("missing from dv", DV, "ds / (2 * np.sqrt(v))"),
    ("with the root", DV, "ds / (2 * (v + eps))"),
    ("1/N is missing from dq", DQ, "dv + 0 * q"),
    ("1/N is missing from dq", DQ, "dv"),
    ("dq is divided by the number", DQ, "dv / D + 0 * q"),
    ("dq is divided by N − 1", DQ, "dv / (N - 1) + 0 * q"),
    ("goes on to c", DQ, "2 * c * dv / N"),
    ("lacks the path through the variance", DC, "dxhat / s"),
    ("dc lacks the direct path", DC, "2 * c * dq"),
    ("The 2 is missing", DC, "dxhat / s + c * dq"),
    ("Paths that meet always add", DC, "dxhat / s - 2 * c * dq"),
    ("dc uses x where", DC, "dxhat / s + 2 * x * dq"),
    ("dc uses xhat", DC, "dxhat / s + 2 * xhat * dq"),
    ("direct path in dc is not", DC, "dxhat + 2 * c * dq"),
    ("2·dq without c", DC, "dxhat / s + 2 * dq"),
    ("once more", DC, "dxhat / s + 2 * c * dq / N"),
    ("dmu has the wrong sign", DMU, "dc.sum(axis=0)"),
    ("dmu is a mean", DMU, "-dc.mean(axis=0)"),
    ("dmu is a mean", DMU, "dc.mean(axis=0)"),
    ("dmu is not summed", DMU, "-dc"),
    ("dmu is summed over everything", DMU, "-dc.sum()"),
    ("dmu is not divided by s", DMU, "-dxhat.sum(axis=0)"),
    ("left over from `keepdims", DMU, "-dc.sum(axis=0, keepdims=True)"),
    ("dx lacks the path through the mean", DX_STAGED, "dc"),
    ("dx lacks the direct", DX_STAGED, "dmu / N + 0 * dc"),
    ("1/N is missing from the mean's path", DX_STAGED, "dc + dmu"),
    ("dx subtracts", DX_STAGED, "dc - dmu / N"),
    ("dmu is divided by the number", DX_STAGED, "dc + dmu / D"),
    ("dmu is divided by N − 1", DX_STAGED, "dc + dmu / (N - 1)"),
    ("starts from dxhat/s", DX_STAGED, "dxhat / s + dmu / N"),
    ("Right so far: .*dmu.*dx is wrong", DX_STAGED, "dc + dmu / N + 1"),
    ("Right so far: dbeta, dgamma. Next: dxhat", 'g["dxhat"]', "return g\n    h"),
    ("dictionary of gradients", "return g", "pass"),
    ("one tuple", "return g", "return dx, dgamma, dbeta"),
    ("holds 'dvar'", 'g["dv"]', 'g["dvar"]'),
    (28, "changes its input x", "c = x - mu", "x -= mu; c = x"),
    (2, "mean of x²", "q = c * c", "q = x * x"),
    (3, "large: mean", "q.mean(axis=0)", "np.abs((x * x).mean(axis=0) - mu * mu)"),
    (5, "all of x at once", "q.mean(axis=0)", "q.mean()"),
    (7, "mean absolute", "q = c * c", "q = np.abs(c)"),
    (10, "xhat in dgamma is x/s", "xhat = c / s", "xhat = x / s"),
    (15, "fixed number", "np.sqrt(v + eps)", "np.sqrt(v + 1e-3)"),
    (15, "eps is 1e-3 where none is given", "eps=1e-5", "eps=1e-3"),
    (16, "fixed number", "np.sqrt(v + eps)", "np.sqrt(v + 1e-12)"),
    (18, "square root is missing", "np.sqrt(v + eps)", "v + eps"),
    (28, "changes its input dy", "dxhat = gamma * dy", "dxhat = dy; dy *= gamma"),
    (30, "layer norm", "x.mean(axis=0)", "x.mean(axis=1, keepdims=True)", "q.mean(axis=0)", "q.mean(axis=1, keepdims=True)"),
    (86, "left over from `keepdims", "dy.sum(axis=0)", "dy.sum(axis=0, keepdims=True)"),
    ("dgamma has a factor gamma", "(dy * xhat).sum(axis=0)", "(gamma * dy * xhat).sum(axis=0)"),
    # Two mistakes: the first node is named first.
    ("dbeta is a mean", "(dy * xhat).sum", "(dy * c).mean", "dy.sum", "dy.mean"),
    *filled(EPS, v="v"),
]

# Evaluation mode

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
WRONG_EVALUATION = [
    (65, "training formula", "d / s", PROJECTED),
    (65, "training formula", "d / s", "(d - d.mean(0) - z * (d * z).mean(0)) / s", "d = gamma", "z = (x - x.mean(0)) / s\n    d = gamma"),
    (65, "These are the training gradients", "running_var + eps", "x.var(0) + eps", "x - running_mean", "x - x.mean(0)", "d / s", PROJECTED),
    (r"mean\(d\) is subtracted", "d / s", "(d - d.mean(0)) / s"),
    (r"xhat·mean\(d·xhat\) is subtracted", "d / s", "(d - xhat * (d * xhat).mean(0)) / s"),
    (56, "the batch's mean and variance|training gradients", "running_var + eps", "x.var(0) + eps", "x - running_mean", "x - x.mean(0)"),
    ("mean in xhat is the batch's", "x - running_mean", "x - x.mean(0)"),
    (57, "variance is the batch's", "running_var + eps", "x.var(0) + eps"),
    ("xhat in dgamma is that of the batch", "dy * xhat", "dy * (x - x.mean(0)) / np.sqrt(x.var(0) + eps)"),
    (46, "running_mean and running_var are swapped", "running_var + eps", "running_mean + eps", "x - running_mean", "x - running_var"),
    (59, "square root", "np.sqrt(running_var + eps)", "running_var + eps"),
    ("square root", "d / s", "d / s**2"),
    (60, "eps is missing", "running_var + eps", "running_var"),
    ("fixed number", "running_var + eps", "running_var + 1e-5"),
    (74, "gamma is missing", "d = gamma * dy", "d = dy"),
    (31, r"gamma\[:, None\]|It raises", "gamma * dy", "gamma[:, None] * dy"),
    (75, "not divided by the standard", "d / s", "d"),
    ("multiplied by the standard", "d / s", "d * s"),
    (84, "dgamma is a mean", "np.sum(dy * xhat, axis=0)", "(dy * xhat).mean(0)"),
    (85, "dbeta is a mean", "np.sum(dy, axis=0)", "dy.mean(0)"),
    (86, "left over from `keepdims", "np.sum(dy * xhat, axis=0)", "(dy * xhat).sum(0, keepdims=True)"),
    (87, r"dy·\(x − mu\)", "dy * xhat", "dy * (x - running_mean)"),
    (r"sum of dy·x\.", "dy * xhat", "dy * x"),
    (90, "swapped", RETURN, "return dx, dbeta, dgamma"),
    ("another order", RETURN, "return dgamma, dbeta, dx"),
    ("dgamma is zero", "np.sum(dy * xhat, axis=0)", "np.zeros_like(gamma)"),
    ("dbeta is zero", "np.sum(dy, axis=0)", "np.zeros_like(gamma)"),
    ("dgamma is None", RETURN, "return dx, None, None"),
    (28, "changes its input x", "xhat =", "x -= running_mean\n    xhat ="),
    DEFAULT,
    *filled(EPS, v="running_var"),
    *made_of_dx("0"),
    (10, "xhat in dgamma is x/s", "x - running_mean", "x"),
    (15, "fixed number", "running_var + eps", "running_var + 1e-3"),
    (15, "eps is 1e-3 where none is given", "eps=1e-5", "eps=1e-3"),
    (16, "fixed number", "running_var + eps", "running_var + 1e-12"),
    (28, "changes its input dy", "d = gamma * dy", "dy *= gamma\n    d = dy"),
    (30, "layer norm", "x - running_mean", "x - x.mean(1, keepdims=True)", "running_var + eps", "x.var(1, keepdims=True) + eps"),
    (86, "keepdims", "np.sum(dy, axis=0)", "np.sum(dy, axis=0, keepdims=True)"),
    (r"multiplied by N/\(N − 1\)", "running_var + eps", "running_var * len(x) / np.float64(len(x) - 1) + eps"),
    ("dgamma has a factor gamma", "np.sum(dy * xhat, axis=0)", "np.sum(gamma * dy * xhat, axis=0)"),
]

# The gradient checker

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
WRONG_NUMERICAL = [
    ("forward difference", "x[i] = old - h", "x[i] = old", "(2 * h)", "h"),
    ("backward difference", "x[i] = old + h", "x[i] = old", "(2 * h)", "h"),
    ("Only one side", "x[i] = old - h", "x[i] = old"),
    ("You divide by h", "(2 * h)", "h"),
    ("divides by 2 and then multiplies", "/ (2 * h)", "/ 2 * h"),
    ("division by 2h is missing", " / (2 * h)", ""),
    ("sign is wrong", "up - down", "down - up"),
    ("dy is ignored", "up = np.sum(f(x) * dy)", "up = np.sum(f(x))", "down = np.sum(f(x) * dy)", "down = np.sum(f(x))"),
    ("loss is a mean", "up = np.sum(f(x) * dy)", "up = np.mean(f(x) * dy)", "down = np.sum(f(x) * dy)", "down = np.mean(f(x) * dy)"),
    ("changes its input x.*not exactly x", "    x[i] = old\n", "    pass\n"),
    ("changes its input x.*not exactly x", "x[i] = old + h", "x[i] += h", "x[i] = old - h", "x[i] -= 2 * h", "x[i] = old\n", "x[i] += h\n"),
    ("not put back", "grad = np", "x = x.copy()\n    grad = np", "    x[i] = old\n", "    pass\n"),
    ("argument h is ignored", "grad = np", "h = 1e-5\n    grad = np"),
    ("argument h is ignored|is wrong", "grad = np", "h = 1e-15\n    grad = np"),
    ("argument h is ignored", "grad = np", "h = 1e-3\n    grad = np"),
    ("changes its input x.*a row", "np.ndindex(x.shape)", "range(len(x))"),
    ("both losses are the same number.*not computed again", "down = np.sum(f(x) * dy)", "down = up"),
    ("both losses are the same number.*once for x", "grad = np", "y = f(x)\n    grad = np", "up = np.sum(f(x) * dy)", "up = np.sum(y * dy)", "down = np.sum(f(x) * dy)", "down = np.sum(y * dy)"),
    ("None", "return grad", "pass"),
]
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
WRONG_RAVELLED = [
    ("^(?!.*not computed again).*may be copies", "{method}", "ravel()"),
    ("^(?!.*not computed again).*may be copies", "{method}", "reshape(-1)"),
    (("may be copies", "not computed again"), "{method}", "flatten()"),
]

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
ENTRIES = (TOP, "top = np.abs(a - n)", BOTTOM, "np.maximum(np.abs(a) + np.abs(n), 1e-300)", "if bottom == 0", "if np.all(bottom == 0)")
WRONG_ERROR = [
    ("0/0 gives nan", "if bottom == 0:\n        return 0.0", "pass"),
    ("error is 0", "return 0.0", "return 1.0"),
    ("broadcast", "if np.shape(a) != np.shape(n):\n        return np.inf", "pass"),
    (r"number of axes only.*\(1, D\) and \(N, D\)", "np.shape(a) != np.shape(n)", "np.ndim(a) != np.ndim(n)"),
    ("number of entries only", "np.shape(a) != np.shape(n)", "np.size(a) != np.size(n)"),
    ("compare the lengths only", "np.shape(a) != np.shape(n)", "len(a) != len(n)"),
    ("compare the lengths only", "np.shape(a) != np.shape(n)", "np.shape(a)[:1] != np.shape(n)[:1]"),
    ("wait for NumPy to raise", "if np.shape(a) != np.shape(n):\n        return np.inf", "try: a - n\n    except ValueError: return np.inf"),
    (r"raises ValueError on shapes \(3,\) and \(4,\).*return `np.inf` if they", "np.shape(a) != np.shape(n)", "np.shape(a) != np.shape(n) != (4,)"),
    (r"raises ValueError on shapes.*compare the shapes first|an answer, not an", "np.shape(a) != np.shape(n)", "np.shape(n) in [(5,), ()]", TOP, "if np.shape(a) != np.shape(n): raise ValueError('shapes')\n    " + TOP),
    ("tolerance in disguise", BOTTOM, BOTTOM + " + 1e-8"),
    ("tolerance in disguise", BOTTOM, f"max(1e-8, {BOTTOM})"),
    ("tolerance in disguise", BOTTOM, BOTTOM + " + 1e-6"),
    ("largest over the entries", *ENTRIES, "top / bottom", "np.max(top / bottom)"),
    ("mean over the entries", *ENTRIES, "top / bottom", "np.mean(top / bottom)"),
    ("absolute error", "top / bottom", "top"),
    ("absolute error", TOP, "top = np.max(np.abs(a - n))", "top / bottom", "top"),
    ("one of the two only", BOTTOM, "np.linalg.norm(n)"),
    ("one of the two only", BOTTOM, "np.linalg.norm(n)", "if bottom == 0:\n        return 0.0", "pass"),
    ("one of the two only", BOTTOM, "np.linalg.norm(a)"),
    ("larger norm", BOTTOM, "max(np.linalg.norm(a), np.linalg.norm(n))"),
    ("‖a \\+ n‖", BOTTOM, "np.linalg.norm(a + n)"),
    ("keep their signs", TOP, "top = np.sum(a - n)", BOTTOM, "np.sum(np.abs(a) + np.abs(n))"),
    ("keep their signs", TOP, "top = np.sum(a - n)", BOTTOM, "np.sum(a + n)"),
    ("keep their signs", *ENTRIES[2:], TOP, "top = a - n", "top / bottom", "np.max(top / bottom)"),
    ("lengths of the two", TOP, "top = abs(np.linalg.norm(a) - np.linalg.norm(n))"),
    ("Those are squares", TOP, "top = np.sum((a - n) ** 2)", BOTTOM, "np.sum(a**2) + np.sum(n**2)"),
    ("another size", TOP, "top = np.max(np.abs(a - n))", BOTTOM, "np.max(np.abs(a)) + np.max(np.abs(n))"),
    ("largest over the entries", *ENTRIES[:2], BOTTOM, "np.maximum(1e-8, np.abs(a) + np.abs(n))", "if bottom == 0:\n        return 0.0", "pass", "if np.shape(a) != np.shape(n):\n        return np.inf", "pass", "top / bottom", "np.max(top / bottom)"),
    ("absolute error", "if np.shape(a) != np.shape(n):\n        return np.inf", "pass", "if bottom == 0:\n        return 0.0", "pass", "top / bottom", "top"),
    ("has shape", "top / bottom", "np.abs(a - n) / bottom"),
    ("wrong on", "top / bottom", "top / bottom < 1e-6"),
]

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
WRONG_DETECTOR = [
    ("dy is the same everywhere", "dy = rng.normal(size=(N, D))", "dy = np.ones((N, D))"),
    ("dy is the same everywhere. Then dx is zero whatever x is, and wrong versions", "dy = rng.normal(size=(N, D))", "dy = np.ones((N, D))", "far(dx, nx) < tolerance", "np.allclose(dx, nx, atol=1e-6)", "far(dgamma, ng) < tolerance", "np.allclose(dgamma, ng, atol=1e-6)", "far(dbeta, nb) < tolerance", "np.allclose(dbeta, nb, atol=1e-6)"),
    ("loss sum", "dy = rng.normal(size=(N, D))", "dy = norm(x, np.ones(D), np.zeros(D), 1e-5)", "eps, tolerance = 6, 3, 0.1", "eps, tolerance = 6, 3, 1e-5", "far(dx, nx) < tolerance", "np.allclose(dx, nx, atol=1e-3)", "far(dgamma, ng) < tolerance", "np.allclose(dgamma, ng, atol=1e-3)", "far(dbeta, nb) < tolerance", "np.allclose(dbeta, nb, atol=1e-3)"),
    ("without gamma in dx.*shows with gamma other than 1", "gamma = rng.normal(size=D)", "gamma = np.ones(D)"),
    ("shows with an eps that counts", "eps, tolerance = 6, 3, 0.1", "eps, tolerance = 6, 3, 1e-9"),
    ("divides by D.*N other than D", "N, D, eps, tolerance = 6, 3", "N, D, eps, tolerance = 4, 4"),
    ("Do you compare all three", "ok = ok and far(dgamma, ng) < tolerance", "pass", "ok = ok and far(dbeta, nb) < tolerance", "pass"),
    ("its dbeta is off.*compare all three", "ok = ok and far(dbeta, nb) < tolerance", "pass"),
    ("its dx is off.*compare all three", "ok = far(dx, nx) < tolerance", "ok = True"),
    (r"accepts 1 of 20.*off by 0\.1% or so.*tolerance tight", "0.1, 1e-6", "0.1, 1e-2"),
    ("tolerance too tight", "0.1, 1e-6", "0.1, 1e-14"),
    (r"dgamma has shape \(1, D\)\. Its dgamma has another shape|another shape than", "if a.shape != n.shape:\n        return np.inf", "pass"),
    ("never calls it", "rng = np", "return True\n    rng = np"),
    ("never calls it", "rng = np", "return False\n    rng = np"),
    ("x is float32", "x = rng.normal(3.0, 2.0, size=(N, D))", "x = rng.normal(size=(N, D))\n    x = x.astype(np.float32)", "tolerance = 6, 3, 0.1, 1e-6", "tolerance = 6, 3, 0.1, 1e-12"),
    ("same eps", "dy, x, gamma, eps)", "dy, x, gamma)"),
    ("returns None", "return ok", "pass"),
    ("expected True or False", "return ok", "return far(dx, nx)"),
    ("return False", "return ok", "assert ok\n    return True"),
]

WRONG = [
    *wrong("staged", STAGED, WRONG_STAGED),
    *wrong("simplified", SIMPLIFIED, WRONG_SIMPLIFIED),
    *wrong("convolutional", CONVOLUTIONAL, WRONG_CONVOLUTIONAL),
    *wrong("convolutional", FLATTENED, WRONG_FLATTENED),
    *wrong("convolutional", BY_ROWS, WRONG_BY_ROWS),
    *wrong("convolutional", MOVED, WRONG_MOVED),
    *wrong("convolutional", MOVED_FIRST, WRONG_MOVED_FIRST),
    *wrong("convolutional", NCHW, WRONG_NCHW),
    *wrong("evaluation", EVALUATION, WRONG_EVALUATION),
    *wrong("numerical", NUMERICAL, WRONG_NUMERICAL),
    *wrong("numerical", ALL_AT_ONCE, [("all entries of x at once",)]),
    *wrong("numerical", RAVELLED, WRONG_RAVELLED),
    *wrong("error", ERROR, WRONG_ERROR),
    *wrong("detector", DETECTOR, WRONG_DETECTOR),
]

# Right versions, by style

SHORT = {
    "in steps": SIMPLIFIED,
    "loops": """
def batch_norm_backward(dy, x, gamma, eps=1e-5):
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
""",
    "einsum": """
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    n = x.shape[0]
    c = x - np.einsum("nd->d", x) / n
    r = 1 / np.sqrt(np.einsum("nd,nd->d", c, c) / n + eps)
    xhat = np.einsum("nd,d->nd", c, r)
    dgamma, dbeta = np.einsum("nd,nd->d", dy, xhat), np.einsum("nd->d", dy)
    dx = np.einsum("d,nd->nd", gamma * r / n, n * dy - dbeta - xhat * dgamma)
    return dx, dgamma, dbeta
""",
    "stages": """
def batch_norm_backward(dy, x, gamma, eps=1e-5):
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
""",
    "without the path that is zero": """
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    n = len(x)
    xmu = x - x.mean(axis=0)
    var = (xmu * xmu).mean(axis=0)
    dxhat = dy * gamma
    dvar = np.sum(dxhat * xmu, axis=0) * -0.5 * (var + eps) ** -1.5
    dmu = np.sum(-dxhat / np.sqrt(var + eps), axis=0)
    dx = dxhat / np.sqrt(var + eps) + dvar * 2 * xmu / n + dmu / n
    return dx, np.sum(dy * xmu / np.sqrt(var + eps), axis=0), dy.sum(axis=0)
""",
    "Jacobian": """
def batch_norm_backward(dy, x, gamma, eps=1e-5):
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
""",
    "in place, on copies": """
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    x, dx = x.copy(), dy.copy()
    x -= x.mean(axis=0, keepdims=True)
    s = np.sqrt(np.square(x).mean(axis=0, keepdims=True) + eps)
    x /= s
    dgamma, dbeta = (dx * x).sum(0, keepdims=True), dx.sum(0, keepdims=True)
    dx -= dbeta / len(x)
    dx -= x * dgamma / len(x)
    dx *= gamma / s
    return dx, dgamma.reshape(-1), dbeta[0]
""",
    "torch": """
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    import torch
    x, gamma = (torch.tensor(a, requires_grad=True) for a in (x, gamma))
    beta = torch.zeros_like(gamma, requires_grad=True)
    y = torch.nn.functional.batch_norm(
        x, None, None, gamma, beta, training=True, eps=eps
    )
    y.backward(torch.tensor(dy))
    return x.grad, gamma.grad, beta.grad
""",
    "projection": """
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    n = len(x)
    s = np.sqrt(np.var(x, axis=0) + eps)
    xhat = (x - np.mean(x, axis=0)) / s
    centre = np.eye(n) - np.full((n, n), 1 / n)
    d = centre @ (dy * gamma)
    along = np.einsum("nd,nd->d", xhat, d) / n
    return (d - xhat * along) / s, np.diagonal(dy.T @ xhat), dy.T @ np.ones(n)
""",
    "means with keepdims, in a list": """
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    def mean(a):
        return a.mean(axis=0, keepdims=True)

    centred = x - mean(x)
    inv_std = 1 / np.sqrt(mean(centred**2) + eps)
    xhat = centred * inv_std
    dx = gamma * inv_std * (dy - mean(dy) - xhat * mean(dy * xhat))
    return [dx, len(x) * mean(dy * xhat)[0], len(x) * mean(dy)[0]]
""",
}


def wrapped(style, name, code):
    """Return a version that calls another one, under this name, from `code`."""
    return SHORT[style].replace("batch_norm_backward", name) + code


SHORT |= {
    "in float64": wrapped(
        "stages",
        "by_stages",
        """
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    wide = (a.astype(np.float64) for a in (dy, x, gamma))
    return tuple(a.astype(x.dtype) for a in by_stages(*wide, eps))
""",
    ),
    "all in the dtype of x": wrapped(
        "einsum",
        "by_einsum",
        """
def batch_norm_backward(dy, x, gamma, eps=1e-5):
    results = by_einsum(dy, x, gamma, np.asarray(eps, x.dtype))
    assert all(a.dtype == x.dtype for a in results)
    return results
""",
    ),
}
IN_COLUMNS = """

def batch_norm_backward_nd(dy, x, gamma, axis=1, eps=1e-5):
    dy, x = np.moveaxis(dy, axis, -1), np.moveaxis(x, axis, -1)
    columns = [a.reshape(-1, gamma.size) for a in (dy, x)]
    dx, dgamma, dbeta = batch_norm_backward(*columns, gamma, eps)
    return np.moveaxis(np.asarray(dx).reshape(x.shape), -1, axis), dgamma, dbeta
"""
CHANNELS = """


def batch_norm_backward_nd(dy, x, gamma, axis=1, eps=1e-5):
    dx, dgamma, dbeta = np.empty_like(x), np.empty_like(gamma), np.empty_like(gamma)
    for c in range(gamma.size):
        channel = (slice(None),) * (axis % x.ndim) + (c,)
        column = (dy[channel].reshape(-1, 1), x[channel].reshape(-1, 1), gamma[[c]])
        dxc, dgamma[c], dbeta[c] = (
            a.squeeze() for a in batch_norm_backward(*column, eps)
        )
        dx[channel] = dxc.reshape(x[channel].shape)
    return dx, dgamma, dbeta
"""
TORCH_ND = """
def batch_norm_backward_nd(dy, x, gamma, axis=1, eps=1e-5):
    import torch
    x, gamma = (torch.tensor(a, requires_grad=True) for a in (x, gamma))
    beta = torch.zeros_like(gamma, requires_grad=True)
    y = torch.nn.functional.batch_norm(
        x.movedim(axis, 1), None, None, gamma, beta, training=True, eps=eps
    )
    y.backward(torch.tensor(dy).movedim(axis, 1))
    return x.grad, gamma.grad, beta.grad
"""
RIGHT = [
    *right("simplified", SHORT),
    *right("convolutional", {
        "keepdims": CONVOLUTIONAL,
        "moveaxis to the end": MOVED,
        "moveaxis to the front": MOVED_FIRST,
        "channel by channel": SHORT["in place, on copies"] + CHANNELS,
        "torch": TORCH_ND,
        **{f"in columns: {style}": source + IN_COLUMNS for style, source in SHORT.items() if style not in ("loops", "torch")},
    }),
    *right("staged", {
        "in steps": STAGED,
        "dq of shape (D,)": STAGED.replace(DQ, "dv / N"),
        "dq of shape (1, D)": STAGED.replace(DQ, "(dv / N)[None]"),
        "dq tiled": STAGED.replace(DQ, "np.tile(dv / N, (N, 1))"),
        "ds by xhat": STAGED.replace(DS, "-(dxhat * xhat).sum(0) / s"),
        "dmu without the path that is zero": STAGED.replace(DMU, "-(dxhat / s).sum(0)"),
        "columns": """
def batch_norm_backward_staged(dy, x, gamma, eps=1e-5):
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
""",
        "torch": """
def batch_norm_backward_staged(dy, x, gamma, eps=1e-5):
    import torch
    x, gamma = (torch.tensor(a, requires_grad=True) for a in (x, gamma))
    beta = torch.zeros_like(gamma, requires_grad=True)
    mu = x.mean(0)
    c = x - mu
    q = c**2
    v = q.mean(0)
    s = torch.sqrt(v + eps)
    xhat = c / s
    y = gamma * xhat + beta
    names = ("dbeta", "dgamma", "dxhat", "ds", "dv", "dq", "dc", "dmu", "dx")
    nodes = (beta, gamma, xhat, s, v, q, c, mu, x)
    return dict(zip(names, torch.autograd.grad(y, nodes, torch.tensor(dy))))
""",
    }),
    *right("evaluation", {
        "in steps": EVALUATION,
        "loops": """
def batch_norm_eval_backward(dy, x, gamma, running_mean, running_var, eps=1e-5):
    dx, dgamma, dbeta = 0 * x, 0 * gamma, 0 * gamma
    for i, j in np.ndindex(x.shape):
        s = (running_var[j] + eps) ** 0.5
        dx[i, j] = gamma[j] / s * dy[i, j]
        dgamma[j] += dy[i, j] * (x[i, j] - running_mean[j]) / s
        dbeta[j] += dy[i, j]
    return dx, dgamma, dbeta
""",
        "matrices": """
def batch_norm_eval_backward(dy, x, gamma, running_mean, running_var, eps=1e-5):
    r = 1 / np.sqrt(running_var + eps)
    dx = dy @ np.diag(gamma * r)
    dgamma = np.diag(dy.T @ (x - running_mean)) * r
    return dx, dgamma, np.ones(len(x)) @ dy
""",
        "torch": """
def batch_norm_eval_backward(dy, x, gamma, running_mean, running_var, eps=1e-5):
    import torch
    x, gamma = (torch.tensor(a, requires_grad=True) for a in (x, gamma))
    beta = torch.zeros_like(gamma, requires_grad=True)
    statistics = torch.tensor(running_mean), torch.tensor(running_var)
    y = torch.nn.functional.batch_norm(x, *statistics, gamma, beta, eps=eps)
    y.backward(torch.tensor(dy))
    return x.grad, gamma.grad, beta.grad
""",
    }),
    *right("numerical", {
        "in steps": NUMERICAL,
        "on copies": """
def numerical_gradient(f, x, dy, h=1e-5):
    grad = np.empty_like(x)
    it = np.nditer(x, flags=["multi_index"])
    while not it.finished:
        up, down = x.copy(), x.copy()
        up[it.multi_index] += h
        down[it.multi_index] -= h
        grad[it.multi_index] = ((f(up) - f(down)) * dy).sum() / (2 * h)
        it.iternext()
    return grad
""",
        "directions": """
def numerical_gradient(f, x, dy, h=1e-5):
    directions = np.eye(x.size).reshape(x.size, *x.shape)
    loss = lambda a: float(np.vdot(f(a), dy))
    grad = [(loss(x + h * e) - loss(x - h * e)) / 2 / h for e in directions]
    return np.array(grad).reshape(x.shape)
""",
        "flat": """
def numerical_gradient(f, x, dy, h=1e-5):
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
""",
    }),
    *right("error", {
        "in steps": ERROR,
        "flat": """
def gradient_error(a, n):
    if a.shape != n.shape:
        return float("inf")
    length = lambda z: float(np.sqrt(np.sum(z.ravel() ** 2)))
    return length(a - n) / max(length(a) + length(n), 1e-30)
""",
        "guarded by little": """
def gradient_error(a, n):
    if np.ndim(a) != np.ndim(n) or a.shape != n.shape:
        return np.array(np.inf)
    return np.linalg.norm(a - n) / (np.linalg.norm(a) + np.linalg.norm(n) + 1e-12)
""",
    }),
    *right("detector", {
        "in steps": DETECTOR,
    }),
]
# fmt: on
