"""Every tier of kernels against the reference: values, layouts, memory, threads."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from norms import (
    LAYOUTS,
    NORMS,
    assert_close,
    batch,
    check,
    group,
    layer,
)
from tiers import TIERS, results, widened

import bnlib
from bnlib import _tiers
from bnlib.cpu import threads
from bnlib.cpu.blocked import sums

DTYPES = {"float64": (np.float64, 1e-10), "float32": (np.float32, 2e-6)}
SERVED = [
    n
    for n in NORMS
    if n.name.split()[0] in ("batch", "layer", "group", "rms", "instance")
]


@pytest.fixture(params=[1, 2, 3])
def thread_count(request, monkeypatch):
    """So many threads, even for small arrays."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(request.param))
    monkeypatch.setattr(threads, "LEAST", 1)
    return request.param


@pytest.fixture
def small_blocks(tier, monkeypatch):
    """Blocks so small that small arrays have several, and ends that are not full.

    What is compiled keeps its own, but for NUMBA_DISABLE_JIT=1.
    """
    small = {"SLAB": 128, "NARROW": 3, "SHORT": 4, "BLOCK": 96, "TILE": (2, 3)}
    small |= {"WIDE": 6, "ROWS": 2, "STRETCH": 8, "WIDTH": 12, "COLUMNS": 3}
    package = {"numpy": "blocked"}.get(tier, tier)
    for name in ("channels", "rows", "sums"):
        if (module := sys.modules.get(f"bnlib.cpu.{package}.{name}")) is None:
            continue  # sums are NumPy's
        for constant in small.keys() & vars(module).keys():
            monkeypatch.setattr(module, constant, small[constant])
    sums._divisor.cache_clear()
    yield
    sums._divisor.cache_clear()


@pytest.mark.parametrize("norm", SERVED, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_torch(norm, dtype, tier, thread_count, no_formula):
    dtype, tolerance = DTYPES[dtype]
    check(norm, norm.inputs(dtype), tolerance)


# Fewer channels than threads; many samples; a row whose length is a prime.
MORE = [batch((7, 2, 5), 1), batch((261, 3), 1), layer((5, 11), -1)]


@pytest.mark.parametrize("norm", [*SERVED, *MORE], ids=str)
@pytest.mark.parametrize("offset", [0.0, -3.0, 1e4])
def test_small_blocks(norm, offset, tier, thread_count, small_blocks, no_formula):
    check(norm, norm.inputs(np.float32, offset), 2e-6 if offset < 1e4 else 1e-5)


@pytest.mark.parametrize("norm", SERVED, ids=str)
@pytest.mark.parametrize("offset", [-300.0, 1e4])
def test_large_mean(norm, offset, tier, no_formula):
    check(norm, norm.inputs(np.float32, offset), 1e-5)


@pytest.mark.parametrize("norm", SERVED, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(norm, layout, tier):
    """A kernel takes them, or leaves them to the reference."""
    x, parameters, dy = norm.inputs(np.float32)
    arrange = LAYOUTS[layout]
    check(norm, (arrange(x), [*map(arrange, parameters)], arrange(dy)), 2e-6)


@pytest.mark.parametrize("norm", [n for n in SERVED if n.name.startswith("batch")])
def test_channels_last_in_memory_needs_no_copy(norm, tier, no_formula):
    arrange = LAYOUTS["channels last in memory"]
    x, parameters, dy = norm.inputs(np.float32)
    if norm.name.endswith("axis 1"):
        check(norm, (arrange(x), parameters, arrange(dy)), 2e-6)


def test_one_far_channel_among_near_ones(tier):
    """A slab is centred as a whole; its near channels stay right."""
    for norm in (batch((4, 6, 50), 1), group((4, 6, 50), 3)):
        x, parameters, dy = norm.inputs(np.float32)
        x[:, 3] += np.float32(5e3)
        exact = results("reference", norm, *widened(x, parameters, dy))
        for a, e in zip(results(tier, norm, x, parameters, dy), exact, strict=True):
            assert_close(a, e, 2e-6)


@pytest.mark.parametrize("first", [*TIERS, "reference"])
@pytest.mark.parametrize("norm", SERVED[::3], ids=str)
def test_any_backward_follows_any_forward(norm, tier, first):
    x, parameters, dy = norm.inputs(np.float32, 1e4)
    with bnlib.kernels(first):
        _, cache = norm.forward(x, *parameters)
    *_, exact = results("reference", norm, *widened(x, parameters, dy))
    *_, last = norm.backward(dy, cache)
    assert_close(last, exact, 5e-6)


@pytest.mark.parametrize("norm", SERVED, ids=str)
def test_missing_parameters(norm, tier, no_formula):
    x, parameters, dy = norm.inputs()
    for present in range(len(parameters) + 1):
        some = [p if i == present else None for i, p in enumerate(parameters)]
        check(norm, (x, some, dy), 1e-10)


def test_parameters_of_another_dtype(tier, no_formula):
    for norm in SERVED[::2]:
        x, parameters, dy = norm.inputs(np.float16)
        x, dy = x.astype(np.float32), dy.astype(np.float32)
        check(norm, (x, parameters, dy), 2**-10)


STRANGE = {  # where, and what
    "nan": (1, [np.nan]),
    "inf": (1, [np.inf]),
    "inf at the start": (0, [np.inf]),
    "both infinities": (1, [np.inf, -np.inf]),
    "squares overflow": (1, [1e30]),
}


@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize("name", ["batch", "layer", "rms", "group", "instance"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_not_finite_as_the_reference(name, strange, tier):
    """NaN and infinity go where the reference lets them, and nowhere else."""
    norm = next(n for n in SERVED if n.name.startswith(name) and len(n.shape) > 1)
    x, parameters, dy = norm.inputs(np.float32)
    start, values = STRANGE[strange]
    x.flat[start : start + len(values)] = values
    inputs = x, parameters, dy
    expected = results("reference", norm, *inputs)
    for a, e in zip(results(tier, norm, *inputs), expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # where loops are not compiled
@pytest.mark.parametrize("value", [0.0, 0.1, 1e4])
def test_constant_channel(tier, value):
    x = np.full((4, 2, 9), value, np.float32)
    beta = np.array([2, -3], np.float32)
    expected = np.broadcast_to([[[2], [-3]]], x.shape)
    for norm in (bnlib.batch_norm, bnlib.instance_norm):
        np.testing.assert_array_equal(norm(x, None, beta)[0], expected)
        with pytest.raises(ValueError, match="variance of some values"):
            norm(x, None, None, eps=0.0)


def test_bad_input_is_still_refused(tier):
    x = np.ones((3, 2), np.float32)
    with pytest.raises(ValueError, match="one value per channel"):
        bnlib.batch_norm(x[:1], None, None)
    with pytest.raises(ValueError, match="x is empty"):
        bnlib.layer_norm(x[:0], None, None)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="beta holds NaN"):
            bnlib.batch_norm(x, None, np.array([1, bad], np.float32))
    with pytest.raises(ValueError, match=r"gamma has shape \(3,\)"):
        bnlib.rms_norm(x, np.ones(3, np.float32))
    with pytest.raises(TypeError, match="gamma has dtype int64"):
        bnlib.batch_norm(x, np.ones(2, np.int64), None)


def test_large_parameters_are_no_infinities(tier, no_formula):
    """Their squares overflow, and are taken for the quick test of finiteness."""
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    y, _ = bnlib.batch_norm(x, np.array([1e30, 1], np.float32), None)
    assert np.isfinite(y).all() and y[:, 0].max() > 1e29


def test_out(tier, no_formula):
    for norm in (batch((4, 3, 5), 1), layer((4, 5), -1), group((4, 6, 5), 3)):
        x, parameters, dy = norm.inputs(np.float32)
        y, cache = norm.forward(x, *parameters)
        dx, *_ = norm.backward(dy, cache)
        out = np.full_like(x, np.nan)
        assert norm.forward(x, *parameters, out=out)[0] is out
        np.testing.assert_array_equal(out, y)
        assert norm.backward(dy, cache, out=out)[0] is out
        np.testing.assert_array_equal(out, dx)


def test_out_with_gaps(tier):
    norm = batch((4, 3, 5), 1)
    x, parameters, dy = norm.inputs(np.float32)
    y, cache = norm.forward(x, *parameters)
    dx, *_ = norm.backward(dy, cache)
    strided = np.empty((8, 3, 5), np.float32)[::2]  # through the reference
    assert norm.forward(x, *parameters, out=strided)[0] is strided
    assert_close(strided, y, 1e-6)
    assert norm.backward(dy, cache, out=strided)[0] is strided
    assert_close(strided, dx, 1e-6)


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm", "batch_norm"])
def test_out_without_a_kernel(name):
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float16)
    rest = (None,) if name == "rms_norm" else (None, None)
    out = np.empty_like(x)
    y, cache = getattr(bnlib, name)(x, *rest, out=out)
    assert y is out and abs(y.astype(float)).max() > 0.5
    dx, *_ = getattr(bnlib, f"{name}_backward")(x, cache, out=out[::-1].copy())
    assert dx.dtype == x.dtype


def test_bad_out():
    x, dy = np.random.default_rng(0).normal(size=(2, 4, 3, 5)).astype(np.float32)
    _, cache = bnlib.batch_norm(x, None, None)
    with pytest.raises(ValueError, match="out overlaps x"):
        bnlib.batch_norm(x, None, None, out=x)
    with pytest.raises(ValueError, match="out overlaps dy"):
        bnlib.batch_norm_backward(dy, cache, out=dy)
    with pytest.raises(ValueError, match="out overlaps x"):
        bnlib.batch_norm_backward(dy, cache, out=x)
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


def test_choice_of_a_tier():
    def names(size):
        return _tiers.candidates(np.zeros(size))

    assert names(3) == []
    assert names(256 * 64) == ["fused"]  # NumPy's overhead does not pay here
    assert names(10**6) == ["fused", "numpy"]
    with bnlib.kernels("reference"):
        assert names(10**6) == []
        with bnlib.kernels("numpy"):
            assert names(3) == ["numpy"]
        assert names(3) == []
    with pytest.raises(
        ValueError, match="tier is 'best'; expected one of reference, n"
    ):
        bnlib.kernels("best").__enter__()


def test_numba_is_missing(monkeypatch):
    monkeypatch.setattr(_tiers, "_installed", lambda name: False)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'bnlib\[fast\]'"):
        bnlib.kernels("fused").__enter__()


def test_numba_does_not_work(monkeypatch):
    """As when it refuses this NumPy: only who asks for it sees the error."""

    def refuse(module):
        raise ImportError("Numba needs NumPy 1.0 or less")

    monkeypatch.setattr(_tiers, "import_module", refuse)
    _tiers._load.cache_clear()
    try:
        x = np.random.default_rng(0).normal(size=(10000, 30))
        assert bnlib.batch_norm(x, None, None)[0].std() == pytest.approx(1, abs=1e-4)
        monkeypatch.setattr(_tiers, "_installed", lambda name: True)
        with pytest.raises(ImportError, match="needs NumPy"):
            bnlib.kernels("fused").__enter__()
    finally:
        _tiers._load.cache_clear()


def test_choice_is_of_one_thread():
    seen = []
    with bnlib.kernels("reference"):
        other = threading.Thread(
            target=lambda: seen.extend(_tiers.candidates(np.zeros(10**6)))
        )
        other.start()
        other.join()
    assert seen == ["fused", "numpy"]


def test_errors_of_helpers_reach_the_caller(monkeypatch):
    monkeypatch.setattr(threads, "count", lambda: 3)

    def work(task):
        if task == 50:
            raise KeyError(task)

    with pytest.raises(KeyError):
        threads.spread(work, range(100))


def test_no_thread_can_be_started(monkeypatch):
    """As where processes are limited: the caller does it all."""
    monkeypatch.setattr(threads, "count", lambda: 5)

    def refuse(*_):
        raise RuntimeError("can't start new thread")

    threads._pool.cache_clear()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    done = []
    threads.spread(done.append, range(100))
    assert done == [*range(100)]
    threads._pool.cache_clear()


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
