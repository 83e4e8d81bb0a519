"""Gradients of all nodes of the graph, from dbeta to dx, with a knob for each node.

A node's knob makes that node wrong only: those after it are computed from the right
one.

But: only for (N, D).
"""

import numpy as np

from bnlib.check.backward._training import columns

NODES = ("dbeta", "dgamma", "dxhat", "ds", "dv", "dq", "dc", "dmu", "dx")


def node_gradients(
    dy,
    x,
    gamma,
    eps=1e-5,
    *,
    ds="right",
    dv="right",
    dq="right",
    dc="right",
    dmu="right",
    dx="right",
    dxhat="right",
    variance="biased",
    denominator="sqrt(v + eps)",
    **knobs,
):
    """Gradients of all nodes; a knob for each says how it goes wrong."""
    statistics = {"variance": variance, "denominator": denominator}
    _, dgamma, dbeta = columns(dy, x, gamma, eps, **statistics, **knobs)
    dy, x, gamma = (a.astype(np.float64) for a in (dy, x, gamma))
    n, d = x.shape
    c = x - x.mean(0)
    v = (c**2).mean(0)
    s = np.sqrt(v + eps)
    xhat = c / s
    g = {"xhat": gamma * dy}
    wrong_dxhat = {
        "right": lambda: g["xhat"],
        "dy": lambda: dy,
        "gamma[:, None]": lambda: gamma[:, None] * dy,
        "dy / gamma": lambda: dy / gamma,
        "over s": lambda: g["xhat"] / s,
    }[dxhat]()
    g["s"] = -(g["xhat"] * c).sum(0) / s**2
    wrong_ds = {
        "right": lambda: g["s"],
        "plus": lambda: -g["s"],
        "mean": lambda: g["s"] / n,
        "not summed": lambda: -g["xhat"] * c / s**2,
        "not summed, plus": lambda: g["xhat"] * c / s**2,
        "total": lambda: g["s"].sum(),
        "over s": lambda: g["s"] * s,
        "xhat over s squared": lambda: g["s"] / s,
        "of 1/s": lambda: (g["xhat"] * c).sum(0),
        "no eps": lambda: -(g["xhat"] * c).sum(0) / v,
        "x": lambda: -(g["xhat"] * x).sum(0) / s**2,
        "dy": lambda: -(dy * c).sum(0) / s**2,
    }[ds]()
    g["v"] = g["s"] / (2 * s)
    wrong_dv = {
        "right": lambda: g["v"],
        "no half": lambda: 2 * g["v"],
        "minus": lambda: -g["v"],
        "minus no half": lambda: -2 * g["v"],
        "times": lambda: g["s"] * 2 * s,
        "half s": lambda: g["s"] * s / 2,
        "half": lambda: g["s"] / 2,
        "cube": lambda: -g["s"] / (2 * s**3),
        "from 1/s": lambda: g["s"] / (2 * s**3),
        "no eps": lambda: g["s"] / (2 * np.sqrt(v)),
        "variance": lambda: g["s"] / (2 * s**2),
    }[dv]()
    g["q"] = np.broadcast_to(g["v"] / n, x.shape)
    wrong_dq = {
        "right": lambda: g["q"],
        "no 1/N": lambda: n * g["q"],
        "1/D": lambda: g["q"] * n / d,
        "N - 1": lambda: g["q"] * n / (n - 1),
        "times c": lambda: 2 * c * g["q"],
    }[dq]()
    direct, through_q = g["xhat"] / s, 2 * c * g["q"]
    g["c"] = direct + through_q
    wrong_dc = {
        "right": lambda: g["c"],
        "direct": lambda: direct,
        "through q": lambda: through_q,
        "no 2": lambda: direct + c * g["q"],
        "minus": lambda: direct - through_q,
        "x": lambda: direct + 2 * x * g["q"],
        "xhat": lambda: direct + 2 * xhat * g["q"],
        "no s": lambda: g["xhat"] + through_q,
        "no c": lambda: direct + 2 * g["q"],
        "1/N again": lambda: direct + through_q / n,
    }[dc]()
    g["mu"] = -g["c"].sum(0)
    wrong_dmu = {
        "right": lambda: g["mu"],
        "plus": lambda: -g["mu"],
        "mean": lambda: g["mu"] / n,
        "plus mean": lambda: -g["mu"] / n,
        "not summed": lambda: -g["c"],
        "total": lambda: g["mu"].sum(),
        "no s": lambda: -g["xhat"].sum(0),
    }[dmu]()
    wrong_dx = {
        "right": lambda: g["c"] + g["mu"] / n,
        "direct": lambda: g["c"],
        "through mu": lambda: np.broadcast_to(g["mu"] / n, x.shape),
        "no 1/N": lambda: g["c"] + g["mu"],
        "minus": lambda: g["c"] - g["mu"] / n,
        "1/D": lambda: g["c"] + g["mu"] / d,
        "N - 1": lambda: g["c"] + g["mu"] / (n - 1),
        "dxhat": lambda: g["xhat"] / s + g["mu"] / n,
    }[dx]()
    return (
        dbeta,
        dgamma,
        wrong_dxhat,
        wrong_ds,
        wrong_dv,
        wrong_dq,
        wrong_dc,
        wrong_dmu,
        wrong_dx,
    )
