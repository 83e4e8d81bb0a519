"""Gradients through the batch's statistics, with a knob for each mistake.

One formula serves (N, D) and any number of axes. With no knob turned it is the truth,
in float64. Where a mistake makes learners' arrays broadcast wrongly or raise, it is
written as they write it.

But: no intermediate nodes (`_nodes`), and nothing to say about a mistake (`_mistakes`).
"""

import numpy as np


def training(
    dy,
    x,
    gamma,
    axis=1,
    eps=1e-5,
    *,
    channel=None,
    statistics="batch",
    means="batch",
    parameters="batch",
    flattened=None,
    left=None,
    variance="biased",
    denominator="sqrt(v + eps)",
    xhat_in_dx="xhat",
    with_gamma="all",
    mean_term="mean",
    xhat_term="mean",
    count="M",
    over_s="all",
    dgamma="dy xhat",
    dbeta="dy",
    keepdims=False,
    order="dx, dgamma, dbeta",
):
    """Gradients through the batch's statistics, with knobs for each mistake.

    `statistics`, `means` and `parameters` say over which axes the mean and variance,
    the means in dx, and the sums of dgamma and dbeta are taken. `left` is where dx's
    channels, moved for a reshape, are left: its axes stay there, or it is reshaped.
    """
    dy, x, gamma = (a.astype(np.float64) for a in (dy, x, gamma))
    shape = x.shape
    axis = (axis if channel is None else channel) % x.ndim
    if flattened:
        form = {"(-1, C)": (-1, gamma.size), "(C, -1)": (gamma.size, -1)}[flattened]
        dy, x = dy.reshape(form), x.reshape(form)
        axis = form.index(gamma.size)
    over_statistics, over_means, over_parameters = (
        _axes(kind, x.ndim, axis) for kind in (statistics, means, parameters)
    )
    along = [1] * x.ndim
    along[axis] = gamma.size
    g = {
        "all": lambda: gamma.reshape(along),
        "gamma": lambda: gamma,
        "gamma[:, None]": lambda: gamma[:, None],
    }.get(with_gamma, lambda: gamma.reshape(along))()

    # Forward again.
    centred = x - x.mean(over_statistics, keepdims=True)
    var = (centred**2).mean(over_statistics, keepdims=True)
    if variance == "unbiased":
        m = x.size / var.size
        var = var * m / (m - 1)
    elif variance == "mean square":
        var = (x**2).mean(over_statistics, keepdims=True)
    elif variance == "sum":
        var = (centred**2).sum(over_statistics, keepdims=True)
    elif variance == "pooled":
        var = np.full_like(var, x.var())
    elif variance == "pooled, own means":
        var = np.full_like(var, (centred**2).mean())
    elif variance == "std":
        var = np.sqrt(var)
    elif variance.startswith("absolute"):
        var = np.abs(centred).mean(over_statistics, keepdims=True)
        var = var**2 if variance.endswith("squared") else var
    s = standard_deviation(var, eps, denominator)
    xhat = centred / s

    # dx = (d - mean(d) - xhat mean(d xhat)) / s
    h = {"xhat": xhat, "x - mu": centred, "x / s": x / s, "x": x}[xhat_in_dx]
    one = np.ones_like(g)
    g1, g2, g3 = {
        "none": (one, one, one),
        "twice": (g**2, g**2, g**2),
        "first": (g, one, one),
        "first and mean": (g, g, one),
        "first and xhat": (g, one, g),
    }.get(with_gamma, (g, g, g))
    m = {
        "M": np.prod([x.shape[a] for a in over_means]),
        "1": 1,
        "N": x.shape[0],
        "D": x.shape[axis],
        "M - 1": np.prod([x.shape[a] for a in over_means]) - 1,
    }[count]

    def mean(a):
        return a.sum(over_means, keepdims=True) / m

    second = {
        "mean": lambda: mean(g2 * dy),
        "none": lambda: 0.0,
        "plus": lambda: -mean(g2 * dy),
        "sum": lambda: m * mean(g2 * dy),
        "pooled": lambda: (g2 * dy).mean(),
    }[mean_term]()
    third = {
        "mean": lambda: h * mean(g3 * dy * h),
        "none": lambda: 0.0,
        "plus": lambda: -h * mean(g3 * dy * h),
        "twice": lambda: 2 * h * mean(g3 * dy * h),
        "half": lambda: 0.5 * h * mean(g3 * dy * h),
        "sum": lambda: m * h * mean(g3 * dy * h),
        "M - 1": lambda: h * mean(g3 * dy * h) * m / (m - 1),
        "no xhat": lambda: mean(g3 * dy * h),
        "no dy": lambda: h * mean(h),
        "pooled": lambda: h * (g3 * dy * h).mean(),
    }[xhat_term]()
    dx = {
        "all": lambda: (g1 * dy - second - third) / s,
        "none": lambda: g1 * dy - second - third,
        "first": lambda: g1 * dy / s - second - third,
        "first two": lambda: (g1 * dy - second) / s - third,
        "squared": lambda: (g1 * dy - second - third) / s**2,
        "times": lambda: (g1 * dy - second - third) * s,
    }[over_s]()

    dgamma, dbeta = parameter_gradients(
        dy, x, centred, s, g, dx, over_parameters, dgamma, dbeta, keepdims
    )
    if left:
        dx = np.moveaxis(dx, axis, {"last": -1, "first": 0}[left.split(", ")[0]])
    if left not in ("last", "first"):
        dx = dx.reshape(shape)
    return in_order(order, dx=dx, dgamma=dgamma, dbeta=dbeta)


def _axes(kind, ndim, axis):
    """Return the axes over which a learner reduces."""
    return {
        "batch": tuple(a for a in range(ndim) if a != axis),
        "spatial": tuple(a for a in range(ndim) if a not in (0, axis)),
        "0": (0,),
        "1": (1,),
        "1, ...": tuple(range(1, ndim)),
        "(2, 3)": (2, 3),
        "(0, 2, 3)": (0, 2, 3),
        "(0, 1, 2)": (0, 1, 2),
        "-1": (ndim - 1,),
    }[kind]


def standard_deviation(var, eps, kind):
    """Return the s of the forward pass, or what a learner takes for it."""
    return {
        "sqrt(v + eps)": lambda: np.sqrt(var + eps),
        "sqrt(v) + eps": lambda: np.sqrt(var) + eps,
        "sqrt(v)": lambda: np.sqrt(var),
        "sqrt(v), 1 for 0": lambda: np.where(var > 0, np.sqrt(var), 1.0),
        "max(sqrt(v), 1e-12)": lambda: np.maximum(np.sqrt(var), 1e-12),
        "max(sqrt(v), 1e-8)": lambda: np.maximum(np.sqrt(var), 1e-8),
        "max(sqrt(v), eps)": lambda: np.maximum(np.sqrt(var), eps),
        "sqrt(max(v, eps))": lambda: np.sqrt(np.maximum(var, eps)),
        "sqrt(v + eps^2)": lambda: np.sqrt(var + eps**2),
        "sqrt(v + eps) + eps": lambda: np.sqrt(var + eps) + eps,
        "sqrt(v + 2 eps)": lambda: np.sqrt(var + 2 * eps),
        "v + eps": lambda: var + eps,
        "eps 1e-5": lambda: np.sqrt(var + 1e-5),
        "eps 1e-3": lambda: np.sqrt(var + 1e-3),
        "eps 1e-12": lambda: np.sqrt(var + 1e-12),
        "eps 1e-8": lambda: np.sqrt(var + 1e-8),
        "eps 1e-6": lambda: np.sqrt(var + 1e-6),
        "default 1e-3": lambda: np.sqrt(var + (1e-3 if eps == 1e-5 else eps)),
        "default 1e-8": lambda: np.sqrt(var + (1e-8 if eps == 1e-5 else eps)),
        "default 1e-6": lambda: np.sqrt(var + (1e-6 if eps == 1e-5 else eps)),
        "default 1e-12": lambda: np.sqrt(var + (1e-12 if eps == 1e-5 else eps)),
    }[kind]()


def parameter_gradients(dy, x, centred, s, g, dx, axes, dgamma, dbeta, keepdims=False):
    """Return dgamma and dbeta, each right or wrong in the way that its knob says."""
    xhat = centred / s
    terms = {
        "dy (x - mu)": dy * centred,
        "dy x": dy * x,
        "dy x / s": dy * x / s,
        "gamma dy xhat": g * dy * xhat,
        "dx xhat": dx * xhat,
        "zero": 0 * dy,
    }.get(dgamma, dy * xhat)
    dgamma = _reduced(terms, dgamma, axes, keepdims)
    terms = {"gamma dy": g * dy, "dx": dx, "zero": 0 * dy}.get(dbeta, dy)
    dbeta = _reduced(terms, dbeta, axes, keepdims)
    return dgamma, dbeta


def _reduced(terms, kind, axes, keepdims):
    return {
        "mean": lambda: terms.mean(axes),
        "total": lambda: terms.sum(),
        "not summed": lambda: terms,
        "axis 1": lambda: terms.sum(1),
    }.get(kind, lambda: terms.sum(axes, keepdims=keepdims))()


def in_order(order, **gradients):
    """Return the gradients in the order in which a learner returns them."""
    return tuple(gradients[name] for name in order.split(", "))


def columns(dy, x, gamma, eps=1e-5, **knobs):
    """Gradients of (N, D), where no axis is given."""
    return training(dy, x, gamma, 1, eps, **knobs)
