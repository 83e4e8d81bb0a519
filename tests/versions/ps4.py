"""PS4's versions.

A wrong version is a right one with a line or two edited, as a learner would write it:
``(numbers of the misconception, what the message must say, old, new, ...)``. Nothing
here uses the checks' own knobs.
"""

# ruff: noqa: E501  (a row of a table is a line)

from bnlib.check import alternatives
from versions import filled, right, wrong

CHECKS = alternatives

# fmt: off
# Every exercise with an s; {v} is the name of its variance.
EPS = [
    (16, "eps is missing", "np.sqrt({v} + eps)", "np.sqrt({v})"),
    (11, "eps belongs inside", "np.sqrt({v} + eps)", "np.sqrt({v}) + eps"),
    (18, "square root is missing", "np.sqrt({v} + eps)", "({v} + eps)"),
    (15, "fixed number", "np.sqrt({v} + eps)", "np.sqrt({v} + 1e-3)"),
    (16, "fixed number", "np.sqrt({v} + eps)", "np.sqrt({v} + 1e-12)"),
    ("fixed number", "np.sqrt({v} + eps)", "np.sqrt({v} + 1e-5)"),
    ("only where that is zero", "np.sqrt({v} + eps)", "np.where({v} > 0, np.sqrt({v}), 1)"),
    ("only where that is zero", "np.sqrt({v} + eps)", "np.maximum(np.sqrt({v}), 1e-12)"),
    ("larger of", "np.sqrt({v} + eps)", "np.sqrt(np.maximum({v}, eps))"),
    ("eps is squared", "np.sqrt({v} + eps)", "np.sqrt({v} + eps**2)"),
    ("twice, inside the root and", "np.sqrt({v} + eps)", "np.sqrt({v} + eps) + eps"),
    ("eps is 1e-6 where none is given", "eps=1e-5", "eps=1e-6"),
    ("eps is 1e-3 where none is given", "eps=1e-5", "eps=1e-3"),
]
AFFINE = [
    (21, r"gamma·\(xhat \+ beta\)", "g * xhat + b", "g * (xhat + b)"),
    (22, "gamma is missing: you return xhat", "g * xhat + b", "xhat + b"),
    (23, "beta is missing: you return", "g * xhat + b", "g * xhat"),
    (24, "Neither gamma nor beta", "g * xhat + b", "xhat"),
    ("gamma and beta are swapped", "g * xhat + b", "b * xhat + g"),
    ("beta is subtracted", "g * xhat + b", "g * xhat - b"),
    ("It is x − mu", "c = x - mu", "c = mu - x"),
    ("mean is added", "c = x - mu", "c = x + mu", "c**2", "(x - mu) ** 2"),
    ("do not divide it by s", "c / s", "c"),
    (28, "changes its input x", "c = x - mu", "x -= mu\n    c = x"),
    ("returns None", "return g", "g"),
    ("returns 2 values; expected 1", "return g * xhat + b", "return g * xhat + b, xhat"),
    ("multiply by s", "/ s", "* s"),
]
RETURN = "return dx, dgamma, dbeta"
DX = "(d - m1 - xhat * m2) / s"
# Every backward pass of the form of `LAYER_BACKWARD`.
BACKWARD = [
    (70, "as constants", DX, "d / s"),
    (71, r"term − mean\(d\) is missing", DX, "(d - xhat * m2) / s"),
    (72, r"term − xhat·mean\(d·xhat\) is missing", DX, "(d - m1) / s"),
    (74, "gamma is missing from dx", "d = g * dy", "d = dy"),
    ("first term of dx only", "mean(d)", "mean(dy)", "mean(d * xhat)", "mean(dy * xhat)"),
    ("missing from the last term", "mean(d * xhat)", "mean(dy * xhat)"),
    ("gamma²", DX, f"g * {DX}"),
    (100, "gamma stands outside", "d = g * dy", "d = dy", DX, f"g * {DX}"),
    (75, "not divided by s", DX, "d - m1 - xhat * m2"),
    ("Only the first term", DX, "d / s - m1 - xhat * m2"),
    ("divided by s²", DX, "(d - m1 - xhat * m2) / s**2"),
    ("multiplied by s", DX, "(d - m1 - xhat * m2) * s"),
    (77, "wrong sign", DX, "(d - m1 + xhat * m2) / s"),
    (79, "x − mu where xhat", "mean(d * xhat)", "mean(d * c)", DX, "(d - m1 - c * m2) / s"),
    (81, "twice what", DX, "(d - m1 - 2 * xhat * m2) / s"),
    ("without the xhat in front", DX, "(d - m1 - m2) / s"),
    (90, "swapped", RETURN, "return dx, dbeta, dgamma"),
    ("another order", RETURN, "return dgamma, dbeta, dx"),
    ("returns one ndarray; expected 3", RETURN, "return dx"),
    ("changes its input dy", "d = g * dy", "dy *= g\n    d = dy"),
    ("changes its input x", "c = x - mu", "x -= mu\n    c = x"),
    (87, r"sum of dy·\(x − mu\)", "(dy * xhat).sum", "(dy * c).sum"),
    ("dgamma has a factor gamma", "(dy * xhat).sum", "(g * dy * xhat).sum"),
    ("Everywhere it is -1 times", DX, f"-{DX}"),
    # Two mistakes.
    (("gamma is missing", "wrong sign"), "d = g * dy", "d = dy", DX, "(d - m1 + xhat * m2) / s"),
    ((r"term − mean\(d\) is missing", "not divided by s"), DX, "d - xhat * m2"),
]
VARIANCE = [
    (2, "mean of x², not", "mean(c**2)", "mean(x**2)"),
    (4, "is a sum", "mean(c**2)", "(mean(c**2) * M)"),
    (5, "all of x at once", "mean(c**2)", "x.var()"),
    (7, "mean absolute", "mean(c**2)", "mean(np.abs(c))"),
    ("standard deviation is where", "mean(c**2)", "mean(c**2) ** 0.5"),
    (10, "RMS norm", "c = x - mu", "c = x"),
    (10, "mean is not subtracted: you", "c / s", "x / s"),
    (3, "loses its digits", "mean(c**2)", "np.abs(mean(x**2) - mu**2)"),
]

# 1. Layer norm

LAYER = """
def layer_norm(x, gamma, beta, eps=1e-5):
    M = x.shape[1]
    mean = lambda a: a.mean(axis=1, keepdims=True)
    g, b = gamma, beta
    mu = mean(x)
    c = x - mu
    v = mean(c**2)
    s = np.sqrt(v + eps)
    xhat = c / s
    return g * xhat + b
"""
WRONG_LAYER = [
    ("variance over the batch", "mean(c**2)", "x.var(axis=0)"),
    (103, "That is batch norm", "axis=1", "axis=0"),
    ("serve the whole array", "axis=1, keepdims=True", ""),
    ("Keep the axis", ", keepdims=True", ""),
    (31, r"gamma\[:, None\]", "g, b = gamma, beta", "g, b = gamma[:, None], beta[:, None]"),
    (97, "divided by D − 1", "mean(c**2)", "x.var(axis=1, ddof=1, keepdims=True)"),
    (98, "eps belongs inside", "np.sqrt(v + eps)", "x.std(axis=1, keepdims=True) + eps"),
    *VARIANCE,
    *AFFINE,
    *filled(EPS, v="v"),
    ("rounded to float32", "g, b =", "x = x.astype('f4')\n    g, b ="),
    # Two mistakes.
    (("divided by D − 1", "eps belongs inside"), "np.sqrt(v + eps)", "x.std(axis=1, ddof=1, keepdims=True) + eps"),
    (("batch norm", "beta is missing"), "axis=1", "axis=0", "g * xhat + b", "g * xhat"),
]

LAYER_BACKWARD = """
def layer_norm_backward(dy, x, gamma, eps=1e-5):
    N, M = x.shape
    mean = lambda a: a.mean(axis=1, keepdims=True)
    g = gamma
    mu = mean(x)
    c = x - mu
    v = mean(c**2)
    s = np.sqrt(v + eps)
    xhat = c / s
    dbeta = dy.sum(axis=0)
    dgamma = (dy * xhat).sum(axis=0)
    d = g * dy
    m1 = mean(d)
    m2 = mean(d * xhat)
    dx = (d - m1 - xhat * m2) / s
    return dx, dgamma, dbeta
"""
BOTH_SUMS = ("mean(d)", "d.sum(1, keepdims=True)", "mean(d * xhat)", "(d * xhat).sum(1, keepdims=True)")
WRONG_LAYER_BACKWARD = [
    (r"mean\(d·xhat\) in dx is over the batch", "m2 = mean(d * xhat)", "m2 = (d * xhat).mean(0)"),
    (r"mean\(d\) in dx is over the batch", "m1 = mean(d)", "m1 = d.mean(0)"),
    (99, "batch norm's backward", "axis=1", "axis=0"),
    (99, "means in dx are over the batch", "mean(d)", "d.mean(0)", "mean(d * xhat)", "(d * xhat).mean(0)"),
    (102, "dgamma is summed over the features", "(dy * xhat).sum(axis=0)", "(dy * xhat).sum(axis=1)"),
    (102, "dbeta is summed over the features", "dy.sum(axis=0)", "dy.sum(axis=1)"),
    (102, "dgamma and dbeta are summed over the features|dbeta is summed over the features", "sum(axis=0)", "sum(axis=1)"),
    (73, "You subtract sums", *BOTH_SUMS),
    (73, r"subtract sum\(d\)", "mean(d)", "d.sum(1, keepdims=True)"),
    (73, r"subtract xhat·sum\(d·xhat\)", "mean(d * xhat)", "(d * xhat).sum(1, keepdims=True)"),
    ("divided by N, the number of samples", "mean(d)", "d.sum(1, keepdims=True) / N", "mean(d * xhat)", "(d * xhat).sum(1, keepdims=True) / N"),
    ("means in dx are over everything", "mean(d)", "d.mean()", "mean(d * xhat)", "(d * xhat).mean()"),
    ("Keep the axis", ", keepdims=True", ""),
    (99, "means in dx are over the batch", DX, "g * (dy - dbeta / N - xhat * dgamma / N) / s"),
    (31, r"gamma\[:, None\]", "g = gamma", "g = gamma[:, None]"),
    (84, "dgamma is a mean", "(dy * xhat).sum", "(dy * xhat).mean"),
    (85, "dbeta is a mean", "dy.sum", "dy.mean"),
    (86, "left over from `keepdims", "dy.sum(axis=0)", "dy.sum(axis=0, keepdims=True)"),
    (97, "divided by D − 1", "mean(c**2)", "x.var(axis=1, ddof=1, keepdims=True)"),
    ("means in dx are divided by D − 1", "mean(d)", "d.sum(1, keepdims=True) / (M - 1)", "mean(d * xhat)", "(d * xhat).sum(1, keepdims=True) / (M - 1)"),
    (r"sum of dy·x\.", "(dy * xhat).sum", "(dy * x).sum"),
    *BACKWARD,
    *VARIANCE,
    *filled(EPS, v="v"),
]

# 2 and 3. Group norm

GROUP = """
def group_norm(x, gamma, beta, num_groups, eps=1e-5):
    N, C, H, W = x.shape
    G = num_groups
    M = C // G * H * W
    shape = x.shape
    g, b = gamma.reshape(1, C, 1, 1), beta.reshape(1, C, 1, 1)
    x = x.reshape(N, G, C // G, H, W)
    mean = lambda a: a.mean(axis=(2, 3, 4), keepdims=True)
    mu = mean(x)
    c = x - mu
    v = mean(c**2)
    s = np.sqrt(v + eps)
    xhat = (c / s).reshape(shape)
    return g * xhat + b
"""
SPLIT = "x.reshape(N, G, C // G, H, W)"
WRONG_GROUP = [
    (r"reshape\(N, -1, G\)", SPLIT, "x.reshape(N, -1, G)", "(2, 3, 4)", "1"),
    (r"reshape\(G, -1\)", SPLIT, "x.reshape(G, -1)", "(2, 3, 4)", "1"),
    (93, "That is batch norm", SPLIT, "x", "(2, 3, 4)", "(0, 2, 3)"),
    (107, "That is one group|one group, layer norm", SPLIT, "x", "(2, 3, 4)", "(1, 2, 3)"),
    (107, "that is instance norm", SPLIT, "x", "(2, 3, 4)", "(2, 3)"),
    (104, "every G-th channel", SPLIT, "x.reshape(N, C // G, G, H, W)", "(2, 3, 4)", "(1, 3, 4)"),
    ("number of groups, not their size", SPLIT, "x.reshape(N, C // G, G, H, W)"),
    (107, "wrong way round", "G = num_groups", "G = {1: C, C: 1}.get(num_groups, num_groups)"),
    ("no sample of group norm|over the samples as well", "(2, 3, 4)", "(0, 2, 3, 4)"),
    ("channels of a group only", "(2, 3, 4)", "2"),
    ("layer norm as in a transformer", SPLIT, "x", "(2, 3, 4)", "1"),
    ("reduce over the groups", "(2, 3, 4)", "(1, 3, 4)"),
    (105, "first G of C", "gamma.reshape(1, C, 1, 1), beta.reshape(1, C, 1, 1)", "(a[:G].repeat(C // G).reshape(1, C, 1, 1) for a in (gamma, beta))"),
    (105, "its first channel", "gamma.reshape(1, C, 1, 1), beta.reshape(1, C, 1, 1)", "(a[:: C // G].repeat(C // G).reshape(1, C, 1, 1) for a in (gamma, beta))"),
    ("wrong channels", "gamma.reshape(1, C, 1, 1), beta.reshape(1, C, 1, 1)", "(a.reshape(G, -1).T.reshape(1, C, 1, 1) for a in (gamma, beta))"),
    ("not lined up with the channels", "gamma.reshape(1, C, 1, 1), beta.reshape(1, C, 1, 1)", "gamma, beta"),
    ("divided by M − 1", "mean(c**2)", "(mean(c**2) * M / np.float64(M - 1))"),
    ("It raises ValueError", "reshape(N, G", "reshape(G, N, 2"),
    ("y has shape", "(c / s).reshape(shape)", "c / s", "gamma.reshape(1, C, 1, 1), beta.reshape(1, C, 1, 1)", "gamma.reshape(1, G, -1, 1, 1), beta.reshape(1, G, -1, 1, 1)"),
    ("not contiguous", SPLIT, "x.ravel('K').reshape(N, G, C // G, H, W)"),
    *VARIANCE,
    *AFFINE,
    *filled(EPS, v="v"),
    # Two mistakes.
    (("every G-th channel", "beta is missing"), SPLIT, "x.reshape(N, C // G, G, H, W)", "(2, 3, 4)", "(1, 3, 4)", "g * xhat + b", "g * xhat"),
]

GROUP_BACKWARD = """
def group_norm_backward(dy, x, gamma, num_groups, eps=1e-5):
    N, C, H, W = x.shape
    G = num_groups
    M = C // G * H * W
    def mean(a):
        view = a.reshape(N, G, C // G, H, W)
        m = view.mean(axis=(2, 3, 4), keepdims=True)
        return (m + 0 * view).reshape(a.shape)
    g = gamma.reshape(1, C, 1, 1)
    mu = mean(x)
    c = x - mu
    v = mean(c**2)
    s = np.sqrt(v + eps)
    xhat = c / s
    dbeta = dy.sum(axis=(0, 2, 3))
    dgamma = (dy * xhat).sum(axis=(0, 2, 3))
    d = g * dy
    m1 = mean(d)
    m2 = mean(d * xhat)
    dx = (d - m1 - xhat * m2) / s
    return dx, dgamma, dbeta
"""
VIEW = "a.reshape(N, G, C // G, H, W)"


def means(expression):
    """Edits that take the means of dx otherwise than the statistics."""
    return ("m1 = mean(d)", f"f = lambda a: {expression}\n    m1 = f(d)", "mean(d * xhat)", "f(d * xhat)")


WRONG_GROUP_BACKWARD = [
    (r"reshape\(N, -1, G\)", VIEW, "a.reshape(N, -1, G)", "(2, 3, 4)", "1"),
    (r"mean\(d·xhat\) in dx is over each channel's", "m2 = mean(d * xhat)", "m2 = (d * xhat).mean((2, 3), keepdims=True)"),
    (r"mean\(d\) in dx is over each channel over", "m1 = mean(d)", "m1 = d.mean((0, 2, 3), keepdims=True)"),
    (93, "That is batch norm", VIEW, "a", "(2, 3, 4)", "(0, 2, 3)"),
    (107, "one group, layer norm", VIEW, "a", "(2, 3, 4)", "(1, 2, 3)"),
    (93, "that is instance norm", VIEW, "a", "(2, 3, 4)", "(2, 3)"),
    (104, "every G-th channel", VIEW, "a.reshape(N, C // G, G, H, W)", "(2, 3, 4)", "(1, 3, 4)"),
    ("number of groups, not their size", VIEW, "a.reshape(N, C // G, G, H, W)"),
    (107, "wrong way round", "G = num_groups", "G = {1: C, C: 1}.get(num_groups, num_groups)"),
    ("over the samples as well", "(2, 3, 4)", "(0, 2, 3, 4)"),
    ("channels of a group only", "(2, 3, 4)", "2"),
    ("Yours: each channel over the batch", *means("a.mean((0, 2, 3), keepdims=True)")),
    ("Yours: each channel's positions", *means("a.mean((2, 3), keepdims=True)")),
    ("Yours: all channels of a sample", *means("a.mean((1, 2, 3), keepdims=True)")),
    (96, "summed over the samples only", "dy.sum(axis=(0, 2, 3))", "dy.sum(0)", "(dy * xhat).sum(axis=(0, 2, 3))", "(dy * xhat).sum(0)"),
    ("summed over the positions only", "sum(axis=(0, 2, 3))", "sum(axis=(2, 3))"),
    ("summed over each sample", "sum(axis=(0, 2, 3))", "sum(axis=(1, 2, 3))"),
    (105, "dbeta has shape|It raises ValueError", "dy.sum(axis=(0, 2, 3))", "dy.reshape(N, G, -1).sum((0, 2))"),
    (73, "You subtract sums", "mean(d)", "M * mean(d)", "mean(d * xhat)", "M * mean(d * xhat)"),
    ("divided by N. The values", "mean(d)", "M * mean(d) / N", "mean(d * xhat)", "M * mean(d * xhat) / N"),
    ("not lined up with the channels", "g = gamma.reshape(1, C, 1, 1)", "g = gamma"),
    (84, "dgamma is a mean", "(dy * xhat).sum", "(dy * xhat).mean"),
    (85, "dbeta is a mean", "dy.sum", "dy.mean"),
    (86, "left over from `keepdims", "dy.sum(axis=(0, 2, 3)", "dy.sum(axis=(0, 2, 3), keepdims=True"),
    ("divided by M − 1", "mean(c**2)", "(mean(c**2) * M / np.float64(M - 1))"),
    *BACKWARD,
    *VARIANCE,
    *filled(EPS, v="v"),
]

# 4. RMS norm

RMS = """
def rms_norm(x, gamma, eps=1e-5):
    D = x.shape[1]
    q = np.mean(x**2, axis=1, keepdims=True)
    s = np.sqrt(q + eps)
    xhat = x / s
    return gamma * xhat
"""
Q = "np.mean(x**2, axis=1, keepdims=True)"
MEAN = "x.mean(1, keepdims=True)"
RMS_STATISTICS = [
    (109, "layer norm", "q =", f"x = x - {MEAN}\n    q ="),
    (109, "standard deviation, in which the mean", Q, "x.var(axis=1, keepdims=True)"),
    (109, "subtracted from x before", "xhat = x / s", f"xhat = (x - {MEAN}) / s"),
    (110, "eps belongs inside", "np.sqrt(q + eps)", "q**0.5 + eps"),
    (112, "length of x", Q, "np.sum(x**2, axis=1, keepdims=True)"),
    (112, r"length of x", "np.sqrt(q + eps)", "np.linalg.norm(x, axis=1, keepdims=True)"),
    ("divided by D − 1", Q, "np.sum(x**2, axis=1, keepdims=True) / (D - 1)"),
    ("root is taken twice", Q, "np.sqrt(np.mean(x**2, axis=1, keepdims=True))"),
    ("mean of |x|", Q, "np.mean(np.abs(x), axis=1, keepdims=True)"),
    ("mean of |x|", Q, "np.mean(np.abs(x), axis=1, keepdims=True) ** 2"),
    ("square after taking the mean", Q, f"{MEAN} ** 2"),
    ("x is not squared", Q, MEAN),
    ("all of x at once", Q, "np.mean(x**2)"),
    ("Keep the axis", Q, "np.mean(x**2, axis=1)"),
]
WRONG_RMS = [
    ("so small that it counts only there", "np.sqrt(q + eps)", "np.sqrt(q + np.finfo(x.dtype).eps)"),
    *RMS_STATISTICS,
    ("feature over the batch", "axis=1", "axis=0"),
    (22, "gamma is not applied", "gamma * xhat", "xhat"),
    (31, r"gamma\[:, None\]", "gamma * xhat", "gamma[:, None] * xhat"),
    ("returns None", "return gamma", "gamma"),
    ("changes its input x", "xhat = x / s", "x /= s\n    xhat = x"),
    ("changes its input gamma", "return gamma * xhat", "gamma *= xhat[0]\n    return gamma"),
    ("It raises TypeError", "q =", "x.mean(axes=1)\n    q ="),
    ("multiply by s", "x / s", "x * s"),
    *filled(EPS, v="q"),
    # Two mistakes.
    (("layer norm", "gamma is not applied"), "q =", f"x = x - {MEAN}\n    q =", "gamma * xhat", "xhat"),
]

RMS_BACKWARD = """
def rms_norm_backward(dy, x, gamma, eps=1e-5):
    N, D = x.shape
    q = np.mean(x**2, axis=1, keepdims=True)
    s = np.sqrt(q + eps)
    xhat = x / s
    dgamma = np.sum(dy * xhat, axis=0)
    d = gamma * dy
    m = np.mean(d * xhat, axis=1, keepdims=True)
    dx = (d - xhat * m) / s
    return dx, dgamma
"""
RMS_DX = "(d - xhat * m) / s"
RMS_M = "np.mean(d * xhat, axis=1, keepdims=True)"
WRONG_RMS_BACKWARD = [
    (111, r"mean\(d\) is subtracted in dx", RMS_DX, "(d - d.mean(1, keepdims=True) - xhat * m) / s"),
    (111, "layer norm's backward", "q =", f"x = x - {MEAN}\n    q =", RMS_DX, "(d - d.mean(1, keepdims=True) - xhat * m) / s"),
    (70, "as constants|as a constant", RMS_DX, "d / s"),
    ("over the batch, axis 0", RMS_M, "np.mean(d * xhat, axis=0)"),
    ("over the batch, axis 0", "axis=1", "axis=0"),
    (73, r"subtract xhat·sum", RMS_M, "np.sum(d * xhat, axis=1, keepdims=True)"),
    ("divided by N", RMS_M, "np.sum(d * xhat, axis=1, keepdims=True) / N"),
    (100, "gamma stands outside", "d = gamma * dy", "d = dy", RMS_DX, f"gamma * {RMS_DX}"),
    (74, "gamma is missing from dx", "d = gamma * dy", "d = dy"),
    ("first term of dx only", "d * xhat", "dy * xhat"),
    ("gamma²", RMS_DX, f"gamma * {RMS_DX}"),
    (75, "not divided by s", RMS_DX, "d - xhat * m"),
    ("Only the first term", RMS_DX, "d / s - xhat * m"),
    ("divided by s²", RMS_DX, "(d - xhat * m) / s**2"),
    ("multiplied by s", RMS_DX, "(d - xhat * m) * s"),
    (77, "wrong sign", RMS_DX, "(d + xhat * m) / s"),
    (79, "uses x where xhat", RMS_M, "np.mean(d * x, axis=1, keepdims=True)", RMS_DX, "(d - x * m) / s"),
    (81, "twice", RMS_DX, "(d - 2 * xhat * m) / s"),
    ("half of what", RMS_DX, "(d - 0.5 * xhat * m) / s"),
    ("without the xhat in front", RMS_DX, "(d - m) / s"),
    (84, "dgamma is a mean", "np.sum(dy * xhat, axis=0)", "np.mean(dy * xhat, axis=0)"),
    (86, "left over from `keepdims", "np.sum(dy * xhat, axis=0)", "np.sum(dy * xhat, axis=0, keepdims=True)"),
    (87, r"sum of dy·x\.", "np.sum(dy * xhat, axis=0)", "np.sum(dy * x, axis=0)"),
    (102, "summed over the features", "np.sum(dy * xhat, axis=0)", "np.sum(dy * xhat, axis=1)"),
    ("dgamma is summed over everything", "np.sum(dy * xhat, axis=0)", "np.sum(dy * xhat)"),
    ("dgamma has a factor gamma", "np.sum(dy * xhat, axis=0)", "np.sum(gamma * dy * xhat, axis=0)"),
    ("order of the results", "return dx, dgamma", "return dgamma, dx"),
    ("returns 3 values; expected 2", "return dx, dgamma", "return dx, dgamma, dy.sum(0)"),
    (31, r"gamma\[:, None\]", "gamma * dy", "gamma[:, None] * dy"),
    ("changes its input dy", "d = gamma * dy", "dy *= gamma\n    d = dy"),
    *RMS_STATISTICS,
    *filled(EPS, v="q"),
]

# 5. Weight norm

WEIGHT = """
def weight_norm(v, g):
    axes = tuple(range(1, v.ndim))
    length = g.reshape(-1, *[1] * (v.ndim - 1))
    norm = np.sqrt(np.sum(v**2, axis=axes, keepdims=True))
    return length * v / norm
"""
NORM = "np.sqrt(np.sum(v**2, axis=axes, keepdims=True))"
WRONG_WEIGHT = [
    ("all of v at once", NORM, "np.linalg.norm(v)"),
    ("lengths are those of the columns", "tuple(range(1, v.ndim))", "0"),
    ("over axis 1 only", "tuple(range(1, v.ndim))", "1"),
    ("over axis -1 only", "tuple(range(1, v.ndim))", "-1"),
    (r"over axis \(1, 2, 3\) only", "tuple(range(1, v.ndim))", "(1, 2, 3)"),
    (r"over axis \(2, 3\) only", "tuple(range(1, v.ndim))", "(2, 3)"),
    ("along the last axis", "g.reshape(-1, *[1] * (v.ndim - 1))", "g"),
    ("last but one", "g.reshape(-1, *[1] * (v.ndim - 1))", "g[:, None]"),
    ("not divided by its length", "/ norm", ""),
    ("square root is missing", NORM, "np.sum(v**2, axis=axes, keepdims=True)"),
    ("root mean square", NORM, "np.sqrt(np.mean(v**2, axis=axes, keepdims=True))"),
    ("standard deviation", NORM, "v.std(axis=axes, keepdims=True)"),
    (r"sum of \|v\|", NORM, "np.abs(v).sum(axis=axes, keepdims=True)"),
    (r"largest \|v\|", NORM, "np.abs(v).max(axis=axes, keepdims=True)"),
    ("An eps is added", NORM, f"{NORM} + 1e-5"),
    ("An eps is added", NORM, f"{NORM} + 1e-8"),
    ("An eps is added", NORM, "np.sqrt(np.sum(v**2, axis=axes, keepdims=True) + 1e-12)"),
    ("Short vectors", NORM, f"np.maximum({NORM}, 1e-5)"),
    ("An eps is added", NORM, "np.sqrt(np.sum(v**2, axis=axes, keepdims=True) + 1e-5)"),
    ("mean is subtracted from v", "norm =", "v = v - v.mean(axis=axes, keepdims=True)\n    norm ="),
    ("g is not applied", "length * v", "v"),
    ("g is squared", "length * v", "length**2 * v"),
    (r"exp\(g\)", "length * v", "np.exp(length) * v"),
    (r"use \|g\|", "length * v", "abs(length) * v"),
    ("You divide by g", "length * v / norm", "v / norm / length"),
    ("returns None", "return length", "length"),
    ("changes its input v", "return length * v / norm", "v /= norm\n    return length * v"),
    ("returns 2 values; expected 1", "v / norm", "v / norm, norm"),
    # Two mistakes.
    (("root mean square", "g is not applied"), NORM, "np.sqrt(np.mean(v**2, axis=axes, keepdims=True))", "length * v", "v"),
]

WEIGHT_BACKWARD = """
def weight_norm_backward(dw, v, g):
    axes = tuple(range(1, v.ndim))
    length = g.reshape(-1, *[1] * (v.ndim - 1))
    norm = np.sqrt(np.sum(v**2, axis=axes, keepdims=True))
    vhat = v / norm
    along = np.sum(dw * vhat, axis=axes, keepdims=True)
    dg = np.sum(dw * vhat, axis=tuple(range(1, v.ndim)))
    dv = length / norm * (dw - vhat * along)
    return dv, dg
"""
DV = "length / norm * (dw - vhat * along)"
DG = "np.sum(dw * vhat, axis=tuple(range(1, v.ndim)))"
WRONG_WEIGHT_BACKWARD = [
    (114, "without the projection", DV, "length / norm * dw"),
    ("g is missing from dv", DV, "(dw - vhat * along) / norm"),
    ("not divided by ‖v‖", DV, "length * (dw - vhat * along)"),
    ("factor g/‖v‖ is missing", DV, "dw - vhat * along"),
    ("divided by ‖v‖²", DV, "length / norm**2 * (dw - vhat * along)"),
    ("multiplied by ‖v‖", DV, "length * norm * (dw - vhat * along)"),
    ("projection has the wrong sign", DV, "length / norm * (dw + vhat * along)"),
    ("part of dw along v", DV, "length / norm * vhat * along"),
    ("one of the two vhat", DV, "length / norm * (dw - v * along)"),
    ("uses v itself", DV, "length / norm * (dw - v * np.sum(dw * v, axis=axes, keepdims=True))"),
    ("v itself for one of the two", "along = np.sum(dw * vhat", "along = np.sum(dw * v"),
    ("uses w for one", DV, "length / norm * (dw - length * vhat * along)"),
    ("uses w, which", DV, "length / norm * (dw - length**2 * vhat * along)"),
    ("without the direction", DV, "length / norm * (dw - along)"),
    ("missing from the second term", DV, "length / norm * dw - vhat * along / norm"),
    (r"mean of dw·vhat", DV, "length / norm * (dw - vhat * np.mean(dw * vhat, axis=axes, keepdims=True))"),
    ("mean of dw is subtracted", DV, "length / norm * (dw - dw.mean(axis=axes, keepdims=True) - vhat * along)"),
    ("dg is the sum of dw·v", DG, "np.sum(dw * v, axis=axes)"),
    ("sum of dw·w", DG, "np.sum(dw * length * vhat, axis=axes)"),
    (r"dg is the sum of dw\.", DG, "np.sum(dw, axis=axes)"),
    ("dg is a mean", DG, "np.mean(dw * vhat, axis=axes)"),
    ("dg has the wrong sign", DG, "-np.sum(dw * vhat, axis=axes)"),
    ("dg is made of dv", "return dv, dg", "dg = np.sum(dv * vhat, axis=axes)\n    return dv, dg"),
    ("twice", DG, "np.sum(dw * v, axis=axes) / np.sum(v**2, axis=axes)"),
    ("one number for all", DG, "np.sum(dw * vhat)"),
    ("summed over axis 0", DG, "np.sum(dw * vhat, axis=0)"),
    ("dg is not summed", DG, "dw * vhat"),
    ("left over from `keepdims", DG, "along"),
    ("order of the results", "return dv, dg", "return dg, dv"),
    ("An eps is added", NORM, f"{NORM} + 1e-8"),
    ("An eps is added", NORM, f"{NORM} + 1e-12"),
    ("returns one ndarray; expected 2", "return dv, dg", "return dv"),
    ("all of v at once", "norm = np.sqrt(np.sum(v**2, axis=axes, keepdims=True))", "norm = np.linalg.norm(v)", "along = np.sum(dw * vhat, axis=axes, keepdims=True)", "along = np.sum(dw * vhat)"),
    ("lengths are those of the columns", "axes = tuple(range(1, v.ndim))", "axes = 0"),
    (r"over axis \(1, 2, 3\) only", "axes = tuple(range(1, v.ndim))", "axes = (1, 2, 3)"),
    ("over axis 1 only", "axes = tuple(range(1, v.ndim))", "axes = 1"),
    ("along the last axis", "g.reshape(-1, *[1] * (v.ndim - 1))", "g"),
    ("changes its input dw", "dv = length", "dw *= length\n    dv = 1"),
    # Two mistakes.
    (("g is missing from dv", "wrong sign"), DV, "(dw + vhat * along) / norm"),
    (("without the projection", "g is missing"), DV, "dw / norm"),
]

# 6. Weight standardisation

STANDARDISATION = """
def weight_standardisation(v, eps=1e-5):
    rows = v.reshape(len(v), -1)
    mean = lambda a: a.mean(axis=1, keepdims=True)
    mu = mean(rows)
    c = rows - mu
    var = mean(c**2)
    s = np.sqrt(var + eps)
    w = c / s
    return w.reshape(v.shape)
"""
ROWS, WVAR = "v.reshape(len(v), -1)", "mean(c**2)"
STANDARDISATION_STATISTICS = [
    (1, "divided by n − 1", WVAR, "rows.var(axis=1, ddof=1, keepdims=True)"),
    (4, "length of the centred filter", WVAR, "np.sum(c**2, axis=1, keepdims=True)"),
    (2, "mean of v², not", WVAR, "mean(rows**2)"),
    (5, "all of v at once", WVAR, "v.var()"),
    (5, "all of v at once", WVAR, "np.mean(c**2)"),
    (7, "mean absolute", WVAR, "mean(np.abs(c))"),
    ("standard deviation is where", WVAR, "rows.std(axis=1, keepdims=True)"),
    (10, "RMS norm", "c = rows - mu", "c = rows"),
    ("mean is not subtracted: you", "w = c / s", "w = rows / s"),
    ("serve all of v", "axis=1, keepdims=True", ""),
    ("over axis 0, which counts", ROWS, "v", "axis=1", "axis=0"),
    ("over axis 1 only", ROWS, "v"),
    ("over axis -1 only", ROWS, "v", "axis=1", "axis=-1"),
    (r"over axis \(1, 2, 3\) only", ROWS, "v", "axis=1", "axis=(1, 2, 3)"),
    ("Keep the axes", ", keepdims=True", ""),
]
WRONG_STANDARDISATION = [
    ("scaled weight standardisation", "c / s", "c / s / np.sqrt(rows.shape[1])"),
    (r"reshape\(-1, C\)", ROWS, "v.reshape(-1, len(v))", "axis=1", "axis=0"),
    (r"reshape\(-1, C\)", ROWS, "v.reshape(-1, len(v))"),
    *STANDARDISATION_STATISTICS,
    (r"over axis \(2, 3\) only", ROWS, "v", "axis=1", "axis=(2, 3)"),
    (19, "and that is all", "c / s", "c"),
    ("mean is added", "c = rows - mu", "c = rows + mu", WVAR, "mean((rows - mu) ** 2)"),
    ("It is v − mean", "rows - mu", "mu - rows"),
    ("multiply by s", "c / s", "c * s"),
    ("w has shape", "w.reshape(v.shape)", "w"),
    ("returns None", "return w", "w"),
    ("changes its input v", "c = rows - mu", "rows -= mu; c = rows"),
    *filled(EPS, v="var"),
    # Two mistakes.
    (("divided by n − 1", "eps belongs inside"), WVAR, "rows.var(axis=1, ddof=1, keepdims=True)", "np.sqrt(var + eps)", "np.sqrt(var) + eps"),
]

STANDARDISATION_BACKWARD = """
def weight_standardisation_backward(dw, v, eps=1e-5):
    rows, d = v.reshape(len(v), -1), dw.reshape(len(v), -1)
    n = rows.shape[1]
    mean = lambda a: a.mean(axis=1, keepdims=True)
    mu = mean(rows)
    c = rows - mu
    var = mean(c**2)
    s = np.sqrt(var + eps)
    w = c / s
    m1 = mean(d)
    m2 = mean(d * w)
    dv = (d - m1 - w * m2) / s
    return dv.reshape(v.shape)
"""
WS_DV = "(d - m1 - w * m2) / s"
BOTH_ROWS = "v.reshape(len(v), -1), dw.reshape(len(v), -1)"
WRONG_STANDARDISATION_BACKWARD = [
    (r"reshape\(-1, C\)", BOTH_ROWS, "v.reshape(-1, len(v)), dw.reshape(-1, len(v))"),
    (70, "as constants", WS_DV, "d / s"),
    (71, r"mean\(dw\) is not subtracted", WS_DV, "(d - w * m2) / s"),
    (72, r"w·mean\(dw·w\) is not subtracted", WS_DV, "(d - m1) / s"),
    (73, "You subtract sums", "m1 = mean(d)", "m1 = n * mean(d)", "m2 = mean(d * w)", "m2 = n * mean(d * w)"),
    (73, r"w·sum\(dw·w\), as for weight norm", "m2 = mean(d * w)", "m2 = n * mean(d * w)"),
    (73, r"subtract sum\(dw\)", "m1 = mean(d)", "m1 = n * mean(d)"),
    (77, r"w·mean\(dw·w\) has the wrong sign", WS_DV, "(d - m1 + w * m2) / s"),
    (77, r"mean\(dw\) has the wrong sign", WS_DV, "(d + m1 - w * m2) / s"),
    (75, "not divided by s", WS_DV, "d - m1 - w * m2"),
    ("Only the first term", WS_DV, "d / s - m1 - w * m2"),
    ("first two terms", WS_DV, "(d - m1) / s - w * m2"),
    ("divided by s²", WS_DV, "(d - m1 - w * m2) / s**2"),
    ("multiplied by s", WS_DV, "(d - m1 - w * m2) * s"),
    (79, "v − mean where w", "mean(d * w)", "mean(d * c)", WS_DV, "(d - m1 - c * m2) / s"),
    ("uses v where w", "mean(d * w)", "mean(d * rows)", WS_DV, "(d - m1 - rows * m2) / s"),
    (81, "twice", WS_DV, "(d - m1 - 2 * w * m2) / s"),
    ("without the w in front", WS_DV, "(d - m1 - m2) / s"),
    ("means in dv are divided by n − 1", "m1 = mean(d)", "m1 = d.sum(1, keepdims=True) / (n - 1)", "m2 = mean(d * w)", "m2 = (d * w).sum(1, keepdims=True) / (n - 1)"),
    ("means in dv are over other weights", "m1 = mean(d)", "m1 = d.mean()", "m2 = mean(d * w)", "m2 = (d * w).mean()"),
    ("returns None", "return dv", "dv"),
    ("changes its input dw", "m1 = mean(d)", "m1 = mean(d); d -= m1; m1 = 0"),
    ("Everywhere it is -1 times", WS_DV, f"-{WS_DV}"),
    *((*(p for p in row if isinstance(p, int)), *(p.replace(ROWS, BOTH_ROWS) if p == ROWS else "v, dw" if p == "v" else p for p in row if isinstance(p, str))) for row in STANDARDISATION_STATISTICS),
    *filled(EPS, v="var"),
    # Two mistakes.
    ((r"mean\(dw\) is not subtracted", "not divided by s"), WS_DV, "d - w * m2"),
    (("wrong sign", "divided by n − 1"), WS_DV, "(d - m1 + w * m2) / s", WVAR, "rows.var(axis=1, ddof=1, keepdims=True)"),
]

# 7. Batch renormalisation

RENORM = """
def batch_renorm(x, gamma, beta, running_mean, running_var, r_max, d_max, momentum=0.1, eps=1e-5):
    N, D = x.shape
    mu = x.mean(axis=0)
    var = x.var(axis=0)
    s = np.sqrt(var + eps)
    s_r = np.sqrt(running_var + eps)
    r = np.clip(s / s_r, 1 / r_max, r_max)
    d = np.clip((mu - running_mean) / s_r, -d_max, d_max)
    xhat = (x - mu) / s
    y = gamma * (xhat * r + d) + beta
    new_mean = (1 - momentum) * running_mean + momentum * mu
    new_var = (1 - momentum) * running_var + momentum * var * N / (N - 1)
    return y, r, d, new_mean, new_var
"""
R, D = "np.clip(s / s_r, 1 / r_max, r_max)", "np.clip((mu - running_mean) / s_r, -d_max, d_max)"
CORRECTED = "(xhat * r + d)"
RENORM_RETURN = "return y, r, d, new_mean, new_var"
WRONG_RENORM = [
    ("bounds of r are in the wrong order", R, "np.clip(s / s_r, r_max, 1 / r_max)"),
    ("square root is missing", "np.sqrt(running_var + eps)", "running_var"),
    ("clipped before it is divided", D, "np.clip(mu - running_mean, -d_max, d_max) / s_r"),
    ("normalised by the running statistics already", "(x - mu) / s", "(x - running_mean) / s_r"),
    ("divided by s_r and multiplied by r", "(x - mu) / s", "(x - mu) / s_r"),
    ("default of momentum is 0.9", "momentum=0.1", "momentum=0.9"),
    ("order of the results", RENORM_RETURN, "return new_mean, new_var, y, r, d"),
    (117, "upside down", R, "np.clip(s_r / s, 1 / r_max, r_max)"),
    ("ratio of variances", R, "np.clip((var + eps) / (running_var + eps), 1 / r_max, r_max)"),
    ("r is s itself", R, "np.clip(s, 1 / r_max, r_max)"),
    ("r is not clipped", R, "s / s_r"),
    ("r is clipped from above only", R, "np.minimum(s / s_r, r_max)"),
    ("r is clipped from above only", R, "np.clip(s / s_r, 0, r_max)"),
    ("r is clipped from above only", R, "np.clip(s / s_r, -r_max, r_max)"),
    ("below only", R, "np.maximum(s / s_r, 1 / r_max)"),
    ("falling below 1", R, "np.clip(s / s_r, 1, r_max)"),
    ("2 − r_max", R, "np.clip(s / s_r, 2 - r_max, r_max)"),
    ("r is clipped with d's", R, "np.clip(s / s_r, -d_max, d_max)"),
    ("divided by the batch's s", D, "np.clip((mu - running_mean) / s, -d_max, d_max)"),
    ("d has the wrong sign", D, "np.clip((running_mean - mu) / s_r, -d_max, d_max)"),
    ("d is not divided", D, "np.clip(mu - running_mean, -d_max, d_max)"),
    ("d is divided by a variance", D, "np.clip((mu - running_mean) / (running_var + eps), -d_max, d_max)"),
    ("running mean is not subtracted", D, "np.clip(mu / s_r, -d_max, d_max)"),
    ("d is not clipped", D, "(mu - running_mean) / s_r"),
    ("clipped from above only; it may", D, "np.minimum((mu - running_mean) / s_r, d_max)"),
    ("kept from being negative", D, "np.clip((mu - running_mean) / s_r, 0, d_max)"),
    ("as a ratio would be", D, "np.clip((mu - running_mean) / s_r, 1 / d_max if d_max else 0, d_max)"),
    ("d is clipped with r's bounds", D, "np.clip((mu - running_mean) / s_r, 1 / r_max, r_max)"),
    ("computed but not used", CORRECTED, "xhat"),
    ("running statistics themselves", CORRECTED, "(x - running_mean) / s_r"),
    ("r multiplies d as well", CORRECTED, "(xhat + d) * r"),
    ("xhat is divided by r", CORRECTED, "(xhat / r + d)"),
    ("d is subtracted", CORRECTED, "(xhat * r - d)"),
    ("r is missing from y", CORRECTED, "(xhat + d)"),
    ("d is missing from y", CORRECTED, "xhat * r"),
    ("swapped in y", CORRECTED, "(xhat * d + r)"),
    (24, "gamma and beta are not applied", "gamma * (xhat * r + d) + beta", "xhat * r + d"),
    (22, "gamma is missing from y", "gamma * (xhat * r + d)", "(xhat * r + d)"),
    (23, "beta is missing from y", " + beta", ""),
    ("come last", "gamma * (xhat * r + d) + beta", "(gamma * xhat + beta) * r + d"),
    ("updated before", "s_r =", "running_mean = (1 - momentum) * running_mean + momentum * mu\n    running_var = (1 - momentum) * running_var + momentum * var * N / (N - 1)\n    s_r =", "new_mean = (1 - momentum) * running_mean + momentum * mu", "new_mean = running_mean", "new_var = (1 - momentum) * running_var + momentum * var * N / (N - 1)", "new_var = running_var"),
    (33, "other way round", "(1 - momentum) * running", "momentum * running", "momentum * mu", "(1 - momentum) * mu", "+ momentum * var", "+ (1 - momentum) * var"),
    (34, "biased variance", " * N / (N - 1)", ""),
    (39, "does not decay", "(1 - momentum) * running", "running"),
    (40, "last batch", "(1 - momentum) * running_mean + momentum * mu", "mu", "(1 - momentum) * running_var + momentum * var", "var"),
    (42, "running_var is not updated", "(1 - momentum) * running_var + momentum * var * N / (N - 1)", "running_var"),
    (47, "do not move", RENORM_RETURN, "return y, r, d, running_mean, running_var"),
    ("standard deviation", "momentum * var * N / (N - 1)", "momentum * s"),
    ("number of samples, not of features", "N / (N - 1)", "D / (D - 1)"),
    ("0.1 whatever", "N, D = x.shape", "momentum = 0.1; N, D = x.shape"),
    ("order of the results", RENORM_RETURN, "return y, d, r, new_mean, new_var"),
    ("order of the results", RENORM_RETURN, "return y, new_mean, new_var, r, d"),
    (46, "order of the results|swapped", RENORM_RETURN, "return y, r, d, new_var, new_mean"),
    ("returns 3 values; expected 5", RENORM_RETURN, "return y, new_mean, new_var"),
    ("missing from s_r", "np.sqrt(running_var + eps)", "np.sqrt(running_var)"),
    (59, "square root is missing", "np.sqrt(running_var + eps)", "running_var + eps"),
    ("eps is missing", "np.sqrt(var + eps)", "np.sqrt(var)", "np.sqrt(running_var + eps)", "np.sqrt(running_var)"),
    ("eps is outside", "np.sqrt(var + eps)", "np.sqrt(var) + eps", "np.sqrt(running_var + eps)", "np.sqrt(running_var) + eps"),
    (15, "fixed number", "+ eps)", "+ 1e-3)"),
    ("eps is missing: you divide", "np.sqrt(var + eps)", "np.sqrt(var)"),
    (15, "1e-3 where none is given", "eps=1e-5", "eps=1e-3"),
    (1, "divided by N − 1", "x.var(axis=0)", "x.var(axis=0, ddof=1)", " * N / (N - 1)", ""),
    (30, "over axis 1|It raises", "axis=0", "axis=1, keepdims=True"),
    (3, "loses its digits", "x.var(axis=0)", "np.abs((x**2).mean(axis=0) - mu**2)"),
    ("changes its input running_mean", "new_mean = (1 - momentum) * running_mean + momentum * mu", "running_mean *= 1 - momentum; running_mean += momentum * mu; new_mean = running_mean"),
    # Two mistakes.
    (("r is missing from y", "beta is missing"), CORRECTED, "(xhat + d)", " + beta", ""),
    (("upside down", "r is not clipped"), R, "s_r / s"),
    ("upside down", R, "np.clip(s_r / s, 1 / r_max, r_max)", D, "(mu - running_mean) / s_r"),
]

RENORM_BACKWARD = """
def batch_renorm_backward(dy, x, gamma, r, d, eps=1e-5):
    N = M = x.shape[0]
    mean = lambda a: a.mean(axis=0)
    mu = mean(x)
    c = x - mu
    v = mean(c**2)
    s = np.sqrt(v + eps)
    xhat = c / s
    dbeta = dy.sum(axis=0)
    dgamma = (dy * (xhat * r + d)).sum(axis=0)
    e = gamma * r * dy
    m1 = mean(e)
    m2 = mean(e * xhat)
    dx = (e - m1 - xhat * m2) / s
    return dx, dgamma, dbeta
"""
RENORM_DX = "(e - m1 - xhat * m2) / s"
WRONG_RENORM_BACKWARD = [
    (r"xhat·r \+ d stands in dx", RENORM_DX, "(e - m1 - (xhat * r + d) * m2) / s"),
    ("dgamma/N stands in dx", "m2 = mean(e * xhat)", "m2 = gamma * r * dgamma / N"),
    ("dgamma/N stands in dx", RENORM_DX, "gamma * r / s * (dy - dbeta / N - xhat * dgamma / N)"),
    ("gamma is missing from dx", "gamma * r * dy", "r * dy"),
    (("nothing is taken away", "r is missing from dx"), RENORM_DX, "gamma * dy / s"),
    (116, "stop-gradient is gone", RENORM_DX, "e / s"),
    ("r is missing from dx", "gamma * r * dy", "gamma * dy"),
    ("divided by r", "gamma * r * dy", "gamma / r * dy"),
    ("r² is in dx", "gamma * r * dy", "gamma * r**2 * dy"),
    ("r² is in dx", RENORM_DX, f"r * {RENORM_DX}"),
    ("dgamma lacks r and d", "(xhat * r + d)", "xhat"),
    ("dgamma lacks d", "(xhat * r + d)", "xhat * r"),
    ("dgamma lacks r:", "(xhat * r + d)", "(xhat + d)"),
    ("r multiplies d in dgamma", "(xhat * r + d)", "(xhat + d) * r"),
    (90, "swapped", RETURN, "return dx, dbeta, dgamma"),
    ("another order", RETURN, "return dgamma, dbeta, dx"),
    (84, "dgamma is a mean", "(dy * (xhat * r + d)).sum", "(dy * (xhat * r + d)).mean"),
    (85, "dbeta is a mean", "dy.sum", "dy.mean"),
    (30, "over axis 1", "a.mean(axis=0)", "a.mean(axis=1, keepdims=True)"),
    (71, r"term − mean\(d\) is missing", RENORM_DX, "(e - xhat * m2) / s"),
    (72, r"term − xhat·mean\(d·xhat\) is missing", RENORM_DX, "(e - m1) / s"),
    (73, "You subtract sums", "mean(e)", "N * mean(e)", "mean(e * xhat)", "N * mean(e * xhat)"),
    (74, "gamma is missing", "gamma * r * dy", "dy * r"),
    (75, "not divided by s", RENORM_DX, "e - m1 - xhat * m2"),
    ("divided by s²", RENORM_DX, "(e - m1 - xhat * m2) / s**2"),
    (77, "wrong sign", RENORM_DX, "(e - m1 + xhat * m2) / s"),
    (79, "x − mu where xhat", "mean(e * xhat)", "mean(e * c)", RENORM_DX, "(e - m1 - c * m2) / s"),
    (81, "twice what", RENORM_DX, "(e - m1 - 2 * xhat * m2) / s"),
    (r"xhat·r \+ d stands in dx", "m2 = mean(e * xhat)", "xhat = xhat * r + d\n    m2 = mean(e * xhat)"),
    (1, "divided by N − 1", "mean(c**2)", "x.var(axis=0, ddof=1)"),
    ("changes its input dy", "e = gamma * r * dy", "dy *= gamma * r\n    e = dy"),
    (86, "left over from `keepdims", "dy.sum(axis=0)", "dy.sum(axis=0, keepdims=True)"),
    ("returns one ndarray; expected 3", RETURN, "return dx"),
    *VARIANCE,
    *filled(EPS, v="v"),
    # Two mistakes.
    (("r is missing from dx", "wrong sign"), "gamma * r * dy", "gamma * dy", RENORM_DX, "(e - m1 + xhat * m2) / s"),
]

# 8. Which norm?

CHOOSE = """
def choose():
    return {
        "phone": "batch",
        "translator": "layer",
        "detector": "synchronised batch",
        "painter": "instance",
        "ward": "group",
    }
"""
PHONE, TRANSLATOR, DETECTOR = '"phone": "batch"', '"translator": "layer"', '"detector": "synchronised batch"'
PAINTER, WARD = '"painter": "instance"', '"ward": "group"'
WRONG_CHOOSE = [
    ("phone: not layer norm.*nothing can be folded", PHONE, '"phone": "layer"'),
    ("phone: not group norm.*nothing can be folded", PHONE, '"phone": "group"'),
    ("phone: not instance norm", PHONE, '"phone": "instance"'),
    ("nobody to synchronise with", PHONE, '"phone": "synchronised batch"'),
    ("translator: not batch norm.*padding", TRANSLATOR, '"translator": "batch"'),
    ("still of all lengths", TRANSLATOR, '"translator": "synchronised batch"'),
    ("words that follow", TRANSLATOR, '"translator": "group"'),
    ("words that follow", TRANSLATOR, '"translator": "instance"'),
    ("two values for each statistic", DETECTOR, '"detector": "batch"'),
    ("detector: not group norm.*cannot be folded", DETECTOR, '"detector": "group"'),
    ("detector: not layer norm", DETECTOR, '"detector": "layer"'),
    ("others of its batch", PAINTER, '"painter": "batch"'),
    ("painter: not layer norm.*differ from one another", PAINTER, '"painter": "layer"'),
    ("painter: not group norm", PAINTER, '"painter": "group"'),
    ("read the neighbours", WARD, '"ward": "batch"'),
    ("read the neighbours", WARD, '"ward": "synchronised batch"'),
    ("half of what is there", WARD, '"ward": "instance"'),
    ("phone: no answer yet", '"phone": "batch",', ""),
    ("ward: no answer yet", '"group"', "None"),
    ("no situation 'telephone'", '"phone"', '"telephone"'),
    ("'spectral norm' is none of the norms", '"group"', '"spectral norm"'),
    ("none of the norms", '"group"', '["group", "layer"]'),
    ("returns None", "return {", "answer = {"),
    ("returns a tuple", CHOOSE.split("return")[1], ' tuple("blsig")\n'),
    ("It raises NameError", '"group"', "group"),
    (r"phone: not layer norm.*1 of 5 are right", PHONE, '"phone": "layer"', DETECTOR, '"detector": "layer"', PAINTER, '"painter": "layer"', WARD, '"ward": "instance"'),
]

WRONG = [
    *wrong("layer", LAYER, WRONG_LAYER),
    *wrong("layer_backward", LAYER_BACKWARD, WRONG_LAYER_BACKWARD),
    *wrong("group", GROUP, WRONG_GROUP),
    *wrong("group_backward", GROUP_BACKWARD, WRONG_GROUP_BACKWARD),
    *wrong("rms", RMS, WRONG_RMS),
    *wrong("rms_backward", RMS_BACKWARD, WRONG_RMS_BACKWARD),
    *wrong("weight", WEIGHT, WRONG_WEIGHT),
    *wrong("weight_backward", WEIGHT_BACKWARD, WRONG_WEIGHT_BACKWARD),
    *wrong("standardisation", STANDARDISATION, WRONG_STANDARDISATION),
    *wrong("standardisation_backward", STANDARDISATION_BACKWARD, WRONG_STANDARDISATION_BACKWARD),
    *wrong("renorm", RENORM, WRONG_RENORM),
    *wrong("renorm_backward", RENORM_BACKWARD, WRONG_RENORM_BACKWARD),
    *wrong("choose", CHOOSE, WRONG_CHOOSE),
]

RIGHT = [
    *right("layer", {
        "in steps": LAYER,
        "short": """
def layer_norm(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * gamma + beta
""",
        "transposed": """
def layer_norm(x, gamma, beta, eps=1e-5):
    xhat = (x.T - x.mean(1)) / np.sqrt(x.T.var(0) + eps)
    return gamma * xhat.T + beta
""",
        "loops": """
def layer_norm(x, gamma, beta, eps=1e-5):
    y = np.empty_like(x)
    for i, row in enumerate(x):
        mu = sum(row) / len(row)
        v = sum((a - mu) ** 2 for a in row) / len(row)
        for j in range(len(row)):
            y[i, j] = gamma[j] * (row[j] - mu) / (v + eps) ** 0.5 + beta[j]
    return y
""",
        "in place, on a copy": """
def layer_norm(x, gamma, beta, eps=1e-5):
    y = x.copy()
    y -= y.mean(axis=1)[:, None]
    y /= np.sqrt(np.einsum("nd,nd->n", y, y) / y.shape[1] + eps)[:, None]
    y *= gamma
    y += beta
    return y
""",
        "one pass, in float64": """
def layer_norm(x, gamma, beta, eps=1e-5):
    wide = x.astype(np.float64)
    mu = wide.mean(axis=1, keepdims=True)
    v = np.maximum((wide * wide).mean(axis=1, keepdims=True) - mu * mu, 0)
    return (gamma * (wide - mu) / np.sqrt(v + eps) + beta).astype(x.dtype)
""",
        "row by row": """
def layer_norm(x, gamma, beta, eps=0.00001):
    rows = [(row - row.mean()) * (row.var() + eps) ** -0.5 for row in x]
    return np.stack(rows) * gamma[None] + beta[None]
""",
    }),
    *right("layer_backward", {
        "in steps": LAYER_BACKWARD,
        "with sums": """
def layer_norm_backward(dy, x, gamma, eps=1e-5):
    D = x.shape[1]
    s = np.sqrt(x.var(axis=1, keepdims=True) + eps)
    xhat = (x - x.mean(axis=1, keepdims=True)) / s
    d = dy * gamma
    dx = D * d - d.sum(1, keepdims=True) - xhat * (d * xhat).sum(1, keepdims=True)
    return dx / (D * s), (dy * xhat).sum(0), dy.sum(0)
""",
        "Jacobians": """
def layer_norm_backward(dy, x, gamma, eps=1e-5):
    D = x.shape[1]
    P = np.eye(D) - 1 / D
    dx, dgamma = np.empty_like(x), np.zeros_like(gamma)
    for t in range(len(x)):
        c = P @ x[t].astype(float)
        s = np.sqrt(c @ c / D + eps)
        xhat = c / s
        dx[t] = (P - np.outer(xhat, xhat) / D) @ (gamma * dy[t]) / s
        dgamma += dy[t] * xhat
    return dx, dgamma, dy.sum(axis=0)
""",
        "batch norm of the transpose": """
def layer_norm_backward(dy, x, gamma, eps=1e-5):
    z, d = x.T, (gamma * dy).T
    c = z - z.mean(0)
    r = 1 / np.sqrt((c * c).mean(0) + eps)
    h = c * r
    dx = r * (d - d.mean(0) - h * (d * h).mean(0))
    return dx.T, (dy.T * h).sum(1), dy.T.sum(1)
""",
        "along the graph": """
def layer_norm_backward(dy, x, gamma, eps=1e-5):
    D = x.shape[1]
    c = x - x.mean(1, keepdims=True)
    s = np.sqrt((c * c).mean(1, keepdims=True) + eps)
    dxhat = gamma * dy
    ds = -(dxhat * c).sum(1, keepdims=True) / s**2
    dv = ds / (2 * s)
    dc = dxhat / s + 2 * c * dv / D
    dx = dc - dc.sum(1, keepdims=True) / D
    return [dx, np.einsum("nd,nd->d", dy, c / s), np.ones(len(x)) @ dy]
""",
        "torch": """
def layer_norm_backward(dy, x, gamma, eps=1e-5):
    import torch
    x, gamma = (torch.tensor(np.ascontiguousarray(a), requires_grad=True) for a in (x, gamma))
    beta = torch.zeros_like(gamma, requires_grad=True)
    y = torch.nn.functional.layer_norm(x, gamma.shape, gamma, beta, eps)
    y.backward(torch.tensor(np.ascontiguousarray(dy)))
    return x.grad, gamma.grad, beta.grad
""",
    }),
    *right("group", {
        "in steps": GROUP,
        "one row a group": """
def group_norm(x, gamma, beta, num_groups, eps=1e-5):
    rows = x.reshape(len(x) * num_groups, -1)
    rows = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + eps)
    return gamma[:, None, None] * rows.reshape(x.shape) + beta[:, None, None]
""",
        "loops": """
def group_norm(x, gamma, beta, num_groups, eps=1e-5):
    y = np.empty_like(x)
    size = x.shape[1] // num_groups
    for n in range(len(x)):
        for k in range(0, x.shape[1], size):
            some = x[n, k : k + size]
            y[n, k : k + size] = (some - some.mean()) / np.sqrt(some.var() + eps)
    return y * gamma.reshape(1, -1, 1, 1) + beta.reshape(1, -1, 1, 1)
""",
        "split": """
def group_norm(x, gamma, beta, num_groups, eps=1e-5):
    parts = []
    for part in np.split(x, num_groups, axis=1):
        c = part - part.mean(axis=(1, 2, 3), keepdims=True)
        parts.append(c / np.sqrt(np.mean(c * c, axis=(1, 2, 3), keepdims=True) + eps))
    xhat = np.concatenate(parts, axis=1)
    return np.einsum("c,nchw->nchw", gamma, xhat) + beta[None, :, None, None]
""",
        "parameters in groups": """
def group_norm(x, gamma, beta, num_groups, eps=1e-5):
    v = x.reshape(x.shape[0], num_groups, -1, *x.shape[2:])
    axes = tuple(range(2, v.ndim))
    mu, var = v.mean(axes, keepdims=True), v.var(axes, keepdims=True)
    g, b = (a.reshape(1, num_groups, -1, 1, 1) for a in (gamma, beta))
    return (g * (v - mu) / (var + eps) ** 0.5 + b).reshape(x.shape)
""",
        "channels last": """
def group_norm(x, gamma, beta, num_groups, eps=1e-5):
    z = np.moveaxis(x, 1, -1)
    z = z.reshape(*z.shape[:-1], num_groups, -1)
    c = z - z.mean((1, 2, 4), keepdims=True)
    xhat = c / np.sqrt(np.square(c).mean((1, 2, 4), keepdims=True) + eps)
    y = xhat.reshape(*xhat.shape[:3], -1) * gamma + beta
    return np.moveaxis(y, -1, 1)
""",
    }),
    *right("group_backward", {
        "in steps": GROUP_BACKWARD,
        "views": """
def group_norm_backward(dy, x, gamma, num_groups, eps=1e-5):
    N, C, H, W = x.shape
    view, axes = (N, num_groups, C // num_groups, H, W), (2, 3, 4)
    z = x.reshape(view)
    c = z - z.mean(axes, keepdims=True)
    s = np.sqrt((c**2).mean(axes, keepdims=True) + eps)
    xhat = c / s
    d = (dy * gamma.reshape(1, C, 1, 1)).reshape(view)
    dx = (d - d.mean(axes, keepdims=True) - xhat * (d * xhat).mean(axes, keepdims=True)) / s
    dgamma = (dy * xhat.reshape(x.shape)).sum((0, 2, 3))
    return dx.reshape(x.shape), dgamma, dy.sum((0, 2, 3))
""",
        "one row a group": """
def group_norm_backward(dy, x, gamma, num_groups, eps=1e-5):
    rows = x.reshape(len(x) * num_groups, -1)
    d = (gamma[:, None, None] * dy).reshape(rows.shape)
    r = 1 / np.sqrt(rows.var(1, keepdims=True) + eps)
    xhat = (rows - rows.mean(1, keepdims=True)) * r
    m = rows.shape[1]
    dx = r * (d - d.sum(1, keepdims=True) / m - xhat * (d * xhat).sum(1, keepdims=True) / m)
    back = xhat.reshape(x.shape)
    return dx.reshape(x.shape), np.einsum("nchw,nchw->c", dy, back), np.einsum("nchw->c", dy)
""",
        "loops": """
def group_norm_backward(dy, x, gamma, num_groups, eps=1e-5):
    N, C, H, W = x.shape
    size = C // num_groups
    dx, dgamma, dbeta = np.zeros_like(x), np.zeros_like(gamma), np.zeros_like(gamma)
    for n in range(N):
        for k in range(num_groups):
            own = slice(k * size, (k + 1) * size)
            s = np.sqrt(x[n, own].var() + eps)
            xhat = (x[n, own] - x[n, own].mean()) / s
            d = gamma[own, None, None] * dy[n, own]
            dx[n, own] = (d - d.mean() - xhat * (d * xhat).mean()) / s
            dgamma[own] += (dy[n, own] * xhat).sum((1, 2))
            dbeta[own] += dy[n, own].sum((1, 2))
    return dx, dgamma, dbeta
""",
        "by split": """
def group_norm_backward(dy, x, gamma, num_groups, eps=1e-5):
    mean = lambda a: a.mean(axis=(1, 2, 3), keepdims=True)
    dx, dgamma = [], []
    pieces = (np.split(a, num_groups, axis=k) for a, k in ((dy, 1), (x, 1), (gamma, 0)))
    for e, z, g in zip(*pieces):
        c = z - mean(z)
        s = np.sqrt(mean(c * c) + eps)
        d = e * g[:, None, None]
        dx.append((d - mean(d)) / s - c * mean(d * c) / s**3)
        dgamma.append((e * c / s).sum((0, 2, 3)))
    return np.concatenate(dx, 1), np.concatenate(dgamma), dy.sum((0, 2, 3))
""",
        "torch": """
def group_norm_backward(dy, x, gamma, num_groups, eps=1e-5):
    import torch
    x, gamma = (torch.tensor(np.ascontiguousarray(a), requires_grad=True) for a in (x, gamma))
    beta = torch.zeros_like(gamma, requires_grad=True)
    y = torch.nn.functional.group_norm(x, num_groups, gamma, beta, eps)
    y.backward(torch.tensor(np.ascontiguousarray(dy)))
    return x.grad, gamma.grad, beta.grad
""",
    }),
    *right("rms", {
        "in steps": RMS,
        "short": """
def rms_norm(x, gamma, eps=1e-5):
    return x * gamma / np.sqrt((x * x).mean(-1, keepdims=True) + eps)
""",
        "by the length": """
def rms_norm(x, gamma, eps=1e-5):
    length = np.linalg.norm(x, axis=1)
    return (x.T / np.sqrt(length**2 / x.shape[1] + eps)).T * gamma
""",
        "loops": """
def rms_norm(x, gamma, eps=1e-5):
    y = np.zeros(x.shape)
    for i, row in enumerate(x):
        y[i] = gamma * row * (row @ row / row.size + eps) ** -0.5
    return y
""",
        "einsum": """
def rms_norm(x, gamma, eps=1e-5):
    r = 1 / np.sqrt(np.einsum("nd,nd->n", x, x) / x.shape[1] + eps)
    return np.einsum("nd,d,n->nd", x, gamma, r)
""",
        "diagonal matrices": """
def rms_norm(x, gamma, eps=1e-5):
    q = np.diag(x @ x.T) / x.shape[-1]
    return np.diag((q + eps) ** -0.5) @ x @ np.diag(gamma)
""",
    }),
    *right("rms_backward", {
        "in steps": RMS_BACKWARD,
        "in x": """
def rms_norm_backward(dy, x, gamma, eps=1e-5):
    D = x.shape[1]
    r = 1 / np.sqrt((x * x).mean(1, keepdims=True) + eps)
    d = gamma * dy
    dx = r * d - x * r**3 * (d * x).sum(1, keepdims=True) / D
    return dx, (dy * x * r).sum(0)
""",
        "Jacobians": """
def rms_norm_backward(dy, x, gamma, eps=1e-5):
    D = x.shape[1]
    dx = np.empty_like(x)
    s = np.sqrt((x**2).mean(1) + eps)
    for t, (row, e) in enumerate(zip(x, dy)):
        h = row / s[t]
        dx[t] = (np.eye(D) - np.outer(h, h) / D) @ (gamma * e) / s[t]
    return dx, ((dy * x) / s[:, None]).sum(0)
""",
        "along the graph": """
def rms_norm_backward(dy, x, gamma, eps=1e-5):
    s = np.sqrt(np.mean(np.square(x), axis=1, keepdims=True) + eps)
    dxhat = dy * gamma
    ds = -np.sum(dxhat * x, axis=1, keepdims=True) / s**2
    dq = ds / 2 / s
    dx = dxhat / s + 2 * x * dq / x.shape[1]
    return dx, np.einsum("nd,nd->d", dy, x / s)
""",
        "loops": """
def rms_norm_backward(dy, x, gamma, eps=1e-5):
    N, D = x.shape
    dx, dgamma = np.zeros((N, D)), np.zeros(D)
    for i in range(N):
        s = (sum(a * a for a in x[i]) / D + eps) ** 0.5
        along = sum(gamma[j] * dy[i, j] * x[i, j] / s for j in range(D)) / D
        for j in range(D):
            dx[i, j] = (gamma[j] * dy[i, j] - x[i, j] / s * along) / s
            dgamma[j] += dy[i, j] * x[i, j] / s
    return dx, dgamma
""",
        "torch": """
def rms_norm_backward(dy, x, gamma, eps=1e-5):
    import torch
    x, gamma = (torch.tensor(np.ascontiguousarray(a), requires_grad=True) for a in (x, gamma))
    y = torch.nn.functional.rms_norm(x, gamma.shape, gamma, eps)
    y.backward(torch.tensor(np.ascontiguousarray(dy)))
    return x.grad, gamma.grad
""",
    }),
    *right("weight", {
        "in steps": WEIGHT,
        "rows": """
def weight_norm(v, g):
    rows = v.reshape(len(v), -1)
    return (rows * (g / np.linalg.norm(rows, axis=1))[:, None]).reshape(v.shape)
""",
        "transposed": """
def weight_norm(v, g):
    others = tuple(range(v.ndim - 1))
    return (g * v.T / (v.T**2).sum(axis=others) ** 0.5).T
""",
        "loop": """
def weight_norm(v, g):
    return np.stack([b * a / np.linalg.norm(a.ravel()) for a, b in zip(v, g)])
""",
        "einsum": """
def weight_norm(v, g):
    z = v.reshape(v.shape[0], -1)
    scale = g / np.sqrt(np.einsum("cn,cn->c", z, z))
    return np.einsum("c,c...->c...", scale, v)
""",
        "a harmless guard": """
def weight_norm(v, g):
    axes = tuple(range(1, v.ndim))
    norm = np.maximum(np.sqrt(np.sum(np.square(v), axis=axes, keepdims=True)), 1e-30)
    return np.expand_dims(g, axes) * v / norm
""",
    }),
    *right("weight_backward", {
        "in steps": WEIGHT_BACKWARD,
        "the paper's form": """
def weight_norm_backward(dw, v, g):
    axes = tuple(range(1, v.ndim))
    norm = np.sqrt((v * v).sum(axes, keepdims=True))
    dg = (dw * v).sum(axes, keepdims=True) / norm
    g = np.expand_dims(g, axes)
    dv = g / norm * dw - g * dg / norm**2 * v
    return dv, dg.ravel()
""",
        "rows": """
def weight_norm_backward(dw, v, g):
    d, z = dw.reshape(len(v), -1), v.reshape(len(v), -1)
    n = np.linalg.norm(z, axis=1, keepdims=True)
    u = z / n
    dg = (d * u).sum(1)
    return (g[:, None] / n * (d - u * dg[:, None])).reshape(v.shape), dg
""",
        "matrices": """
def weight_norm_backward(dw, v, g):
    dv, dg = np.empty_like(v), np.empty_like(g)
    for k in range(len(v)):
        a, e = v[k].reshape(-1), dw[k].reshape(-1)
        n = np.sqrt(a @ a)
        dg[k] = e @ a / n
        dv[k] = (g[k] / n * (np.eye(a.size) - np.outer(a, a) / n**2) @ e).reshape(v[k].shape)
    return dv, dg
""",
        "torch": """
def weight_norm_backward(dw, v, g):
    import torch
    v, g = (torch.tensor(np.ascontiguousarray(a), requires_grad=True) for a in (v, g))
    w = g.reshape(-1, *[1] * (v.ndim - 1)) * v / v.flatten(1).norm(dim=1).reshape(-1, *[1] * (v.ndim - 1))
    w.backward(torch.tensor(np.ascontiguousarray(dw)))
    return v.grad, g.grad
""",
    }),
    *right("standardisation", {
        "in steps": STANDARDISATION,
        "all axes": """
def weight_standardisation(v, eps=1e-5):
    axes = tuple(range(1, v.ndim))
    return (v - v.mean(axes, keepdims=True)) / np.sqrt(v.var(axes, keepdims=True) + eps)
""",
        "loop": """
def weight_standardisation(v, eps=1e-5):
    w = np.zeros_like(v)
    for k, row in enumerate(v):
        w[k] = (row - row.mean()) / (row.var() + eps) ** 0.5
    return w
""",
        "transposed": """
def weight_standardisation(v, eps=1e-5):
    z = v.reshape(v.shape[0], -1).T
    z = (z - z.mean(0)) / np.sqrt(z.var(0) + eps)
    return z.T.reshape(v.shape)
""",
        "in place, on a copy": """
def weight_standardisation(v, eps=1e-5):
    w = np.array(v, dtype=np.float64)
    others = tuple(range(1, w.ndim))
    w -= w.mean(axis=others, keepdims=True)
    w *= (np.square(w).mean(axis=others, keepdims=True) + eps) ** -0.5
    return w.astype(v.dtype)
""",
    }),
    *right("standardisation_backward", {
        "in steps": STANDARDISATION_BACKWARD,
        "all axes": """
def weight_standardisation_backward(dw, v, eps=1e-5):
    axes = tuple(range(1, v.ndim))
    mean = lambda a: a.mean(axis=axes, keepdims=True)
    s = np.sqrt(v.var(axis=axes, keepdims=True) + eps)
    w = (v - mean(v)) / s
    return (dw - mean(dw) - w * mean(dw * w)) / s
""",
        "matrices": """
def weight_standardisation_backward(dw, v, eps=1e-5):
    dv = np.empty_like(v)
    for k in range(len(v)):
        n = v[k].size
        P = np.eye(n) - np.full((n, n), 1 / n)
        c = P @ v[k].ravel()
        s = np.sqrt(c @ c / n + eps)
        J = (P - np.outer(c, c) / (n * s * s)) / s
        dv[k] = (J @ dw[k].ravel()).reshape(v[k].shape)
    return dv
""",
        "along the graph": """
def weight_standardisation_backward(dw, v, eps=1e-5):
    z, e = (a.reshape(len(v), -1) for a in (v, dw))
    n = z.shape[1]
    c = z - z.mean(1, keepdims=True)
    s = np.sqrt((c * c).mean(1, keepdims=True) + eps)
    ds = -(e * c).sum(1, keepdims=True) / s**2
    dc = e / s + c * ds / (n * s)
    return (dc - dc.mean(1, keepdims=True)).reshape(v.shape)
""",
        "as batch norm's": """
def weight_standardisation_backward(dw, v, eps=1e-5):
    x, dy = v.reshape(len(v), -1).T, dw.reshape(len(v), -1).T
    n = len(x)
    r = 1 / np.sqrt(x.var(0) + eps)
    xhat = (x - x.mean(0)) * r
    dx = r / n * (n * dy - dy.sum(0) - xhat * (dy * xhat).sum(0))
    return dx.T.reshape(v.shape)
""",
    }),
    *right("renorm", {
        "in steps": RENORM,
        "short": """
def batch_renorm(x, gamma, beta, running_mean, running_var, r_max, d_max, momentum=0.1, eps=1e-5):
    mean, var = x.mean(0), x.var(0)
    sigma, sigma_r = (var + eps) ** 0.5, (running_var + eps) ** 0.5
    r = np.maximum(np.minimum(sigma / sigma_r, r_max), 1 / r_max)
    d = np.maximum(np.minimum((mean - running_mean) / sigma_r, d_max), -d_max)
    y = ((x - mean) / sigma * r + d) * gamma + beta
    running_mean = running_mean + momentum * (mean - running_mean)
    running_var = running_var + momentum * (x.var(0, ddof=1) - running_var)
    return y, r, d, running_mean, running_var
""",
        "loops": """
def batch_renorm(x, gamma, beta, running_mean, running_var, r_max, d_max, momentum=0.1, eps=1e-5):
    n, count = x.shape
    y, r, d, m, v = np.empty_like(x), *(np.empty_like(gamma) for _ in range(4))
    for j in range(count):
        mu = x[:, j].mean()
        var = ((x[:, j] - mu) ** 2).mean()
        s_r = np.sqrt(running_var[j] + eps)
        r[j] = min(max(np.sqrt(var + eps) / s_r, 1 / r_max), r_max)
        d[j] = min(max((mu - running_mean[j]) / s_r, -d_max), d_max)
        y[:, j] = gamma[j] * ((x[:, j] - mu) / np.sqrt(var + eps) * r[j] + d[j]) + beta[j]
        m[j] = (1 - momentum) * running_mean[j] + momentum * mu
        v[j] = (1 - momentum) * running_var[j] + momentum * var * n / (n - 1)
    return y, r, d, m, v
""",
        "kept axes": """
def batch_renorm(x, gamma, beta, running_mean, running_var, r_max, d_max, momentum=0.1, eps=1e-5):
    N = x.shape[0]
    mu = x.mean(axis=0, keepdims=True)
    c = x - mu
    v = (c * c).mean(axis=0, keepdims=True)
    s_r = np.sqrt(running_var[None] + eps)
    r = (np.sqrt(v + eps) / s_r).clip(1 / r_max, r_max)
    d = ((mu - running_mean) / s_r).clip(-d_max, d_max)
    y = gamma * c * r / np.sqrt(v + eps) + gamma * d + beta
    a = momentum
    m, w = (1 - a) * running_mean + a * mu[0], (1 - a) * running_var + a * N / (N - 1) * v[0]
    return y, r[0], d[0], m, w
""",
        "where": """
def batch_renorm(x, gamma, beta, running_mean, running_var, r_max, d_max, momentum=0.1, eps=1e-5):
    mu, var = np.mean(x, axis=0), np.var(x, axis=0)
    r = np.sqrt((var + eps) / (running_var + eps))
    r = np.where(r > r_max, r_max, np.where(r < 1 / r_max, 1 / r_max, r))
    d = (mu - running_mean) / np.sqrt(running_var + eps)
    d = np.where(np.abs(d) > d_max, np.sign(d) * d_max, d)
    z = (x - mu) / np.sqrt(var + eps)
    z *= r
    z += d
    factor = x.shape[0] / (x.shape[0] - 1)
    return (
        gamma * z + beta, r, d,
        running_mean * (1 - momentum) + mu * momentum,
        running_var * (1 - momentum) + factor * var * momentum,
    )
""",
    }),
    *right("renorm_backward", {
        "in steps": RENORM_BACKWARD,
        "batch norm's, with gamma r": """
def batch_renorm_backward(dy, x, gamma, r, d, eps=1e-5):
    n = len(x)
    inv = 1 / np.sqrt(x.var(0) + eps)
    xhat = (x - x.mean(0)) * inv
    dbeta = dy.sum(0)
    dxhat_sum = (dy * xhat).sum(0)
    dx = gamma * r * inv * (dy - dbeta / n - xhat * dxhat_sum / n)
    return dx, r * dxhat_sum + d * dbeta, dbeta
""",
        "loops": """
def batch_renorm_backward(dy, x, gamma, r, d, eps=1e-5):
    dx, dgamma = np.empty_like(x), np.empty_like(gamma)
    for j in range(x.shape[1]):
        n = len(x)
        c = x[:, j] - x[:, j].mean()
        s = np.sqrt(c @ c / n + eps)
        h = c / s
        J = (np.eye(n) - 1 / n - np.outer(h, h) / n) / s
        dx[:, j] = gamma[j] * r[j] * J @ dy[:, j]
        dgamma[j] = dy[:, j] @ (h * r[j] + d[j])
    return dx, dgamma, np.einsum("nd->d", dy)
""",
        "along the graph": """
def batch_renorm_backward(dy, x, gamma, r, d, eps=1e-5):
    N = x.shape[0]
    c = x - x.mean(axis=0, keepdims=True)
    s = np.sqrt((c**2).mean(axis=0, keepdims=True) + eps)
    z = c / s * r + d
    dz = gamma * dy
    dxhat = r * dz
    ds = -(dxhat * c).sum(0) / s**2
    dc = dxhat / s + c * ds / s / N
    return dc - dc.mean(0), (dy * z).sum(0), dy.sum(0)
""",
        "torch": """
def batch_renorm_backward(dy, x, gamma, r, d, eps=1e-5):
    import torch
    dy, x, gamma, r, d = (torch.tensor(np.ascontiguousarray(a)) for a in (dy, x, gamma, r, d))
    x.requires_grad_(), gamma.requires_grad_()
    xhat = (x - x.mean(0)) / (x.var(0, unbiased=False) + eps).sqrt()
    (gamma * (xhat * r + d)).backward(dy)
    return x.grad, gamma.grad, dy.sum(0)
""",
    }),
    *right("choose", {
        "by name": CHOOSE,
        "other right ones": """
def choose():
    return dict(phone="batch", translator="RMS", detector="synchronised batch", painter="instance", ward="layer")
""",
        "spelt out": """
def choose():
    return {
        "ward": "Group norm",
        "painter": "instance normalisation",
        "detector": "Synchronised Batch Normalization",
        "translator": "rms_norm",
        "phone": "batch-norm",
    }
""",
        "as classes are called": """
def choose():
    return {"phone": "BatchNorm", "translator": "RMSNorm", "detector": "sync batch norm", "painter": "InstanceNorm", "ward": "GroupNorm"}
""",
        "step by step": """
def choose():
    chosen = {}
    chosen["phone"] = "batch"
    chosen["translator"] = " layer "
    chosen["detector"] = "synchronized batch"
    chosen["painter"] = "INSTANCE"
    chosen["ward"] = "RMS"
    return chosen
""",
    }),
]
# fmt: on
