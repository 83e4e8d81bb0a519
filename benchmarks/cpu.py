"""Batch norm on the CPU beside torch and the textbook expression, in one process.

ResNet-50's shapes at batch 8 and 32, float32, checked against float64 before anything
is timed. Candidates take turns; printed are medians, their ratios to torch, and the
bytes that must move forward (read x, write y) over the bandwidth of a copy.

But: no other program may be busy meanwhile. torch's threads wait for each other, and on
a shared machine that waiting is what its times show.
"""

import json
import os
import platform
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

import bnlib

EPS = 1e-5
BUDGET = 0.25  # seconds for one candidate on one shape
MAPS = [  # channels, height of the square map
    *((64, 112), (64, 56), (256, 56), (128, 56), (128, 28), (512, 28)),
    *((256, 28), (256, 14), (1024, 14), (512, 14), (512, 7), (2048, 7)),
]
TARGETS = {"numpy": (0.65, 1.8), "fused": (0.18, 0.5)}


def textbook(x, gamma, beta):
    """Return y as one would write it down."""
    mean = x.mean((0, 2, 3), keepdims=True)
    var = x.var((0, 2, 3), keepdims=True)
    column = (1, -1, 1, 1)
    return gamma.reshape(column) * (x - mean) / np.sqrt(var + EPS) + beta.reshape(
        column
    )


def textbook_backward(dy, x, gamma):
    """Return dx as one would write it down."""
    axes = (0, 2, 3)
    inv_std = 1 / np.sqrt(x.var(axes, keepdims=True) + EPS)
    xhat = (x - x.mean(axes, keepdims=True)) * inv_std
    d = dy * gamma.reshape(1, -1, 1, 1)
    rest = d - d.mean(axes, keepdims=True)
    return (rest - xhat * (d * xhat).mean(axes, keepdims=True)) * inv_std


def candidates(x, dy, gamma):
    """Return forward and backward calls by name."""
    tx, tg, td = (torch.from_numpy(a) for a in (x, gamma, dy))
    mean = tx.mean((0, 2, 3))
    inv_std = 1 / torch.sqrt(tx.var((0, 2, 3), correction=0) + EPS)
    aten = torch.ops.aten
    forward = {
        "torch": lambda: torch.native_batch_norm(
            tx, tg, tg, None, None, True, 0.1, EPS
        )[0].numpy(),
        "textbook": lambda: textbook(x, gamma, gamma),
    }
    backward = {
        "torch": lambda: aten.native_batch_norm_backward(
            td, tx, tg, None, None, mean, inv_std, True, EPS, [True] * 3
        )[0].numpy(),
        "textbook": lambda: textbook_backward(dy, x, gamma),
    }
    _, cache = bnlib.batch_norm(x, gamma, gamma, eps=EPS)
    for tier in TARGETS:
        forward[tier] = in_tier(tier, bnlib.batch_norm, x, gamma, gamma, eps=EPS)
        backward[tier] = in_tier(tier, bnlib.batch_norm_backward, dy, cache)
    return forward, backward


def in_tier(tier, function, *args, **options):
    """Return a call of a function under a tier, its first result."""

    def call():
        with bnlib.kernels(tier):
            return function(*args, **options)[0]

    return call


def check(calls, expected):
    """Compare every candidate with float64."""
    for name, call in calls.items():
        error = np.abs(call() - expected).max() / np.abs(expected).max()
        assert error < 1e-5, f"{name} is off by {error:.1e}"


def medians(calls):
    """Return the median time of each call; they take turns."""
    times = {name: [] for name in calls}
    end = time.perf_counter() + BUDGET * len(calls)
    while len(times["torch"]) < 3 or (
        time.perf_counter() < end and len(times["torch"]) < 25
    ):
        for name, call in calls.items():
            call()  # twice: the first finds another's data in the cache
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def copy_bandwidth():
    """Return bytes a second, read and written, of copying in all threads."""
    a = torch.ones(2**25)
    b = torch.empty_like(a)
    times = []
    for _ in range(9):
        start = time.perf_counter()
        b.copy_(a)
        times.append(time.perf_counter() - start)
    return 2 * a.nbytes / statistics.median(times)


def measure(shape):
    """Check and time one shape; seconds by direction and candidate."""
    rng = np.random.default_rng(0)
    x = rng.normal(0.3, 1, shape).astype(np.float32)
    dy = rng.normal(size=shape).astype(np.float32)
    gamma = rng.normal(size=shape[1]).astype(np.float32)
    with bnlib.kernels("reference"):
        wide = [a.astype(np.float64) for a in (x, gamma, dy)]
        y, cache = bnlib.batch_norm(wide[0], wide[1], wide[1], eps=EPS)
        dx, *_ = bnlib.batch_norm_backward(wide[2], cache)
    del wide, cache
    forward, backward = candidates(x, dy, gamma)
    check(forward, y)
    check(backward, dx)
    return {"forward": medians(forward), "backward": medians(backward)}


def main():
    """Measure every shape, print a table, write JSON."""
    console = Console()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    load = os.getloadavg()[0]
    bandwidth = copy_bandwidth()
    shapes = [(n, c, h, h) for n in (8, 32) for c, h in MAPS] + [(256, 64, 1, 1)]
    rows = [
        {"shape": shape, **measure(shape)}
        for shape in track(shapes, "Batch norm, float32", console=console)
    ]
    table = Table("shape", title=f"time over torch's; copy {bandwidth / 1e9:.0f} GB/s")
    for direction in ("forward", "backward"):
        for name in ("textbook", *TARGETS):
            table.add_column(f"{name}\n{direction}", justify="right")
    table.add_column("fused forward\nof bandwidth", justify="right")
    for row in rows:
        ratios = [
            f"{row[d][k] / row[d]['torch']:.2f}"
            for d in ("forward", "backward")
            for k in ("textbook", *TARGETS)
        ]
        used = 8 * np.prod(row["shape"]) / row["forward"]["fused"] / bandwidth
        table.add_row("×".join(map(str, row["shape"])), *ratios, f"{used:.0%}")
    console.print(table)
    for tier, targets in TARGETS.items():
        for direction, target in zip(("forward", "backward"), targets, strict=True):
            *ratios, tiny = [r[direction][tier] / r[direction]["torch"] for r in rows]
            console.print(
                f"{tier} {direction}: geometric mean "
                f"{statistics.geometric_mean(ratios):.2f} (target {target}), "
                f"largest {max(ratios):.2f}, 256×64 {tiny:.2f}"
            )
    console.print(f"load before: {load:.1f} (ratios mean little above 0.3)")
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "load": load,
        "versions": {"numpy": np.__version__, "torch": torch.__version__},
        "copy_bytes_per_second": bandwidth,
        "seconds": rows,
    }
    path = Path(__file__).parent / "results" / "cpu.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    console.print(f"written: {path}")


if __name__ == "__main__":
    main()
