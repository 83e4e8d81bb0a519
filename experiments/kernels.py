"""Bytes of batch norm: what an expression and a kernel move, and how long it takes."""

import json
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np

from bnlib import emulator
from bnlib.cuda import channels, shapes
from bnlib.cuda.emulated import Emulated

RESULTS = Path(__file__).parents[1] / "benchmarks/results"
EPS = 1e-5
FORWARD_FLOPS, BACKWARD_FLOPS = 7, 10
"""Arithmetic for one value: subtract, add, multiply and add for the sums, subtract,
multiply, add for y; backward the same four, and twice subtract, multiply, add."""


def seconds(call: Callable[[], object], budget: float = 0.3) -> float:
    """Return the median time of a call, repeated 5 times and for `budget` seconds."""
    call()
    times, end = [], time.perf_counter() + budget
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak(call: Callable[[], object]) -> int:
    """Return the most bytes that NumPy held at once during a call, with its result."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def textbook(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Batch norm of images (N, C, H, W) as one writes it down."""
    mean = x.mean((0, 2, 3), keepdims=True)
    var = x.var((0, 2, 3), keepdims=True)
    g, b = gamma[:, None, None], beta[:, None, None]
    return g * (x - mean) / np.sqrt(var + EPS) + b


def blocked(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, size: int
) -> np.ndarray:
    """Do the same for `size` channels at a time; scratch is the slab of y."""
    y = np.empty_like(x)
    for c in range(0, x.shape[1], size):
        here = np.s_[c : c + size, None, None]
        slab, out = x[:, c : c + size], y[:, c : c + size]
        mean = slab.mean((0, 2, 3), keepdims=True)
        np.subtract(slab, mean, out=out)
        squares = np.einsum("nchw,nchw->c", out, out)[:, None, None]
        out *= gamma[here] / np.sqrt(squares / slab[:, 0].size + EPS)
        out += beta[here]
    return y


@numba.njit(fastmath={"contract", "reassoc", "nsz"})
def fused(x, gamma, beta, y):
    """Do the same for x of shape (N, C, positions), in two loops."""
    samples, channels, positions = x.shape
    for c in range(channels):
        first = np.float64(x[0, c, 0])  # sums around it lose no digits
        total = squares = 0.0
        for n in range(samples):
            for i in range(positions):
                d = x[n, c, i] - first
                total += d
                squares += d * d
        rest = total / (samples * positions)
        var = squares / (samples * positions) - rest * rest
        mean = np.float32(first + rest)
        scale = np.float32(gamma[c] / np.sqrt(var + EPS))
        for n in range(samples):
            for i in range(positions):
                y[n, c, i] = (x[n, c, i] - mean) * scale + beta[c]


def climb(
    step: int, direction: str, shape: tuple[int, ...] = (8, 4, 16, 16)
) -> list[tuple[str, emulator.Report]]:
    """Run a step of the CUDA ladder on the emulator.

    Parameters
    ----------
    step : int
        From 2 to 7; x is channels-last in step 7.
    direction : str
        "forward" or "backward".
    shape : tuple of int
        Of x: samples, channels, height, width.

    Returns
    -------
    list of (str, bnlib.emulator.Report)
        Each kernel that was launched, and what it did.
    """
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, *shape)).astype("f")
    if step == 7:
        x, dy = (a.transpose(0, 2, 3, 1).reshape(-1, shape[1]).copy() for a in (x, dy))
    layout = shapes.channels(x.shape, x.strides, 4, 1)
    device, out = Emulated(processors=4), emulator.empty(x.shape, x.dtype)
    gamma, beta = np.ones(shape[1], "f"), np.zeros(shape[1], "f")
    choice = {"step": step, "block": None if step == 7 else 64}
    if direction == "forward":
        channels.forward(device, x, gamma, beta, out, layout, EPS, **choice)
    else:
        axes = (0, *range(2, x.ndim))
        mean, var = x.mean(axes), x.var(axes)
        channels.backward(device, dy, x, gamma, mean, var, out, layout, EPS, **choice)
    return device.launched


def passes(
    launched: list[tuple[str, emulator.Report]], nbytes: int
) -> tuple[float, float]:
    """Return how often the large arrays are read and written, in arrays of `nbytes`."""
    traffic = [
        report.arrays[name]
        for _, report in launched
        for name in ("x", "dy", "y", "dx")
        if name in report.arrays
    ]
    read, written = sum(t.read for t in traffic), sum(t.written for t in traffic)
    return read / nbytes, written / nbytes


def coalesced(launched: list[tuple[str, emulator.Report]]) -> float:
    """Return the least share of coalesced accesses among the launches."""
    return min(report.coalesced for _, report in launched)


def registers(step: int, architecture: str = "sm_90") -> int:
    """Return the most registers that a thread of a step needs, in float32."""
    result = json.loads((RESULTS / "cuda_registers.json").read_text())
    at = result["architectures"].index(architecture)
    return max(
        columns[at][0]
        for name, columns in result["kernels"].items()
        if f"_{step}<float" in name
    )


def on_chip(batch: int, height: int, channels_: int, read: int) -> bool:
    """Tell whether step 6 takes a map on an H200: 132 processors, 227 KiB a block."""
    layout = shapes.Layout((0, 1, 2, 3), batch, channels_, height * height)
    return shapes.best_step(layout, 4, read, 132, 227 * 1024) == 6


def result(name: str) -> dict | None:
    """Return a committed result file, or None if there is none."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None
