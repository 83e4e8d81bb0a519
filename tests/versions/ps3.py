"""PS3's versions.

A wrong version is a right one with a line or two edited, as a learner would write it:
``(what the message must say, old, new, ...)``. Nothing here uses the checks' own knobs.
"""

# ruff: noqa: E501  (a row of a table is a line)

from bnlib.check import effects
from versions import right, wrong

CHECKS = effects

# fmt: off

# The shift of the moments

MOMENTS = """
def moment_shift(before, after):
    mu, sigma = before.mean(axis=0), before.std(axis=0)
    mu_after, sigma_after = after.mean(axis=0), after.std(axis=0)
    d_mean = np.abs(mu_after - mu) / sigma
    d_sd = np.abs(np.log(sigma_after / sigma))
    return d_mean, d_sd
"""
LOG = "np.abs(np.log(sigma_after / sigma))"
WRONG_MOMENTS = [
    ("d_mean is not divided by anything", "(mu_after - mu) / sigma", "(mu_after - mu)"),
    ("standard deviation \\*after", "(mu_after - mu) / sigma", "(mu_after - mu) / sigma_after"),
    ("divided by the variance", "(mu_after - mu) / sigma", "(mu_after - mu) / sigma**2"),
    ("divided by the mean itself", "(mu_after - mu) / sigma", "((mu_after - mu) / mu)"),
    ("pooled", "(mu_after - mu) / sigma", "(mu_after - mu) / np.sqrt((sigma**2 + sigma_after**2) / 2)"),
    ("standard error", "(mu_after - mu) / sigma", "(mu_after - mu) / (sigma / np.sqrt(len(before)))"),
    ("deviation of the whole array", "(mu_after - mu) / sigma", "(mu_after - mu) / before.std()"),
    ("d_mean has a sign", "np.abs(mu_after - mu) / sigma", "(mu_after - mu) / sigma"),
    ("d_mean has a sign", "np.abs(mu_after - mu) / sigma", "((after - mu) / sigma).mean(axis=0)"),
    ("difference of two ratios", "np.abs(mu_after - mu) / sigma", "np.abs(mu_after / sigma_after - mu / sigma)"),
    ("d_mean is squared", "np.abs(mu_after - mu) / sigma", "((mu_after - mu) / sigma) ** 2"),
    ("average move of the examples", "np.abs(mu_after - mu) / sigma", "(np.abs(after - before) / sigma).mean(axis=0)"),
    ("d_sd has a sign", LOG, "np.log(sigma_after / sigma)"),
    ("d_sd is the ratio", LOG, "sigma_after / sigma"),
    ("σ'/σ − 1", LOG, "np.abs(sigma_after - sigma) / sigma"),
    ("d_sd is the difference", LOG, "np.abs(sigma_after - sigma)"),
    ("made of variances", LOG, "np.abs(np.log(after.var(axis=0) / before.var(axis=0)))"),
    ("base 2", LOG, "np.abs(np.log2(sigma_after / sigma))"),
    ("base 10", LOG, "np.abs(np.log10(sigma_after / sigma))"),
    ("relative change of variances", LOG, "np.abs(after.var(axis=0) - before.var(axis=0)) / before.var(axis=0)"),
    ("over everything", "before.mean(axis=0), before.std(axis=0)", "before.mean(), before.std()", "after.mean(axis=0), after.std(axis=0)", "after.mean(), after.std()"),
    ("along the features", "axis=0", "axis=1"),
    ("divided by N − 1", "std(axis=0)", "std(axis=0, ddof=1)"),
    ("must not depend on the unit", "(mu_after - mu) / sigma", "(mu_after - mu) / (sigma + 1e-8)"),
    ("must not depend on the unit", "(mu_after - mu) / sigma", "(mu_after - mu) / (sigma + 1e-5)"),
    ("eps under the root", "before.std(axis=0)", "np.sqrt(before.var(axis=0) + 1e-5)", "after.std(axis=0)", "np.sqrt(after.var(axis=0) + 1e-5)"),
    ("swapped", "return d_mean, d_sd", "return d_sd, d_mean"),
    ("returns one ndarray", "return d_mean, d_sd", "return d_mean"),
    ("returns None", "return d_mean, d_sd", "print(d_mean, d_sd)"),
    ("changes its input before", "mu_after, sigma", "before -= mu\n    mu_after, sigma"),
    ("left over from `keepdims", "(axis=0)", "(axis=0, keepdims=True)"),
    ("d_mean has a sign", "np.abs(mu_after - mu)", "(mu_after - mu)", LOG, "np.abs(np.log2(sigma_after / sigma))"),
]
RIGHT_MOMENTS = {
    "in steps": MOMENTS,
    "a difference of logarithms": """
def moment_shift(before, after):
    means = [np.mean(a, 0) for a in (before, after)]
    variances = [np.mean((a - m) ** 2, 0) for a, m in zip((before, after), means)]
    d_mean = np.sqrt((means[1] - means[0]) ** 2 / variances[0])
    return d_mean, np.abs(np.log(variances[1]) - np.log(variances[0])) / 2
""",
    "standardised first": """
def moment_shift(before, after):
    mu, sigma = before.mean(0), before.std(0)
    z = (after - mu) / sigma
    return np.abs(z.mean(0)), np.abs(np.log(z.std(0)))
""",
    "loops": """
def moment_shift(before, after):
    d_mean, d_sd = [], []
    for a, b in zip(before.T.tolist(), after.T.tolist()):
        m, n = sum(a) / len(a), sum(b) / len(b)
        s = (sum((v - m) ** 2 for v in a) / len(a)) ** 0.5
        t = (sum((v - n) ** 2 for v in b) / len(b)) ** 0.5
        d_mean.append(abs(n - m) / s)
        d_sd.append(abs(np.log(t / s)))
    return d_mean, d_sd
""",
    "one pass": """
def moment_shift(before, after):
    def moments(a):
        m = np.einsum("nd->d", a) / a.shape[0]
        return m, np.sqrt(np.einsum("nd,nd->d", a, a) / a.shape[0] - m * m)
    m, s = moments(before.astype(float))
    n, t = moments(after.astype(float))
    return abs(n - m) / s, np.maximum(np.log(t / s), np.log(s / t))
""",
    "an array of two rows": """
def moment_shift(before, after):
    s = np.std(before, axis=0) + 1e-30
    up = np.array([np.mean(after, 0) - np.mean(before, 0), s * np.log(np.std(after, 0) / s)])
    return tuple(abs(up / s))
""",
}

# The Wasserstein distance

WASSERSTEIN = """
def wasserstein(before, after):
    n, m = len(before), len(after)
    a, b = np.sort(before, axis=0), np.sort(after, axis=0)
    if n == m:
        return np.abs(a - b).mean(axis=0)
    levels = np.union1d(np.arange(1, n + 1) / n, np.arange(1, m + 1) / m)
    widths = np.diff(levels, prepend=0)
    middles = levels - widths / 2
    i, j = (middles * n).astype(int), (middles * m).astype(int)
    return (widths[:, None] * np.abs(a[i] - b[j])).sum(axis=0)
"""
SORTS = "np.sort(before, axis=0), np.sort(after, axis=0)"
EQUAL = "np.abs(a - b).mean(axis=0)"
SPLIT = "levels = np.union1d"
AREA = """
def wasserstein(before, after):
    result = []
    for a, b in zip(before.T, after.T):
        points = np.sort(np.concatenate([a, b]))
        f = np.array([(a <= p).mean() for p in points])
        g = np.array([(b <= p).mean() for p in points])
        gap = np.abs(f - g)
        result.append((gap[:-1] * np.diff(points)).sum())
    return np.array(result)
"""
WRONG_WASSERSTEIN = [
    ("not sorted", SORTS, "before, after"),
    ("Only one of the two", SORTS, "np.sort(before, axis=0), after"),
    ("Only one of the two", SORTS, "before, np.sort(after, axis=0)"),
    ("dearest", SORTS, "np.sort(before, axis=0), np.sort(after, axis=0)[::-1]"),
    ("sort absolute values", SORTS, "np.sort(np.abs(before), axis=0), np.sort(np.abs(after), axis=0)"),
    ("sort along the features", SORTS, "np.sort(before), np.sort(after)"),
    ("thrown together", SORTS, "np.sort(before.reshape(-1, 1), axis=0), np.sort(after.reshape(-1, 1), axis=0)", "n, m = len(before), len(after)", "n, m = before.size, after.size"),
    ("average over the features as well", EQUAL, "np.abs(a - b).mean()", ".sum(axis=0)", ".sum() / a.shape[1]"),
    ("keep their signs", EQUAL, "np.abs((a - b).mean(axis=0))", "(widths[:, None] * np.abs(a[i] - b[j])).sum(axis=0)", "np.abs((widths[:, None] * (a[i] - b[j])).sum(axis=0))"),
    ("keep their signs", SORTS, "np.abs(before.mean(0) - after.mean(0)), 0", EQUAL, "a", SPLIT, "return a\n    levels = np.union1d"),
    ("number of \\*all\\* values", ".sum(axis=0)", ".sum(axis=0) / a.shape[1]", EQUAL, "np.abs(a - b).sum(axis=0) / a.size"),
    ("add up the distances", EQUAL, "np.abs(a - b).sum(axis=0)", "widths[:, None] * ", ""),
    ("largest distance", EQUAL, "np.abs(a - b).max(axis=0)", "(widths[:, None] * np.abs(a[i] - b[j])).sum(axis=0)", "np.abs(a[i] - b[j]).max(axis=0)"),
    ("median of the distances", EQUAL, "np.median(np.abs(a - b), axis=0)", "(widths[:, None] * np.abs(a[i] - b[j])).sum(axis=0)", "np.median(np.abs(a[i] - b[j]), axis=0)"),
    ("root of the mean square", EQUAL, "np.sqrt(((a - b) ** 2).mean(axis=0))", "(widths[:, None] * np.abs(a[i] - b[j])).sum(axis=0)", "np.sqrt((widths[:, None] * (a[i] - b[j]) ** 2).sum(axis=0))"),
    ("squared", EQUAL, "((a - b) ** 2).mean(axis=0)", "np.abs(a[i] - b[j])", "(a[i] - b[j]) ** 2"),
    ("divide by the standard deviation", EQUAL, "np.abs(a - b).mean(axis=0) / a.std(axis=0)", ".sum(axis=0)", ".sum(axis=0) / a.std(axis=0)"),
    ("largest values are ignored", SPLIT, "k = min(n, m)\n    return np.abs(a[:k] - b[:k]).mean(axis=0)\n    levels = np.union1d"),
    ("last rows are ignored", "n, m = len(before), len(after)", "n = m = min(len(before), len(after))\n    before, after = before[:n], after[:n]"),
    ("fill up with zeros", SPLIT, "k = max(n, m)\n    a, b = (np.pad(z, ((0, k - len(z)), (0, 0))) for z in (a, b))\n    return np.abs(a - b).mean(axis=0)\n    levels = np.union1d"),
    ("interpolate", SPLIT, "q = np.linspace(0, 1, min(n, m))\n    return np.abs(np.quantile(a, q, axis=0) - np.quantile(b, q, axis=0)).mean(axis=0)\n    levels = np.union1d"),
    ("interpolate", SPLIT, "q = np.linspace(0, 1, max(n, m))\n    return np.abs(np.quantile(a, q, axis=0) - np.quantile(b, q, axis=0)).mean(axis=0)\n    levels = np.union1d"),
    ("interpolate", SPLIT, "q = np.arange(0, 101)\n    return np.abs(np.percentile(a, q, axis=0) - np.percentile(b, q, axis=0)).mean(axis=0)\n    levels = np.union1d"),
    ("repeat values of the smaller", SPLIT, "k = max(n, m)\n    a, b = (np.sort(np.resize(z, (k, z.shape[1])), axis=0) for z in (before, after))\n    return np.abs(a - b).mean(axis=0)\n    levels = np.union1d"),
    ("raises ValueError.*some have to be split", SPLIT, "return np.abs(a - b).mean(axis=0)\n    levels = np.union1d"),
    ("changes its input before", SORTS, "before, after\n    a.sort(axis=0); b.sort(axis=0)"),
    ("returns None", "return ", "_ = "),
    ("some have to be split", "(widths[:, None] * np.abs(a[i] - b[j])).sum(axis=0)", "np.abs(a[i] - b[j]).mean(axis=0)"),
    ("has shape", EQUAL, "np.abs(a - b).mean(axis=0, keepdims=True)", ".sum(axis=0)", ".sum(axis=0, keepdims=True)"),
]
WRONG_AREA = [
    ("average .F − G. over the points", "(gap[:-1] * np.diff(points)).sum()", "gap.mean()"),
    ("Kolmogorov", "(gap[:-1] * np.diff(points)).sum()", "gap.max()"),
    ("trapezoids", "(gap[:-1] * np.diff(points)).sum()", "np.trapezoid(gap, points)"),
    ("right end", "gap[:-1] * np.diff", "gap[1:] * np.diff"),
    ("keep their signs", "gap = np.abs(f - g)", "gap = f - g", ".sum())", ".sum())\n        result[-1] = abs(result[-1])"),
]
RIGHT_WASSERSTEIN = {
    "the staircase": WASSERSTEIN,
    "the area": AREA,
    "repeats": """
def wasserstein(before, after):
    n, m = len(before), len(after)
    a = np.repeat(np.sort(before, axis=0), m, axis=0)
    b = np.repeat(np.sort(after, axis=0), n, axis=0)
    return np.abs(a - b).mean(axis=0)
""",
    "least common multiple": """
import math

def wasserstein(before, after):
    k = math.lcm(len(before), len(after))
    a, b = (np.sort(np.tile(z, (k // len(z), 1)), axis=0) for z in (before, after))
    return np.linalg.norm(a - b, 1, axis=0) / k if False else sum(abs(a - b)) / k
""",
    "grain by grain": """
def wasserstein(before, after):
    found = []
    for a, b in zip(np.sort(before.T).tolist(), np.sort(after.T).tolist()):
        i = j = 0
        left, right, work = 1 / len(a), 1 / len(b), 0.0
        while i < len(a) and j < len(b):
            part = min(left, right)
            work += part * abs(a[i] - b[j])
            left, right = left - part, right - part
            if left <= 1e-12:
                i, left = i + 1, 1 / len(a)
            if right <= 1e-12:
                j, right = j + 1, 1 / len(b)
        found.append(work)
    return found
""",
    "quantile functions": """
def wasserstein(before, after):
    n, m = len(before), len(after)
    u = np.unique(np.concatenate([np.arange(n + 1) / n, np.arange(m + 1) / m]))
    middle = (u[1:] + u[:-1]) / 2
    q = [np.quantile(z, middle, axis=0, method="inverted_cdf") for z in (before, after)]
    return np.diff(u) @ np.abs(q[0] - q[1])
""",
    "searchsorted, both ways": """
def wasserstein(before, after):
    before, after = before.astype(float), after.astype(float)
    out = np.empty(before.shape[1])
    for k in range(before.shape[1]):
        a, b = np.sort(before[:, k]), np.sort(after[:, k])
        x = np.unique(np.r_[a, b])
        gap = np.searchsorted(a, x[:-1], "right") / a.size - np.searchsorted(b, x[:-1], "right") / b.size
        out[k] = np.dot(abs(gap), np.diff(x))
    return out
""",
}

# Noise after the normalisation

GIVEN = """
def batch_norm(x, gamma, beta, eps=1e-5):
    c = x - x.mean(axis=0)
    return gamma * c / np.sqrt((c**2).mean(axis=0) + eps) + beta

def batch_norm_backward(dy, x, gamma, eps=1e-5):
    c = x - x.mean(axis=0)
    s = np.sqrt((c**2).mean(axis=0) + eps)
    xhat, d = c / s, gamma * dy
    dx = (d - d.mean(axis=0) - xhat * (d * xhat).mean(axis=0)) / s
    return dx, (dy * xhat).sum(axis=0), dy.sum(axis=0)
"""
NOISE = GIVEN + """
def noisy_batch_norm(x, gamma, beta, strength, seed, eps=1e-5):
    N, D = x.shape
    rng = np.random.default_rng(seed)
    h = batch_norm(x, gamma, beta, eps)
    shift = rng.uniform(-strength, strength, size=D)
    scale = rng.uniform(1, 1 + strength / 2, size=D)
    jitter = 0.1 * rng.normal(size=(N, D))
    y = scale * h + shift + jitter
    return y, scale, shift
"""
H, SHIFT, SCALE, JITTER = "h = batch_norm(x, gamma, beta, eps)", "rng.uniform(-strength, strength, size=D)", "rng.uniform(1, 1 + strength / 2, size=D)", "0.1 * rng.normal(size=(N, D))"
Y = "scale * h + shift + jitter"
WRONG_NOISE = [
    ("same seed differ", "default_rng(seed)", "default_rng()"),
    ("same seed differ", "rng.uniform(-strength", "np.random.uniform(-strength"),
    ("same seed differ.*in y\\)", "rng.normal(size", "np.random.normal(size"),
    ("y, scale, shift: the same for two different seeds", "default_rng(seed)", "default_rng(0)"),
    ("noise that does not move", "shift = rng", "rng0 = rng; rng = np.random.default_rng(42)\n    shift = rng", "jitter = 0.1 * rng.", "jitter = 0.1 * rng0."),
    ("shift: the same for two", SHIFT, "np.random.default_rng(1).uniform(-strength, strength, size=D)"),
    ("whole layer.*draw D numbers", "size=D", "size=1"),
    ("whole layer.*draw D numbers", "strength, size=D", "strength", "2, size=D", "2"),
    ("one scale for every example", "size=D", "size=(N, D)"),
    ("one scale for each example", "size=D", "size=(N, 1)"),
    ("same shift in a step", SHIFT, "np.full(D, rng.uniform(-strength, strength))"),
    ("same scale in a step", SCALE, "np.full(D, rng.uniform(1, 1 + strength / 2))"),
    ("without the axis of length 1", "size=D", "size=(1, D)"),
    ("\\*before\\* the normalisation", H, "", Y, "batch_norm(scale * x + shift, gamma, beta, eps) + jitter", "y =", "h = y ="),
    ("\\*before\\* the normalisation", Y, "h + jitter"),
    ("shift is drawn and returned, but not", Y, "scale * h + jitter"),
    ("scale is drawn and returned, but not", Y, "h + shift + jitter"),
    ("swapped", "return y, scale, shift", "return y, shift, scale"),
    ("added before the scale", Y, "scale * (h + shift) + jitter"),
    ("applied to xhat, before gamma", H, "h = batch_norm(x, 1, 0, eps)", Y, "gamma * (scale * h + shift + jitter) + beta"),
    ("gamma and beta are missing", H, "h = batch_norm(x, 1, 0, eps)"),
    ("gamma·xhat only, not beta", H, "h = batch_norm(x, gamma, 0, eps)", Y, Y + " + beta"),
    ("wrong sign", Y, "scale * h - shift + jitter"),
    ("divided by the scale", Y, "h / scale + shift + jitter"),
    ("normalisation is missing", H, "h = x"),
    ("N − 1", H, "h = gamma * (x - x.mean(0)) / np.sqrt(x.var(0, ddof=1) + eps) + beta"),
    ("eps is missing from h, or is not", H, "h = batch_norm(x, gamma, beta)"),
    ("eps is missing from h", H, "h = gamma * (x - x.mean(0)) / x.std(0) + beta"),
    ("outside the root", H, "h = gamma * (x - x.mean(0)) / (x.std(0) + eps) + beta"),
    ("layer norm", H, "h = gamma * (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + eps) + beta"),
    ("shift.*between 0 and strength", SHIFT, "strength * rng.random(D)"),
    ("shift.*between 0 and 1", SHIFT, "rng.random(D)"),
    ("shift.*whatever the strength", SHIFT, "rng.uniform(-1, 1, size=D)"),
    ("shift.*strength/2", SHIFT, "strength * (rng.random(D) - 0.5)"),
    ("shift.*strength as standard", SHIFT, "rng.normal(0, strength, size=D)"),
    ("shift.*right mean and variance", SHIFT, "rng.normal(0, strength / 3**0.5, size=D)"),
    ("shift.*standard normal", SHIFT, "rng.normal(size=D)"),
    ("shift.*of mean -?0", SHIFT, "strength * rng.choice([-1, 1], size=D)"),
    ("scale.*1 and 1 \\+ strength", SCALE, "rng.uniform(1, 1 + strength, size=D)"),
    ("scale.*1 is missing", SCALE, "strength / 2 * rng.random(D)"),
    ("scale.*1 − strength/2", SCALE, "rng.uniform(1 - strength / 2, 1 + strength / 2, size=D)"),
    ("scale.*whatever the strength", SCALE, "rng.uniform(1, 1.5, size=D)"),
    ("scale.*as the shift", SCALE, "rng.uniform(-strength, strength, size=D)"),
    ("scale.*normal around 1", SCALE, "rng.normal(1, strength / 2, size=D)"),
    ("jitter is missing", Y, "scale * h + shift"),
    ("same for all examples", JITTER, "0.1 * rng.normal(size=D)"),
    ("same for all units", JITTER, "0.1 * rng.normal(size=(N, 1))"),
    ("jitter is one number", JITTER, "0.1 * rng.normal()"),
    ("factor 0.1 missing", JITTER, "rng.normal(size=(N, D))"),
    ("0.1 is its standard deviation", JITTER, "rng.normal(0, 0.1**2, size=(N, D))"),
    ("0.1 is its standard deviation", JITTER, "rng.normal(0, 0.1**0.5, size=(N, D))"),
    ("grows with the strength", JITTER, "strength * 0.1 * rng.normal(size=(N, D))"),
    ("jitter.*not normal|standard deviation of", JITTER, "0.1 * rng.uniform(-1, 1, size=(N, D))"),
    ("not normal", JITTER, "0.1 * rng.uniform(-3**0.5, 3**0.5, size=(N, D))"),
    ("correlation between scale and shift", SHIFT, "np.random.default_rng(seed).uniform(-strength, strength, size=D)", SCALE, "np.random.default_rng(seed).uniform(1, 1 + strength / 2, size=D)"),
    ("correlation between scale and shift", SCALE, "1 + (shift + strength) / 4"),
    ("changes its input x", H, "x -= x.mean(0)\n    " + H),
    ("returns one ndarray", "return y, scale, shift", "return y"),
    ("returns 4 values", "return y, scale, shift", "return y, scale, shift, jitter"),
    ("returns None", "return y, scale, shift", "pass"),
    ("It raises ValueError", "size=D", "size=N"),
]
RIGHT_NOISE = {
    "in steps": NOISE,
    "another order of draws, one line": GIVEN + """
def noisy_batch_norm(x, gamma, beta, strength, seed, eps=1e-5):
    rng = np.random.default_rng(seed)
    y = batch_norm(x, gamma, beta, eps) + rng.normal(0, 0.1, x.shape) / (scale := 1 + strength / 2 * rng.random(x.shape[1]))
    return y * scale + (shift := strength * (2 * rng.random(x.shape[1]) - 1)), scale, shift
""",
    "RandomState": GIVEN + """
def noisy_batch_norm(x, gamma, beta, strength, seed, eps=1e-5):
    rng = np.random.RandomState(seed)
    scale, shift = 1 + strength * rng.rand(x.shape[1]) / 2, strength - 2 * strength * rng.rand(x.shape[1])
    return scale * batch_norm(x, gamma, beta, eps=eps) + shift + 0.1 * rng.randn(*x.shape), scale, shift
""",
    "global state, seeded": GIVEN + """
def noisy_batch_norm(x, gamma, beta, strength, seed, eps=1e-5):
    np.random.seed(seed)
    u = np.random.uniform(size=(2, x.shape[1]))
    scale, shift = 1 + u[0] * strength / 2, (2 * u[1] - 1) * strength
    y = batch_norm(x, scale * gamma, scale * beta + shift, eps)
    y += 0.1 * np.random.standard_normal(x.shape)
    return y, scale, shift
""",
    "loops": """
import random

def noisy_batch_norm(x, gamma, beta, strength, seed, eps=1e-5):
    rng = random.Random(seed)
    y, scales, shifts = np.empty(x.shape), [], []
    for k in range(x.shape[1]):
        mu, var = x[:, k].mean(), x[:, k].var()
        scales.append(rng.uniform(1, 1 + strength / 2))
        shifts.append(rng.uniform(-strength, strength))
        for i in range(len(x)):
            h = gamma[k] * (x[i, k] - mu) / (var + eps) ** 0.5 + beta[k]
            y[i, k] = scales[k] * h + shifts[k] + rng.gauss(0, 0.1)
    return y, scales, shifts
""",
    "one generator for each": GIVEN + """
def noisy_batch_norm(x, gamma, beta, strength, seed, eps=1e-5):
    a, b, c = (np.random.default_rng([seed, k]) for k in range(3))
    scale = a.uniform(1.0, 1.0 + 0.5 * strength, x.shape[1])
    shift = b.uniform(-strength, strength, x.shape[1])
    jitter = c.standard_normal(x.shape, dtype=np.float32) * 0.1
    return [scale * batch_norm(x, gamma, beta, eps) + shift + jitter, scale, shift]
""",
}

# ... and back through it

NOISE_BACKWARD = GIVEN + """
def noisy_batch_norm_backward(dy, x, gamma, scale, eps=1e-5):
    dh = scale * dy
    dx, dgamma, dbeta = batch_norm_backward(dh, x, gamma, eps)
    return dx, dgamma, dbeta
"""
CALL = "batch_norm_backward(dh, x, gamma, eps)"
WRITTEN_OUT = """
def noisy_batch_norm_backward(dy, x, gamma, scale, eps=1e-5):
    N = len(x)
    c = x - x.mean(axis=0)
    s = np.sqrt((c**2).mean(axis=0) + eps)
    xhat = c / s
    d = gamma * scale * dy
    dx = (d - d.mean(axis=0) - xhat * (d * xhat).mean(axis=0)) / s
    dgamma = (scale * dy * xhat).sum(axis=0)
    dbeta = (scale * dy).sum(axis=0)
    return dx, dgamma, dbeta
"""
WRONG_NOISE_BACKWARD = [
    ("scale is ignored", "dh = scale * dy", "dh = dy"),
    ("divided by the scale", "dh = scale * dy", "dh = dy / scale"),
    ("twice", "dh = scale * dy", "dh = scale**2 * dy"),
    ("dx has the scale twice", "eps)\n    return dx", "eps)\n    dx = scale * dx\n    return dx"),
    ("scale\\[:, None\\]", "scale * dy", "scale[:, None] * dy"),
    ("multiplies x on the way in", "dh = scale * dy", "dh = dy", CALL, "batch_norm_backward(dh, scale * x, gamma, eps)"),
    ("dgamma and dbeta are without the scale", CALL, CALL + "\n    _, dgamma, dbeta = batch_norm_backward(dy, x, gamma, eps)"),
    ("dx is without the scale", CALL, CALL + "\n    dx, _, _ = batch_norm_backward(dy, x, gamma, eps)"),
    ("dbeta is without the scale", CALL, CALL + "\n    dbeta = dy.sum(axis=0)"),
    ("dgamma is without the scale", CALL, CALL + "\n    dgamma = batch_norm_backward(dy, x, gamma, eps)[1]"),
    ("eps is 1e-5|fixed number|default", CALL, "batch_norm_backward(dh, x, gamma)"),
    ("changes its input dy", "dh = scale * dy", "dy *= scale\n    dh = dy"),
    ("swapped", "eps)\n    return dx, dgamma, dbeta", "eps)\n    return dx, dbeta, dgamma"),
    ("returns one ndarray", "eps)\n    return dx, dgamma, dbeta", "eps)\n    return dx"),
    ("returns None", "eps)\n    return dx, dgamma, dbeta", "eps)"),
    ("returns 4 values", "eps)\n    return dx, dgamma, dbeta", "eps)\n    return dx, dgamma, dbeta, dy.sum(0)"),
    ("dbeta is a mean", "eps)\n    return", "eps)\n    dbeta = dbeta / len(x)\n    return"),
    ("gamma is missing from dx", CALL, "batch_norm_backward(dh, x, 1.0, eps)"),
]
WRONG_WRITTEN_OUT = [
    ("treated as constants", "(d - d.mean(axis=0) - xhat * (d * xhat).mean(axis=0)) / s", "d / s"),
    ("eps is missing", "mean(axis=0) + eps)", "mean(axis=0))"),
    ("N − 1", "(c**2).mean(axis=0)", "x.var(axis=0, ddof=1)"),
    ("gamma is missing from dx", "d = gamma * scale * dy", "d = scale * dy"),
    ("dgamma has a factor gamma", "(scale * dy * xhat).sum", "(d * xhat).sum"),
    ("only dbeta has it", "gamma * scale * dy", "gamma * dy", "(scale * dy * xhat)", "(dy * xhat)"),
]
RIGHT_NOISE_BACKWARD = {
    "by the given one": NOISE_BACKWARD,
    "written out": WRITTEN_OUT,
    "a gamma that holds the scale": GIVEN + """
def noisy_batch_norm_backward(dy, x, gamma, scale, eps=1e-5):
    dx, dgamma, dbeta = batch_norm_backward(dy, x, gamma * scale, eps=eps)
    return dx, scale * dgamma, scale * dbeta
""",
    "loops": """
def noisy_batch_norm_backward(dy, x, gamma, scale, eps=1e-5):
    n, d = x.shape
    dx, dgamma, dbeta = np.zeros((n, d)), np.zeros(d), np.zeros(d)
    for j in range(d):
        mu = sum(x[i, j] for i in range(n)) / n
        s = (sum((x[i, j] - mu) ** 2 for i in range(n)) / n + eps) ** 0.5
        for i in range(n):
            dbeta[j] += scale[j] * dy[i, j]
            dgamma[j] += scale[j] * dy[i, j] * (x[i, j] - mu) / s
        for i in range(n):
            dx[i, j] = gamma[j] / s * (scale[j] * dy[i, j] - dbeta[j] / n - (x[i, j] - mu) / s * dgamma[j] / n)
    return dx, dgamma, dbeta
""",
    "einsum, a list": """
def noisy_batch_norm_backward(dy, x, gamma, scale, eps=1e-5):
    r = 1 / np.sqrt(np.var(x, 0) + eps)
    xhat = (x - np.mean(x, 0)) * r
    dgamma, dbeta = np.einsum("nd,nd,d->d", dy, xhat, scale), np.einsum("nd,d->d", dy, scale)
    return [gamma * r * (scale * dy - (dbeta + xhat * dgamma) / len(x)), dgamma, dbeta]
""",
    "the Jacobian": """
def noisy_batch_norm_backward(dy, x, gamma, scale, eps=1e-5):
    n = len(x)
    s = np.sqrt(x.var(0) + eps)
    xhat, dh = (x - x.mean(0)) / s, dy * scale
    dx = np.stack([(np.eye(n) - 1 / n - np.outer(z, z) / n) @ d for z, d in zip(xhat.T, dh.T)], axis=1)
    return dx * gamma / s, np.diag(dh.T @ xhat), np.ones(n) @ dh
""",
}

# Along the gradient

WALK = """
def along_gradient(loss_and_gradient, w, etas):
    start, g = loss_and_gradient(w)
    losses, changes, slopes = [], [], []
    for eta in etas:
        loss, new = loss_and_gradient(w - eta * g)
        change = np.linalg.norm(new - g)
        losses.append(loss)
        changes.append(change)
        slopes.append(change / (eta * np.linalg.norm(g)))
    return max(losses) - min(losses), max(changes), max(slopes)
"""
RANGE, SLOPE = "max(losses) - min(losses)", "change / (eta * np.linalg.norm(g))"
WRONG_WALK = [
    ("walk up the gradient", "w - eta * g", "w + eta * g"),
    ("steps of gradient descent", "losses, changes, slopes = [", "here, last = w, g\n    losses, changes, slopes = [", "loss, new = loss_and_gradient(w - eta * g)", "here = here - eta * last\n        loss, last = loss_and_gradient(here)\n        new = last"),
    ("w overwritten in the loop", "loss, new = loss_and_gradient(w - eta * g)", "w = w - eta * g\n        loss, new = loss_and_gradient(w)"),
    ("changes its input w", "loss, new = loss_and_gradient(w - eta * g)", "w -= eta * g\n        loss, new = loss_and_gradient(w)"),
    ("divide the direction by its length", "w - eta * g)", "w - eta * g / np.linalg.norm(g))"),
    ("loss at w itself is among", "losses, changes, slopes = []", "losses, changes, slopes = [start]"),
    ("first point minus that at the last", RANGE, "losses[0] - losses[-1]"),
    ("measured from the loss at w", RANGE, "start - min(losses)"),
    ("measured from the loss at w", RANGE, "max(losses) - start"),
    ("measured from the loss at w", RANGE, "max(abs(loss - start) for loss in losses)"),
    ("maximum alone", RANGE, "max(losses)"),
    ("minimum alone", RANGE, "min(losses)"),
    ("standard deviation", RANGE, "np.std(losses)"),
    ("min − max", RANGE, "min(losses) - max(losses)"),
    ("point before", "losses, changes, slopes = [", "last = g\n    losses, changes, slopes = [", "np.linalg.norm(new - g)", "np.linalg.norm(new - last)\n        last = new"),
    ("lengths of the two gradients", "np.linalg.norm(new - g)", "abs(np.linalg.norm(new) - np.linalg.norm(g))"),
    ("is not subtracted", "np.linalg.norm(new - g)", "np.linalg.norm(new)"),
    ("divided by ‖g‖", "changes.append(change)", "changes.append(change / np.linalg.norm(g))"),
    ("lacks its root", "np.linalg.norm(new - g)", "np.sum((new - g) ** 2)", "np.linalg.norm(g))", "np.sum(g**2))"),
    ("largest entry", "np.linalg.norm(new - g)", "np.abs(new - g).max()", "np.linalg.norm(g))", "np.abs(g).max())"),
    ("sum of absolute", "np.linalg.norm(new - g)", "np.abs(new - g).sum()", "np.linalg.norm(g))", "np.abs(g).sum())"),
    ("root mean", "np.linalg.norm(new - g)", "np.sqrt(np.mean((new - g) ** 2))", "np.linalg.norm(g))", "np.sqrt(np.mean(g**2)))"),
    ("mean over the walk", "max(changes), max(slopes)", "np.mean(changes), np.mean(slopes)"),
    ("last point", "max(changes), max(slopes)", "changes[-1], slopes[-1]"),
    ("smallest of the walk", "max(changes), max(slopes)", "min(changes), min(slopes)"),
    ("divided by η. Divide by the distance", SLOPE, "change / eta"),
    ("divided by ‖g‖, whatever the step", SLOPE, "change / np.linalg.norm(g)"),
    ("\\*square\\* of the distance", SLOPE, "change / (eta * np.linalg.norm(g)) ** 2"),
    ("divided by η·‖g‖²", SLOPE, "change / (eta * np.sum(g**2))"),
    ("not divided by anything", SLOPE, "change"),
    ("\\*new\\* point", SLOPE, "change / (eta * np.linalg.norm(new))"),
    ("longest way", "max(slopes)", "max(changes) / (max(etas) * np.linalg.norm(g))"),
    ("another order", "max(changes), max(slopes)", "max(slopes), max(changes)"),
    ("another order", RANGE + ", max(changes)", "max(changes), " + RANGE),
    ("largest singular value", "np.linalg.norm(new - g)", "np.linalg.norm(new - g, 2)", "np.linalg.norm(g))", "np.linalg.norm(g, 2))"),
    ("returns 2 values", ", max(slopes)", ""),
    ("returns None", "return max", "_ = max"),
    ("has shape", "np.linalg.norm(new - g)", "np.linalg.norm(new - g, axis=0)", RANGE + ", max(changes), max(slopes)", RANGE + ", np.array(changes).max(0), np.array(slopes).max(0)"),
]
RIGHT_WALK = {
    "in steps": WALK,
    "arrays": """
def along_gradient(loss_and_gradient, w, etas):
    _, g = loss_and_gradient(w)
    points = [loss_and_gradient(w - eta * g) for eta in etas]
    losses = np.array([loss for loss, _ in points])
    gradients = np.array([new for _, new in points])
    change = np.sqrt(((gradients - g).reshape(len(etas), -1) ** 2).sum(1))
    return np.ptp(losses), change.max(), (change / etas).max() / np.linalg.norm(g)
""",
    "a copy in place": """
def along_gradient(loss_and_gradient, w, etas):
    g = np.array(loss_and_gradient(w)[1], copy=True)
    low, high, change, smooth = np.inf, -np.inf, 0.0, 0.0
    for eta in sorted(etas):
        here = w.copy()
        here -= eta * g
        loss, new = loss_and_gradient(here)
        low, high = min(low, loss), max(high, loss)
        far = np.linalg.norm((new - g).ravel())
        change = max(change, far)
        smooth = max(smooth, far / np.linalg.norm(here - w))
    return high - low, change, smooth
""",
    "einsum, flat": """
def along_gradient(loss_and_gradient, w, etas):
    flat = w.reshape(-1)
    f = lambda v: loss_and_gradient(v.reshape(w.shape))
    g = f(flat)[1].reshape(-1)
    size = lambda v: float(np.einsum("i,i->", v, v)) ** 0.5
    walked = [(eta, *f(flat - eta * g)) for eta in etas]
    far = [size(new.reshape(-1) - g) for _, _, new in walked]
    loss = [l for _, l, _ in walked]
    return [max(loss) - min(loss), max(far), max(d / (e * size(g)) for d, (e, _, _) in zip(far, walked))]
""",
    "a dictionary of steps": """
def along_gradient(loss_and_gradient, w, etas):
    g0 = loss_and_gradient(w)[1]
    seen = {float(eta): loss_and_gradient(w + float(eta) * (-g0)) for eta in etas}
    R = max(v[0] for v in seen.values()) - min(v[0] for v in seen.values())
    P = np.max([np.linalg.norm(v[1] - g0) for v in seen.values()])
    B = np.max([np.linalg.norm(v[1] - g0) / np.linalg.norm(eta * g0) for eta, v in seen.items()])
    return np.float64(R), P, B
""",
}

# Lengths of weights

LENGTHS = """
def weight_lengths(W, G, lr, decay):
    w2, g2 = (W**2).sum(axis=0), (G**2).sum(axis=0)
    rate = lr / w2
    after = (1 - lr * decay) ** 2 * w2 + lr**2 * g2
    if decay == 0:
        settled = np.full_like(w2, np.inf)
    else:
        unit = w2 * g2
        settled = np.sqrt(lr * unit / (decay * (2 - lr * decay)))
    return rate, after, settled
"""
AFTER, SETTLED = "(1 - lr * decay) ** 2 * w2 + lr**2 * g2", "np.sqrt(lr * unit / (decay * (2 - lr * decay)))"
WRONG_LENGTHS = [
    ("one length for the whole layer", ".sum(axis=0)", ".sum()"),
    ("one length for the whole layer", "(W**2).sum(axis=0), (G**2).sum(axis=0)", "np.linalg.norm(W)**2, np.linalg.norm(G)**2"),
    ("column", "axis=0", "axis=1"),
    ("rate is lr/‖w‖\\.", "lr / w2", "lr / np.linalg.norm(W, axis=0)"),
    ("Long weights turn", "lr / w2", "lr * w2"),
    ("upside down: it is", "lr / w2", "w2 / lr"),
    ("angle of this step", "lr / w2", "lr * np.sqrt(g2 / w2)"),
    ("mean\\* of the squares", "lr / w2", "lr / (W**2).mean(axis=0)"),
    ("decay in it", "lr / w2", "lr * decay / w2"),
    ("lr itself", "lr / w2", "np.full_like(w2, lr)"),
    ("not squared. The weights", AFTER, "(1 - lr * decay) * w2 + lr**2 * g2"),
    ("1 − decay. Weight decay is multiplied", AFTER, "(1 - decay) ** 2 * w2 + lr**2 * g2"),
    ("after is without decay", AFTER, "w2 + lr**2 * g2"),
    ("after subtracts lr²", AFTER, "(1 - lr * decay) ** 2 * w2 - lr**2 * g2"),
    ("lr is not squared", AFTER, "(1 - lr * decay) ** 2 * w2 + lr * g2"),
    ("shrinking alone", AFTER, "(1 - lr * decay) ** 2 * w2"),
    ("after is the length", AFTER, "np.linalg.norm((1 - lr * decay) * W - lr * G, axis=0)"),
    ("after subtracts lengths", AFTER, "((1 - lr * decay) * np.sqrt(w2) - lr * np.sqrt(g2)) ** 2"),
    ("decay shrinks the gradient's step", AFTER, "(((1 - lr * decay) * (W - lr * G)) ** 2).sum(axis=0)"),
    ("1 − 2·lr·decay", AFTER, "w2 - 2 * lr * decay * w2 + lr**2 * g2"),
    ("grow with the decay", AFTER, "(((1 + lr * decay) * W - lr * G) ** 2).sum(axis=0)"),
    ("gradient is the one at unit length", AFTER, "(1 - lr * decay) ** 2 * w2 + lr**2 * g2 * w2"),
    ("\\*growth\\*", AFTER, "((1 - lr * decay) ** 2 - 1) * w2 + lr**2 * g2"),
    ("chapter's approximation", SETTLED, "np.sqrt(lr * unit / (2 * decay))"),
    ("fourth power", SETTLED, "lr * unit / (decay * (2 - lr * decay))"),
    ("fourth power", SETTLED, "lr * unit / (2 * decay)"),
    ("settled is the length", SETTLED, "(lr * unit / (decay * (2 - lr * decay))) ** 0.25"),
    ("at \\*unit length", SETTLED, "np.sqrt(lr * g2 / (decay * (2 - lr * decay)))"),
    ("at \\*unit length", SETTLED, "np.sqrt(lr * g2 / (2 * decay))"),
    ("at \\*unit length", SETTLED, "lr**2 * g2 / (1 - (1 - lr * decay) ** 2)"),
    ("at unit length is g/‖w‖", "unit = w2 * g2", "unit = g2 / w2"),
    ("2 is missing", SETTLED, "np.sqrt(lr * unit / decay)"),
    ("upside down: more decay", SETTLED, "np.sqrt(decay * (2 - lr * decay) * unit / lr)"),
    ("lr·decay stands where", SETTLED, "np.sqrt(lr * decay * unit / 2)"),
    ("never settles", "np.inf", "0.0"),
    ("never settles", "np.inf", "np.nan"),
    ("raises ZeroDivisionError.*never settles", SETTLED, "np.sqrt(lr / (decay * (2 - lr * decay)) * unit)", "if decay == 0:", "if decay < 0:"),
    ("another order", "return rate, after, settled", "return rate, settled, after"),
    ("returns 2 values", "return rate, after, settled", "return rate, after"),
    ("returns None", "return rate, after, settled", "pass"),
    ("changes its input W", "w2, g2 =", "W -= lr * G\n    w2, g2 ="),
    ("left over from `keepdims", ".sum(axis=0)", ".sum(axis=0, keepdims=True)"),
]
RIGHT_LENGTHS = {
    "in steps": LENGTHS,
    "a step, really taken": """
def weight_lengths(W, G, lr, decay):
    n = np.linalg.norm(W, axis=0)
    stepped = W - lr * (G + decay * W)
    tilde = np.linalg.norm(G, axis=0) * n
    with np.errstate(divide="ignore"):
        settled = np.float64(lr) * tilde / np.sqrt(1 - (1 - np.float64(lr) * decay) ** 2)
    return lr / n**2, np.linalg.norm(stepped, axis=0) ** 2, settled
""",
    "loops": """
def weight_lengths(W, G, lr, decay):
    rate, after, settled = [], [], []
    for w, g in zip(W.T, G.T):
        rate.append(lr / (w @ w))
        after.append((w @ w) * (1 - lr * decay) ** 2 + lr * lr * (g @ g))
        if decay:
            settled.append(((w @ w) * (g @ g) * lr / decay / (2 - lr * decay)) ** 0.5)
        else:
            settled.append(float("inf"))
    return rate, after, settled
""",
    "einsum": """
def weight_lengths(W, G, lr, decay):
    w2, g2 = np.einsum("dk,dk->k", W, W), np.einsum("dk,dk->k", G, G)
    keep = 1 - lr * decay
    lost = 2 * lr * decay - (lr * decay) ** 2
    settled = lr * np.sqrt(w2 * g2) / np.sqrt(lost) if decay > 0 else w2 * np.inf
    return np.divide(lr, w2), keep * keep * w2 + g2 * lr**2, settled
""",
    "division by an array": """
def weight_lengths(W, G, lr, decay):
    lr, decay = np.asarray(lr, float), np.asarray(decay, float)
    w2, g2 = np.sum(W * W, 0), np.sum(G * G, 0)
    with np.errstate(divide="ignore"):
        fourth = lr**2 * w2 * g2 / (1 - (1 - lr * decay) ** 2)
    return lr * w2**-1.0, np.sum(((1 - lr * decay) * W - lr * G) ** 2, 0), fourth**0.5
""",
}

# Scale-invariant or not?

INVARIANCE = """
def is_scale_invariant(loss_and_gradient, w):
    loss, g = loss_and_gradient(w)
    for a in (0.1, 0.5, 2.0, 10.0):
        other, _ = loss_and_gradient(a * w)
        if abs(other - loss) > 1e-6 * abs(loss):
            return False
    return True
"""
COMPARE = "abs(other - loss) > 1e-6 * abs(loss)"
ORTHOGONAL = """
def is_scale_invariant(loss_and_gradient, w):
    for a in (0.1, 0.5, 1.0, 2.0, 10.0):
        _, g = loss_and_gradient(a * w)
        cosine = np.sum(g * w) / (np.linalg.norm(g) * np.linalg.norm(w) + 1e-300)
        if abs(cosine) > 1e-6:
            return False
    return True
"""
WRONG_INVARIANCE = [
    ("True to every loss.*never calls", "loss, g =", "return True\n    loss, g ="),
    ("False to every loss.*never calls", "loss, g =", "return False\n    loss, g ="),
    ("never tries another length", "(0.1, 0.5, 2.0, 10.0)", "(1.0,)"),
    ("negative a", "(0.1, 0.5, 2.0, 10.0)", "(-1.0, 0.5, 2.0)"),
    ("negative a", "(0.1, 0.5, 2.0, 10.0)", "(-2.0, 2.0)"),
    ("a clearly below 1", "(0.1, 0.5, 2.0, 10.0)", "(2.0, 10.0)"),
    ("a clearly above 1", "(0.1, 0.5, 2.0, 10.0)", "(0.1, 0.5)"),
    ("a clearly below 1", "(0.1, 0.5, 2.0, 10.0)", "(2.0,)"),
    ("seldom equal to the last bit|relative error of about 1e-6", COMPARE, "other != loss"),
    ("loss is large", COMPARE, "abs(other - loss) > 1e-12"),
    ("below your tolerance", COMPARE, "abs(other - loss) > 1e-4"),
    ("below your tolerance|Is your tolerance tight", COMPARE, "abs(other - loss) > 1e-2"),
    ("Is your tolerance tight", COMPARE, "abs(other - loss) > 0.1 * abs(loss)"),
    ("below your tolerance", COMPARE, "not np.isclose(other, loss, atol=1e-4)"),
    ("relative error|that at a·w is 1/a", "other, _ = loss", "other, h = loss", COMPARE, "not np.allclose(h, g)"),
    ("expected True or False", "return True", "return 1.0"),
    ("returns None", "    return True", "    pass"),
    ("changes w in place", "other, _ = loss_and_gradient(a * w)", "w *= a\n        other, _ = loss_and_gradient(w)"),
    ("wrong way round", "return False\n    return True", "return True\n    return False"),
    ("It raises TypeError", "loss_and_gradient(a * w)", "loss_and_gradient(a * w, g)"),
]
WRONG_ORTHOGONAL = [
    ("one point, and scale", "(0.1, 0.5, 1.0, 2.0, 10.0)", "(1.0,)"),
    ("it is g·w that is zero, relative|loss is large", "abs(cosine) > 1e-6", "abs(np.sum(g * w)) > 1e-13"),
    ("below your tolerance", "abs(cosine) > 1e-6", "abs(np.sum(g * w)) > 1e-3"),
    ("rejects|every loss", "abs(cosine) > 1e-6", "np.abs(g * w).max() > 1e-6"),
]
RIGHT_INVARIANCE = {
    "a few lengths": INVARIANCE,
    "at right angles everywhere": ORTHOGONAL,
    "isclose": """
def is_scale_invariant(loss_and_gradient, w):
    losses = [loss_and_gradient(a * w)[0] for a in np.geomspace(0.05, 20, 8)]
    return np.allclose(losses, losses[0], rtol=1e-7, atol=0)
""",
    "all, the default tolerances": """
def is_scale_invariant(loss_and_gradient, w):
    reference = loss_and_gradient(w)[0]
    return all(np.isclose(loss_and_gradient(w * a)[0], reference, atol=0) for a in [0.3, 3])
""",
    "losses and gradients": """
def is_scale_invariant(loss_and_gradient, w):
    loss, g = loss_and_gradient(w)
    ok = abs((g * w).sum()) <= 1e-8 * np.linalg.norm(g) * np.linalg.norm(w)
    for a in [0.2, 5.0]:
        other, h = loss_and_gradient(a * w)
        ok = ok and abs(other / loss - 1) < 1e-9
        ok = ok and np.allclose(a * h, g, rtol=1e-6, atol=1e-6 * abs(g).max())
    return ok
""",
    "random lengths": """
def is_scale_invariant(loss_and_gradient, w):
    rng = np.random.default_rng(0)
    scales = np.exp(rng.uniform(-3, 3, size=20))
    losses = np.array([loss_and_gradient(scale * w)[0] for scale in scales])
    return bool(np.ptp(losses) <= 1e-9 * np.abs(losses).max())
""",
}

# Squared gradients by layer

CHAIN = GIVEN + """
def layer_gradients(x, weights, dy):
    a, kept = np.maximum(x, 0), []
    for W in weights:
        z = a @ W
        one, zero = np.ones(z.shape[1]), np.zeros(z.shape[1])
        xhat = batch_norm(z, one, zero)
        a = np.maximum(xhat, 0)
        kept.append((z, xhat))
    squares, da = [], dy
    for W, (z, xhat) in zip(weights[::-1], kept[::-1]):
        dxhat = da * (xhat > 0)
        dz, _, _ = batch_norm_backward(dxhat, z, np.ones(z.shape[1]))
        squares.append((dz**2).sum())
        da = dz @ W.T
    return np.array(squares[::-1])
"""
BACK = "dz, _, _ = batch_norm_backward(dxhat, z, np.ones(z.shape[1]))"
WRONG_CHAIN = [
    ("last layer to the first", "squares[::-1]", "squares"),
    ("return their squares", "(dz**2).sum()", "np.linalg.norm(dz)"),
    ("means of the squares", "(dz**2).sum()", "(dz**2).mean()"),
    ("averaged over the examples", "(dz**2).sum()", "(dz**2).sum(axis=1).mean()"),
    ("sum first and square", "(dz**2).sum()", "dz.sum() ** 2"),
    ("sum absolute values", "(dz**2).sum()", "np.abs(dz).sum()"),
    ("divided by the last one", "np.array(squares[::-1])", "np.array(squares[::-1]) / squares[0]"),
    ("were constants, d/s", BACK, "dz = dxhat / z.std(axis=0)"),
    ("not go back through batch norm", BACK, "dz = dxhat"),
    ("not divided by s", BACK, BACK + "\n        dz = dz * z.std(axis=0)"),
    ("lacks the term − xhat", BACK, "dz = (dxhat - dxhat.mean(0)) / z.std(axis=0)"),
    ("lacks the term − mean", BACK, "dz = (dxhat - xhat * (dxhat * xhat).mean(0)) / z.std(axis=0)"),
    ("no batch norm in your network", "xhat = batch_norm(z, one, zero)", "xhat = z", BACK, "dz = dxhat"),
    ("layer norm", "xhat = batch_norm(z, one, zero)", "xhat = batch_norm(z.T, 1, 0).T", BACK, "dz = batch_norm_backward(dxhat.T, z.T, 1)[0].T"),
    ("mask is missing", "dxhat = da * (xhat > 0)", "dxhat = da"),
    ("no ReLU behind", "dxhat = da * (xhat > 0)", "dxhat = da", "a = np.maximum(xhat, 0)", "a = xhat"),
    ("mask is made of z", "da * (xhat > 0)", "da * (z > 0)"),
    ("applied to the \\*gradient", "da * (xhat > 0)", "np.maximum(da, 0)"),
    ("does not go through a ReLU", "a, kept = np.maximum(x, 0), []", "a, kept = x, []"),
    ("last ReLU is missing", "dxhat = da * (xhat > 0)", "dxhat = da * (xhat > 0) if len(squares) else da"),
    ("not through its transpose", "dz @ W.T", "dz @ W"),
    ("what goes on down", "da = dz @ W.T", "da = dxhat @ W.T"),
    ("gradients by xhat", "(dz**2).sum()", "(dxhat**2).sum()"),
    ("outputs, behind the ReLU", "(dz**2).sum()", "(da**2).sum()"),
    ("layers' inputs", "squares.append((dz**2).sum())\n        da = dz @ W.T", "da = dz @ W.T\n        squares.append((da**2).sum())"),
    ("by the \\*weights", "kept.append((z, xhat))", "kept.append((z, xhat, a_in))", "z = a @ W", "a_in, z = a, a @ W", "W, (z, xhat)", "W, (z, xhat, a_in)", "(dz**2).sum()", "((a_in.T @ dz) ** 2).sum()"),
    ("changes its input dy", "dxhat = da * (xhat > 0)", "da *= xhat > 0\n        dxhat = da"),
    ("changes its input x", "a, kept = np.maximum(x, 0), []", "a, kept = np.maximum(x, 0, out=x), []"),
    ("has shape", "(dz**2).sum()", "(dz**2).sum(axis=0).mean(keepdims=True)"),
    ("returns None", "return np.array", "_ = np.array"),
    ("returns 2 values", "return np.array(squares[::-1])", "return squares, da"),
]
RIGHT_CHAIN = {
    "with the given ones": CHAIN,
    "written out, no eps": """
def layer_gradients(x, weights, dy):
    relu = lambda v: np.where(v > 0, v, 0.0)
    a, s, hats = relu(x), [], []
    for W in weights:
        z = a @ W
        s.append(z.std(0))
        hats.append((z - z.mean(0)) / s[-1])
        a = relu(hats[-1])
    out = np.zeros(len(weights))
    d = dy
    for k in range(len(weights) - 1, -1, -1):
        d = np.where(hats[k] > 0, d, 0)
        d = (d - d.mean(0) - hats[k] * (d * hats[k]).mean(0)) / s[k]
        out[k] = np.vdot(d, d)
        d = d @ weights[k].T
    return out
""",
    "recursion": GIVEN + """
def layer_gradients(x, weights, dy):
    def down(a, k):
        if k == len(weights):
            return dy, []
        z = a @ weights[k]
        xhat = batch_norm(z, 1.0, 0.0)
        da, squares = down(xhat.clip(0), k + 1)
        dz = batch_norm_backward((xhat > 0) * da, z, 1.0)[0]
        return dz @ weights[k].T, [np.sum(dz * dz), *squares]
    return down(x.clip(0), 0)[1]
""",
    "functions that remember": GIVEN + """
def layer_gradients(x, weights, dy):
    a, backs = (abs(x) + x) / 2, []
    for W in weights:
        z = np.einsum("nd,dk->nk", a, W)
        h = batch_norm(z, np.ones(W.shape[1]), np.zeros(W.shape[1]))
        backs.append(lambda d, z=z, h=h: batch_norm_backward(np.heaviside(h, 0) * d, z, 1)[0])
        a = (abs(h) + h) / 2
    squares = []
    for W, back in zip(reversed(weights), reversed(backs)):
        dz = back(dy)
        squares.insert(0, np.linalg.norm(dz) ** 2)
        dy = dz @ np.transpose(W)
    return np.asarray(squares)
""",
    "loops over units": """
def layer_gradients(x, weights, dy):
    a, kept = np.maximum(x, 0), []
    for W in weights:
        z = a @ W
        h = np.empty_like(z)
        for j in range(z.shape[1]):
            h[:, j] = (z[:, j] - z[:, j].mean()) / (z[:, j].var() + 1e-5) ** 0.5
        kept.append((z, h))
        a = h * (h > 0)
    total = {}
    for k in reversed(range(len(weights))):
        z, h = kept[k]
        d = dy * (h > 0)
        for j in range(z.shape[1]):
            d[:, j] -= d[:, j].mean() + h[:, j] * np.dot(d[:, j], h[:, j]) / len(h)
            d[:, j] /= (z[:, j].var() + 1e-5) ** 0.5
        total[k] = float((d**2).sum())
        dy = d @ weights[k].T
    return [total[k] for k in sorted(total)]
""",
}

# Growth in a random network

GROWTH = CHAIN + """
def gradient_growth(depth, width, batch, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, width))
    weights = [rng.normal(size=(width, width)) / np.sqrt(width) for _ in range(depth)]
    dy = rng.normal(size=(batch, width))
    squares = layer_gradients(x, weights, dy)
    growth = (squares[0] / squares[-1]) ** (1 / (depth - 1))
    return growth
"""
RATIO = "(squares[0] / squares[-1]) ** (1 / (depth - 1))"
WRONG_GROWTH = [
    ("gradient's \\*length", RATIO, "(squares[0] / squares[-1]) ** (1 / (2 * (depth - 1)))"),
    ("upside down: the last", RATIO, "(squares[-1] / squares[0]) ** (1 / (depth - 1))"),
    ("upside down: the last", RATIO, "np.mean(squares[1:] / squares[:-1])"),
    ("upside down, and of lengths", RATIO, "np.sqrt(squares[-1] / squares[0]) ** (1 / (depth - 1))"),
    ("growth over the whole network. Per layer", RATIO, "squares[0] / squares[-1]"),
    ("last layer's square over the first's", RATIO, "squares[-1] / squares[0]"),
    ("depth-th root", RATIO, "(squares[0] / squares[-1]) ** (1 / depth)"),
    ("number of layers", RATIO, "squares[0] / squares[-1] / (depth - 1)"),
    ("number of layers", RATIO, "squares[0] / squares[-1] / depth"),
    ("logarithm", RATIO, "np.log(squares[0] / squares[-1]) / (depth - 1)"),
    ("growth minus 1", RATIO, RATIO + " - 1"),
    ("squared once more", RATIO, "(squares[0] / squares[-1]) ** (2 / (depth - 1))"),
    ("without a ReLU\\?", "a, kept = np.maximum(x, 0), []", "a, kept = x, []"),
    ("were constants", BACK, "dz = dxhat / z.std(axis=0)"),
    ("without ReLUs", "dxhat = da * (xhat > 0)", "dxhat = da", "a = np.maximum(xhat, 0)", "a = xhat"),
    ("ReLU's mask", "dxhat = da * (xhat > 0)", "dxhat = da"),
    ("layer norm", "xhat = batch_norm(z, one, zero)", "xhat = batch_norm(z.T, 1, 0).T", BACK, "dz = batch_norm_backward(dxhat.T, z.T, 1)[0].T"),
    ("not divided by s", BACK, BACK + "\n        dz = dz * z.std(axis=0)"),
    ("same seed differ", "default_rng(seed)", "default_rng()"),
    ("seed is ignored", "default_rng(seed)", "default_rng(0)"),
    ("depth is ignored", "range(depth)", "range(10)", "(depth - 1)", "9"),
    ("width is ignored", "x = rng", "width = 50\n    x = rng"),
    ("batch is ignored", "x = rng", "batch = 64\n    x = rng"),
    ("are those the squares", "return growth", "return squares"),
    (r"shape \(3,\)", RATIO, "squares[:-1] / squares[1:]"),
    ("returns None", "return growth", "print(growth)"),
    ("returns 2 values", "return growth", "return growth, squares"),
    ("growth is nan|growth is inf", "squares = layer", "dy = 0 * dy\n    squares = layer"),
    ("expected 1|upside|whole|divided|minus|root", RATIO, "np.pi / (np.pi - 1) + 0.5 * rng.normal()"),
    ("expected 1.*weights' size", "rng.normal(size=(width, width)) / np.sqrt(width)", "rng.random(size=(width, width))"),
    ("It raises ValueError", "x = rng.normal(size=(batch, width))", "x = rng.normal(size=(width, batch))"),
]
RIGHT_GROWTH = {
    "first over last": GROWTH,
    "mean of ratios": GROWTH.replace(RATIO, "np.mean(np.divide(squares[:-1], squares[1:]))"),
    "geometric mean, He weights": GROWTH.replace(RATIO, "np.exp(-np.diff(np.log(squares)).mean())").replace("/ np.sqrt(width)", "* np.sqrt(2 / width)"),
    "a fitted slope": GROWTH.replace(RATIO, "np.exp(-np.polyfit(np.arange(depth), np.log(squares), 1)[0])"),
    "uniform weights, another order": GROWTH.replace("rng.normal(size=(width, width)) / np.sqrt(width)", "rng.uniform(-1, 1, (width, width))").replace("    dy = rng.normal(size=(batch, width))\n", "").replace("    x = rng", "    dy = rng.standard_normal((batch, width)) * 3\n    x = rng"),
    "RandomState, an array of one": GROWTH.replace("np.random.default_rng(seed)", "np.random.RandomState(seed)").replace("return growth", "return np.array([growth])"),
    "product of ratios, large weights": GROWTH.replace("/ np.sqrt(width)", "* 10").replace(RATIO, "float(np.prod(squares[:-1] / squares[1:]) ** (1 / (depth - 1)))"),
}

# fmt: on
WRONG = [
    *wrong("moments", MOMENTS, WRONG_MOMENTS),
    *wrong("wasserstein", WASSERSTEIN, WRONG_WASSERSTEIN),
    *wrong("wasserstein", AREA, WRONG_AREA),
    *wrong("noise", NOISE, WRONG_NOISE),
    *wrong("noise_backward", NOISE_BACKWARD, WRONG_NOISE_BACKWARD),
    *wrong("noise_backward", WRITTEN_OUT, WRONG_WRITTEN_OUT),
    *wrong("walk", WALK, WRONG_WALK),
    *wrong("invariance", INVARIANCE, WRONG_INVARIANCE),
    *wrong("invariance", ORTHOGONAL, WRONG_ORTHOGONAL),
    *wrong("lengths", LENGTHS, WRONG_LENGTHS),
    *wrong("chain", CHAIN, WRONG_CHAIN),
    *wrong("growth", GROWTH, WRONG_GROWTH),
]
RIGHT = [
    *right("moments", RIGHT_MOMENTS),
    *right("wasserstein", RIGHT_WASSERSTEIN),
    *right("noise", RIGHT_NOISE),
    *right("noise_backward", RIGHT_NOISE_BACKWARD),
    *right("walk", RIGHT_WALK),
    *right("invariance", RIGHT_INVARIANCE),
    *right("lengths", RIGHT_LENGTHS),
    *right("chain", RIGHT_CHAIN),
    *right("growth", RIGHT_GROWTH),
]
