"""What the chapter Batch norm in bytes says: what moves, and what is told."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

pytest.importorskip("numba")

import bnlib
from bnlib import emulator
from bnlib.cuda.sources import source
from experiments import kernels

compiled = pytest.mark.skipif(emulator.compiler() is None, reason="no C++ compiler")
NBYTES = 4 * 8 * 4 * 16 * 16  # of x, as `climb` makes it


def images(seed, shape=(4, 6, 5, 7)):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype("f") + 100
    return (
        x,
        rng.standard_normal(shape[1]).astype("f"),
        rng.standard_normal(6).astype("f"),
    )


class Counted(np.ndarray):
    """An array that counts how often arrays of its size are read and written."""

    reads = writes = 0

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **kwargs):
        large = {id(a) for a in inputs if isinstance(a, Counted) and a.size == SIZE}
        plain = [a.view(np.ndarray) if isinstance(a, Counted) else a for a in inputs]
        if out:
            kwargs["out"] = tuple(a.view(np.ndarray) for a in out)
        result = getattr(ufunc, method)(*plain, **kwargs)
        Counted.reads += len(large)
        Counted.writes += np.size(result) == SIZE
        return out[0] if out else np.asarray(result).view(Counted)

    def __array_function__(self, function, types, args, kwargs):
        Counted.reads += function is np.einsum
        plain = [a.view(np.ndarray) if isinstance(a, Counted) else a for a in args]
        result = function(*plain, **kwargs)
        return result.view(Counted) if function is np.empty_like else result


SIZE = 4 * 6 * 5 * 7


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda *a: kernels.textbook(*a), (9, 6)),
        (lambda *a: kernels.blocked(*a, 6), (5, 3)),
    ],
)
def test_passes_of_an_expression(call, expected):
    x, gamma, beta = images(0)
    Counted.reads = Counted.writes = 0
    call(x.view(Counted), gamma, beta)
    assert (Counted.reads, Counted.writes) == expected


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("size", [1, 4, 6])
def test_all_give_batch_norm(seed, size):
    x, gamma, beta = images(seed)
    expected, _ = bnlib.batch_norm(*(a.astype(float) for a in (x, gamma, beta)))
    loop = np.empty_like(x)
    flat = (4, 6, 35)
    kernels.fused(x.reshape(flat), gamma, beta, loop.reshape(flat))
    for mine in (
        kernels.textbook(x, gamma, beta),
        kernels.blocked(x, gamma, beta, size),
        loop,
    ):
        np.testing.assert_allclose(mine, expected, atol=3e-4)
    np.testing.assert_allclose(loop, expected, atol=3e-5)  # its sums are float64


def test_memory_at_the_peak():
    x, gamma, beta = images(0, (16, 6, 64, 64))
    assert kernels.peak(lambda: kernels.blocked(x, gamma, beta, 1)) < 1.1 * x.nbytes
    assert kernels.peak(lambda: kernels.textbook(x, gamma, beta)) > 1.9 * x.nbytes


def test_operations_of_a_convolution():
    x, weight = torch.rand(2, 5, 8, 8), torch.rand(5, 5, 3, 3)
    with FlopCounterMode(display=False) as counter:
        y = torch.nn.functional.conv2d(x, weight, padding=1)
    assert counter.get_total_flops() == 18 * 5 * y.numel()


@compiled
@pytest.mark.parametrize("step", [2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_bytes_of_each_step(step, direction):
    arrays = 1 if direction == "forward" else 2
    reads = {2: 3 if arrays == 1 else 4, 6: arrays}.get(step, 2 * arrays)
    launched = kernels.climb(step, direction)
    found = kernels.passes(launched, NBYTES)
    assert found == (pytest.approx(reads, abs=0.15), 1)  # threads look at one value
    assert kernels.coalesced(launched) > 0.9
    assert 16 <= kernels.registers(step) <= 255


@pytest.mark.parametrize("batch", [32, 256])
@pytest.mark.parametrize(
    ("height", "channels"), [(56, 256), (28, 512), (14, 256), (7, 512)]
)
@pytest.mark.parametrize("read", [1, 2])
def test_what_fits_on_the_chip(batch, height, channels, read):
    fits = 4 * batch * height**2 * read <= 227 * 1024
    assert kernels.on_chip(batch, height, channels, read) == fits


@compiled
def test_faults_are_told():
    text = source("batch_2_two_pass")
    barrier = "  s[t] = mine;\n  __syncthreads();\n"
    one_more = "i < M; i += blockDim.x) sum"
    assert text.count(barrier) == text.count(one_more) == 1
    x = np.random.default_rng(3).normal(size=(8, 4, 16, 16)).astype("f")

    def told(changed):
        out = [emulator.empty(s, "f") for s in (x.shape, (4,), (4,))]
        with pytest.raises(emulator.EmulatorError) as caught:
            kernel = emulator.compile(changed, "forward_2<float>")
            kernel(4, 64, (x, None, None, *out, 8, 4, 256, np.float32(1e-5)))
        return str(caught.value)

    said = told(text.replace(barrier, barrier.replace("  __syncthreads();\n", "")))
    assert "no __syncthreads()" in said and "y[0, 0, 0, 0] is nan or" in said
    said = told(text.replace(one_more, one_more.replace("<", "<=")))
    assert "reads x[8192]" in said and "out of bounds" in said


def test_results_that_are_not_there():
    assert kernels.result("of a machine that nobody has") is None
    assert kernels.result("cpu")["seconds"]
