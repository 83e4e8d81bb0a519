"""Batch norm on a GPU beside torch and the CuPy expression, in one process.

``make bench-gpu``: ResNet-50's shapes at batch 32 and 256, float32 and float16, NCHW
and channels-last (NHWC). Each is checked against float64 before anything is timed.
Times are medians of CUDA events around single calls, of work that waits in the GPU's
queue, so that they hold no time of the CPU; that is given besides, per call. Inputs and
outputs rotate through several times the L2 cache. torch is the better of cuDNN on and
off. The fraction of the copy bandwidth counts the bytes that must move: one write, and
reads of each array as often as the step of the ladder reads it.

Writes ``benchmarks/results/gpu.json``. Without a GPU it says so, and that is all.
"""

import json
import math
import platform
import shutil
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from itertools import product
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bnlib import _formula
from bnlib.batch import _per_channel
from bnlib.cuda import backward, forward, shapes
from bnlib.cuda.device import device, missing

RESULT = Path(__file__).parent / "results" / "gpu.json"
EPS = 1e-5
MAPS = [  # channels, height of the square map
    *((64, 112), (64, 56), (256, 56), (128, 56), (128, 28), (512, 28)),
    *((256, 28), (256, 14), (1024, 14), (512, 14), (512, 7), (2048, 7)),
]
BATCHES, DTYPES, LAYOUTS = (32, 256), ("float32", "float16"), ("NCHW", "NHWC")
DIRECTIONS = ("forward", "backward")
LADDER = [(32, 64, 112, 112), (32, 256, 28, 28), (32, 2048, 7, 7)]
REPEATS, PLACE = 30, "cuda"
# Largest error, over the largest value, that rounding explains.
TOLERANCE = {"float32": 1e-5, "float16": 2e-3}
TARGET, WORST, FRACTION = 1.5, 0.95, 0.85
LARGE = 2**25  # values from which the fraction of the bandwidth has a target


def cases():
    """Return (shape, dtype, layout) of everything that is timed."""
    sizes = [(n, c, h, h) for n in BATCHES for c, h in MAPS]
    return list(product(sizes, DTYPES, LAYOUTS))


def ideal_bytes(size, itemsize, direction, step):
    """Return the bytes that must move: each array once, or twice if it is not kept."""
    arrays = 1 if direction == "forward" else 2
    reads = arrays if step == 6 else 2 * arrays
    return (reads + 1) * size * itemsize


def rotation(nbytes, cache):
    """Return how many sets of arrays outgrow a cache of that many bytes fourfold."""
    return max(2, math.ceil(4 * cache / nbytes))


def summary(rows, bandwidth):
    """Return the figures that have a target, by direction.

    Parameters
    ----------
    rows : list of dict
        As `measure` returns them.
    bandwidth : float
        Bytes a second of a copy.
    """
    found = {}
    for direction in DIRECTIONS:
        timed = [row[direction] for row in rows]
        over_torch = [t["torch"] / t["bnlib"] for t in timed]
        fractions = [
            t["bytes"] / t["bnlib"] / bandwidth
            for t, row in zip(timed, rows, strict=True)
            if math.prod(row["shape"]) >= LARGE
        ]
        found[direction] = {
            "mean over torch": statistics.geometric_mean(over_torch),
            "least over torch": min(over_torch),
            "mean over CuPy": statistics.geometric_mean(
                t["cupy"] / t["bnlib"] for t in timed
            ),
            "least of bandwidth": min(fractions, default=None),
        }
    return found


# ---- on the GPU ----------------------------------------------------------------------


class Bench:
    """What is measured on one GPU."""

    def __init__(self):
        import cupy
        import torch

        self.cupy, self.torch = cupy, torch
        self.device = device(cupy.cuda.Device().id)
        self.cache = cupy.cuda.runtime.getDeviceProperties(0)["l2CacheSize"]
        # The GPU waits while the CPU fills its queue.
        self.wait = cupy.RawKernel(
            'extern "C" __global__ void wait(long long cycles) {'
            "long long start = clock64(); while (clock64() - start < cycles); }",
            "wait",
        )

    def seconds(self, call, sets):
        """Return the median time of a call on the GPU, and its time on the CPU.

        Parameters
        ----------
        call : function of one of the sets
        sets : list
            Of arguments; they take turns. What the call returns is kept for a round,
            so that outputs take turns too.
        """
        cuda = self.cupy.cuda
        kept = [call(one) for one in sets]
        cuda.Device().synchronize()
        start = time.perf_counter()
        kept[0] = call(sets[0])
        guess = REPEATS * (time.perf_counter() - start)
        cuda.Device().synchronize()
        self.wait((1,), (1,), (np.int64(4e9 * guess),))
        events = []
        start = time.perf_counter()
        for k in range(REPEATS):
            begin, end = cuda.Event(), cuda.Event()
            begin.record()
            kept[k % len(sets)] = call(sets[k % len(sets)])
            end.record()
            events.append((begin, end))
        host = (time.perf_counter() - start) / REPEATS
        cuda.Device().synchronize()
        times = [cuda.get_elapsed_time(*pair) / 1e3 for pair in events]
        return statistics.median(times), host

    def copy_bandwidth(self):
        """Return bytes a second, read and written, of a large copy."""
        pairs = [(self.cupy.ones(2**28, "f"), self.cupy.empty(2**28, "f"))] * 2
        best, _ = self.seconds(lambda pair: self.cupy.copyto(pair[1], pair[0]), pairs)
        return 2 * pairs[0][0].nbytes / best

    def arrays(self, shape, dtype, layout):
        """Return sets of torch tensors (x, dy), enough to outgrow the cache."""
        torch = self.torch
        # Two libraries keep memory of the case before; each needs what the other has.
        self.cupy.get_default_memory_pool().free_all_blocks()
        torch.cuda.empty_cache()
        order = torch.channels_last if layout == "NHWC" else torch.contiguous_format
        kind = getattr(torch, dtype)
        count = rotation(math.prod(shape) * kind.itemsize, self.cache)
        torch.manual_seed(0)
        return [
            tuple(
                (torch.randn(shape, device=PLACE) + mean).to(kind, memory_format=order)
                for mean in (0.3, 0.0)
            )
            for _ in range(count)
        ]

    def measure(self, shape, dtype, layout):
        """Check and time one case; return seconds by direction and candidate."""
        tensors, parameters = self.arrays(shape, dtype, layout), self.parameters(shape)
        norm = Norm(self.cupy, shape, parameters)
        sets = [tuple(map(self.cupy.from_dlpack, pair)) for pair in tensors]
        norm.check(sets[0], dtype)
        caches = [(dy, norm.forward((x, dy))[1]) for x, dy in sets]
        calls = {
            "forward": ((norm.forward, norm.expression), sets),
            "backward": ((norm.backward, norm.expression_backward), caches),
        }
        found = {"shape": shape, "dtype": dtype, "layout": layout}
        x = sets[0][0]
        for direction, ((ours, expression), arguments) in calls.items():
            seconds, host = self.seconds(ours, arguments)
            step = self.step(x, direction)
            found[direction] = {
                "step": step,
                "bytes": ideal_bytes(x.size, x.itemsize, direction, step),
                "bnlib": seconds,
                "bnlib, CPU": host,
                "cupy": self.seconds(expression, arguments)[0],
            }
        self.time_torch(tensors, parameters, found)
        return found

    def measure_steps(self, shape):
        """Check and time each step of the ladder, float32 in NCHW."""
        tensors = self.arrays(shape, "float32", "NCHW")
        norm = Norm(self.cupy, shape, self.parameters(shape))
        sets = [tuple(map(self.cupy.from_dlpack, pair)) for pair in tensors]
        caches = [(dy, norm.forward((x, dy))[1]) for x, dy in sets]
        slab = 2 * sets[0][0].nbytes // shape[1]
        found = {"shape": shape, "forward": {}, "backward": {}}
        for step in (2, 3, 4, 5, 6) if slab <= self.device.shared else (2, 3, 4, 5):
            norm.check(sets[0], "float32", step=step)
            forth, _ = self.seconds(partial(norm.forward, step=step), sets)
            back, _ = self.seconds(partial(norm.backward, step=step), caches)
            found["forward"][step], found["backward"][step] = forth, back
        return found

    def parameters(self, shape):
        """Return gamma and beta, torch tensors."""
        self.torch.manual_seed(1)
        return self.torch.randn(2, shape[1], device=PLACE)

    def step(self, x, direction):
        """Return the step of the ladder that is taken for x."""
        layout = shapes.channels(x.shape, x.strides, x.itemsize, 1)
        read = 1 if direction == "forward" else 2
        sizes = self.device.processors, self.device.shared
        return shapes.batch_plan(layout, x.itemsize, [0], read, *sizes).step

    def time_torch(self, tensors, parameters, found):
        """Add torch's times: the better of cuDNN on and off."""
        torch, best = self.torch, dict.fromkeys(DIRECTIONS, math.inf)
        weight, bias = (p.clone().requires_grad_() for p in parameters)
        inputs = [(x.detach().requires_grad_(), dy) for x, dy in tensors]

        def normalise(pair):
            return torch.nn.functional.batch_norm(
                pair[0], None, None, weight, bias, training=True, eps=EPS
            )

        def gradients(one):
            y, x, dy = one
            return torch.autograd.grad(y, (x, weight, bias), dy, retain_graph=True)

        for cudnn in (True, False):
            with torch.backends.cudnn.flags(enabled=cudnn):
                with torch.no_grad():
                    time_forward, _ = self.seconds(normalise, inputs)
                graphs = [(normalise(pair), *pair) for pair in inputs]
                time_backward, _ = self.seconds(gradients, graphs)
                del graphs
            name = "torch, cuDNN" if cudnn else "torch, own"
            for d, t in zip(DIRECTIONS, (time_forward, time_backward), strict=True):
                found[d][name] = t
                found[d]["torch"] = best[d] = min(best[d], t)


class Norm:
    """Batch norm of one shape, by the kernels and by the CuPy expression."""

    def __init__(self, cupy, shape, parameters):
        self.cupy = cupy
        gamma, beta = map(cupy.from_dlpack, parameters)
        self.args = gamma, beta, _per_channel(shape, 1), EPS
        self.options = {"meaning": "", "shape": (shape[1],)}

    def forward(self, pair, **choice):
        """Return y and the cache for (x, dy), by the kernels."""
        x, _ = pair
        return forward("batch_norm", x, *self.args, **self.options, **choice)

    def backward(self, pair, **choice):
        """Return dx, dgamma and dbeta for (dy, cache), by the kernels."""
        return backward("batch_norm", *pair, **choice)

    def expression(self, pair):
        """Return y and the cache, by the formula on CuPy arrays."""
        x, _ = pair
        return _formula.forward("batch_norm", x, *self.args, **self.options)

    def expression_backward(self, pair):
        """Return dx, dgamma and dbeta, by the formula on CuPy arrays."""
        return _formula.backward("batch_norm", *pair)

    def check(self, pair, dtype, **choice):
        """Compare the kernels with float64, before anything is timed."""
        x, dy = pair
        gamma, beta, *rest = self.args
        wide = (a.astype("d") for a in (x, gamma, beta))
        y, cache = _formula.forward("batch_norm", *wide, *rest, **self.options)
        dx, *_ = _formula.backward("batch_norm", dy.astype("d"), cache)
        what = f"of {x.shape}, {dtype}{choice or ''}"
        got, cache = self.forward(pair, **choice)
        _close(got, y, TOLERANCE[dtype], f"y {what}")
        got, *_ = self.backward((dy, cache), **choice)
        _close(got, dx, TOLERANCE[dtype], f"dx {what}")


def _close(got, want, tolerance, what):
    error = float(abs(got - want).max() / abs(want).max())
    if not error <= tolerance:
        raise SystemExit(f"{what} is off by {error:.1e} of the largest; nothing timed.")


def driver():
    """Return the version of the driver, None if nvidia-smi does not say."""
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.stdout.partition("\n")[0].strip() or None


def machine(bench):
    """Describe where this runs."""
    runtime = bench.cupy.cuda.runtime
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "device": runtime.getDeviceProperties(0)["name"].decode(),
        "driver": driver(),
        "CUDA": runtime.runtimeGetVersion(),
        "python": platform.python_version(),
        "cupy": bench.cupy.__version__,
        "numpy": metadata.version("numpy"),
        "torch": bench.torch.__version__,
        "cuDNN": bench.torch.backends.cudnn.version(),
    }


def show(result, console):
    """Print what was measured, and whether it is enough."""
    title = f"{result['device']}, copy {result['copy bandwidth'] / 1e9:.0f} GB/s"
    table = Table(title=title, title_justify="left")
    for column in ("shape", "dtype", "layout"):
        table.add_column(column)
    for direction in DIRECTIONS:
        for column in ("step", "µs", "of copy", "× torch", "× CuPy"):
            table.add_column(f"{direction}\n{column}", justify="right")
    for row in result["cases"]:
        cells = ["×".join(map(str, row["shape"])), row["dtype"], row["layout"]]
        for direction in DIRECTIONS:
            t = row[direction]
            speed = t["bytes"] / t["bnlib"] / result["copy bandwidth"]
            cells += [str(t["step"]), f"{1e6 * t['bnlib']:.0f}", f"{speed:.0%}"]
            cells += [f"{t[name] / t['bnlib']:.2f}" for name in ("torch", "cupy")]
        table.add_row(*cells)
    console.print(table)
    for direction, found in result["summary"].items():
        least = found["least of bandwidth"]
        console.print(
            f"{direction}: {found['mean over torch']:.2f}× torch in the geometric mean "
            f"(target {TARGET}), least {found['least over torch']:.2f}× (target "
            f"{WORST}); {found['mean over CuPy']:.1f}× the CuPy expression; large "
            f"shapes at {least:.0%} of the copy bandwidth or more (target "
            f"{FRACTION:.0%})"
        )


def main():
    """Measure all, write the result, show it."""
    console = Console()
    reason = missing()
    if reason:
        console.print(f"{reason} Nothing is measured.", soft_wrap=True, markup=False)
        return
    try:
        bench = Bench()
    except ImportError as error:
        sys.exit(f"torch is needed to compare with: {error}")
    bandwidth = bench.copy_bandwidth()
    rows = [
        bench.measure(*case)
        for case in track(cases(), "Batch norm beside torch", console=console)
    ]
    ladder = [
        bench.measure_steps(shape)
        for shape in track(LADDER, "Steps of the ladder", console=console)
    ]
    result = machine(bench) | {
        "copy bandwidth": bandwidth,
        "summary": summary(rows, bandwidth),
        "cases": rows,
        "ladder": ladder,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    show(result, console)
    console.print(f"written: {RESULT}")


if __name__ == "__main__":
    main()
