"""The norms on the CPU beside torch and the textbook expression, in one process.

ResNet-50's shapes at batch 8 and 32, a tiny input, and batch norm's relatives on one
shape each; float32, compared with float64 before anything is timed. Candidates take
turns; printed are medians, their ratios to torch, and the bytes that must move (forward
x and y, backward x, dy and dx) over the bandwidth of a copy.

But: no other program should be busy meanwhile. torch's threads wait for each other, and
on a shared machine that waiting is what its times show: the load is written down too.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from rich.table import Table

import bnlib
from bnlib.cpu import threads

EPS = 1e-5
BUDGET = 0.25  # seconds for one candidate on one shape, but three turns at least
TURNS = 200
MAPS = [  # channels, height of the square map
    *((64, 112), (64, 56), (256, 56), (128, 56), (128, 28), (512, 28)),
    *((256, 28), (256, 14), (1024, 14), (512, 14), (512, 7), (2048, 7)),
]
RESNET = [(n, c, h, h) for n in (8, 32) for c, h in MAPS]
TINY = (256, 64)
TARGETS = {"numpy": (0.65, 1.8), "fused": (0.18, 0.5)}
RESULTS = Path(__file__).parent / "results" / "cpu.json"


@dataclass
class Task:
    """One norm on one shape, as bnlib, torch and a textbook compute it."""

    name: str
    shape: tuple
    parameters: tuple  # shapes
    function: Callable  # of bnlib: x, *parameters -> y, cache
    backward: Callable
    torch: Callable  # x, *parameters -> y
    textbook: Callable | None = None

    def __str__(self):
        return f"{self.name} {'×'.join(map(str, self.shape))}"


def batch(shape):
    """Return the task of batch norm."""
    channels = shape[1:2]
    return Task(
        "batch",
        shape,
        (channels, channels),
        bnlib.batch_norm,
        bnlib.batch_norm_backward,
        lambda x, g, b: F.batch_norm(x, None, None, g, b, training=True, eps=EPS),
        textbook,
    )


RELATIVES = [
    Task(
        "layer",
        (4096, 1024),
        ((1024,), (1024,)),
        bnlib.layer_norm,
        bnlib.layer_norm_backward,
        lambda x, g, b: F.layer_norm(x, (1024,), g, b, EPS),
    ),
    Task(
        "RMS",
        (4096, 1024),
        ((1024,),),
        lambda x, g: bnlib.rms_norm(x, g, eps=EPS),
        bnlib.rms_norm_backward,
        lambda x, g: F.rms_norm(x, (1024,), g, EPS),
    ),
    Task(
        "group",
        (8, 256, 28, 28),
        ((256,), (256,)),
        lambda x, g, b: bnlib.group_norm(x, g, b, num_groups=32),
        bnlib.group_norm_backward,
        lambda x, g, b: F.group_norm(x, 32, g, b, EPS),
    ),
    Task(
        "instance",
        (8, 256, 28, 28),
        ((256,), (256,)),
        bnlib.instance_norm,
        bnlib.instance_norm_backward,
        lambda x, g, b: F.instance_norm(x, weight=g, bias=b, eps=EPS),
    ),
]


def textbook(x, dy, gamma, beta):
    """Return forward and backward calls, as one would write them down."""
    axes = tuple(a for a in range(x.ndim) if a != 1)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    g, b = gamma.reshape(shape), beta.reshape(shape)

    def forward():
        mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        return g * (x - mean) / np.sqrt(var + EPS) + b

    def backward():
        inv_std = 1 / np.sqrt(x.var(axes, keepdims=True) + EPS)
        xhat = (x - x.mean(axes, keepdims=True)) * inv_std
        d = dy * g
        rest = d - d.mean(axes, keepdims=True)
        return (rest - xhat * (d * xhat).mean(axes, keepdims=True)) * inv_std

    return forward, backward


def candidates(task, x, dy, parameters):
    """Return forward and backward calls by name."""
    forward, backward = {}, {}
    tensors = [torch.from_numpy(a).requires_grad_() for a in (x, *parameters)]
    given = torch.from_numpy(dy)
    # Without the graph forward, as bnlib's backward pass starts from x too.
    y = task.torch(*tensors)

    def torch_forward():
        with torch.no_grad():
            return task.torch(*tensors).numpy()

    forward["torch"] = torch_forward
    backward["torch"] = lambda: torch.autograd.grad(
        y, tensors, given, retain_graph=True
    )[0].numpy()
    if task.textbook:
        forward["textbook"], backward["textbook"] = task.textbook(x, dy, *parameters)
    for tier in ("reference", *TARGETS):
        if tier == "reference" and task.textbook:
            continue
        _, cache = task.function(x, *parameters)
        forward[tier] = in_tier(tier, task.function, x, *parameters)
        backward[tier] = in_tier(tier, task.backward, dy, cache)
    return forward, backward


def in_tier(tier, function, *args):
    """Return a call of a function under a tier, its first result."""

    def call():
        with bnlib.kernels(tier):
            return function(*args)[0]

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
    while (turns := len(times["torch"])) < 3 or (
        time.perf_counter() < end and turns < TURNS
    ):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def copy_bandwidth():
    """Return bytes a second, read and written, of copying in all threads."""
    a = torch.ones(2**24)
    b = torch.empty_like(a)
    times = []
    for _ in range(15):
        start = time.perf_counter()
        b.copy_(a)
        times.append(time.perf_counter() - start)
    return 2 * a.nbytes / statistics.median(times)


def measure(task):
    """Check and time one task; seconds by direction and candidate."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(task.shape, np.float32) + np.float32(0.3)
    dy = rng.standard_normal(task.shape, np.float32)
    parameters = [rng.standard_normal(shape, np.float32) for shape in task.parameters]
    with bnlib.kernels("fused"):
        wide = [a.astype(np.float64) for a in (x, *parameters)]
        y, cache = task.function(*wide)
        dx, *_ = task.backward(dy.astype(np.float64), cache)
    del wide, cache
    forward, backward = candidates(task, x, dy, parameters)
    check(forward, y)
    check(backward, dx)
    del y, dx
    return {
        "norm": task.name,
        "shape": task.shape,
        "forward": medians(forward),
        "backward": medians(backward),
    }


def ratio(row, direction, name):
    """Return a candidate's time over torch's."""
    return row[direction][name] / row[direction]["torch"]


def used(row, direction, bandwidth):
    """Return the share of the copy bandwidth that the fused kernel uses."""
    arrays = 2 if direction == "forward" else 3
    nbytes = 4 * arrays * np.prod(row["shape"])
    return nbytes / row[direction]["fused"] / bandwidth


def report(console, rows, bandwidth):
    """Print a table for each direction, and how the targets are met."""
    resnet = [r for r in rows if len(r["shape"]) == 4 and r["norm"] == "batch"]
    (tiny,) = (r for r in rows if tuple(r["shape"]) == TINY)
    for i, direction in enumerate(("forward", "backward")):
        table = Table(
            *("norm", "shape", "textbook*", *TARGETS, "of copy**"),
            title=f"{direction}: time over torch's",
        )
        for row in rows:
            base = "textbook" if "textbook" in row[direction] else "reference"
            table.add_row(
                row["norm"],
                "×".join(map(str, row["shape"])),
                *(f"{ratio(row, direction, name):.2f}" for name in (base, *TARGETS)),
                f"{used(row, direction, bandwidth):.0%}",
            )
        console.print(table)
        for tier, targets in TARGETS.items():
            values = [ratio(r, direction, tier) for r in resnet]
            console.print(
                f"{tier}: geometric mean {statistics.geometric_mean(values):.2f} "
                f"(target {targets[i]}), largest {max(values):.2f}, "
                f"256×64 {ratio(tiny, direction, tier):.2f}"
            )
    console.print(
        "*  but for batch norm: bnlib's reference\n"
        "** the fused kernel's bytes a second over those of a copy, "
        f"{bandwidth / 1e9:.1f} GB/s; more than 100% comes from the cache"
    )


def processor():
    """Return the processor's name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(v.partition(":")[2].strip() for v in lines if "model name" in v)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    """Measure every task, print a table, write JSON."""
    console = Console()
    torch.set_num_threads(threads.count())
    load = [os.getloadavg()[0]]
    bandwidth = copy_bandwidth()
    tasks = [batch(TINY), *RELATIVES, *map(batch, RESNET)]
    rows = [measure(task) for task in track(tasks, "Timing", console=console)]
    load.append(os.getloadavg()[0])
    report(console, rows, bandwidth)
    console.print(
        f"load before and after: {load[0]:.1f}, {load[1]:.1f} on {os.cpu_count()} cores"
    )
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads.count(),
        "load": load,
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("numpy", "numba", "torch")},
        "copy_bytes_per_second": bandwidth,
        "seconds": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    console.print(f"written: {RESULTS}")


if __name__ == "__main__":
    main()
