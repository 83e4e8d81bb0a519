"""Exercise 5: backward in one kernel, both sums in one walk.

But: the statistics are given, as forward has stored them.
"""

import numpy as np

from bnlib import emulator
from bnlib.check._exercise import Case, Mistake
from bnlib.check.kernels._kernel import Kernel
from bnlib.check.kernels._moments import back, channels, counted


def _backward(
    dy,
    x,
    gamma,
    mean,
    inv_std,
    block,
    *,
    layout="NCS",
    threads="all",
    mean_term=1.0,
    xhat_term=1.0,
    in_dx="xhat",
    count="M",
    with_gamma="all",
    over_s="once",
    xhat="right",
    dgamma="dy xhat",
    dbeta="dy",
    swapped=False,
):
    shape = x.shape
    d, rows = channels(dy, layout), channels(x, layout)
    g, mu, r = (a.astype(np.float64)[:, None] for a in (gamma, mean, inv_std))
    m = rows.shape[1]
    kept = counted(m, block, threads)
    top = rows - mu
    hat = {"right": top * r, "divided": top / r, "x": rows * r, "top": top}[xhat]
    first = d[:, kept].sum(axis=1, keepdims=True)
    second = (d * hat)[:, kept].sum(axis=1, keepdims=True)
    over = {
        "M": m, "1": 1, "N": shape[0], "S": shape[2], "M - 1": m - 1, "threads": block,
    }[count]  # fmt: skip
    inside = {"xhat": hat, "x - mu": top, "x": rows, "none": 1.0}[in_dx]
    away = mean_term * first / over + xhat_term * inside * second / over
    scale = {"once": r, "none": 1.0, "squared": r**2, "divided": 1 / r}[over_s]
    dx = {
        "all": lambda: g * (d - away),
        "none": lambda: d - away,
        "twice": lambda: g * g * (d - away),
        "first": lambda: g * d - away,
    }[with_gamma]() * scale
    if over_s == "first":
        dx = g * d * r - away
    products = {
        "dy xhat": lambda: second,
        "dy (x - mu)": lambda: (d * top).sum(axis=1, keepdims=True),
        "dy x": lambda: (d * rows).sum(axis=1, keepdims=True),
        "mean": lambda: second / m,
        "gamma": lambda: g * second,
    }[dgamma]()
    sums = {"dy": first, "mean": first / m, "gamma": g * first}[dbeta]
    if swapped:
        products, sums = sums, products
    return back(dx, shape, layout), products[:, 0], sums[:, 0]


def _cases(rng):
    cases = []
    for n, c, s, block in (
        (3, 5, 50, 96),
        (5, 4, 9, 32),
        (4, 3, 7, 64),
        (2, 3, 400, 128),
    ):
        means = rng.normal(1.0, 1.0, (1, c, 1))
        x = means + rng.uniform(0.5, 2.0, (1, c, 1)) * rng.normal(size=(n, c, s))
        dy = rng.normal(0.4, 1.0, (n, c, s)) + 0.3 * x
        gamma = rng.uniform(0.5, 2.0, c) * np.where(np.arange(c) % 2, -1, 1)
        inv_std = 1 / np.sqrt(x.var(axis=(0, 2)) + 1e-5)
        arrays = (dy, x, gamma, x.mean(axis=(0, 2)), inv_std)
        arrays = tuple(a.astype(np.float32) for a in arrays)
        what = f"x of shape ({n}, {c}, {s}) and {block} threads a block"
        cases.append(Case(what, (*arrays, block), {}, 3e-5))
    return cases


def _plan(dy, x, gamma, mean, inv_std, block):
    n, c, s = x.shape
    outputs = [emulator.empty(shape, np.float32) for shape in (x.shape, c, c)]
    return c, block, [dy, x, gamma, mean, inv_std, *outputs, n, c, s]


DX = "dx = gamma·inv_std·(dy − sum(dy)/M − xhat·sum(dy·xhat)/M) with M = N·S"

backward = Kernel(
    name="bn_backward",
    outputs=("dx", "dgamma", "dbeta"),
    examine=("dbeta", "dgamma", "dx"),
    formula=_backward,
    cases=_cases,
    section="kernels-ladder",
    plan=_plan,
    places=(5, 6, 7),
    once=(
        "A walk for each sum and one for dx are three. Gather both sums in one walk, "
        "so that two are enough."
    ),
    mistakes=(
        Mistake(
            "dgamma and dbeta are those of the first warp only. The second stage is "
            "missing: the warps' sums, in shared memory, have to be added as well.",
            {"threads": "first warp"},
        ),
        Mistake(
            "dgamma and dbeta are those of thread 0 only: the channel's are sums over "
            "all threads of the block.",
            {"threads": "thread 0"},
        ),
        Mistake(
            "Each thread takes one value into the sums, so that a channel longer than "
            "the block is cut off. Go on in steps of blockDim.x while i < N·S.",
            {"threads": "no stride"},
        ),
        Mistake(
            "The values after the last whole round of the block are left out of the "
            "sums: N·S is not always a multiple of blockDim.x.",
            {"threads": "whole rounds"},
        ),
        Mistake(
            "The halving loses threads where the block is no power of two (96 goes 48, "
            "24, 12, 6, 3, 1). Add up by warps, or halve with (size + 1) / 2.",
            {"threads": "tree"},
        ),
        Mistake(
            "You take N·S values that lie one after the other for a channel. In "
            "memory, channels alternate within each sample: entry i of channel c is "
            "x[(i / S * C + c) * S + i % S].",
            {"layout": "CNS"},
        ),
        Mistake(
            "You take every C-th value for a channel, as if x were channels-last. Here "
            "entry (n, c, s) is x[(n * C + c) * S + s].",
            {"layout": "NSC"},
        ),
        Mistake(
            "1/M is missing: dx subtracts the sums where it has means. " + DX + ".",
            {"count": "1"},
        ),
        *(
            Mistake(
                f"The sums in dx are divided by {what}, not by the number of values "
                f"behind the statistics. {DX}.",
                {"count": count},
            )
            for count, what in (
                ("N", "N"),
                ("S", "S"),
                ("M - 1", "M − 1"),
                ("threads", "the number of threads"),
            )
        ),
        Mistake(
            "dx is gamma·inv_std·dy only: mean and variance move with x, and each "
            f"takes a term away. {DX}.",
            {"mean_term": 0.0, "xhat_term": 0.0},
        ),
        Mistake(f"The term − sum(dy)/M is missing from dx. {DX}.", {"mean_term": 0.0}),
        Mistake(
            f"The term − xhat·sum(dy·xhat)/M is missing from dx. {DX}.",
            {"xhat_term": 0.0},
        ),
        Mistake("The xhat term of dx has the wrong sign.", {"xhat_term": -1.0}),
        Mistake("The term of the mean has the wrong sign in dx.", {"mean_term": -1.0}),
        Mistake("The xhat term of dx is twice what it should be.", {"xhat_term": 2.0}),
        Mistake("gamma is missing from dx.", {"with_gamma": "none"}),
        Mistake("gamma² is in dx: once is right.", {"with_gamma": "twice"}),
        Mistake(
            "gamma multiplies dy in dx, but not what is taken away: it stands before "
            "the whole bracket.",
            {"with_gamma": "first"},
        ),
        Mistake(
            "dx is not multiplied by inv_std. " + DX + ".",
            {"over_s": "none"},
        ),
        Mistake("inv_std² is in dx: once is right.", {"over_s": "squared"}),
        Mistake(
            "dx is divided by inv_std, which is already one over the standard "
            "deviation: multiply.",
            {"over_s": "divided"},
        ),
        Mistake(
            "xhat is (x − mean) / inv_std. inv_std is already one over the standard "
            "deviation: multiply.",
            {"xhat": "divided"},
        ),
        Mistake("xhat is x·inv_std: the mean is not subtracted.", {"xhat": "x"}),
        Mistake(
            "You use x − mean for xhat everywhere: it is still to be multiplied by "
            "inv_std.",
            {"xhat": "top"},
        ),
        Mistake(
            "dx uses x − mean where xhat belongs: it is still to be multiplied by "
            "inv_std.",
            {"in_dx": "x - mu"},
        ),
        Mistake(
            "The last term of dx is sum(dy·xhat)/M without the xhat in front.",
            {"in_dx": "none"},
        ),
        Mistake(
            "dgamma is the sum of dy·(x − mean): it is of dy·xhat, multiplied by "
            "inv_std.",
            {"dgamma": "dy (x - mu)"},
        ),
        Mistake("dgamma is the sum of dy·x: it is of dy·xhat.", {"dgamma": "dy x"}),
        *(
            Mistake(
                f"{name} is a mean. All values of a channel share one parameter, so "
                "their gradients add up.",
                {name: "mean"},
            )
            for name in ("dbeta", "dgamma")
        ),
        *(
            Mistake(
                f"{name} has a factor gamma in it, which belongs into dx only.",
                {name: "gamma"},
            )
            for name in ("dbeta", "dgamma")
        ),
        Mistake("dgamma and dbeta are swapped.", {"swapped": True}),
    ),
)
