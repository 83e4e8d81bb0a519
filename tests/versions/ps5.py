"""PS5's versions.

A wrong version is a right one with a line or two edited, as a learner would write it:
``(numbers of the misconception, what the message must say, old, new, ...)``. Nothing
here uses the checks' own knobs.
"""

# ruff: noqa: E501  (a row of a table is a line)

from pathlib import Path

from bnlib.check import pitfalls
from versions import Wrong, edited, filled, right, wrong

CHECKS = pitfalls
TEXT = (Path(__file__).parents[2] / "solutions" / "ps5_pitfalls.md").read_text()


def cell(name):
    """Return the text of a cell of the set."""
    start = TEXT.index("---\n", TEXT.index(f"{{grade_id: {name}")) + 4
    return TEXT[start : TEXT.index("```", start)]


def repaired(name):
    """Return a script of the bug hunt as the solution has it."""
    head, _, rest = cell(name).partition("    ### BEGIN SOLUTION\n")
    return "\n" + head + rest.partition("    ### END SOLUTION\n")[0]


def faulty(name):
    """Return a script of the bug hunt as the learner finds it."""
    head, _, rest = cell(name).partition("    ### BEGIN SOLUTION\n")
    return "\n" + head + rest.partition("    ### END SOLUTION\n")[2]


# fmt: off
# Every exercise that ends in gamma * xhat + beta; {v} is the name of its variance.
FINISH = [
    (16, "eps is missing", "np.sqrt({v} + eps)", "np.sqrt({v})"),
    (11, "eps stands outside", "np.sqrt({v} + eps)", "(np.sqrt({v}) + eps)"),
    (18, "square root is missing", "np.sqrt({v} + eps)", "({v} + eps)"),
    (15, "fixed number", "np.sqrt({v} + eps)", "np.sqrt({v} + 1e-5)"),
    ("larger of", "np.sqrt({v} + eps)", "np.sqrt(np.maximum({v}, eps))"),
    ("eps is 1e-3 where none is given", "eps=1e-5", "eps=1e-3"),
    (21, r"gamma·\(xhat \+ beta\)", "gamma * xhat + beta", "gamma * (xhat + beta)"),
    (22, "gamma is missing", "gamma * xhat + beta", "xhat + beta"),
    (23, "beta is missing", "gamma * xhat + beta", "gamma * xhat"),
    (24, "Neither gamma nor beta", "gamma * xhat + beta", "xhat"),
    ("swapped", "gamma * xhat + beta", "beta * xhat + gamma"),
]

# The variance of the estimates

ESTIMATES = """
def estimate_variance(count, var, kurtosis=3.0):
    M = count
    of_mean = var / M
    bracket = (M - 1) * kurtosis - (M - 3)
    of_var = var**2 * (M - 1) / M**3 * bracket
    return of_mean, of_var
"""
OF_VAR = "var**2 * (M - 1) / M**3 * bracket"
WRONG_ESTIMATES = [
    ("variance of a single value", "var / M\n", "var + 0 * M\n"),
    ("divided by M²", "var / M\n", "var / M**2\n"),
    (r"of_mean is var/\(M − 1\)", "var / M\n", "var / (M - 1)\n"),
    ("standard deviation over M", "var / M\n", "np.sqrt(var) / M\n"),
    ("in it", "var / M\n", "(M - 1) / M * var / M\n"),
    ("of_mean has var squared", "var / M\n", "var**2 / M\n"),
    ("No|no square root", "return of_mean, of_var", "return np.sqrt(of_mean), np.sqrt(of_var)"),
    ("unit of var", "var**2 *", "var *"),
    ("ignores the kurtosis", "* kurtosis", "* 3"),
    ("ignores the kurtosis", OF_VAR, "2 * var**2 * (M - 1) / M**2"),
    ("normal data and large M", OF_VAR, "2 * var**2 / M + 0 * kurtosis"),
    ("excess", "* kurtosis", "* (kurtosis + 3)"),
    ("take 3 off", "* kurtosis", "* (kurtosis - 3)"),
    ("Without a kurtosis you take 0", "kurtosis=3.0", "kurtosis=0.0"),
    ("unbiased", OF_VAR, "var**2 * bracket / (M * (M - 1))"),
    ("limit for large M", OF_VAR, "var**2 * (kurtosis - 1) / M"),
    ("divided by M², not", "M**3", "M**2"),
    ("factor M − 1 is missing", "* (M - 1) / M**3", "/ M**3"),
    ("not divided by M³", "/ M**3", ""),
    ("M − 3 is added", "- (M - 3)", "+ (M - 3)"),
    ("subtract M − 1 where", "- (M - 3)", "- (M - 1)"),
    ("multiplied by M; it is", "(M - 1) * kurtosis", "M * kurtosis"),
    ("square of the \\*expected", OF_VAR, "((M - 1) / M * var) ** 2 + 0 * kurtosis"),
    ("wrong order", "return of_mean, of_var", "return of_var, of_mean"),
    ("returns one", "return of_mean, of_var", "return of_var"),
    ("returns None", "return of_mean, of_var", "of_mean, of_var"),
    ("changes its input var", "M = count", "M = count\n    var *= 2\n    var = var / 2"),
    ("variance of a single", "var / M\n", "var + 0 * M\n", OF_VAR, "var**2 * (kurtosis - 1) / M"),
    ("It raises", "M = count", "M = int(count)"),
    ("It raises", "M = count", "M = len(count)"),
]
RIGHT_ESTIMATES = {
    "as in the book": ESTIMATES,
    "from the second moments": """
def estimate_variance(count, var, kurtosis=3.0):
    m = np.asarray(count, dtype=float)
    second = (kurtosis * (m - 1) ** 2 + (m - 1) * (m**2 - 2 * m + 3)) / m**3
    return var / m, var**2 * (second - ((m - 1) / m) ** 2)
""",
    "with the excess kurtosis": """
def estimate_variance(count, var, kurtosis=3):
    excess = np.asarray(kurtosis) - 3
    f = (count - 1) / count
    return np.divide(var, count), np.square(var) * (excess * f**2 / count + 2 * f / count)
""",
    "from the unbiased variance": """
def estimate_variance(count, var, kurtosis=3.0):
    m = np.maximum(count, 2)
    unbiased = var**2 * (kurtosis / m - (m - 3) / (m * (m - 1)))
    of_var = ((m - 1) / m) ** 2 * unbiased
    return var / count, np.where(np.equal(count, 1), 0, of_var)
""",
    "with powers and float count": """
def estimate_variance(count, var, kurtosis=3.0):
    n = 1.0 * count
    a = n**-1 - n**-2
    return var * n**-1, var**2 * a * n**-1 * (kurtosis * (n - 1) - n + 3)
""",
    "a batch of one first": """
def estimate_variance(count, var, kurtosis=3.0):
    if np.size(count) == 1 and np.all(np.asarray(count) == 1):
        return var.copy(), np.zeros_like(var)
    return [var / count, var**2 * ((kurtosis - 1) / count - 2 * (kurtosis - 2) / count**2 + (kurtosis - 3) / count**3)]
""",
}

# Ghost batches

GHOST = """
def ghost_batch_norm(x, gamma, beta, ghost_size, eps=1e-5):
    N = len(x)
    edges = list(range(0, N, ghost_size)) + [N]
    if len(edges) > 2 and edges[-1] - edges[-2] == 1:
        edges.pop(-2)
    y = np.empty_like(x)
    for start, stop in zip(edges[:-1], edges[1:]):
        part = x[start:stop]
        mean = part.mean(axis=0)
        var = part.var(axis=0)
        xhat = (part - mean) / np.sqrt(var + eps)
        y[start:stop] = gamma * xhat + beta
    return y
"""
JOIN = "edges[-1] - edges[-2] == 1"
PART = "part = x[start:stop]"
MEAN = "mean = part.mean(axis=0)"
VAR = "var = part.var(axis=0)"
WRONG_GHOST = [
    (121, "ordinary batch norm", "ghost_size)) + [N]", "N)) + [N]"),
    ("number of ghost batches", "edges = list(range(0, N, ghost_size)) + [N]", "edges = [0, *np.cumsum([len(a) for a in np.array_split(x, min(ghost_size, N))])]", JOIN, "False"),
    ("nearly equal", "edges = list(range(0, N, ghost_size)) + [N]", "edges = [0, *np.cumsum([len(a) for a in np.array_split(x, max(1, N // ghost_size))])]", JOIN, "False"),
    ("k-th sample", GHOST[GHOST.index("    edges"):GHOST.index("    y =")], "    k = -(-N // ghost_size)\n", "zip(edges[:-1], edges[1:])", "[(i, None) for i in range(k)]", PART, "part = x[start::k]", "y[start:stop]", "y[start::k]"),
    ("first part's", MEAN, "mean = x[: edges[1]].mean(0)", VAR, "var = x[: edges[1]].var(0)"),
    ("mean is the whole batch's", MEAN, "mean = x.mean(axis=0)"),
    (121, "variance is the whole batch's", VAR, "var = x.var(axis=0)"),
    ("its variance is 0", JOIN, "False"),
    ("always joins", JOIN, "edges[-1] - edges[-2] < ghost_size"),
    ("dropped", JOIN, "False", "return y", "return y[: N // ghost_size * ghost_size]"),
    ("come out as they went in", "np.empty_like(x)", "x.copy()", JOIN, "False", "+ [N]", "", "ghost_size))", "ghost_size))[: N // ghost_size] + [N // ghost_size * ghost_size]"),
    ("have y = 0", "np.empty_like(x)", "np.zeros_like(x)", JOIN, "False", "+ [N]", "", "ghost_size))", "ghost_size))[: N // ghost_size] + [N // ghost_size * ghost_size]"),
    ("uses the whole batch's", VAR, f"{VAR}\n        if len(part) < ghost_size:\n            mean, var = x.mean(0), x.var(0)"),
    ("the part before", VAR, f"{VAR}\n        if len(part) < ghost_size and start:\n            mean, var = x[start - ghost_size : start].mean(0), x[start - ghost_size : start].var(0)"),
    ("last ghost_size samples", VAR, f"{VAR}\n        if len(part) < ghost_size <= N:\n            mean, var = x[-ghost_size:].mean(0), x[-ghost_size:].var(0)"),
    ("divided by ghost_size", MEAN, "mean = part.sum(0) / ghost_size", VAR, "var = ((part - mean) ** 2).sum(0) / ghost_size"),
    (1, "ddof=1", VAR, "var = part.var(axis=0, ddof=1)"),
    (2, "mean of x²", VAR, "var = (part**2).mean(axis=0)"),
    (5, "all features together", VAR, "var = part.var()"),
    (30, "layer norm", MEAN, "mean = part.mean(axis=1, keepdims=True)", VAR, "var = part.var(axis=1, keepdims=True)"),
    (28, "changes its input x", "np.empty_like(x)", "x"),
    ("returns None", "return y", "y"),
    ("It raises", "edges = list(range(0, N, ghost_size)) + [N]", "x.reshape(-1, ghost_size, x.shape[1])\n    edges = list(range(0, N, ghost_size)) + [N]"),
    (3, "loses all its digits", VAR, "var = np.abs((part * part).mean(axis=0) - mean * mean)"),
    *filled(FINISH, v="var"),
]
RIGHT_GHOST = {
    "edges": GHOST,
    "split and concatenate": """
def ghost_batch_norm(x, gamma, beta, ghost_size, eps=1e-5):
    parts = np.split(x, range(ghost_size, len(x), ghost_size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [np.concatenate(parts[-2:])]
    normed = [(p - p.mean(0)) / np.sqrt(p.var(0) + eps) for p in parts]
    return np.concatenate(normed) * gamma + beta
""",
    "reshape, and the rest by recursion": """
def ghost_batch_norm(x, gamma, beta, ghost_size, eps=1e-5):
    n, d = x.shape
    rest = n % ghost_size
    full = n - rest
    if rest == 1 and full:
        full -= ghost_size
    blocks = x[:full].reshape(-1, ghost_size, d) if full else x[:0].reshape(0, 1, d)
    mu, v = blocks.mean(1, keepdims=True), blocks.var(1, keepdims=True)
    y = ((blocks - mu) / np.sqrt(v + eps)).reshape(-1, d)
    tail = x[full:]
    if len(tail):
        y = np.vstack([y, (tail - tail.mean(0)) / np.sqrt(tail.var(0) + eps)])
    return gamma * y + beta
""",
    "loops over samples and features": """
def ghost_batch_norm(x, gamma, beta, ghost_size, eps=1e-5):
    n, d = x.shape
    y = np.zeros((n, d))
    number = [i // ghost_size for i in range(n)]
    if n > 1 and number.count(number[-1]) == 1 and number[-1] > 0:
        number[-1] -= 1
    number = np.array(number)
    for k in set(number.tolist()):
        rows = np.flatnonzero(number == k)
        for j in range(d):
            column = x[rows, j].astype(np.float64)
            c = column - sum(column) / len(column)
            y[rows, j] = gamma[j] * c / (c @ c / len(c) + eps) ** 0.5 + beta[j]
    return y
""",
    "a while loop": """
def ghost_batch_norm(x, gamma, beta, ghost_size, eps=1e-5):
    out, i = [], 0
    while i < len(x):
        j = i + ghost_size
        if len(x) - j < 2:
            j = len(x) if len(x) - j in (0, 1) else j
        p = x[i:j]
        out.append(gamma * (p - p.mean(0)) / np.sqrt(p.var(0) + eps) + beta)
        i = j
    return np.vstack(out)
""",
}

# Statistics of workers

WORKERS = """
def merge_workers(counts, means, variances):
    alive = counts > 0
    n = counts[alive][:, None]
    mu, v = means[alive], variances[alive]
    M = n.sum()
    mean = (n * mu).sum(axis=0) / M
    inside = (n * v).sum(axis=0) / M
    between = (n * (mu - mean) ** 2).sum(axis=0) / M
    var = inside + between
    return mean, var, M
"""
INSIDE = "(n * v).sum(axis=0) / M"
BETWEEN = "(n * (mu - mean) ** 2).sum(axis=0) / M"
WEIGHTED = "(n * mu).sum(axis=0) / M"
EQUAL = (WEIGHTED, "mu.mean(0)", INSIDE, "v.mean(0)")
WRONG_WORKERS = [
    (119, "variance of the means is missing: you", BETWEEN, "0"),
    (119, "count alike, whatever their counts. A worker", *EQUAL, BETWEEN, "((mu - mean) ** 2).mean(0)"),
    (119, "count alike.*besides", *EQUAL, BETWEEN, "0"),
    (119, "count alike.*besides", "counts > 0", "counts >= 0", "mu, v = means[alive], variances[alive]", "mu, v = np.nan_to_num(means), np.nan_to_num(variances)", *EQUAL, BETWEEN, "0"),
    ("empty worker", "counts > 0", "counts >= 0"),
    ("largest worker", WEIGHTED, "mu[n.argmax()]", INSIDE, "v[n.argmax()]", BETWEEN, "0"),
    ("first worker", WEIGHTED, "np.nan_to_num(means[0])", INSIDE, "np.nan_to_num(variances[0])", BETWEEN, "0"),
    ("squared counts", "return mean, var, M", "return mean, var, counts.sum()", "n = counts[alive][:, None]", "n = counts[alive][:, None] ** 2.0"),
    ("roots of the counts", "return mean, var, M", "return mean, var, counts.sum()", "n = counts[alive][:, None]", "n = counts[alive][:, None] ** 0.5"),
    ("standard deviations", INSIDE, "((n * np.sqrt(v)).sum(axis=0) / M) ** 2"),
    ("added up. Take their mean", INSIDE, "v.sum(axis=0)"),
    ("sum of squares: divide", INSIDE, "(n * v).sum(axis=0)", BETWEEN, "(n * (mu - mean) ** 2).sum(axis=0)"),
    ("pool with counts − 1", INSIDE, "((n - 1) * v).sum(0) / max((n - 1).sum(), 1)"),
    ("multiply the variances by counts − 1", INSIDE, "((n - 1) * v).sum(0) / M"),
    ("divide by the total − 1", "inside + between", "(inside + between) * M / (M - 1)"),
    ("weigh alike", BETWEEN, "((mu - mean) ** 2).mean(0)"),
    ("plain average", BETWEEN, "(n * (mu - mu.mean(0)) ** 2).sum(axis=0) / M"),
    ("not squared", "(mu - mean) ** 2", "abs(mu - mean)"),
    ("subtracted", "inside + between", "inside - between"),
    ("are added up", BETWEEN, "((mu - mean) ** 2).sum(axis=0)"),
    ("without taking mean² off", "(mu - mean) ** 2", "mu**2"),
    (3, "loses all its digits", BETWEEN, "(n * mu**2).sum(axis=0) / M - mean**2"),
    ("Features are averaged", "return mean, var, M", "return mean.mean(), var.mean(), M"),
    ("sum of counts", "return mean, var, M", "return mean, var, counts.max()"),
    ("sum of counts", "return mean, var, M", "return mean, var, len(counts)"),
    ("sum of counts", "return mean, var, M", "return mean, var, counts.mean()"),
    ("variance before the mean", "return mean, var, M", "return var, mean, M"),
    ("count first", "return mean, var, M", "return M, mean, var"),
    ("returns 2 values", "return mean, var, M", "return mean, var"),
    ("returns None", "return mean, var, M", "mean, var, M"),
    ("changes its input", "alive = counts > 0", "alive = counts > 0\n    means[:] = np.nan_to_num(means)"),
    ("It raises", "counts[alive][:, None]", "counts[alive]"),
    ("empty worker", "counts > 0", "counts >= 0", BETWEEN, "0"),
]
RIGHT_WORKERS = {
    "all at once": WORKERS,
    "pair after pair": """
def merge_workers(counts, means, variances):
    n, mean, var = 0, 0.0, 0.0
    for c, mu, v in zip(counts, means, variances):
        if c == 0:
            continue
        both = n + c
        delta = mu - mean
        mean = mean + delta * c / both
        var = (n * var + c * v) / both + delta**2 * n * c / both**2
        n = both
    return mean, var, n
""",
    "averages with weights": """
def merge_workers(counts, means, variances):
    means, variances = np.nan_to_num(means), np.nan_to_num(variances)
    mean = np.average(means, axis=0, weights=counts)
    var = np.average(variances + (means - mean) ** 2, axis=0, weights=counts)
    return mean, var, float(np.sum(counts))
""",
    "einsum on shifted means": """
def merge_workers(counts, means, variances):
    k = counts > 0
    w = counts[k] / counts.sum()
    shift = means[k][0]
    d = means[k] - shift
    m = np.einsum("k,kd->d", w, d)
    var = np.einsum("k,kd->d", w, variances[k] + d**2) - m**2
    return shift + m, var, counts.sum()
""",
    "matrix products, a loop over features": """
def merge_workers(counts, means, variances):
    d = means.shape[1]
    total = int(counts.sum())
    mean, var = np.zeros(d), np.zeros(d)
    for j in range(d):
        seen = [(n, m, v) for n, m, v in zip(counts, means[:, j], variances[:, j]) if n]
        mean[j] = sum(n * m for n, m, _ in seen) / total
        var[j] = sum(n * (v + (m - mean[j]) ** 2) for n, m, v in seen) / total
    return mean, var, np.array(total)
""",
}

# A clock for the statistics

STEP_TRAIN = """
def step_norm_train(x, lengths, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
    N, T, D = x.shape
    running_mean, running_var = running_mean.copy(), running_var.copy()
    y = np.zeros_like(x)
    for t in range(T):
        alive = t < lengths
        n = alive.sum()
        if n == 0:
            continue
        z = x[alive, t]
        mean = z.mean(axis=0)
        var = ((z - mean) ** 2).mean(axis=0)
        xhat = (z - mean) / np.sqrt(var + eps)
        y[alive, t] = gamma * xhat + beta
        if n > 1:
            unbiased = var * n / (n - 1)
            running_mean[t] = (1 - momentum) * running_mean[t] + momentum * mean
            running_var[t] = (1 - momentum) * running_var[t] + momentum * unbiased
    return y, running_mean, running_var
"""
STEP_MEAN = "mean = z.mean(axis=0)"
STEP_VAR = "var = ((z - mean) ** 2).mean(axis=0)"
NEW_MEAN = "running_mean[t] = (1 - momentum) * running_mean[t] + momentum * mean"
NEW_VAR = "running_var[t] = (1 - momentum) * running_var[t] + momentum * unbiased"
STEP_RETURN = "return y, running_mean, running_var"
WRONG_STEP_TRAIN = [
    ("padding is counted", "alive = t < lengths", "alive = np.ones(N, bool)", "    return y", "    y *= (np.arange(T) < lengths[:, None])[..., None]\n    return y"),
    ("padding is counted", "z = x[alive, t]", "z = x[:, t]", "n = alive.sum()", "n = N", "y[alive, t] = gamma * xhat + beta", "y[alive, t] = (gamma * xhat + beta)[alive]"),
    ("divided by N", STEP_MEAN, "mean = z.sum(axis=0) / N", STEP_VAR, "var = ((z - mean) ** 2).sum(axis=0) / N"),
    ("variance is divided by N", STEP_VAR, "var = ((z - mean) ** 2).sum(axis=0) / N"),
    ("one step too long", "z = x[alive, t]", "alive = t <= lengths\n        n = alive.sum()\n        z = x[alive, t]", "y[alive, t] = gamma * xhat + beta", "y[alive, t] = (gamma * xhat + beta) * (t < lengths[alive])[:, None]"),
    ("taken for padding|for padding", "alive = t < lengths", "alive = (x[:, t] != 0).all(1)"),
    ("full length", "z = x[alive, t]", "z = x[lengths == T, t]\n        n = len(z)", "xhat = (z - mean)", "xhat = (x[alive, t] - mean)"),
    ("share one mean", STEP_MEAN, "z_all = x[np.arange(T) < lengths[:, None]]\n        mean = z_all.mean(axis=0)", STEP_VAR, "var = z_all.var(axis=0)\n        n = len(z_all)"),
    ("over all steps up to t", STEP_MEAN, "z_all = x[alive, : t + 1].reshape(-1, D)\n        mean = z_all.mean(axis=0)", STEP_VAR, "var = z_all.var(axis=0)\n        n = len(z_all)"),
    ("Only row 0", NEW_MEAN, NEW_MEAN.replace("[t]", "[0]"), NEW_VAR, NEW_VAR.replace("[t]", "[0]")),
    (64, "normalise by the running", "xhat = (z - mean) / np.sqrt(var + eps)", "xhat = (z - running_mean[t]) / np.sqrt(running_var[t] + eps)"),
    ("normalised like", "y[alive, t] = gamma * xhat + beta", "y[:, t] = gamma * (x[:, t] - mean) / np.sqrt(var + eps) + beta"),
    ("y is beta where", "np.zeros_like(x)", "np.zeros_like(x) + beta"),
    ("variance to NaN", "if n > 1", "if n > 0"),
    ("pulls the running variance to 0", "if n > 1", "if n > 0", "/ (n - 1)", "/ max(n - 1, 1)"),
    ("not the variance", "if n > 1:", f"if n == 1:\n            {NEW_MEAN}\n        if n > 1:"),
    (34, "biased variance. Store", "momentum * unbiased", "momentum * var"),
    (("uses N"), "var * n / (n - 1)", "var * N / (N - 1)"),
    ("standard deviation", "momentum * unbiased", "momentum * np.sqrt(unbiased)"),
    (1, "normalised by the unbiased", "np.sqrt(var + eps)", "np.sqrt(var * n / (n - 1) + eps)"),
    (2, "mean of x²", STEP_VAR, "var = (z**2).mean(axis=0)"),
    (33, "other way round", NEW_MEAN, "running_mean[t] = momentum * running_mean[t] + (1 - momentum) * mean", NEW_VAR, "running_var[t] = momentum * running_var[t] + (1 - momentum) * unbiased"),
    (40, "Only this batch", NEW_MEAN, "running_mean[t] = mean", NEW_VAR, "running_var[t] = unbiased"),
    (39, "does not decay", "(1 - momentum) * ", ""),
    ("0.1 whatever", "N, T, D = x.shape", "N, T, D = x.shape\n    momentum = 0.1"),
    (47, "come back as they were", "if n > 1", "if n > N"),
    (42, "running_var is not updated", NEW_VAR, "pass"),
    ("running_mean is not updated", NEW_MEAN, "pass"),
    ("begins with the running", STEP_RETURN, "return running_mean, running_var, y"),
    (46, "swapped", STEP_RETURN, "return y, running_var, running_mean"),
    ("changes its input running_mean", "running_mean, running_var = running_mean.copy(), running_var.copy()", ""),
    ("changes its input x", "np.zeros_like(x)", "x"),
    ("returns one ndarray", STEP_RETURN, "return y"),
    ("returns None", STEP_RETURN, "pass"),
    (3, "mean is large", STEP_VAR, "var = np.abs((z**2).mean(axis=0) - mean**2)"),
    *filled(FINISH, v="var"),
]
RIGHT_STEP_TRAIN = {
    "a loop over steps": STEP_TRAIN,
    "masks and no loop": """
def step_norm_train(x, lengths, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
    T = x.shape[1]
    mask = (np.arange(T) < lengths[:, None])[..., None]
    n = mask.sum(axis=0)
    mean = (x * mask).sum(axis=0) / np.maximum(n, 1)
    c = (x - mean) * mask
    var = (c**2).sum(axis=0) / np.maximum(n, 1)
    y = (gamma * c / np.sqrt(var + eps) + beta) * mask
    rm, rv = running_mean.copy(), running_var.copy()
    unbiased = var * n / np.maximum(n - 1, 1)
    keep = n > 1
    rm[:T] = np.where(keep, (1 - momentum) * rm[:T] + momentum * mean, rm[:T])
    rv[:T] = np.where(keep, (1 - momentum) * rv[:T] + momentum * unbiased, rv[:T])
    return y, rm, rv
""",
    "NaN for padding": """
def step_norm_train(x, lengths, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
    T = x.shape[1]
    z = x.astype(np.float64)
    z[np.arange(T) >= lengths[:, None]] = np.nan
    mean, var = np.nanmean(z, 0), np.nanvar(z, 0)
    y = np.nan_to_num(gamma * (z - mean) / np.sqrt(var + eps) + beta)
    n = np.bincount(lengths, minlength=T + 1)[::-1].cumsum()[::-1][1 : T + 1]
    rm, rv = np.array(running_mean), np.array(running_var)
    for t in np.flatnonzero(n >= 2):
        rm[t] += momentum * (mean[t] - rm[t])
        rv[t] += momentum * (np.nanvar(z[:, t], 0, ddof=1) - rv[t])
    return y, rm, rv
""",
    "loops over everything": """
def step_norm_train(x, lengths, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
    N, T, D = x.shape
    y, rm, rv = np.zeros((N, T, D)), running_mean + 0, running_var + 0
    for t in range(T):
        who = [i for i in range(N) if lengths[i] > t]
        for j in range(D):
            values = np.array([x[i, t, j] for i in who], dtype=float)
            if not who:
                continue
            m = values.sum() / len(who)
            v = ((values - m) ** 2).sum() / len(who)
            for i in who:
                y[i, t, j] = gamma[j] * (x[i, t, j] - m) / np.sqrt(v + eps) + beta[j]
            if len(who) >= 2:
                rm[t, j] = rm[t, j] * (1 - momentum) + m * momentum
                rv[t, j] = rv[t, j] * (1 - momentum) + v * len(who) / (len(who) - 1) * momentum
    return y, rm, rv
""",
    "sequences sorted by length": """
def step_norm_train(x, lengths, gamma, beta, running_mean, running_var, momentum=0.1, eps=1e-5):
    order = np.argsort(-lengths)
    z, ends = x[order], lengths[order]
    out = np.zeros_like(z)
    rm, rv = running_mean.copy(), running_var.copy()
    for t in range(ends[0]):
        k = int((ends > t).sum())
        part = z[:k, t]
        out[:k, t] = gamma * (part - part.mean(0)) / np.sqrt(part.var(0) + eps) + beta
        if k > 1:
            rm[t] = (1 - momentum) * rm[t] + momentum * part.mean(0)
            rv[t] = (1 - momentum) * rv[t] + momentum * part.var(0, ddof=1)
    y = np.empty_like(out)
    y[order] = out
    return y, rm, rv
""",
}

STEP_EVAL = """
def step_norm_eval(x, lengths, gamma, beta, running_mean, running_var, eps=1e-5):
    N, T, D = x.shape
    last = len(running_mean) - 1
    y = np.zeros_like(x)
    for t in range(T):
        alive = t < lengths
        k = min(t, last)
        mean, var = running_mean[k], running_var[k]
        xhat = (x[alive, t] - mean) / np.sqrt(var + eps)
        y[alive, t] = gamma * xhat + beta
    return y
"""
ROW = "mean, var = running_mean[k], running_var[k]"
WRONG_STEP_EVAL = [
    (56, "batch's statistics. In evaluation", ROW, "mean, var = x[alive, t].mean(0), x[alive, t].var(0)"),
    ("average of all rows. Step", ROW, "mean, var = running_mean.mean(0), running_var.mean(0)"),
    ("biased again", ROW, ROW + "\n        var = var * (alive.sum() - 1) / alive.sum()"),
    ("clock starts anew", "min(t, last)", "t % (last + 1)"),
    ("you take row 0", "min(t, last)", "t if t <= last else 0"),
    ("nobody has ever measured", ROW, f"{ROW}\n        if t > last:\n            mean, var = np.zeros(D), np.ones(D)"),
    ("you average all rows", ROW, f"{ROW}\n        if t > last:\n            mean, var = running_mean.mean(0), running_var.mean(0)"),
    ("fall back to the batch's", ROW, f"{ROW}\n        if t > last:\n            mean, var = x[alive, t].mean(0), x[alive, t].var(0)"),
    ("last but one", "min(t, last)", "min(t, last - 1)"),
    ("as it went in", "k = min(t, last)", "k = min(t, last)\n        if t > last:\n            y[alive, t] = x[alive, t]\n            continue"),
    ("y is 0: your loop", "range(T)", "range(min(T, last + 1))"),
    ("cut off", "return y", "return y[:, : last + 1]"),
    ("IndexError", "min(t, last)", "t"),
    ("row t \\+ 1", "min(t, last)", "min(t + 1, last)"),
    ("row t − 1", "min(t, last)", "max(min(t, last + 1) - 1, 0)"),
    ("All steps use the last row", "min(t, last)", "last"),
    ("normalised like data", "alive = t < lengths", "alive = np.ones(N, bool)"),
    ("y is beta where", "np.zeros_like(x)", "np.zeros_like(x) + beta"),
    ("changes its input x", "np.zeros_like(x)", "x"),
    ("returns None", "return y", "y"),
    *filled(FINISH, v="var"),
]
RIGHT_STEP_EVAL = {
    "a loop over steps": STEP_EVAL,
    "rows by index": """
def step_norm_eval(x, lengths, gamma, beta, running_mean, running_var, eps=1e-5):
    steps = np.arange(x.shape[1])
    rows = np.minimum(steps, len(running_mean) - 1)
    y = gamma * (x - running_mean[rows]) / np.sqrt(running_var[rows] + eps) + beta
    return np.where((steps < lengths[:, None])[..., None], y, 0)
""",
    "statistics padded with the last row": """
def step_norm_eval(x, lengths, gamma, beta, running_mean, running_var, eps=1e-5):
    T = x.shape[1]
    extra = max(T - len(running_mean), 0)
    mean = np.pad(running_mean, ((0, extra), (0, 0)), mode="edge")[:T]
    var = np.pad(running_var, ((0, extra), (0, 0)), mode="edge")[:T]
    y = (x - mean) * gamma / (var + eps) ** 0.5 + beta
    y[np.arange(T) >= lengths[:, None]] = 0
    return y
""",
    "folded into scale and shift": """
def step_norm_eval(x, lengths, gamma, beta, running_mean, running_var, eps=1e-5):
    scale = gamma / np.sqrt(running_var.astype(float) + eps)
    shift = beta - scale * running_mean
    y = np.zeros(x.shape)
    for n in range(len(x)):
        for t in range(lengths[n]):
            k = t if t < len(scale) else -1
            y[n, t] = scale[k] * x[n, t] + shift[k]
    return y
""",
    "an exception for the last row": """
def step_norm_eval(x, lengths, gamma, beta, running_mean, running_var, eps=1e-5):
    y = []
    for t in range(x.shape[1]):
        try:
            m, v = running_mean[t], running_var[t]
        except IndexError:
            m, v = running_mean[-1], running_var[-1]
        y.append((gamma * (x[:, t] - m) / np.sqrt(v + eps) + beta) * (lengths > t)[:, None])
    return np.stack(y, axis=1)
""",
}

# PreciseBN

PRECISE = """
def precise_statistics(batches):
    M = sum(len(x) for x in batches)
    mean = sum(x.sum(axis=0) for x in batches) / M
    squares = sum(((x - mean) ** 2).sum(axis=0) for x in batches)
    var = squares / (M - 1)
    return mean, var
"""
P_VAR = "squares / (M - 1)"
P_MEAN = "sum(x.sum(axis=0) for x in batches) / M"
EMA = """
def precise_statistics(batches):
    mean, var = np.zeros(batches[0].shape[1]), np.ones(batches[0].shape[1])
    for x in batches:
        mean = 0.9 * mean + 0.1 * x.mean(0)
        var = 0.9 * var + 0.1 * x.var(0, ddof=1)
    return mean, var
"""
COMBINED = """
def precise_statistics(batches):
    n = np.array([len(x) for x in batches])[:, None]
    mus = np.array([x.mean(0) for x in batches])
    vs = np.array([x.var(0) for x in batches])
    M = n.sum()
    mean = (n * mus).sum(0) / M
    var = (n * (vs + (mus - mean) ** 2)).sum(0) / M
    return mean, var * M / (M - 1)
"""
WRONG_COMBINED = [
    ("correct each batch's variance", "x.var(0)", "(x.var(0, ddof=1) if len(x) > 1 else x.var(0))"),
    ("average standard deviations", "x.var(0)", "x.std(0)", "(n * (vs + (mus - mean) ** 2)).sum(0) / M", "((n * vs).sum(0) / M) ** 2 + (n * (mus - mean) ** 2).sum(0) / M"),
    ("plain average", "(n * (vs + (mus - mean) ** 2)).sum(0) / M", "(n * vs).sum(0) / M + mus.var(0)"),
    ("plain average", "(mus - mean) ** 2", "(mus - mus.mean(0)) ** 2"),
    ("not squared", "(mus - mean) ** 2", "abs(mus - mean)"),
    ("number of batches", "var * M / (M - 1)", "var * len(n) / (len(n) - 1)"),
    ("average of the batches' variances", "vs + (mus - mean) ** 2", "vs"),
]
WRONG_PRECISE = [
    ("count alike.*average of the", P_MEAN, "np.mean([x.mean(0) for x in batches], 0)", P_VAR, "np.mean([x.var(0) for x in batches], 0)"),
    ("average of the batches' variances", P_VAR, "sum(len(x) * x.var(0) for x in batches) / M"),
    ("average of the batches' unbiased", P_VAR, "np.mean([x.var(0, ddof=1) for x in batches], 0)"),
    ("average of the batches' unbiased", P_VAR, "sum(len(x) * x.var(0, ddof=1) for x in batches) / M"),
    ("average of the batches' unbiased", P_VAR, "np.mean([x.var(0, ddof=1 if len(x) > 1 else 0) for x in batches], 0)"),
    ("Each \\*sample\\* counts", P_MEAN, "np.mean([x.mean(0) for x in batches], 0)"),
    ("biased variance. It is", P_VAR, "squares / M"),
    ("upside down", P_VAR, "squares * (M - 1) / M**2"),
    ("number of features", P_VAR, "squares / M * len(mean) / (len(mean) - 1)"),
    ("standard deviation", P_VAR, "np.sqrt(squares / (M - 1))"),
    ("sum of squares", P_VAR, "squares"),
    ("mean of x²", "((x - mean) ** 2)", "(x**2)"),
    (3, "mean is large", "squares = sum(((x - mean) ** 2).sum(axis=0) for x in batches)", "squares = abs(sum((x**2).sum(axis=0) for x in batches) - M * mean**2)"),
    ("inside the loop", "M = sum", "batches = batches[:1]\n    M = sum"),
    ("replaces the one before", "M = sum", "batches = batches[-1:]\n    M = sum"),
    ("last batch is left out", "M = sum", "batches = batches[:-1] or batches\n    M = sum"),
    ("last batch is left out", "M = sum", "batches = [x for x in batches if len(x) == max(len(b) for b in batches)]\n    M = sum"),
    ("Features are pooled", "return mean, var", "z = np.concatenate(batches)\n    return mean * 0 + z.mean(), var * 0 + z.var(ddof=1)"),
    (46, "swapped", "return mean, var", "return var, mean"),
    ("returns one", "return mean, var", "return var"),
    ("returns None", "return mean, var", "mean, var"),
    ("changes its input batches", "M = sum", "for x in batches:\n        x -= 1\n    M = sum"),
    ("It raises", "M = sum(len(x) for x in batches)", "M = len(np.stack(batches).reshape(-1, batches[0].shape[1]))"),
]
RIGHT_PRECISE = {
    "two passes": PRECISE,
    "merged moments": COMBINED,
    "everything together": """
def precise_statistics(batches):
    everything = np.concatenate(batches)
    return everything.mean(axis=0), everything.var(axis=0, ddof=1)
""",
    "Welford, sample by sample": """
def precise_statistics(batches):
    n, mean, m2 = 0, 0.0, 0.0
    for batch in batches:
        for row in batch:
            n += 1
            delta = row - mean
            mean = mean + delta / n
            m2 = m2 + delta * (row - mean)
    return mean, m2 / (n - 1)
""",
    "batch after batch": """
def precise_statistics(batches):
    n, mean, var = 0, 0.0, 0.0
    for x in batches:
        k = len(x)
        delta = x.mean(0) - mean
        mean = mean + delta * k / (n + k)
        var = (n * var + k * x.var(0)) / (n + k) + delta**2 * n * k / (n + k) ** 2
        n += k
    return mean, var * n / (n - 1)
""",
    "one pass, shifted by the first row": """
def precise_statistics(batches):
    shift = batches[0][0].copy()
    n = sum(map(len, batches))
    s = sum((x - shift).sum(0) for x in batches)
    q = sum(((x - shift) ** 2).sum(0) for x in batches)
    return shift + s / n, (q - s**2 / n) / (n - 1)
""",
}

# The bug hunt. Every script also as it was found.

FAULTY = {
    "validation": "The fault is still there",
    "momentum": "The fault is still there",
    "frozen": "The fault is still there",
    "single": "The fault is still there",
    "ordered": "The fault is still there",
    "checkpoint": "The fault is still there",
    "decay": "The fault is still there",
    "lost": "The fault is still there",
}

VALIDATION = repaired("validation")
VAL = "y_val = norm(x_val, training=False)"
LAST = "return y_val, running"
WRONG_VALIDATION = [
    (56, "depends on its company", VAL, "kept = dict(running)\n    y_val = norm(x_val, training=True)\n    running = kept"),
    ("statistics now, but these have", VAL, "norm(x_val, training=True)\n    y_val = norm(x_val, training=False)"),
    (49, "outputs are right, but afterwards", VAL, f"{VAL}\n    norm(x_val, training=True)"),
    ("Training runs in evaluation mode", "norm(x, training=True)", "norm(x, training=False)"),
    (57, "variance is still that of", VAL, 'y_val = gamma * (x_val - running["mean"]) / np.sqrt(x_val.var(0) + 1e-5) + beta'),
    ("mean is still that of", VAL, 'y_val = gamma * (x_val - x_val.mean(0)) / np.sqrt(running["var"] + 1e-5) + beta'),
    ("last training batch", VAL, "y_val = gamma * (x_val - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) + beta"),
    ("are 0 and 1", "    for x in batches", f"    {VAL}\n    for x in batches", f"    {VAL}\n    return", "    return"),
    (46, "swapped|wrong on", VAL, 'y_val = gamma * (x_val - running["var"]) / np.sqrt(abs(running["mean"]) + 1e-5) + beta'),
    ("eps|wrong on", VAL, f"{VAL} / gamma"),
    ("returns one|returns 2|expected 3", LAST + '["mean"], running["var"]', "return y_val"),
    ("returns None", LAST, "y_val, running"),
]
RIGHT_VALIDATION = {
    "the mode at each call": VALIDATION,
    "the default stays, one call changes": edited(faulty("validation"), "norm(x_val)", "norm(x_val, training=False)"),
    "no norm at validation": edited(VALIDATION, VAL, 'y_val = gamma * (x_val - running["mean"]) / np.sqrt(running["var"] + 1e-5) + beta'),
    "the other default": edited(faulty("validation"), "training=True", "training=False", "        norm(x)", "        norm(x, True)"),
}

MOMENTUM = faulty("momentum")
NUMBER = "momentum = 0.99  # as in Keras: the weight of the old value"
WRONG_MOMENTUM = [
    ("The variance is right; the mean|The mean is right; the variance", "(1 - momentum) * mean + momentum * x", "momentum * mean + (1 - momentum) * x"),
    ("The variance is right; the mean", "(1 - momentum) * var + momentum * x", "momentum * var + (1 - momentum) * x"),
    ("still there", NUMBER, "momentum = 0.01", "(1 - momentum) * mean + momentum * x", "momentum * mean + (1 - momentum) * x", "(1 - momentum) * var + momentum * x", "momentum * var + (1 - momentum) * x"),
    (33, "weighs 0.1 now", NUMBER, "momentum = 0.1"),
    ("weighs 0.9 now", NUMBER, "momentum = 0.9"),
    ("weighs 0.001 now", NUMBER, "momentum = 0.001"),
    (41, "count alike", "for x in batches:", "for k, x in enumerate(batches, 1):\n        momentum = 1 / k"),
    (39, "no longer decays", NUMBER, "momentum = 0.01", "(1 - momentum) * ", ""),
    (34, "biased variance", NUMBER, "momentum = 0.01", "ddof=1", "ddof=0"),
    (35, "starts at 0, not", NUMBER, "momentum = 0.01", "np.ones", "np.zeros"),
    ("returns None", "return mean, var", "mean, var"),
    (46, "wrong on", NUMBER, "momentum = 0.01", "return mean, var", "return var, mean"),
]
RIGHT_MOMENTUM = {
    "another number": edited(MOMENTUM, "0.99", "0.01"),
    "weights exchanged": edited(MOMENTUM, "(1 - momentum) * mean + momentum * x", "momentum * mean + (1 - momentum) * x", "(1 - momentum) * var + momentum * x", "momentum * var + (1 - momentum) * x"),
    "translated": repaired("momentum"),
    "a step towards the new value": edited(MOMENTUM, "mean = (1 - momentum) * mean + momentum * x.mean(axis=0)", "mean += (1 - momentum) * (x.mean(axis=0) - mean)", "var = (1 - momentum) * var + momentum * x.var(axis=0, ddof=1)", "var += (1 - momentum) * (x.var(axis=0, ddof=1) - var)"),
}

FROZEN = faulty("frozen")
MOVE = "        running_mean = 0.9 * running_mean + 0.1 * mean\n        running_var = 0.9 * running_var + 0.1 * unbiased\n"
BATCH = "(x - mean) / np.sqrt(var + 1e-5)"
RUNNING = "(x - running_mean) / np.sqrt(running_var + 1e-5)"
WRONG_FROZEN = [
    ("fitted to other outputs", MOVE, ""),
    ("used now, but they still move", BATCH, RUNNING),
    ("used now, but they still move", BATCH, RUNNING, MOVE, "", "# gamma and beta stay\n", "\n" + MOVE),
    ("old statistics come back", BATCH, RUNNING, "    for x", "    kept = running_mean, running_var\n    for x", "return w, running_mean, running_var", "return w, *kept"),
    ("Only the running variance is frozen", "        running_var = 0.9 * running_var + 0.1 * unbiased\n", "", BATCH, RUNNING),
    ("Only the running mean is frozen", "        running_mean = 0.9 * running_mean + 0.1 * mean\n", "", BATCH, RUNNING),
    ("mean is still the batch", MOVE, "", BATCH, "(x - mean) / np.sqrt(running_var + 1e-5)"),
    (57, "variance is still the batch", MOVE, "", BATCH, "(x - running_mean) / np.sqrt(var + 1e-5)"),
    ("w is frozen too", MOVE, "", BATCH, RUNNING, "w = w - 0.1 *", "w - 0.1 *"),
    ("changes its input w", MOVE, "", BATCH, RUNNING, "w = w - 0.1 *", "w -= 0.1 *"),
    ("returns one", MOVE, "", BATCH, RUNNING, "return w, running_mean, running_var", "return w"),
    ("fitted to other outputs", MOVE, MOVE.replace("0.9", "1.0").replace("0.1", "0.0")),
]
RIGHT_FROZEN = {
    "evaluation mode": repaired("frozen"),
    "momentum 0, and running statistics": edited(FROZEN, BATCH, RUNNING, "0.9 *", "1.0 *", "0.1 * mean", "0.0 * mean", "0.1 * unbiased", "0.0 * unbiased"),
    "mean and var are the running ones": edited(FROZEN, MOVE, "", "mean, var = x.mean(axis=0), x.var(axis=0)", "mean, var = running_mean, running_var"),
}

SINGLE = faulty("single")
HEAD = "        n = len(batch)\n"
S_MEAN = "mean = (1 - momentum) * mean + momentum * batch.mean(axis=0)"
S_VAR = "var = (1 - momentum) * var + momentum * batch.var(axis=0) * n / (n - 1)"
WRONG_SINGLE = [
    ("variance 0, and pulls", "/ (n - 1)", "/ max(n - 1, 1)"),
    ("variance 0, and pulls", S_VAR, "new = np.nan_to_num(batch.var(axis=0) * n / (n - 1))\n        var = (1 - momentum) * var + momentum * new"),
    ("made up, 1", S_VAR, "new = batch.var(axis=0) * n / (n - 1) if n > 1 else 1.0\n        var = (1 - momentum) * var + momentum * new"),
    ("still moves the running mean", S_VAR, f"if n > 1:\n            {S_VAR}"),
    (34, "biased variance now", "* n / (n - 1)", ""),
    ("Nothing is learned", "    for start", "    if len(x) % batch_size == 1:\n        return mean, var\n    for start"),
    ("biased|Where all batches", "* n / (n - 1)", "* n / (n - 1 + 1e-5)"),
    ("Where all batches are complete", HEAD, HEAD + "        if start + batch_size >= len(x):\n            break\n"),
    ("running (mean|variance)|finite|complete", HEAD, HEAD + "        if n == 1:\n            batch, n = np.concatenate([batch, np.zeros_like(batch)]), 2\n"),
    ("returns None", "return mean, var", "mean, var"),
]
RIGHT_SINGLE = {
    "skipped": repaired("single"),
    "the last batch always dropped": edited(SINGLE, "range(0, len(x), batch_size)", "range(0, len(x) - batch_size + 1, batch_size)"),
    "joined to the batch before": edited(SINGLE, HEAD, "        if len(x) - start == 1:\n            continue\n        if len(x) - start == batch_size + 1:\n            batch = x[start:]\n" + HEAD),
    "equal parts": edited(SINGLE, "for start in range(0, len(x), batch_size):\n        batch = x[start : start + batch_size]", "for batch in np.array_split(x, len(x) // batch_size):"),
}

ORDERED = faulty("ordered")
START = "    w, b = np.zeros"
SHUFFLE = "    order = np.random.default_rng(0).permutation(len(x))\n"
WRONG_ORDERED = [
    ("own label|same|labels of one batch", START, SHUFFLE + "    x = x[order]\n" + START),
    ("own label|same|labels of one batch", START, SHUFFLE + "    y = y[order]\n" + START),
    ("own label|same|labels of one batch", START, "    rng = np.random.default_rng(0)\n    x, y = rng.permutation(x), rng.permutation(y)\n" + START),
    ("still there", "            running_mean =", "            order = np.random.default_rng(0).permutation(len(xb))\n            xb, yb = xb[order], yb[order]\n            running_mean ="),
    ("still there", "    for _ in range(8):\n", "    for _ in range(8):\n        x, y = x[::-1], y[::-1]\n"),
    ("still there", "        for start in range(0, len(x), batch_size):", "        for start in np.random.default_rng(0).permutation(np.arange(0, len(x), batch_size)):"),
    ("still there", "- 0.5 *", "- 0.01 *"),
    ("still there", "range(8)", "range(40)"),
    ("changes its input", START, "    np.random.default_rng(0).shuffle(x)\n    np.random.default_rng(0).shuffle(y)\n" + START),
    ("still there", START, SHUFFLE + "    x[order], y[order]\n" + START),
    ("returns None", "return w, b", "w, b"),
]
RIGHT_ORDERED = {
    "mixed once": repaired("ordered"),
    "mixed in each epoch": edited(ORDERED, "    for _ in range(8):\n", "    rng = np.random.default_rng(7)\n    for _ in range(8):\n        order = rng.permutation(len(x))\n        x, y = x[order], y[order]\n"),
    "batches by index, unseeded": edited(ORDERED, "    for _ in range(8):\n", "    for _ in range(8):\n        mixed = np.random.permutation(len(x))\n", "x[start : start + batch_size], y[start : start + batch_size]", "x[mixed[start : start + batch_size]], y[mixed[start : start + batch_size]]"),
    "every k-th sample": edited(ORDERED, "            xb, yb = x[start : start + batch_size], y[start : start + batch_size]", "            k = start // batch_size\n            xb, yb = x[k :: len(x) // batch_size], y[k :: len(x) // batch_size]"),
    "copies shuffled alike": edited(ORDERED, START, "    x, y = x.copy(), y.copy()\n    np.random.default_rng(3).shuffle(x)\n    np.random.default_rng(3).shuffle(y)\n" + START),
}

CHECKPOINT = faulty("checkpoint")
SAVED = 'saved = {name: layer[name].copy() for name in ("gamma", "beta")}'
NEW = 'new = {"running_mean": np.zeros(D), "running_var": np.ones(D)} | saved'
WRONG_CHECKPOINT = [
    ("references|reference", SAVED, SAVED + '\n    saved |= {"running_mean": layer["running_mean"], "running_var": layer["running_var"]}'),
    ("Everything is as it is", SAVED, "saved = dict(layer)"),
    ("not of when|of \\*now\\*", NEW, 'new = {name: layer[name] for name in ("running_mean", "running_var")} | saved'),
    ("running variance does not", '("gamma", "beta")', '("gamma", "beta", "running_mean")'),
    ("running mean does not", '("gamma", "beta")', '("gamma", "beta", "running_var")'),
    ("gamma and beta are those of", SAVED, 'saved = {name: layer[name].copy() for name in ("running_mean", "running_var")}', NEW, "new = layer | saved"),
    ("a new layer's", SAVED, 'saved = {name: layer[name].copy() for name in ("running_mean", "running_var")}', NEW, 'new = {"gamma": np.ones(D), "beta": np.zeros(D)} | saved'),
    (56, "hide the loss", NEW, 'new = {"running_mean": x_test.mean(0), "running_var": x_test.var(0)} | saved'),
    (46, "swapped|wrong on", '("gamma", "beta")', "layer", 'new["running_var"] +', 'abs(new["running_mean"]) +', 'x_test - new["running_mean"]', 'x_test - new["running_var"]'),
    ("changes its input layer", "layer = {name: value.copy() for name, value in layer.items()}", "pass"),
    ("still there", NEW, 'new = saved | {"running_mean": np.zeros(D), "running_var": np.ones(D)}', '("gamma", "beta")', "layer"),
    ("returns None", "return scale", "scale"),
]
RIGHT_CHECKPOINT = {
    "all copied": repaired("checkpoint"),
    "two more names": edited(CHECKPOINT, '("gamma", "beta")', '("gamma", "beta", "running_mean", "running_var")'),
    "a deep copy": edited(CHECKPOINT, SAVED, "import copy\n\n    saved = copy.deepcopy(layer)"),
}

DECAY = faulty("decay")
STEP = "gradient[name] + 0.05 * value"
WRONG_DECAY = [
    ("Nothing decays", STEP, "gradient[name]"),
    ("beta still decays", STEP, 'gradient[name] + (name != "norm.gamma") * 0.05 * value'),
    ("gamma still decays", STEP, 'gradient[name] + (name != "norm.beta") * 0.05 * value'),
    ("other way round", STEP, "gradient[name] + (value.ndim == 1) * 0.05 * value"),
    ("linear layer no longer", STEP, "gradient[name] + (value.ndim == 4) * 0.05 * value"),
    ("convolution no longer", STEP, "gradient[name] + (value.ndim == 2) * 0.05 * value"),
    ("towards 1", STEP, 'gradient[name] + 0.05 * (value - 1 if name == "norm.gamma" else value if value.ndim > 1 else 0)'),
    ("learning rate", f"value - 0.1 * ({STEP})", "value - 0.1 * gradient[name] - (value.ndim > 1) * 0.05 * value"),
    ("wrong sign", STEP, "gradient[name] - (value.ndim > 1) * 0.05 * value"),
    ("changes its input", "parameters = dict(parameters)", "pass", STEP, "gradient[name] + (value.ndim > 1) * 0.05 * value"),
    ("returns None|expected 4|one ", "return parameters", "return value"),
    ("norm.gamma is wrong", "            parameters[name] =", '            if value.ndim == 1:\n                continue\n            parameters[name] ='),
]
RIGHT_DECAY = {
    "by the number of axes": repaired("decay"),
    "by name": edited(DECAY, "0.05 * value", '(0 if "norm" in name else 0.05) * value'),
    "by what is a weight": edited(DECAY, STEP, 'gradient[name] + 0.05 * value * name.endswith("weight")'),
}

LOST = faulty("lost")
CALL = "        update(running_mean, running_var, x)"
U_VAR = "        running_var = 0.9 * running_var + 0.1 * x.var(axis=0, ddof=1)\n"
RETURN_BOTH = (U_VAR, U_VAR + "        return running_mean, running_var\n", CALL, "        running_mean, running_var = update(running_mean, running_var, x)")
WRONG_LOST = [
    ("variance is lost", U_VAR, U_VAR + "        return running_mean\n", CALL, "        running_mean = update(running_mean, running_var, x)"),
    ("mean is lost", U_VAR, U_VAR + "        return running_var\n", CALL, "        running_var = update(running_mean, running_var, x)"),
    ("Only the last batch", *RETURN_BOTH[:3], "        running_mean, running_var = update(np.zeros(len(gamma)), np.ones(len(gamma)), x)"),
    ("Only the first batch", *RETURN_BOTH, "    return gamma", "        break\n    return gamma"),
    (40, "replace the running", CALL, "        running_mean, running_var = x.mean(0), x.var(0, ddof=1)"),
    (39, "does not decay", *RETURN_BOTH, "0.9 * ", ""),
    (34, "biased variance", *RETURN_BOTH, "ddof=1", "ddof=0"),
    (56, "hide the fault", "return gamma * (x_test - running_mean)", "running_mean, running_var = x_test.mean(0), x_test.var(0)\n    return gamma * (x_test - running_mean)"),
    (46, "swapped", U_VAR, U_VAR + "        return running_mean, running_var\n", CALL, "        running_mean, running_var = update(running_mean, running_var, x)", "(x_test - running_mean) / np.sqrt(running_var", "(x_test - running_var) / np.sqrt(running_mean"),
    ("weighs 0.9", *RETURN_BOTH, "0.9 *", "0.8 *", "0.1 *", "0.9 *", "0.8 *", "0.1 *"),
    ("still there", U_VAR, U_VAR + "        return running_mean, running_var\n"),
    ("UnboundLocalError", "    def update(running_mean, running_var, x)", "    def update(x)", CALL, "        update(x)"),
]
RIGHT_LOST = {
    "returned": repaired("lost"),
    "written into": edited(LOST, "        running_mean = 0.9", "        running_mean[:] = 0.9", "        running_var = 0.9", "        running_var[:] = 0.9"),
    "nonlocal": edited(LOST, "    def update(running_mean, running_var, x):\n", "    running_mean, running_var = np.zeros(len(gamma)), np.ones(len(gamma))\n\n    def update(x):\n        nonlocal running_mean, running_var\n", CALL, "        update(x)"),
    "in place, one after the other": edited(LOST, "        running_mean = 0.9 * running_mean + 0.1 * x.mean(axis=0)", "        running_mean += 0.1 * (x.mean(axis=0) - running_mean)", "        running_var = 0.9 * running_var + 0.1 * x.var(axis=0, ddof=1)", "        running_var += 0.1 * (x.var(axis=0, ddof=1) - running_var)"),
}

# Folding

FOLDING = """
def fold_network(net):
    folded = {}
    for conv, norm in (("conv1", "norm1"), ("conv2", "norm2")):
        gamma, beta = net[norm + ".gamma"], net[norm + ".beta"]
        mean, var = net[norm + ".running_mean"], net[norm + ".running_var"]
        eps = net[norm + ".eps"]
        weight = net[conv + ".weight"]
        bias = net.get(conv + ".bias", np.zeros(len(weight)))
        s = gamma / np.sqrt(var + eps)
        folded[conv + ".weight"] = weight * s.reshape(-1, 1, 1, 1)
        folded[conv + ".bias"] = s * (bias - mean) + beta
    folded["linear.weight"] = net["linear.weight"]
    folded["linear.bias"] = net["linear.bias"]
    return folded
"""
SHIFT = "s * (bias - mean) + beta"
ROOT = "np.sqrt(var + eps)"
WRONG_FOLDING = [
    (67, "old bias is forgotten", SHIFT, "beta - s * mean"),
    (67, "old bias is not scaled", SHIFT, "bias + beta - s * mean"),
    ("running_mean is not scaled", SHIFT, "s * bias - mean + beta"),
    ("running_mean is missing", SHIFT, "s * bias + beta"),
    ("running_mean is added", SHIFT, "s * (bias + mean) + beta"),
    (63, "beta is missing", SHIFT, "s * (bias - mean)"),
    ("beta is multiplied", SHIFT, "s * (bias - mean + beta)"),
    ("bias is as it was", SHIFT, "bias"),
    ("beta only", SHIFT, "beta"),
    ("sign of gamma", "gamma / np", "np.abs(gamma) / np"),
    (62, "gamma is missing", "gamma / np", "1 / np"),
    ("input channels", "s.reshape(-1, 1, 1, 1)", "s.reshape(1, -1, 1, 1)"),
    ("width of the kernel", "s.reshape(-1, 1, 1, 1)", "s"),
    ("weights are as they were", "weight * s.reshape(-1, 1, 1, 1)", "weight"),
    (68, "eps is missing", ROOT, "np.sqrt(var)"),
    (11, "outside the root", ROOT, "(np.sqrt(var) + eps)"),
    (59, "square root is missing", ROOT, "(var + eps)"),
    ("same eps", "eps = net[norm + \".eps\"]", "eps = 1e-5"),
    ("same eps", "eps = net[norm + \".eps\"]", "eps = 1e-3"),
    ("multiply by the standard", f"gamma / {ROOT}", f"gamma * {ROOT}"),
    ("conv2 is as it was", "mean, var =", "if conv == 'conv2':\n            gamma, beta = np.ones(len(gamma)), np.zeros(len(gamma))\n        mean, var =", "        s = gamma", "        if conv == 'conv2':\n            mean, var, eps = np.zeros(len(gamma)), np.ones(len(gamma)), 0\n        s = gamma"),
    ("norm1's values", '("conv2", "norm2")', '("conv2", "norm1")'),
    ("swapped", "mean, var = net", "var, mean = net"),
    ("linear layer is scaled", 'folded["linear.weight"] = net["linear.weight"]', 'folded["linear.weight"] = net["linear.weight"] * s'),
    ("still has", "folded = {}", "folded = dict(net)"),
    ("has no 'conv1.bias'", '        folded[conv + ".bias"] = s * (bias - mean) + beta\n', ""),
    ("has no 'linear.weight'", '    folded["linear.weight"] = net["linear.weight"]\n', ""),
    ("KeyError", 'net.get(conv + ".bias", np.zeros(len(weight)))', 'net[conv + ".bias"]'),
    ("changes its input net", "weight * s.reshape(-1, 1, 1, 1)", "weight\n        weight *= s.reshape(-1, 1, 1, 1)"),
    ("returns None", "return folded", "folded"),
    ("returns a list|returns a tuple", "return folded", "return list(folded.values())"),
    ("rounded to float32", 'weight = net[conv + ".weight"]', 'weight = net[conv + ".weight"].astype("f4")'),
]
RIGHT_FOLDING = {
    "a loop over names": FOLDING,
    "a copy from which keys are taken": """
def fold_network(net):
    net = dict(net)
    for k in "12":
        g, b, m, v, e = (net.pop(f"norm{k}.{n}") for n in ("gamma", "beta", "running_mean", "running_var", "eps"))
        s = g * (v + e) ** -0.5
        net[f"conv{k}.weight"] = np.einsum("o,oihw->oihw", s, net[f"conv{k}.weight"])
        net[f"conv{k}.bias"] = b - s * m + s * net.get(f"conv{k}.bias", 0.0)
    return net
""",
    "channel by channel, copied": """
def fold_network(net):
    out = {"linear.weight": net["linear.weight"].copy(), "linear.bias": net["linear.bias"].copy()}
    for k in (1, 2):
        w = net["conv%d.weight" % k].copy()
        b = np.zeros(w.shape[0])
        if "conv%d.bias" % k in net:
            b += net["conv%d.bias" % k]
        for c in range(len(w)):
            std = np.sqrt(net["norm%d.running_var" % k][c] + net["norm%d.eps" % k])
            w[c] *= net["norm%d.gamma" % k][c] / std
            b[c] = (b[c] - net["norm%d.running_mean" % k][c]) * net["norm%d.gamma" % k][c] / std
            b[c] += net["norm%d.beta" % k][c]
        out["conv%d.weight" % k], out["conv%d.bias" % k] = w, b
    return out
""",
    "the affine map measured at 0 and 1": """
def fold_network(net):
    def one(k):
        def layer(z):
            z = (z - net[f"norm{k}.running_mean"]) / np.sqrt(net[f"norm{k}.running_var"] + net[f"norm{k}.eps"])
            return net[f"norm{k}.gamma"] * z + net[f"norm{k}.beta"]

        b = net.get(f"conv{k}.bias", np.zeros(len(net[f"norm{k}.gamma"])))
        s = layer(np.ones_like(b)) - layer(np.zeros_like(b))
        return (net[f"conv{k}.weight"].T * s).T, layer(b)

    keys = ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias")
    return dict(zip(keys, (*one(1), *one(2)))) | {k: v for k, v in net.items() if k.startswith("linear")}
""",
    "a bias of None": """
def fold_network(net):
    result = {name: net[name] for name in ("linear.weight", "linear.bias")}
    for k in ("1", "2"):
        bias = net.get("conv" + k + ".bias")
        std = (net["norm" + k + ".running_var"] + net["norm" + k + ".eps"]) ** 0.5
        s = np.divide(net["norm" + k + ".gamma"], std)
        shift = -net["norm" + k + ".running_mean"] if bias is None else bias - net["norm" + k + ".running_mean"]
        result["conv" + k + ".weight"] = s[:, np.newaxis, np.newaxis, np.newaxis] * net["conv" + k + ".weight"]
        result["conv" + k + ".bias"] = net["norm" + k + ".beta"] + s * shift
    return result
""",
}

# Equality

EQUALITY = cell("network") + """

def largest_difference(net, folded):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, net["conv1.weight"].shape[1], 6, 5))
    one = cnn(net, x, training=False)
    other = cnn(folded, x, training=False)
    return np.abs(one - other).max() / np.abs(one).max()
"""
ONE, OTHER = "one = cnn(net, x, training=False)", "other = cnn(folded, x, training=False)"
DIFFERENCE = "return np.abs(one - other).max() / np.abs(one).max()"
WRONG_EQUALITY = [
    ("evaluation mode", ", training=False)\n    other", ")\n    other"),
    ("A difference depends", " / np.abs(one).max()", ""),
    ("evaluation mode|same x", OTHER, "other = cnn(folded, rng.normal(size=x.shape), training=False)"),
    ("almost 0 for every", OTHER, "other = cnn(net, x, training=False)"),
    ("True or False", DIFFERENCE, "return np.allclose(one, other)"),
    ("negative", DIFFERENCE, "return (one - other).mean() / np.abs(one).max()"),
    ("one number", DIFFERENCE, "return np.abs(one - other).max(axis=0) / np.abs(one).max()"),
    ("overlooks|almost 0", DIFFERENCE, "return np.mean(one.argmax(1) != other.argmax(1))"),
    ("overlooks|almost 0", DIFFERENCE, "return float(np.any(one.argmax(1) != other.argmax(1)))"),
    ("rounded to float32", DIFFERENCE, "other = cnn({k: v.astype('f4') for k, v in folded.items()}, x.astype('f4'))\n    " + DIFFERENCE),
    ("overlooks.*NaN", DIFFERENCE, "return np.nanmax([0, *np.abs(one - other).ravel()]) / np.abs(one).max()"),
    ("overlooks.*NaN", DIFFERENCE, "d = 0\n    for v in np.abs(one - other).ravel():\n        d = max(d, v)\n    return d / np.abs(one).max()"),
    ("negative|overlooks", DIFFERENCE, "return (one - other).max() / np.abs(one).max()"),
    ("overlooks", DIFFERENCE, "one, other = one - one.mean(1, keepdims=True), other - other.mean(1, keepdims=True)\n    " + DIFFERENCE),
    ("overlooks.*one class", DIFFERENCE, "one, other = one[:, :1], other[:, :1]\n    " + DIFFERENCE),
    ("overlooks", DIFFERENCE, "return np.round(np.abs(one - other).max() / np.abs(one).max(), 4)"),
    ("It raises", 'net["conv1.weight"].shape[1]', "3"),
    ("It raises", 'net["conv1.weight"].shape[1]', 'len(net["conv1.weight"])'),
    ("changes a network", ONE, f'net["linear.weight"] *= 1.5\n    {ONE}'),
    ("returns None", "return np.abs(one - other).max() /", "np.abs(one - other).max() /"),
    ("overlooks.*tiny", " / np.abs(one).max()", " / (1 + np.abs(one).max())"),
    ("divide it, once", "np.abs(one).max()\n", "np.abs(one).max() ** 2\n"),
    ("almost 0 for every|divide", "x = rng.normal(size=(8, net", "x = np.zeros((8, net", "6, 5))", "6, 5))", DIFFERENCE, "return np.abs(one - other)[:0].max(initial=0)"),
]
RIGHT_EQUALITY = {
    "one batch": EQUALITY,
    "one image at a time": cell("network") + """

def largest_difference(net, folded):
    channels = net["conv1.weight"].shape[1]
    gaps, sizes = [], []
    for seed in range(5):
        x = 3 * np.random.default_rng(seed).standard_normal((1, channels, 4, 4))
        a, b = cnn(net, x, False), cnn(folded, x, False)
        gaps.append(np.max(np.abs(a - b)))
        sizes.append(np.max(np.abs(a)))
    return np.max(gaps) / np.max(sizes)
""",
    "unseeded": edited(EQUALITY, "default_rng(0)", "default_rng()"),
    "norms of vectors": edited(EQUALITY, DIFFERENCE, "return float(np.linalg.norm(one - other) / np.linalg.norm(one))"),
    "without training mode for the folded": edited(EQUALITY, OTHER, "other = cnn(folded, x)"),
    "uniform images": edited(EQUALITY, "rng.normal(size=", "rng.uniform(-2, 2, size="),
}

WRONG = [
    *wrong("estimates", ESTIMATES, WRONG_ESTIMATES),
    *wrong("ghost", GHOST, WRONG_GHOST),
    *wrong("workers", WORKERS, WRONG_WORKERS),
    *wrong("step_train", STEP_TRAIN, WRONG_STEP_TRAIN),
    *wrong("step_eval", STEP_EVAL, WRONG_STEP_EVAL),
    *wrong("precise", PRECISE, WRONG_PRECISE),
    *wrong("precise", COMBINED, WRONG_COMBINED),
    *wrong("precise", EMA, [
        (41, "running average again, with momentum 0.1"),
        ("running average again, with momentum 0.9", "0.9 *", "0.0 + 0.1 *", "0.1 * x", "0.9 * x"),
        ("running average again, with momentum 0.1", "x.var(0, ddof=1)", "x.var(0)"),
    ]),
    *(Wrong(name, faulty(name), (says,)) for name, says in FAULTY.items()),
    *wrong("validation", VALIDATION, WRONG_VALIDATION),
    *wrong("momentum", MOMENTUM, WRONG_MOMENTUM),
    *wrong("frozen", FROZEN, WRONG_FROZEN),
    *wrong("single", SINGLE, WRONG_SINGLE),
    *wrong("ordered", ORDERED, WRONG_ORDERED),
    *wrong("checkpoint", CHECKPOINT, WRONG_CHECKPOINT),
    *wrong("decay", DECAY, WRONG_DECAY),
    *wrong("lost", LOST, WRONG_LOST),
    *wrong("folding", FOLDING, WRONG_FOLDING),
    *wrong("equality", EQUALITY, WRONG_EQUALITY),
]
RIGHT = [
    *right("estimates", RIGHT_ESTIMATES),
    *right("ghost", RIGHT_GHOST),
    *right("workers", RIGHT_WORKERS),
    *right("step_train", RIGHT_STEP_TRAIN),
    *right("step_eval", RIGHT_STEP_EVAL),
    *right("precise", RIGHT_PRECISE),
    *right("validation", RIGHT_VALIDATION),
    *right("momentum", RIGHT_MOMENTUM),
    *right("frozen", RIGHT_FROZEN),
    *right("single", RIGHT_SINGLE),
    *right("ordered", RIGHT_ORDERED),
    *right("checkpoint", RIGHT_CHECKPOINT),
    *right("decay", RIGHT_DECAY),
    *right("lost", RIGHT_LOST),
    *right("folding", RIGHT_FOLDING),
    *right("equality", RIGHT_EQUALITY),
]
