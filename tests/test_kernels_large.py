"""Kernels on arrays of many blocks: as accurate as the reference, threads, memory."""

import threading
import tracemalloc
from functools import cache

import numpy as np
import pytest
from norms import assert_close, batch, group, instance, layer, rms
from tiers import results, widened

# What takes each way through the kernels: slabs of channels, parts of the samples,
# folded rows; long and short maps; rows whose parameters are many.
LARGE = [
    batch((4, 30, 9, 11), 1),
    batch((8, 40, 700), 1),
    batch((2, 3, 40009), 1),
    batch((3, 520, 5), 1),
    batch((1021, 7), 1),
    batch((4100, 130), 1),
    batch((6, 700), 0),
    batch((9, 25, 25, 64), -1),
    layer((700, 300), -1),
    layer((2100, 3), -1),
    layer((7, 5, 3700), 1),
    rms((700, 300), -1),
    rms((7, 18500), -1),
    group((9, 20, 31, 17), 5),
    group((257, 48), 4),
    group((2, 4, 260, 201), 1),
    instance((9, 20, 400)),
]


@cache
def errors_of_the_reference(number, offset):
    """Return inputs, the truth in float64, and the reference's error in float32."""
    norm = LARGE[number]
    inputs = norm.inputs(np.float32, offset)
    exact = results("reference", norm, *widened(*inputs))
    errors = [
        np.abs(r - e).max() / np.abs(e).max()
        for r, e in zip(results("reference", norm, *inputs), exact, strict=True)
    ]
    return inputs, exact, errors


@pytest.mark.parametrize("number", range(len(LARGE)), ids=lambda i: str(LARGE[i]))
@pytest.mark.parametrize("offset", [0.1, 1.5, 1e4])
def test_as_accurate_as_the_reference(number, offset, tier):
    """Both against float64; four units in the last place may fall either way."""
    inputs, exact, errors = errors_of_the_reference(number, offset)
    actual = results(tier, LARGE[number], *inputs)
    for a, e, error in zip(actual, exact, errors, strict=True):
        assert_close(a, e, max(1.5 * error, 5e-7))


@pytest.mark.parametrize("norm", LARGE, ids=str)
def test_float64(norm, tier, no_formula, monkeypatch):
    inputs = norm.inputs(np.float64, 1e3)
    actual = results(tier, norm, *inputs)
    monkeypatch.undo()
    for a, e in zip(actual, results("reference", norm, *inputs), strict=True):
        assert_close(a, e, 1e-10)


@pytest.mark.parametrize("norm", LARGE, ids=str)
def test_threads_change_nothing_but_the_last_digit(norm, tier, monkeypatch):
    inputs = norm.inputs(np.float32, 3.0)
    found = []
    for count in (1, 3):
        monkeypatch.setenv("OMP_NUM_THREADS", str(count))
        found.append(results(tier, norm, *inputs))
    for one, three in zip(*found, strict=True):
        assert_close(one, three, 5e-7)


def test_callers_in_several_threads(tier):
    norm = batch((8, 40, 700), 1)
    inputs = norm.inputs(np.float32)
    expected = results(tier, norm, *inputs)
    found = [None] * 4

    def work(i):
        found[i] = results(tier, norm, *inputs)

    callers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for result in found:
        for a, e in zip(result, expected, strict=True):
            np.testing.assert_array_equal(a, e)


@pytest.mark.parametrize(
    "norm",
    [
        batch((8, 64, 56, 56), 1),
        batch((8, 56, 56, 64), -1),
        layer((1568, 1024), -1),
        layer((8, 64, 56, 56), 1),
        rms((1568, 1024), -1),
        group((8, 64, 56, 56), 1),
    ],
    ids=str,
)
def test_memory(norm, tier):
    """The output and at most 4 MiB, however large the input (NumPy reports to it)."""
    for offset in (0.0, 1e4):
        x, parameters, dy = norm.inputs(np.float32, offset)
        _, cache = norm.forward(x, *parameters)
        assert peak(lambda x=x, p=parameters: norm.forward(x, *p)) < x.nbytes + 2**22
        assert peak(lambda dy=dy, c=cache: norm.backward(dy, c)) < x.nbytes + 2**22


def peak(function):
    tracemalloc.start()
    function()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most
