"""Every kernel against the reference: values, layouts, memory, threads."""

import os
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from norms import DTYPES, LAYOUTS, NORMS, assert_close, check, torch_gradients

import bnlib
from bnlib import _formula, _tiers
from bnlib.cpu import threads

TIERS = ["numpy"]
if _tiers._numba_installed():
    TIERS.append("fused")
BATCH = [n for n in NORMS if n.name.startswith("batch")]
# Blocks of channels, of rows, of folded rows; more channels than fit at once.
SHAPES = [
    ((4, 6, 9, 11), 1),
    ((3, 520, 5), 1),
    ((37, 3), 1),
    ((1000, 3), 1),
    ((1021, 7), 1),
    ((2, 3, 40001), 1),
    ((4100, 130), 1),
    ((5, 1, 8), 1),
    ((6, 700), 0),
    ((9, 25, 25, 64), -1),
    ((5, 7, 4, 3), 2),
]


@pytest.fixture(params=TIERS)
def tier(request):
    with bnlib.kernels(request.param):
        yield request.param


@pytest.fixture
def no_formula(monkeypatch):
    """The reference must not be what computes."""

    def refuse(*_, **__):
        raise AssertionError("fell back to the reference")

    monkeypatch.setattr(_formula, "forward", refuse)
    monkeypatch.setattr(_formula, "backward", refuse)


@pytest.mark.parametrize("norm", BATCH, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_torch(norm, dtype, layout, tier):
    dtype, tolerance = DTYPES[dtype]
    x, parameters, dy = norm.inputs(dtype)
    arrange = LAYOUTS[layout]
    check(norm, (arrange(x), [*map(arrange, parameters)], arrange(dy)), tolerance)


def data(shape, axis, dtype, offset=0.3, seed=0):
    rng = np.random.default_rng(seed)
    channels = shape[axis]
    spread = [1 if a != axis % len(shape) else channels for a in range(len(shape))]
    shift = rng.uniform(0.5, 1.5, channels).reshape(spread) * offset
    x = (rng.normal(size=shape) * rng.uniform(0.5, 2, channels).reshape(spread)) + shift
    gamma, beta = rng.normal(size=(2, channels))
    return [a.astype(dtype) for a in (x, gamma, beta, rng.normal(size=shape))]


def run(tier, x, gamma, beta, dy, axis, eps=1e-3):
    with bnlib.kernels(tier):
        y, cache = bnlib.batch_norm(x, gamma, beta, axis=axis, eps=eps)
        return y, cache.mean, cache.var, *bnlib.batch_norm_backward(dy, cache)


@pytest.mark.parametrize("shape, axis", SHAPES)
@pytest.mark.parametrize("offset", [0.0, 1.0, 300.0, 1e4])
def test_as_accurate_as_the_reference(tier, shape, axis, offset):
    """Both against float64; the last digit may fall either way."""
    arrays = data(shape, axis, np.float32, offset)
    exact = run("reference", *(a.astype(np.float64) for a in arrays), axis)
    actual = run(tier, *arrays, axis)
    reference = run("reference", *arrays, axis)
    for a, r, e in zip(actual, reference, exact, strict=True):
        error = np.abs(r - e).max() / np.abs(e).max()
        assert_close(a, e, max(1.5 * error, 2e-6))


@pytest.mark.parametrize("shape, axis", SHAPES)
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_float64(tier, shape, axis, offset, no_formula):
    arrays = data(shape, axis, np.float64, offset)
    x, gamma, beta, dy = arrays
    others = tuple(a for a in range(x.ndim) if a != axis % x.ndim)
    mean, var = x.mean(others), x.var(others)
    y, actual_mean, actual_var, *gradients = run(tier, *arrays, axis)
    import torch
    import torch.nn.functional as F

    def reference(x, g, b):
        t = F.batch_norm(x.movedim(axis, 1), None, None, g, b, training=True, eps=1e-3)
        return t.movedim(1, axis)

    assert torch.get_num_threads() == 1
    expected, expected_gradients = torch_gradients(reference, dy, (x, gamma, beta))
    tolerance = 1e-10
    for a, e in zip(
        (y, actual_mean, actual_var, *gradients),
        (expected, mean, var, *expected_gradients),
        strict=True,
    ):
        assert_close(a, e, tolerance)


def test_one_far_channel_among_near_ones(tier):
    """A slab is centred as a whole; its near channels stay right."""
    x, gamma, beta, dy = data((4, 6, 50), 1, np.float32)
    x[:, 3] += 5e3
    exact = run("reference", *(a.astype(np.float64) for a in (x, gamma, beta, dy)), 1)
    for a, e in zip(run(tier, x, gamma, beta, dy, 1), exact, strict=True):
        assert_close(a, e, 2e-6)


@pytest.mark.parametrize("first", [*TIERS, "reference"])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_any_backward_follows_any_forward(tier, first, offset):
    x, gamma, beta, dy = data((5, 6, 7), 1, np.float32, offset)
    with bnlib.kernels(first):
        _, cache = bnlib.batch_norm(x, gamma, beta)
    exact = run(
        "reference", *(a.astype(np.float64) for a in (x, gamma, beta, dy)), 1, eps=1e-5
    )
    results = bnlib.batch_norm_backward(dy, cache)
    for a, e in zip(results, exact[3:], strict=True):
        assert_close(a, e, 5e-6)


@pytest.mark.parametrize("gamma", [True, False])
def test_gradients_of_missing_parameters(tier, gamma, no_formula):
    x, g, b, dy = data((4, 3, 5), 1, np.float64)
    g, b = (g, None) if gamma else (None, b)
    *_, dgamma, dbeta = run(tier, x, g, b, dy, 1)
    assert (dgamma is None, dbeta is None) == (not gamma, gamma)


def test_not_finite_stays_in_its_channel(tier):
    x, gamma, beta, dy = data((4, 3, 5), 1, np.float32)
    x[0, 1, 0] = np.nan
    y, cache = bnlib.batch_norm(x, gamma, beta)
    dx, *_ = bnlib.batch_norm_backward(dy, cache)
    for a in (y, dx):
        assert np.isnan(a[:, 1]).all()
        assert np.isfinite(a[:, [0, 2]]).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4])
def test_constant_channel(tier, value):
    x = np.full((4, 2, 9), value, np.float32)
    y, _ = bnlib.batch_norm(x, None, np.array([2, -3], np.float32))
    np.testing.assert_array_equal(y, np.broadcast_to([[[2], [-3]]], x.shape))
    with pytest.raises(ValueError, match="variance of some values"):
        bnlib.batch_norm(x, None, None, eps=0.0)


def test_out(tier):
    x, gamma, beta, dy = data((4, 3, 5), 1, np.float32)
    y, cache = bnlib.batch_norm(x, gamma, beta)
    dx, *_ = bnlib.batch_norm_backward(dy, cache)
    out = np.full_like(x, np.nan)
    assert bnlib.batch_norm(x, gamma, beta, out=out)[0] is out
    np.testing.assert_array_equal(out, y)
    assert bnlib.batch_norm_backward(dy, cache, out=out)[0] is out
    np.testing.assert_array_equal(out, dx)
    strided = np.empty((8, 3, 5), np.float32)[::2]  # through the reference
    assert bnlib.batch_norm(x, gamma, beta, out=strided)[0] is strided
    assert_close(strided, y, 1e-6)


def test_bad_out():
    x, _, _, dy = data((4, 3, 5), 1, np.float32)
    _, cache = bnlib.batch_norm(x, None, None)
    with pytest.raises(ValueError, match="out overlaps x"):
        bnlib.batch_norm(x, None, None, out=x)
    with pytest.raises(ValueError, match="out overlaps dy"):
        bnlib.batch_norm_backward(dy, cache, out=dy)
    with pytest.raises(ValueError, match=r"out has shape \(3,\)"):
        bnlib.batch_norm(x, None, None, out=np.empty(3, np.float32))
    with pytest.raises(TypeError, match="out has dtype float64"):
        bnlib.batch_norm(x, None, None, out=np.empty(x.shape))
    frozen = np.empty_like(x)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        bnlib.batch_norm(x, None, None, out=frozen)
    with pytest.raises(TypeError, match="out is a list"):
        bnlib.batch_norm(x, None, None, out=[1.0])


@pytest.mark.parametrize("shape, axis", [((8, 64, 64, 64), 1), ((8, 64, 64, 64), -1)])
def test_memory(tier, shape, axis):
    """The output and at most 4 MiB, however large the input (NumPy reports to it)."""
    x, gamma, beta, dy = data(shape, axis, np.float32)
    with_far = x + np.float32(1e4)
    for a in (x, with_far):
        _, cache = bnlib.batch_norm(a, gamma, beta, axis=axis)  # compiled by now
        bnlib.batch_norm_backward(dy, cache)
        assert peak(lambda a=a: bnlib.batch_norm(a, gamma, beta, axis=axis)) < (
            x.nbytes + 2**22
        )
        assert peak(lambda c=cache: bnlib.batch_norm_backward(dy, c)) < (
            x.nbytes + 2**22
        )


def peak(function):
    tracemalloc.start()
    function()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_choice_of_a_tier(monkeypatch):
    with pytest.raises(ValueError, match="tier is 'best'; expected one of reference"):
        bnlib.kernels("best").__enter__()
    monkeypatch.setattr(_tiers, "_numba_installed", lambda: False)
    with pytest.raises(ModuleNotFoundError, match=r"bnlib\[fast\]"):
        bnlib.kernels("fused").__enter__()
    assert _tiers._candidates(np.zeros(10**5)) == ("numpy",)
    with bnlib.kernels("reference"):
        assert _tiers._candidates(np.zeros(3)) == ()
        with bnlib.kernels("numpy"):
            assert _tiers._candidates(np.zeros(3)) == ("numpy",)
        assert _tiers._candidates(np.zeros(3)) == ()


def test_choice_is_of_one_thread():
    seen = []
    with bnlib.kernels("reference"):
        other = threading.Thread(target=lambda: seen.append(_tiers._forced.get()))
        other.start()
        other.join()
    assert seen == [None]


def test_callers_in_several_threads(tier):
    arrays = data((8, 40, 700), 1, np.float32)
    expected = run(tier, *arrays, 1)
    results = [None] * 4

    def work(i):
        results[i] = run(tier, *arrays, 1)

    callers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for result in results:
        for a, e in zip(result, expected, strict=True):
            np.testing.assert_array_equal(a, e)


def test_errors_of_helpers_reach_the_caller(monkeypatch):
    monkeypatch.setattr(threads, "count", lambda: 3)

    def work(task):
        if task == 50:
            raise KeyError(task)

    with pytest.raises(KeyError):
        threads.spread(work, range(100))


@pytest.mark.parametrize("value, expected", [("3", 3), ("5,2", 5), ("no", None)])
def test_thread_count(monkeypatch, value, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    default = threads.count()
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert threads.count() == (expected or default)


def test_fork():
    """A child process has no threads of its parent's."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    code = (
        "import os, numpy as np, bnlib; x = np.random.rand(8, 64, 900);"
        "k = bnlib.kernels('numpy'); k.__enter__(); bnlib.batch_norm(x, None, None);"
        "pid = os.fork(); bnlib.batch_norm(x, None, None);"
        "pid or os._exit(0); assert os.waitpid(pid, 0)[1] == 0"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "3"}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        check=True,
        env=environment,
        timeout=60,
    )
