"""PS1's versions.

A wrong version is the right one of that exercise with one or two edits, each spelled as
a learner would: ``(numbers of the misconception, what the message must say, old, new,
...)``.
"""

# ruff: noqa: E501  (a row of a table is a line)

from bnlib.check import forward
from versions import filled, right, wrong

CHECKS = forward

# fmt: off

TRAIN = """
def batch_norm_train(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=0)
    var = ((x - mean) ** 2).mean(axis=0)
    xhat = (x - mean) / np.sqrt(var + eps)
    y = gamma * xhat + beta
    return y, mean, var
"""
MEAN = "mean = x.mean(axis=0)\n"
VAR = "var = ((x - mean) ** 2).mean(axis=0)"
XHAT = "xhat = (x - mean) / np.sqrt(var + eps)"
Y = "y = gamma * xhat + beta"
OUT = "return y, mean, var"
# What training and evaluation share; {m} and {v} are the names of the statistics.
SCALE = [
    (11, "eps stands outside", "np.sqrt({v} + eps)", "(np.sqrt({v}) + eps)"),
    (13, 60, "eps is missing", "np.sqrt({v} + eps)", "np.sqrt({v})"),
    (15, "eps is 1e-3 whatever", "np.sqrt({v} + eps)", "np.sqrt({v} + 1e-3)"),
    (16, "so small that it does nothing", "np.sqrt({v} + eps)", "np.sqrt({v} + 1e-12)"),
    ("eps is 1e-5 whatever", "np.sqrt({v} + eps)", "np.sqrt({v} + 1e-5)"),
    ("eps is 1e-8 whatever", "np.sqrt({v} + eps)", "np.sqrt({v} + 1e-8)"),
    (18, 59, "without the square root", "np.sqrt({v} + eps)", "({v} + eps)"),
    ("divide by {v} itself", "np.sqrt({v} + eps)", "{v}"),
    (19, "do not divide by the standard", " / np.sqrt({v} + eps)", ""),
    ("larger of", "np.sqrt({v} + eps)", "np.sqrt(np.maximum({v}, eps))"),
    ("eps is squared", "np.sqrt({v} + eps)", "np.sqrt({v} + eps**2)"),
    ("eps is added twice", "np.sqrt({v} + eps)", "(np.sqrt({v} + eps) + eps)"),
    ("multiply by sqrt", " / np.sqrt({v} + eps)", " * np.sqrt({v} + eps)"),
    (10, "do not subtract", "xhat = (x - {m})", "xhat = x"),
    ("You add {m}", "xhat = (x - {m})", "xhat = (x + {m})"),
    ("{m} − x", "xhat = (x - {m})", "xhat = ({m} - x)"),
]
AFTER = [
    (15, "default of eps is 1e-3", "eps=1e-5", "eps=1e-3"),
    (16, "default of eps is 1e-12", "eps=1e-5", "eps=1e-12"),
    ("default of eps is 1e-8", "eps=1e-5", "eps=1e-8"),
    (21, "beta is multiplied by gamma", Y, "y = gamma * (xhat + beta)"),
    (22, "gamma is missing", Y, "y = xhat + beta"),
    (23, 63, "beta is missing", Y, "y = gamma * xhat"),
    (24, 62, "Neither gamma nor beta|Changing layer.gamma", Y, "y = xhat"),
    ("gamma and beta are swapped", Y, "y = beta * xhat + gamma"),
    ("beta is subtracted", Y, "y = gamma * xhat - beta"),
]
COLUMN = (31, "column vector", Y, "y = gamma[:, None] * xhat + beta[:, None]")
WRONG_TRAIN = [
    (1, "divide by N − 1", VAR, "var = x.var(axis=0, ddof=1)"),
    (1, 29, "divide by N − 1", "(x - mean) ** 2).mean(axis=0)", "(x - mean) ** 2).sum(axis=0) / (len(x) - 1)"),
    (1, "(?s)^(?!.*Two).*divide by N − 1", VAR, "var = ((x - mean) ** 2).sum(axis=0) / max(len(x) - 1, 1)"),
    (1, "(?s)^(?!.*Two).*divide by N − 1", VAR, "var = x.var(axis=0, ddof=1 if len(x) > 1 else 0)"),
    ("changes its input gamma.*`gamma = gamma", XHAT, XHAT + "\n    gamma *= 2"),
    ("so small that it does nothing", XHAT, "xhat = (x - mean) / np.maximum(np.sqrt(var), eps)"),
    (2, "mean of x²", VAR, "var = (x**2).mean(axis=0)"),
    (3, "large compared with the spread", VAR, "var = (x**2).mean(axis=0) - mean**2"),
    (3, "large compared with the spread", MEAN, "x = x.astype(np.float64)\n    " + MEAN, VAR, "var = (x**2).mean(axis=0) - mean**2"),
    (3, "large compared with the spread", VAR, "var = np.abs((x * x).sum(axis=0) / len(x) - mean * mean)"),
    (4, "sum of squares", VAR, "var = ((x - mean) ** 2).sum(axis=0)"),
    (5, "one number for all features", VAR, "var = ((x - mean) ** 2).mean()"),
    (7, "mean absolute deviation", VAR, "var = np.abs(x - mean).mean(axis=0) ** 2"),
    (7, "mean absolute deviation", VAR, "var = np.abs(x - mean).mean(axis=0)"),
    ("standard deviation where the variance", VAR, "var = x.std(axis=0)"),
    ("square after taking the mean", VAR, "var = (x - mean).mean(axis=0) ** 2"),
    (28, "changes its input x", "xhat = (x - mean)", "x -= mean\n    xhat = x"),
    (28, "changes its input x", "mean = x.mean", "x -= x.mean(axis=0)\n    mean = x.mean"),
    (30, "layer norm", "mean(axis=0)\n    var", "mean(axis=1, keepdims=True)\n    var", VAR, "var = x.var(axis=1, keepdims=True)"),
    (30, "layer norm|axis 1, the features", "mean(axis=0)\n    var", "mean(axis=1)\n    var", VAR, "var = ((x - mean) ** 2).mean(axis=1)"),
    (30, "layer norm", "mean = x.mean(axis=0)", "x = x.T\n    mean = x.mean(axis=0)", "y = gamma * xhat", "y = gamma * xhat.T"),
    ("One mean and one variance", "x.mean(axis=0)\n", "x.mean()\n", VAR, "var = x.var()"),
    ("mean is one number", "x.mean(axis=0)\n", "x.mean()\n"),
    ("number of features", MEAN, "D, N = x.shape\n    mean = x.sum(axis=0) / N\n", VAR, "var = ((x - mean) ** 2).sum(axis=0) / N"),
    ("mean is a sum", "x.mean(axis=0)\n", "x.sum(axis=0)\n"),
    ("return the standard deviation", OUT, "return y, mean, np.sqrt(var)"),
    ("return var \\+ eps", OUT, "return y, mean, var + eps"),
    ("return sqrt\\(var \\+ eps\\)", OUT, "return y, mean, np.sqrt(var + eps)"),
    ("return 1 / sqrt", OUT, "return y, mean, 1 / np.sqrt(var + eps)"),
    ("return the unbiased", OUT, "return y, mean, x.var(axis=0, ddof=1)"),
    ("variance before the mean", OUT, "return y, var, mean"),
    ("mean, var, y", OUT, "return mean, var, y"),
    ("1 values?|one ndarray", OUT, "return y"),
    ("expected 3: y, mean, var", OUT, "return y, (mean, var)"),
    ("returns None.*return", OUT, ""),
    (1, "divide by N − 1", XHAT, "xhat = (x - mean) / np.sqrt(x.var(axis=0, ddof=1) + eps)"),
    (29, "batch of one.*mean = x and var = 0", MEAN, "if len(x) == 1:\n        raise ValueError('N')\n    mean = x.mean(axis=0)\n"),
    ("batch of one", MEAN, "if len(x) == 1:\n        return x * np.nan, x[0], x[0] * np.nan\n    mean = x.mean(axis=0)\n"),
    (53, "keepdims", OUT, "return y, x.mean(axis=0, keepdims=True), var"),
    (53, "keepdims", OUT, "return y, mean, var[None]"),
    ("gamma is missing|wrong on", Y, "y = np.abs(gamma) * xhat + beta"),
    ("raises NameError.*sigma", XHAT, "xhat = (x - mean) / sigma"),
    ("raises TypeError.*eps", ", eps=1e-5", "", "var + eps", "var + 1e-5"),
    ("raises NameError.*eps", ", eps=1e-5", ""),
    ("wrong on", MEAN, "mean = np.median(x, axis=0)\n"),
    ("wrong on", XHAT, "xhat = (x - x.min(axis=0)) / (x.max(axis=0) - x.min(axis=0) + eps)"),
    ("wrong on", XHAT, "xhat = np.clip((x - mean) / np.sqrt(var + eps), -1, 1)"),
    ("rounded to float32|wrong on", "mean = x.mean", "x = x.astype(np.float16)\n    mean = x.mean"),
    ("(?s)^(?!.*Two).*after x was centred", MEAN, "x = x - x.mean(axis=0)\n    " + MEAN, VAR, "var = x.var(axis=0)"),
    ("^(?!.*before the mean)", OUT, "return y, mean, mean"),
    ("^(?!.*before the mean)", OUT, "return y, var, var"),
    COLUMN,
    *filled(SCALE, m="mean", v="var"),
    *AFTER,
    (5, "one number for all features", VAR, "var = x.var()"),
    # Two mistakes: named both at once where they concern one output.
    ("mean of x²|beta is missing", VAR, "var = (x**2).mean(axis=0)", Y, "y = gamma * xhat"),
    (("Two things", "N − 1.*", "eps is missing"), XHAT, "xhat = (x - mean) / x.std(axis=0, ddof=1)"),
    (("Two things", "eps stands outside", "gamma is missing"), XHAT, "xhat = (x - mean) / (np.sqrt(var) + eps)", Y, "y = xhat + beta"),
    (("Two things", "not subtract", "column vector"), XHAT, "xhat = x / np.sqrt(var + eps)", Y, COLUMN[-1]),
]

UPDATE = """
def update_running(running_mean, running_var, mean, var, count, momentum=0.1):
    unbiased = var * count / (count - 1)
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * unbiased
    return new_mean, new_var
"""
NEW = "new_mean = (1 - momentum) * running_mean + momentum * mean"
NEW_VAR = "new_var = (1 - momentum) * running_var + momentum * unbiased"
UNBIASED = "unbiased = var * count / (count - 1)"
UPDATED = "return new_mean, new_var"


def both(old_weight, new_weight):
    """Write the same mistake into both updates."""
    return (
        NEW,
        f"new_mean = {old_weight} running_mean + {new_weight} mean",
        NEW_VAR,
        f"new_var = {old_weight} running_var + {new_weight} unbiased",
    )


WRONG_UPDATE = [
    (33, "other way round", *both("momentum *", "(1 - momentum) *")),
    (34, "biased variance", UNBIASED, "unbiased = var"),
    (34, "upside down", UNBIASED, "unbiased = var * (count - 1) / count"),
    ("number of features", UNBIASED, "unbiased = var * len(var) / (len(var) - 1)"),
    ("integer division", UNBIASED, "unbiased = var * (count // (count - 1))"),
    ("do not multiply by count", UNBIASED, "unbiased = var / (count - 1)"),
    ("count \\+ 1", UNBIASED, "unbiased = var * (count + 1) / count"),
    ("old running variance as well", NEW_VAR, "new_var = ((1 - momentum) * running_var + momentum * var) * count / (count - 1)"),
    ("mean as well", NEW, "new_mean = (1 - momentum) * running_mean + momentum * mean * count / (count - 1)"),
    ("standard deviation", UNBIASED, "unbiased = np.sqrt(var * count / (count - 1))"),
    ("standard deviation", UNBIASED, "unbiased = np.sqrt(var)"),
    (39, "does not decay", *both("", "momentum *")),
    ("not weighed", *both("(1 - momentum) *", "")),
    (40, "Only the last batch", UPDATED, "return mean, unbiased"),
    ("Only the last batch", *both("0 *", "")),
    (41, "count equally", *both("0.5 *", "0.5 *")),
    ("running sum", *both("", "")),
    ("step away", NEW, "new_mean = running_mean + momentum * (running_mean - mean)"),
    ("same weight, momentum", *both("momentum *", "momentum *")),
    ("same weight, 1 - momentum", *both("(1 - momentum) *", "(1 - momentum) *")),
    (42, "running_var is not updated", NEW_VAR, "new_var = running_var"),
    ("running_mean is not updated", NEW, "new_mean = running_mean"),
    (43, "updated twice", NEW, f"{NEW}\n    new_mean = (1 - momentum) * new_mean + momentum * mean", NEW_VAR, f"{NEW_VAR}\n    new_var = (1 - momentum) * new_var + momentum * unbiased"),
    ("^(?!.*(swapped|Two))", NEW_VAR, "new_var = (1 - momentum) * running_var + momentum * mean"),
    (46, "swapped", NEW, "new_mean = (1 - momentum) * running_mean + momentum * unbiased", NEW_VAR, "new_var = (1 - momentum) * running_var + momentum * mean"),
    (46, "order of the results", UPDATED, "return new_var, new_mean"),
    (47, 48, "do not move", UPDATED, "return running_mean, running_var"),
    (51, "Adam|updated|wrong on", NEW, f"{NEW}\n    new_mean = new_mean / momentum if momentum else new_mean"),
    (53, "keepdims", UPDATED, "return new_mean[None], new_var[None]"),
    ("returns None", UPDATED, ""),
    ("changes its input running_mean", NEW, "running_mean *= 1 - momentum\n    running_mean += momentum * mean\n    new_mean = running_mean"),
    ("changes its input running_var", NEW_VAR, "running_var[:] = (1 - momentum) * running_var + momentum * unbiased\n    new_var = running_var"),
    ("0.1 whatever", NEW, f"momentum = 0.1\n    {NEW}"),
    ("default of momentum is 0.9", "momentum=0.1", "momentum=0.9"),
    ("default of momentum is 0.99", "momentum=0.1", "momentum=0.99"),
    ("default of momentum is 0.01", "momentum=0.1", "momentum=0.01"),
    ("wrong on", UNBIASED, "unbiased = var * count / (count - 1) + 1e-5"),
    ("raises NameError.*momentum", ", momentum=0.1", ""),
    (43, "updated twice", NEW, f"{NEW}\n    new_mean = (1 - momentum) * new_mean + momentum * mean", NEW_VAR, "new_var = running_var\n    for _ in range(2):\n        new_var = (1 - momentum) * new_var + momentum * unbiased"),
    (46, "swapped", "update_running(running_mean, running_var", "update_running(running_var, running_mean"),
    (28, "changes its input var", UNBIASED, "var *= count / (count - 1)\n    unbiased = var"),
    # Two mistakes: named both at once where they concern one output.
    ("other way round|biased variance", *both("momentum *", "(1 - momentum) *"), UNBIASED, "unbiased = var"),
    ("updated twice|does not decay|upside down", *both("", "momentum *"), UNBIASED, "unbiased = var * (count - 1) / count"),
]

EVAL = """
def batch_norm_eval(x, gamma, beta, running_mean, running_var, eps=1e-5):
    xhat = (x - running_mean) / np.sqrt(running_var + eps)
    y = gamma * xhat + beta
    return y
"""
WRONG_EVAL = [
    (56, "statistics of this batch", "running_mean)", "x.mean(axis=0))", "running_var + eps", "x.var(axis=0) + eps"),
    (57, "running_mean but divide by this batch", "running_var + eps", "x.var(axis=0) + eps"),
    ("subtract this batch's mean", "x - running_mean", "x - x.mean(axis=0)"),
    ("running_mean and running_var are swapped", "x - running_mean", "x - running_var", "running_var + eps", "running_mean + eps"),
    ("holds the unbiased variance already", "running_var + eps", "running_var * len(x) / (len(x) - 1) + eps"),
    (28, "changes its input x", "xhat = (x - running_mean)", "x -= running_mean\n    xhat = x"),
    ("expected 1: y", "return y", "return y, running_mean, running_var"),
    ("returns None", "return y", ""),
    ("shape", "return y", "return y.T"),
    ("shape|wrong on", "return y", "return y[0]"),
    COLUMN,
    *filled(SCALE, m="running_mean", v="running_var"),
    *AFTER,
    (30, "layer norm", "x - running_mean", "x - x.mean(axis=1, keepdims=True)", "running_var + eps", "x.var(axis=1, keepdims=True) + eps"),
    (49, "changes its input running_mean", "    y =", "    running_mean *= 0.9\n    y ="),
    # Two mistakes: named both at once where they concern one output.
    (("Two things", "statistics of this batch", "beta is missing"), "running_mean)", "x.mean(axis=0))", "running_var + eps", "x.var(axis=0) + eps", Y, "y = gamma * xhat"),
    (("Two things", "square root", "beta is multiplied"), "np.sqrt(running_var + eps)", "(running_var + eps)", Y, "y = gamma * (xhat + beta)"),
]

LAYER = f"""
{TRAIN}
{UPDATE}
{EVAL}
class BatchNorm:
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.eps = eps
        self.momentum = momentum
        self.gamma = np.ones(num_features)
        self.beta = np.zeros(num_features)
        self.running_mean = np.zeros(num_features)
        self.running_var = np.ones(num_features)
        self.training = True

    def __call__(self, x):
        if self.training:
            y, mean, var = batch_norm_train(x, self.gamma, self.beta, self.eps)
            self.running_mean, self.running_var = update_running(
                self.running_mean, self.running_var, mean, var, len(x), self.momentum)
        else:
            y = batch_norm_eval(
                x, self.gamma, self.beta, self.running_mean, self.running_var, self.eps)
        return y
"""
STORE = "self.running_mean, self.running_var = update_running("
SELF_RUNNING = "self.gamma, self.beta, self.running_mean, self.running_var, self.eps)"
WRONG_LAYER = [
    (33, "other way round", *both("momentum *", "(1 - momentum) *")),
    (34, "biased variance", UNBIASED, "unbiased = var"),
    ("upside down", UNBIASED, "unbiased = var * (count - 1) / count"),
    ("number of features", "var, len(x), self.m", "var, x.shape[1], self.m"),
    (35, "starts at zeros. It starts at ones", "running_var = np.ones(", "running_var = np.zeros("),
    ("running_mean starts at ones", "running_mean = np.zeros(", "running_mean = np.ones("),
    ("gamma starts at zeros", "gamma = np.ones(", "gamma = np.zeros("),
    ("beta starts at ones", "beta = np.zeros(", "beta = np.ones("),
    ("evaluation mode", "training = True", "training = False"),
    (39, "does not decay", *both("", "momentum *")),
    (40, "Only the last batch", UPDATED, "return mean, unbiased"),
    (41, "cumulative mean", "self.training = True", "self.training = True\n        self.t = 0", "        if self.training:", "        self.t += self.training\n        if self.training:", "len(x), self.momentum", "len(x), 1 / self.t"),
    (42, "running_var is not updated", STORE, "self.running_mean, _ = update_running("),
    (43, "updated twice", NEW, f"{NEW}\n    new_mean = (1 - momentum) * new_mean + momentum * mean", NEW_VAR, f"{NEW_VAR}\n    new_var = (1 - momentum) * new_var + momentum * unbiased"),
    (46, "swapped", "self.running_var, mean, var, len(x)", "self.running_var, var, mean, len(x)"),
    (47, 48, "never change", STORE, "update_running("),
    (48, "never change", STORE, "running_mean, running_var = update_running("),
    (49, "updated in evaluation as well", "        else:", "        if not self.training:", "        if self.training:\n", "        if True:\n"),
    (51, "bias correction", "self.training = True", "self.training = True\n        self.t = 0", "        else:", "            self.t += 1\n        else:\n            c = 1 - (1 - self.momentum) ** self.t", SELF_RUNNING, "self.gamma, self.beta, self.running_mean / c, self.running_var / c, self.eps)"),
    (53, "keepdims", "running_mean = np.zeros(num_features)", "running_mean = np.zeros((1, num_features))"),
    (53, "keepdims", "gamma = np.ones(num_features)", "gamma = np.ones((1, num_features))"),
    (56, "statistics of this batch", SELF_RUNNING, "self.gamma, self.beta, x.mean(0), x.var(0), self.eps)"),
    (49, 56, "updated in evaluation as well|statistics of this batch", "if self.training:", "if True:"),
    (57, "divide by this batch", SELF_RUNNING, "self.gamma, self.beta, self.running_mean, x.var(0), self.eps)"),
    (64, "In training you normalise by the running", "        return y\n", "            return y\n        return batch_norm_eval(x, self.gamma, self.beta, self.running_mean, self.running_var, self.eps)\n"),
    (64, "In training you normalise by the running", "y, mean, var = batch_norm_train", "y = batch_norm_eval(x, self.gamma, self.beta, self.running_mean, self.running_var, self.eps)\n            _, mean, var = batch_norm_train"),
    (62, "Neither gamma nor beta|gamma.*beta", "x, self.gamma, self.beta, self.running_mean", "x, np.ones(x.shape[1]), np.zeros(x.shape[1]), self.running_mean"),
    (63, "beta is missing", "x, self.gamma, self.beta, self.running_mean", "x, self.gamma, 0 * self.beta, self.running_mean"),
    ("Changing layer.gamma", "self.gamma = np.ones(num_features)", "self.gamma = np.ones(num_features)\n        self._g = self.gamma", "self.beta = np.zeros(num_features)", "self.beta = np.zeros(num_features)\n        self._b = self.beta", "batch_norm_train(x, self.gamma, self.beta", "batch_norm_train(x, self._g, self._b", "x, self.gamma, self.beta, self.running_mean", "x, self._g, self._b, self.running_mean"),
    ("share their running statistics", "    def __init__(self, num", "    store = {}\n\n    def __init__(self, num", "self.running_mean = np.zeros(num_features)", "self.running_mean = self.store.setdefault(num_features, np.zeros(num_features))", STORE, "self.running_mean[:], self.running_var = update_running("),
    ("0.1 whatever", ", self.momentum)", ")"),
    ("eps and momentum are swapped", "num_features, eps=1e-5, momentum=0.1)", "num_features, momentum=0.1, eps=1e-5)"),
    (28, "changes its input x \\(in training\\)", "        if self.training:", "        if self.training:\n            x -= x.mean(axis=0)"),
    (28, "changes its input x \\(in evaluation\\)", "        else:", "        else:\n            x -= self.running_mean"),
    ("eps is 1e-5 whatever", "self.gamma, self.beta, self.eps)", "self.gamma, self.beta)", SELF_RUNNING, SELF_RUNNING.replace(", self.eps", "")),
    (1, "divide by N − 1", VAR, "var = x.var(axis=0, ddof=1)"),
    (3, "large compared with the spread", VAR, "var = (x**2).mean(axis=0) - mean**2"),
    ("is None.*return", "        return y\n", ""),
    ("y in training is a tuple", "        return y\n", "        return y, 1\n"),
    ("AttributeError.*running_mean", "self.running_mean = np.zeros", "self.rm = np.zeros"),
    ("AttributeError.*training", "self.training = True", "self.train = True"),
    ("BatchNorm calls update_running, which is still", UNBIASED, "raise NotImplementedError"),
    ("subtract this batch's mean|updated in evaluation", "        else:", "        else:\n            self.running_mean = x.mean(axis=0)"),
    ("In training you normalise by the running", "if self.training:", "self.first = getattr(self, 'first', True) and self.training\n        if self.first:"),
    (2, "mean of x²", VAR, "var = (x**2).mean(axis=0)"),
    (4, "sum of squares", VAR, "var = ((x - mean) ** 2).sum(axis=0)"),
    (5, "one number for all features", VAR, "var = ((x - mean) ** 2).mean()"),
    (7, "mean absolute deviation", VAR, "var = np.abs(x - mean).mean(axis=0) ** 2"),
    *filled(SCALE, m="mean", v="var"),
    *filled(SCALE, m="running_mean", v="running_var"),
    *AFTER,
    # Two mistakes: named both at once where they concern one output.
    ("biased variance|other way round", UNBIASED, "unbiased = var", *both("momentum *", "(1 - momentum) *")),
    ("starts at ones|starts at zeros", "running_var = np.ones(", "running_var = np.zeros(", "gamma = np.ones(", "gamma = np.zeros("),
]

ND = """
def batch_norm_nd(x, gamma, beta, axis=1, eps=1e-5):
    axis = axis % x.ndim
    axes = tuple(a for a in range(x.ndim) if a != axis)
    shape = [1] * x.ndim
    shape[axis] = x.shape[axis]
    gamma, beta = gamma.reshape(shape), beta.reshape(shape)
    mean = x.mean(axis=axes, keepdims=True)
    var = x.var(axis=axes, keepdims=True)
    xhat = (x - mean) / np.sqrt(var + eps)
    y = gamma * xhat + beta
    return y, mean.squeeze(axes), var.squeeze(axes)
"""
AXES = "axes = tuple(a for a in range(x.ndim) if a != axis)"
AXIS = "    axis = axis % x.ndim\n"
ND_OUT = "return y, mean.squeeze(axes), var.squeeze(axes)"
ND_VAR = "var = x.var(axis=axes, keepdims=True)"
AFFINE = "gamma, beta = gamma.reshape(shape), beta.reshape(shape)"
MOVED = """
def batch_norm_nd(x, gamma, beta, axis=1, eps=1e-5):
    moved = np.moveaxis(x, axis, -1)
    rows = moved.reshape(-1, moved.shape[-1])
    mean, var = rows.mean(axis=0), rows.var(axis=0)
    y = gamma * (rows - mean) / np.sqrt(var + eps) + beta
    return np.moveaxis(y.reshape(moved.shape), -1, axis), mean, var
"""
WRONG_ND = [
    (93, "instance norm", AXES, "axes = tuple(a for a in range(x.ndim) if a not in (0, axis))"),
    (93, "instance norm", AXES, "axes = (2, 3)"),
    (93, "instance norm", AXES, "axes = tuple(range(2, x.ndim))"),
    (94, "wherever the channels are", AXES, "axes = (0, 2, 3)"),
    (94, "wherever the channels are", AXES, "axes = (0, *range(2, x.ndim))"),
    (94, "whatever `axis` says", "    axis = axis % x.ndim", "    axis = 1"),
    ("four dimensions", AXIS, "    N, C, H, W = x.shape\n" + AXIS),
    ("negative axis", AXIS, "", ND_OUT, "return y, mean.reshape(-1), var.reshape(-1)"),
    ("negative axis", AXIS, ""),
    ("one mean per position", AXES, "axes = (0,)"),
    (30, "layer norm", AXES, "axes = tuple(range(1, x.ndim))"),
    ("over the channels", AXES, "axes = (axis,)"),
    ("One mean and one variance", AXES, "axes = tuple(range(x.ndim))"),
    ("each sample's own variance", ND_VAR, "inside = tuple(a for a in axes if a != axes[0])\n    var = x.var(axis=inside, keepdims=True).mean(axis=axes[0], keepdims=True)"),
    ("multiplied by N / ", ND_VAR, "var = x.var(axis=axes, keepdims=True) * len(x) / (len(x) - 1)"),
    (1, "biased variance", ND_VAR, "var = x.var(axis=axes, keepdims=True, ddof=1)"),
    (2, "mean of x²", ND_VAR, "var = (x**2).mean(axis=axes, keepdims=True)"),
    (3, "large compared with the spread", ND_VAR, "var = (x**2).mean(axis=axes, keepdims=True) - mean**2"),
    (4, "sum of squares", ND_VAR, "var = ((x - mean) ** 2).sum(axis=axes, keepdims=True)"),
    ("axis and eps are swapped", "axis=1, eps=1e-5", "eps=1e-5, axis=1"),
    ("after x was centred", "mean = x.mean(axis=axes, keepdims=True)", "x = x - x.mean(axis=axes, keepdims=True)\n    mean = x.mean(axis=axes, keepdims=True)"),
    ("standard deviation where", ND_VAR, "var = x.std(axis=axes, keepdims=True)"),
    ("last axis, as broadcasting", AFFINE, ""),
    ("whatever `axis` says", AFFINE, "shape = (1, -1) + (1,) * (x.ndim - 2)\n    gamma, beta = gamma.reshape(shape), beta.reshape(shape)"),
    ("four dimensions", AFFINE, "shape = [1] * 4\n    shape[axis] = -1\n    gamma, beta = gamma.reshape(shape), beta.reshape(shape)"),
    ("channels on the last axis", ND_OUT, "return np.moveaxis(y, axis, -1), mean.squeeze(axes), var.squeeze(axes)"),
    ("scrambles", "y = gamma * xhat + beta", "y = np.moveaxis(gamma * xhat + beta, axis, -1).reshape(x.shape)"),
    (53, "keepdims", ND_OUT, "return y, mean, var"),
    ("return the standard deviation", ND_OUT, "return y, mean.squeeze(axes), np.sqrt(var.squeeze(axes))"),
    ("variance before", ND_OUT, "return y, var.squeeze(axes), mean.squeeze(axes)"),
    (28, "changes its input x", "xhat = (x - mean)", "x -= mean\n    xhat = x"),
    *filled(SCALE, m="mean", v="var"),
    *AFTER,
    (7, "mean absolute", ND_VAR, "var = np.abs(x - mean).mean(axis=axes, keepdims=True)"),
    (7, "mean absolute", ND_VAR, "var = np.abs(x - mean).mean(axis=axes, keepdims=True) ** 2"),
    (31, "columns", AFFINE, "gamma, beta = gamma[:, None], beta[:, None]"),
    ("shape gamma to lie along it", AFFINE, "gamma, beta = gamma[:, None, None], beta[:, None, None]"),
    # Two mistakes: named both at once where they concern one output.
    ("instance norm|biased variance", AXES, "axes = tuple(range(2, x.ndim))", ND_VAR, "var = x.var(axis=axes, keepdims=True, ddof=1)"),
    ("mean of x²|eps stands outside", ND_VAR, "var = (x**2).mean(axis=axes, keepdims=True)", "np.sqrt(var + eps)", "(np.sqrt(var) + eps)"),
]
WRONG_MOVED = [
    (91, "mix values of different channels", "moved = np.moveaxis(x, axis, -1)", "moved = x", "moved.shape[-1])", "x.shape[axis])", "np.moveaxis(y.reshape(moved.shape), -1, axis)", "y.reshape(x.shape)"),
    ("channels on the last axis", "np.moveaxis(y.reshape(moved.shape), -1, axis)", "y.reshape(moved.shape)"),
    ("scrambles", "np.moveaxis(y.reshape(moved.shape), -1, axis)", "y.reshape(x.shape)"),
    (1, "biased variance", "rows.var(axis=0)", "rows.var(axis=0, ddof=1)"),
    (28, "changes its input x", "    mean, var", "    rows -= 1\n    mean, var"),
    ("wrong on|raises|mix|shape", "np.moveaxis(x, axis, -1)", "np.swapaxes(x, 0, axis)"),
    (5, "one number for all", "rows.var(axis=0)", "rows.var()"),
]

MOMENTS = """
def batch_moments(x):
    x = x.astype(np.float32) if x.dtype == np.float16 else x
    mean = x.mean(axis=0)
    var = ((x - mean) ** 2).mean(axis=0)
    return mean, var
"""
CAST = "    x = x.astype(np.float32) if x.dtype == np.float16 else x\n"
WRONG_MOMENTS = [
    (32, "rounded to float16.*Convert x first", CAST, ""),
    ("rounded to float16", CAST, "", VAR, "var = x.var(axis=0)"),
    ("rounded to float16", "return mean, var", "return mean.astype(low), var.astype(low)", CAST, "    low = x.dtype\n" + CAST),
    (32, "rounded to float16.*Convert x first", CAST, "", VAR, "var = (x**2).mean(axis=0) - mean**2"),
    (3, "large compared with the spread", VAR, "var = (x**2).mean(axis=0) - mean**2"),
    (3, "large compared with the spread", "x.astype(np.float32) if x.dtype == np.float16 else x", "x.astype(np.float64)", VAR, "var = (x**2).mean(axis=0) - mean**2"),
    (3, "large compared|float32", "x.astype(np.float32) if x.dtype == np.float16 else x", "x.astype(np.float32)"),
    (1, "divide by N − 1", VAR, "var = x.var(axis=0, ddof=1)"),
    ("standard deviation", VAR, "var = x.std(axis=0)"),
    ("other way round", "return mean, var", "return var, mean"),
    (2, "mean of x²", VAR, "var = (x**2).mean(axis=0)"),
    (53, "keepdims", "return mean, var", "return mean[None], var[None]"),
    (4, "sum of squares", VAR, "var = ((x - mean) ** 2).sum(axis=0)"),
    (5, "one number", VAR, "var = ((x - mean) ** 2).mean()"),
    (5, "one number", VAR, "var = x.var()"),
    (7, "mean absolute", VAR, "var = np.abs(x - mean).mean(axis=0)"),
    (30, "axis 1", "x.mean(axis=0)", "x.mean(axis=1)", VAR, "var = x.var(axis=1)"),
    ("whole array", "x.mean(axis=0)", "x.mean()", VAR, "var = x.var()"),
    (28, "changes its input x", VAR, "x -= mean\n    var = (x**2).mean(axis=0)"),
    (32, "rounded to float16", CAST, "", VAR, "var = ((x.astype(np.float32) - mean) ** 2).mean(axis=0)"),
]

WELFORD = """
def welford(rows):
    count, mean, m2 = 0, 0.0, 0.0
    for row in rows:
        row = row.astype(np.float32) if row.dtype == np.float16 else row
        count += 1
        delta = row - mean
        mean = mean + delta / count
        m2 = m2 + delta * (row - mean)
    return mean, m2 / count, count
"""
LOOP = WELFORD[WELFORD.index("    count, mean") :]
W_OUT = "return mean, m2 / count, count"
STEP = "m2 = m2 + delta * (row - mean)"
WRONG_WELFORD = [
    *(
        ("memory in use grows", LOOP, f"    kept = []\n    for row in rows:\n        kept.append({copy})\n    x = np.array(kept, np.float64)\n    return x.mean(axis=0), x.var(axis=0), len(x)\n")
        for copy in ("row.copy()", "row.tolist()", "row.astype(np.float64)", "row + 0")
    ),
    ("memory in use grows", LOOP, "    x = np.array([row.astype(np.float64) for row in rows])\n    return x.mean(axis=0), x.var(axis=0), len(x)\n"),
    ("memory in use grows", LOOP, "    x = np.zeros((0, 1))\n    for row in rows:\n        x = np.vstack([x, row]) if len(x) else row[None].astype(float)\n    return x.mean(axis=0), x.var(axis=0), len(x)\n"),
    ("keep the rows|keep a copy of each", LOOP, "    x = np.array(list(rows), np.float64)\n    return x.mean(axis=0), x.var(axis=0), len(x)\n"),
    ("keep the rows|keep a copy of each", LOOP, "    x = np.stack([row for row in rows]).astype(float)\n    return x.mean(axis=0), x.var(axis=0), len(x)\n"),
    ("second loop", LOOP, "    n, s = 0, 0.0\n    for row in rows:\n        n, s = n + 1, s + row.astype(float)\n    mean, m2 = s / n, 0 * s\n    for row in rows:\n        m2 = m2 + (row - mean) ** 2\n    return mean, m2 / n, n\n"),
    ("raises TypeError.*len", "count, mean, m2 = 0, 0.0, 0.0", "n = len(rows)\n    count, mean, m2 = 0, 0.0, 0.0"),
    (3, "large compared with the spread", LOOP, "    n, s, q = 0, 0.0, 0.0\n    for row in rows:\n        row = row.astype(float)\n        n, s, q = n + 1, s + row, q + row * row\n    return s / n, q / n - (s / n) ** 2, n\n"),
    (32, "float16 holds three digits", "row.astype(np.float32) if row.dtype == np.float16 else row", "row"),
    ("m2 itself", W_OUT, "return mean, m2, count"),
    (1, "unbiased variance", W_OUT, "return mean, m2 / (count - 1), count"),
    (1, "unbiased variance", W_OUT, "return mean, m2 / max(count - 1, 1), count"),
    ("divide m2 by n \\+ 1", W_OUT, "return mean, m2 / (count + 1), count"),
    ("old mean in both", STEP, "m2 = m2 + delta * delta"),
    ("square of row minus the new mean", STEP, "m2 = m2 + (row - mean) ** 2"),
    ("square of row minus the new mean", "delta = row - mean\n        mean = mean + delta / count", "mean = mean + (row - mean) / count\n        delta = row - mean"),
    ("last row", "delta / count", "delta"),
    ("n − 1: n counts", "        count += 1\n", "", STEP, STEP + "\n        count += 1", "delta / count", "delta / max(count, 1)"),
    ("one too large", "count, mean, m2 = 0,", "count, mean, m2 = 1,"),
    ("divided by n \\+ 1", "delta / count", "delta / (count + 1)"),
    ("moves away", "mean + delta / count", "mean - delta / count"),
    ("overwritten", STEP, "m2 = delta * (row - mean)"),
    ("standard deviation", W_OUT, "return mean, np.sqrt(m2 / count), count"),
    ("one too small", W_OUT, "return mean, m2 / count, count - 1"),
    ("one too large", W_OUT, "return mean, m2 / count, count + 1"),
    ("variance before", W_OUT, "return m2 / count, mean, count"),
    ("count first", W_OUT, "return count, mean, m2 / count"),
    (28, "changes its input rows", "count, mean, m2 = 0, 0.0, 0.0\n", "first = next(rows)\n    count, mean, m2 = 1, first, 0.0 * first\n", "mean = mean + delta / count", "mean += delta / count"),
    ("expected 3: mean, var, count", W_OUT, "return mean, m2 / count"),
    ("One mean and one variance", LOOP, "    n, mean, m2, k = 0, 0.0, 0.0, 0\n    for row in rows:\n        k += 1\n        for v in row.astype(float):\n            n += 1\n            d = v - mean\n            mean += d / n\n            m2 += d * (v - mean)\n    return mean, m2 / n, k\n"),
    ("number of values", "count += 1", "count += 1\n        size = row.size", W_OUT, "return mean, m2 / count, count * size"),
    (2, "grows by row²", STEP, "m2 = m2 + row * row"),
    (28, "changes its input rows", LOOP, "    first = next(rows)\n    first = first.astype(np.float32) if first.dtype == np.float16 else first\n" + LOOP.replace("0, 0.0, 0.0", "1, first, 0.0 * first").replace("mean = mean +", "mean +=")),
    (28, "changes its input rows", "delta = row - mean", "row -= mean\n        delta = row"),
    (53, "keepdims", W_OUT, "return np.atleast_2d(mean), np.atleast_2d(m2 / count), count"),
    # Two mistakes: named both at once where they concern one output.
    (("Two things", "old mean in both", "unbiased"), STEP, "m2 = m2 + delta * delta", W_OUT, "return mean, m2 / (count - 1), count"),
]

MERGE = """
def merge_moments(a, b):
    (mean_a, var_a, n_a), (mean_b, var_b, n_b) = a, b
    if n_a == 0:
        return b
    if n_b == 0:
        return a
    n = n_a + n_b
    delta = mean_b - mean_a
    mean = mean_a + delta * n_b / n
    var = (n_a * var_a + n_b * var_b) / n + delta**2 * n_a * n_b / n**2
    return mean, var, n
"""
M_MEAN = "mean = mean_a + delta * n_b / n"
M_EMPTY = "    if n_a == 0:\n        return b\n    if n_b == 0:\n        return a\n"
WITHIN = "(n_a * var_a + n_b * var_b) / n"
BETWEEN = "delta**2 * n_a * n_b / n**2"
WRONG_MERGE = [
    (119, "variance of the means is missing", " + " + BETWEEN, ""),
    ("empty set", M_EMPTY, ""),
    ("empty set|set is empty", "    if n_b == 0:\n        return a\n", ""),
    ("two means count equally", M_MEAN, "mean = (mean_a + mean_b) / 2"),
    ("crossed", M_MEAN, "mean = (n_b * mean_a + n_a * mean_b) / n"),
    ("wrong way", M_MEAN, "mean = mean_a - delta * n_b / n"),
    ("means are added", M_MEAN, "mean = mean_a + mean_b"),
    ("two variances count equally", WITHIN, "(var_a + var_b) / 2"),
    ("variances are crossed", WITHIN, "(n_b * var_a + n_a * var_b) / n"),
    ("two variances are added", WITHIN, "var_a + var_b"),
    ("sum of squares", WITHIN + " + " + BETWEEN, "n_a * var_a + n_b * var_b + delta**2 * n_a * n_b / n"),
    ("average standard deviations", WITHIN, "((n_a * np.sqrt(var_a) + n_b * np.sqrt(var_b)) / n) ** 2"),
    ("n_a − 1", WITHIN, "((n_a - 1) * var_a + (n_b - 1) * var_b) / (n - 2)"),
    (1, "divide by n − 1", WITHIN + " + " + BETWEEN, "(n_a * var_a + n_b * var_b + delta**2 * n_a * n_b / n) / (n - 1)"),
    ("not squared", "delta**2", "delta"),
    ("by n once", "n_b / n**2", "n_b / n"),
    ("unweighed", BETWEEN, "delta**2"),
    ("equal counts only", BETWEEN, "(delta / 2) ** 2"),
    ("subtracted", "/ n + delta", "/ n - delta"),
    ("n is the sum", "return mean, var, n\n", "return mean, var, max(n_a, n_b)\n"),
    ("n is the sum", "return mean, var, n\n", "return mean, var, n / 2\n"),
    (3, "large compared with the spread", f"var = {WITHIN} + {BETWEEN}", "var = (n_a * (var_a + mean_a**2) + n_b * (var_b + mean_b**2)) / n - mean**2"),
    (28, "changes its input a", "    delta =", "    mean_a += 0.5\n    delta ="),
    ("expected 3: mean, var, n", "return mean, var, n\n", "return mean, var\n"),
    ("two means count equally", M_MEAN, "mean = (mean_a + mean_b) / 2", WITHIN, "(var_a + var_b) / 2"),
    ("variance before", "return mean, var, n\n", "return var, mean, n\n"),
    (28, "changes its input a", "n = n_a + n_b", "n = n_a + n_b\n    var_a *= n_a"),
    (53, "keepdims", "return mean, var, n\n", "return mean[None], var[None], n\n"),
    # Two mistakes: named both at once where they concern one output.
    (119, ("Two things", "means is missing", "variances count equally"), WITHIN + " + " + BETWEEN, "(var_a + var_b) / 2"),
    ("empty set|means is missing", M_EMPTY, "", " + " + BETWEEN, ""),
]

FOLD = """
def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    s = gamma / np.sqrt(running_var + eps)
    w2 = w * s.reshape(-1, *[1] * (w.ndim - 1))
    if b is None:
        b = 0.0
    b2 = s * (b - running_mean) + beta
    return w2, b2
"""
SCALE_OF_FOLD = "s = gamma / np.sqrt(running_var + eps)"
W2 = "w2 = w * s.reshape(-1, *[1] * (w.ndim - 1))"
B2 = "b2 = s * (b - running_mean) + beta"
NONE = "    if b is None:\n        b = 0.0\n"
WRONG_FOLD = [
    (67, "bias is lost", B2, "b2 = beta - gamma * running_mean / np.sqrt(running_var + eps)"),
    (68, "eps is missing", SCALE_OF_FOLD, "s = gamma / np.sqrt(running_var)"),
    (11, "eps stands outside", SCALE_OF_FOLD, "s = gamma / (np.sqrt(running_var) + eps)"),
    (18, "square root is missing", SCALE_OF_FOLD, "s = gamma / (running_var + eps)"),
    ("divide by running_var", SCALE_OF_FOLD, "s = gamma / running_var"),
    (22, "gamma is missing: the scale", SCALE_OF_FOLD, "s = 1 / np.sqrt(running_var + eps)"),
    ("gamma alone", SCALE_OF_FOLD, "s = gamma"),
    ("multiply by sqrt", SCALE_OF_FOLD, "s = gamma * np.sqrt(running_var + eps)"),
    ("eps is 1e-5 whatever", SCALE_OF_FOLD, "s = gamma / np.sqrt(running_var + 1e-5)"),
    (15, "eps is 1e-3 whatever", SCALE_OF_FOLD, "s = gamma / np.sqrt(running_var + 1e-3)"),
    (15, "default of eps is 1e-3", "eps=1e-5", "eps=1e-3"),
    ("weights are not scaled", W2, "w2 = w"),
    ("wrong axis", W2, "w2 = w * s"),
    ("wrong axis|convolution's weights", W2, "w2 = w * s[:, None]"),
    ("wrong axis|convolution's weights", W2, "w2 = w * s[:, None, None, None]"),
    ("wrong axis", W2, "w2 = w * s.reshape(1, -1, *[1] * (w.ndim - 2))"),
    ("weights are divided", W2, "w2 = w / s.reshape(-1, *[1] * (w.ndim - 1))"),
    ("gamma is missing in the weights", W2, "w2 = w * (s / gamma).reshape(-1, *[1] * (w.ndim - 1))"),
    ("added unscaled", B2, "b2 = b + beta - s * running_mean"),
    (10, "running_mean is missing", B2, "b2 = s * b + beta"),
    ("running_mean is added", "b - running_mean", "b + running_mean"),
    ("running_mean is not scaled", B2, "b2 = s * b - running_mean + beta"),
    (23, "beta is missing", B2, "b2 = s * (b - running_mean)"),
    ("beta is scaled", B2, "b2 = s * (b - running_mean + beta)"),
    ("beta is subtracted", "+ beta", "- beta"),
    ("gamma is missing in the bias", B2, "b2 = (b - running_mean) / np.sqrt(running_var + eps) + beta"),
    ("b = None counts as zero", NONE, ""),
    ("b2 is None", NONE, "    if b is None:\n        return w2, None\n"),
    ("still needs one", NONE, "    if b is None:\n        return w2, beta\n"),
    ("still needs one", NONE, "    if b is None:\n        return w2, np.zeros_like(beta)\n"),
    (28, "changes its input w", W2, "w *= s.reshape(-1, *[1] * (w.ndim - 1))\n    w2 = w"),
    ("shape", "return w2, b2", "return w2.T, b2"),
    (16, "so small that it does nothing", SCALE_OF_FOLD, "s = gamma / np.sqrt(running_var + 1e-12)"),
    (16, "default of eps is 1e-12", "eps=1e-5", "eps=1e-12"),
    (53, "keepdims", "return w2, b2", "return w2, b2[None]"),
    ("w2 has shape", "return w2, b2", "return b2, w2"),
    # Two mistakes: named both at once where they concern one output.
    ("bias is lost|eps is missing", B2, "b2 = beta - s * running_mean", SCALE_OF_FOLD, "s = gamma / np.sqrt(running_var)"),
    (("Two things", "wrong axis", "gamma is missing"), W2, "w2 = w * s", SCALE_OF_FOLD, "s = 1 / np.sqrt(running_var + eps)"),
]


WRONG = [
    *wrong("train", TRAIN, WRONG_TRAIN),
    *wrong("running", UPDATE, WRONG_UPDATE),
    *wrong("evaluate", EVAL, WRONG_EVAL),
    *wrong("layer", LAYER, WRONG_LAYER),
    *wrong("convolution", ND, WRONG_ND),
    *wrong("convolution", MOVED, WRONG_MOVED),
    *wrong("moments", MOMENTS, WRONG_MOMENTS),
    *wrong("welford", WELFORD, WRONG_WELFORD),
    *wrong("merge", MERGE, WRONG_MERGE),
    *wrong("fold", FOLD, WRONG_FOLD),
]

# Right versions, by style
RIGHT = [
    *right("train", {
        "in steps": TRAIN,
        "in one expression": """
def batch_norm_train(x, gamma, beta, eps=1e-5):
    mean, var = np.mean(x, 0), np.var(x, 0)
    return (x - mean) * (gamma / (var + eps) ** 0.5) + beta, mean, var
""",
        "loops": """
def batch_norm_train(x, gamma, beta, eps=1e-5):
    N, D = x.shape
    y, mean, var = np.empty_like(x), np.empty(D), np.empty(D)
    for j in range(D):
        total = 0.0
        for i in range(N):
            total += float(x[i, j])
        mean[j] = total / N
        squares = 0.0
        for i in range(N):
            squares += (float(x[i, j]) - mean[j]) ** 2
        var[j] = squares / N
        for i in range(N):
            y[i, j] = gamma[j] * (x[i, j] - mean[j]) / np.sqrt(var[j] + eps) + beta[j]
    return y, mean, var
""",
        "einsum": """
def batch_norm_train(x, gamma, beta, eps=1e-5):
    x = x.astype(np.float64)
    ones = np.ones(len(x)) / len(x)
    mean = np.einsum("n,nd->d", ones, x)
    var = np.einsum("n,nd,nd->d", ones, x - mean, x - mean)
    return np.einsum("d,nd->nd", gamma / np.sqrt(var + eps), x - mean) + beta, mean, var
""",
        "in place, on a copy": """
def batch_norm_train(x, gamma, beta, eps=1e-5):
    out = x.copy()
    mean = out.mean(axis=0, keepdims=True)
    out -= mean
    var = np.square(out).mean(axis=0, keepdims=True)
    out /= np.sqrt(var + eps)
    out *= gamma
    out += beta
    return [out, mean.reshape(-1), var[0]]
""",
        "all in the dtype of x": """
def batch_norm_train(x, gamma, beta, eps=1e-5):
    x, gamma, beta, eps = (np.asarray(a, dtype=x.dtype) for a in (x, gamma, beta, eps))
    mean = x.mean(axis=0)
    centred = x - mean
    mean, centred = mean + centred.mean(axis=0), centred - centred.mean(axis=0)
    var = (centred**2).mean(axis=0)
    return gamma * centred / np.sqrt(var + eps) + beta, mean, var
""",
        "torch": """
def batch_norm_train(x, gamma, beta, eps=1e-5):
    import torch
    t = torch.tensor(x, requires_grad=True)
    mean, var = t.mean(0), t.var(0, correction=0)
    y = torch.tensor(gamma) * (t - mean) / (var + eps).sqrt() + torch.tensor(beta)
    return y, mean, var
""",
        "a list of columns": """
def batch_norm_train(x, gamma, beta, eps=1e-5):
    columns = [(c - c.mean()) for c in x.T]
    var = np.array([(c @ c) / len(c) for c in columns])
    y = [g * c / np.sqrt(v + eps) + b for g, c, v, b in zip(gamma, columns, var, beta)]
    return np.stack(y, axis=1), np.array([c.mean() for c in x.T]), var
""",
        "apply_along_axis": """
def batch_norm_train(x, gamma, beta, eps=1e-5):
    def normalised(column):
        centred = column - column.mean()
        return centred / np.sqrt(np.dot(centred, centred) / len(column) + eps)

    xhat = np.apply_along_axis(normalised, 0, x)
    return np.multiply(gamma, xhat) + beta, np.average(x, axis=0), np.var(x, axis=0)
""",
        "rows of the transpose": """
def batch_norm_train(x, gamma, beta, eps=1e-5):
    xt = x.T
    mean = xt.mean(axis=-1, keepdims=True)
    var = np.mean(np.abs(xt - mean) ** 2, axis=-1, keepdims=True)
    yt = gamma[:, None] * ((xt - mean) * np.power(var + eps, -0.5)) + beta[:, None]
    return yt.T, np.squeeze(mean, 1), np.squeeze(var, 1)
""",
        "norms, and a named tuple": """
from collections import namedtuple

Result = namedtuple("Result", "y mean var")


def batch_norm_train(x, gamma, beta, eps=1e-5):
    N = len(x)
    mean = sum(x) / N
    var = np.linalg.norm(x - mean, axis=0) ** 2 / N
    return Result((x - mean) / np.sqrt(var + eps) * gamma + beta, mean, var)
""",
    }),
    *right("running", {
        "in steps": UPDATE,
        "towards the new value": """
def update_running(running_mean, running_var, mean, var, count, momentum=0.1):
    m = running_mean + momentum * (mean - running_mean)
    v = running_var + momentum * (var / (1 - 1 / count) - running_var)
    return m, v
""",
        "in place, on copies": """
def update_running(rm, rv, mean, var, count, momentum=0.1):
    rm, rv = rm.copy(), rv.copy()
    rm *= 1 - momentum
    rm += momentum * mean
    rv *= 1 - momentum
    rv += momentum * var * (count / (count - 1))
    return rm, rv
""",
        "a list and np.average": """
def update_running(rm, rv, mean, var, count, momentum=0.1):
    return (
        [(1 - momentum) * r + momentum * m for r, m in zip(rm, mean)],
        np.average([rv, var * count / (count - 1)], axis=0, weights=[1 - momentum, momentum]),
    )
""",
        "np.add and out=": """
def update_running(running_mean, running_var, mean, var, count, momentum=0.1):
    new_mean, new_var = np.empty_like(running_mean), np.empty_like(running_var)
    np.add((1 - momentum) * running_mean, momentum * mean, out=new_mean)
    np.add((1 - momentum) * running_var, momentum * count * var / (count - 1), out=new_var)
    return new_mean, new_var
""",
    }),
    *right("evaluate", {
        "in steps": EVAL,
        "scale and shift": """
def batch_norm_eval(x, gamma, beta, running_mean, running_var, eps=1e-5):
    a = gamma / np.sqrt(running_var + eps)
    return x * a + (beta - a * running_mean)
""",
        "loops, in a tuple": """
def batch_norm_eval(x, gamma, beta, running_mean, running_var, eps=1e-5):
    y = np.zeros_like(x)
    for i, row in enumerate(x):
        for j in range(len(row)):
            y[i, j] = (row[j] - running_mean[j]) / (running_var[j] + eps) ** 0.5
            y[i, j] = y[i, j] * gamma[j] + beta[j]
    return (y,)
""",
        "torch": """
def batch_norm_eval(x, gamma, beta, running_mean, running_var, eps=1e-5):
    import torch
    args = [torch.tensor(a) for a in (x, running_mean, running_var, gamma, beta)]
    return torch.nn.functional.batch_norm(*args, training=False, eps=eps)
""",
        "einsum": """
def batch_norm_eval(x, gamma, beta, running_mean, running_var, eps=1e-5):
    inv_std = np.reciprocal(np.sqrt(running_var + eps))
    return np.einsum("nd,d,d->nd", x - running_mean, inv_std, gamma) + beta
""",
        "in place, on a copy": """
def batch_norm_eval(x, gamma, beta, running_mean, running_var, eps=1e-5):
    y = np.array(x, copy=True)
    y -= running_mean[None, :]
    y /= (running_var + eps)[None, :] ** 0.5
    y *= gamma
    y += beta
    return y
""",
    }),
    *right("layer", {
        "of three functions": LAYER,
        "on its own, in place": """
class BatchNorm:
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.e, self.m = eps, momentum
        self.gamma, self.beta = np.ones(num_features), np.zeros(num_features)
        self.running_mean, self.running_var = self.beta.copy(), self.gamma.copy()
        self.training = True

    def statistics(self, x):
        if not self.training:
            return self.running_mean, self.running_var
        mean, var = x.mean(0), x.var(0)
        self.running_mean *= 1 - self.m
        self.running_mean += self.m * mean
        self.running_var *= 1 - self.m
        self.running_var += self.m * x.var(0, ddof=1)
        return mean, var

    def __call__(self, x):
        mean, var = self.statistics(x)
        return self.gamma * (x - mean) / np.sqrt(var + self.e) + self.beta
""",
        "around torch": """
import torch
class BatchNorm:
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.inner = torch.nn.BatchNorm1d(num_features, eps, momentum).double()
        self.training = True
        self.gamma, self.beta = np.ones(num_features), np.zeros(num_features)

    @property
    def running_mean(self):
        return self.inner.running_mean.numpy()

    @property
    def running_var(self):
        return self.inner.running_var.numpy()

    def __call__(self, x):
        self.inner.train(self.training)
        self.inner.weight.data = torch.tensor(self.gamma)
        self.inner.bias.data = torch.tensor(self.beta)
        return self.inner(torch.tensor(x))
""",
        "modes as methods": """
class BatchNorm:
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.gamma, self.beta = np.full(num_features, 1.0), np.full(num_features, 0.0)
        self.running_mean = np.zeros_like(self.beta)
        self.running_var = np.ones_like(self.beta)
        self.training = True

    def train(self, mode=True):
        self.training = mode
        return self

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = np.mean(x, axis=0), np.var(x, axis=0)
            n, m = x.shape[0], self.momentum
            self.running_mean = self.running_mean + m * (mean - self.running_mean)
            self.running_var = self.running_var + m * (n / (n - 1) * var - self.running_var)
        return (x - mean) * (self.gamma / np.sqrt(var + self.eps)) + self.beta

    __call__ = forward
""",
    }),
    *right("convolution", {
        "keepdims": ND,
        "moveaxis": MOVED,
        "loops": """
def batch_norm_nd(x, gamma, beta, axis=1, eps=1e-5):
    C = x.shape[axis]
    y, mean, var = np.empty(x.shape), np.empty(C), np.empty(C)
    for c in range(C):
        at = [slice(None)] * x.ndim
        at[axis] = c
        part = x[tuple(at)]
        mean[c], var[c] = part.mean(), part.var()
        y[tuple(at)] = gamma[c] * (part - mean[c]) / np.sqrt(var[c] + eps) + beta[c]
    return y, mean, var
""",
        "swapaxes and einsum": """
def batch_norm_nd(x, gamma, beta, axis=1, eps=1e-5):
    flat = np.swapaxes(x, 0, axis)
    rows = flat.reshape(flat.shape[0], -1).astype(np.float64)
    mean = np.einsum("cm->c", rows) / rows.shape[1]
    rows = rows - mean[:, None]
    var = np.einsum("cm,cm->c", rows, rows) / rows.shape[1]
    rows = gamma[:, None] * rows / np.sqrt(var + eps)[:, None] + beta[:, None]
    return np.swapaxes(rows.reshape(flat.shape), 0, axis), mean, var
""",
        "transpose": """
def batch_norm_nd(x, gamma, beta, axis=1, eps=1e-5):
    order = [a for a in range(x.ndim) if a != axis % x.ndim] + [axis % x.ndim]
    rows = x.transpose(order)
    shape = rows.shape
    rows = rows.reshape(-1, shape[-1])
    mean = rows.mean(axis=0)
    var = ((rows - mean) ** 2).mean(axis=0)
    y = (gamma * (rows - mean) / np.sqrt(var + eps) + beta).reshape(shape)
    return y.transpose(np.argsort(order)), mean, var
""",
    }),
    *right("moments", {
        "in steps": MOMENTS,
        "in float64": "def batch_moments(x):\n    x = x.astype(np.float64)\n    return x.mean(0), x.var(0)\n",
        "by dtype=": "def batch_moments(x):\n    wide = np.promote_types(x.dtype, np.float32)\n"
        "    return x.mean(0, dtype=wide), x.var(0, dtype=wide)\n",
        "sum of shares": f"def batch_moments(x):\n{CAST}    mean = (x / len(x)).sum(0)\n    return mean, ((x - mean) ** 2).mean(0)\n",
        "matrix product": f"def batch_moments(x):\n{CAST}    mean = np.full(len(x), 1 / len(x), dtype=x.dtype) @ x\n    return mean, ((x - mean) ** 2).mean(0)\n",
        "shifted by the first row": f"def batch_moments(x):\n{CAST}    mean = x[0] + (x - x[0]).mean(0)\n    return mean, ((x - mean) ** 2).mean(0)\n",
        "mean corrected once": f"def batch_moments(x):\n{CAST}    mean = x.mean(0); mean = mean + (x - mean).mean(0)\n    return mean, ((x - mean) ** 2).mean(0)\n",
        "Welford": f"""
def batch_moments(x):
{CAST}    mean, m2 = np.zeros_like(x[0]), np.zeros_like(x[0])
    for n, row in enumerate(x, 1):
        delta = row - mean
        mean = mean + delta / n
        m2 = m2 + delta * (row - mean)
    return mean, m2 / len(x)
""",
        "merged halves": f"""
def batch_moments(x):
{CAST}    (a, b), n = np.array_split(x, 2), len(x)
    delta = b.mean(0) - a.mean(0)
    mean = a.mean(0) + delta * (len(b) / n)
    var = (len(a) * a.var(0) + len(b) * b.var(0)) / n
    return mean, var + delta**2 * (len(a) * len(b) / n**2)
""",
    }),
    *right("welford", {
        "in steps": WELFORD,
        "arrays updated in place": """
def welford(rows):
    n = 0
    for row in rows:
        row = np.asarray(row, dtype=np.float64)
        if n == 0:
            mean, m2 = np.zeros(len(row)), np.zeros(len(row))
        n += 1
        old = mean.copy()
        mean += (row - old) / n
        m2 += (row - old) * (row - mean)
    return mean, m2 / n, n
""",
        "variance instead of m2": """
def welford(rows):
    first = next(rows).astype(np.float64)
    n, mean, var = 1, first, np.zeros(first.shape)
    for row in rows:
        n += 1
        delta = row.astype(np.float64) - mean
        mean = mean + delta / n
        var = var * (n - 1) / n + delta**2 * (n - 1) / n**2
    return mean, var, np.int64(n)
""",
        "sums shifted by the first row": """
def welford(rows):
    shift = None
    for row in rows:
        row = row.astype(np.float64)
        if shift is None:
            shift, n, s, q = row, 0, 0.0, 0.0
        n, s, q = n + 1, s + (row - shift), q + (row - shift) ** 2
    return shift + s / n, q / n - (s / n) ** 2, n
""",
        "lists of floats": """
def welford(rows):
    n, mean, m2 = 0, [], []
    for row in rows:
        values = [float(v) for v in row]
        if n == 0:
            mean, m2 = [0.0] * len(values), [0.0] * len(values)
        n += 1
        for j, v in enumerate(values):
            delta = v - mean[j]
            mean[j] += delta / n
            m2[j] += delta * (v - mean[j])
    return np.array(mean), np.array([q / n for q in m2]), n
""",
        "merged chunks": """
def welford(rows):
    def merged(a, chunk):
        x = np.array(chunk)
        (n, mean, m2), k, delta = a, len(x), x.mean(0) - a[1]
        m2 = m2 + ((x - x.mean(0)) ** 2).sum(0) + delta**2 * (n * k / (n + k))
        return n + k, mean + delta * (k / (n + k)), m2

    state, chunk = (0, 0.0, 0.0), []
    for row in rows:
        chunk.append(row.astype(np.float64))
        if len(chunk) == 64:
            state, chunk = merged(state, chunk), []
    n, mean, m2 = merged(state, chunk) if chunk else state
    return mean, m2 / n, n
""",
    }),
    *right("merge", {
        "in steps": MERGE,
        "weights": """
def merge_moments(a, b):
    parts = [p for p in (a, b) if p[2] > 0]
    n = sum(p[2] for p in parts)
    mean = sum(p[2] / n * p[0] for p in parts)
    var = sum(p[2] / n * (p[1] + (p[0] - mean) ** 2) for p in parts)
    return mean, var, n
""",
        "m2, and a float count": """
def merge_moments(a, b):
    if not a[2] or not b[2]:
        return a if a[2] else b
    n, w = a[2] + b[2], b[2] / (a[2] + b[2])
    mean = (1 - w) * a[0] + w * b[0]
    m2 = a[1] * a[2] + b[1] * b[2] + (b[0] - a[0]) ** 2 * a[2] * w
    return mean, m2 / n, float(n)
""",
        "from sums": """
def merge_moments(a, b):
    (mean_a, var_a, n_a), (mean_b, var_b, n_b) = a, b
    mean_a, var_a, mean_b, var_b = map(np.nan_to_num, (mean_a, var_a, mean_b, var_b))
    n = n_a + n_b
    mean = np.average([mean_a, mean_b], axis=0, weights=[n_a, n_b])
    inside = np.average([var_a, var_b], axis=0, weights=[n_a, n_b])
    between = [(mean_a - mean) ** 2, (mean_b - mean) ** 2]
    return mean, inside + np.average(between, axis=0, weights=[n_a, n_b]), n
""",
    }),
    *right("fold", {
        "in steps": FOLD,
        "einsum": """
def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    b = np.zeros(w.shape[0]) if b is None else b
    s = gamma * (running_var + eps) ** -0.5
    return np.einsum("o...,o->o...", w, s), beta + s * b - s * running_mean
""",
        "loops": """
def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    w2, b2 = w.copy(), beta.copy()
    for j in range(len(w)):
        s = gamma[j] / np.sqrt(running_var[j] + eps)
        w2[j] *= s
        b2[j] += s * ((0 if b is None else b[j]) - running_mean[j])
    return w2, b2
""",
        "matrix product": """
def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    s = gamma / np.sqrt(running_var + eps)
    flat = np.diag(s) @ w.reshape(len(w), -1)
    return flat.reshape(w.shape), s * ((0 if b is None else b) - running_mean) + beta
""",
        "moved axes": """
def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    inv_std = 1.0 / np.sqrt(running_var + eps)
    w2 = np.moveaxis(np.moveaxis(w, 0, -1) * gamma * inv_std, -1, 0)
    b2 = beta - gamma * running_mean * inv_std
    return (w2, b2) if b is None else (w2, b2 + gamma * b * inv_std)
""",
    }),
]
# fmt: on
