"""Every tier of kernels against the reference: values, layouts, memory, threads."""

import os
import subprocess
import sys
import threading
import tracemalloc
from importlib.util import find_spec

import numpy as np
import pytest
from norms import (
    LAYOUTS,
    NORMS,
    assert_close,
    batch,
    check,
    group,
    instance,
    layer,
    rms,
)

import bnlib
from bnlib import _formula, _tiers
from bnlib.cpu import threads

TIERS = ["numpy", "fused"] if find_spec("numba") else ["numpy"]
DTYPES = {"float64": (np.float64, 1e-10), "float32": (np.float32, 2e-6)}
SERVED = [
    n
    for n in NORMS
    if n.name.split()[0] in ("batch", "layer", "group", "rms", "instance")
]
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


@pytest.fixture(params=[1, 2, 3])
def thread_count(request, monkeypatch):
    """So many threads, even for small arrays."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(request.param))
    monkeypatch.setattr(threads, "LEAST", 1)
    return request.param


@pytest.mark.parametrize("norm", SERVED, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_torch(norm, dtype, tier, thread_count, no_formula):
    dtype, tolerance = DTYPES[dtype]
    check(norm, norm.inputs(dtype), tolerance)


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


def results(tier, norm, x, parameters, dy):
    with bnlib.kernels(tier):
        y, cache = norm.forward(x, *parameters)
        mean = () if cache.mean is None else (cache.mean,)
        return y, *mean, cache.var, *norm.backward(dy, cache)


def widened(x, parameters, dy):
    return x.astype(float), [p.astype(float) for p in parameters], dy.astype(float)


@pytest.mark.parametrize("norm", LARGE, ids=str)
@pytest.mark.parametrize("offset", [0.0, 1.5, 300.0, 1e4])
def test_as_accurate_as_the_reference(norm, offset, tier):
    """Both against float64; four units in the last place may fall either way."""
    inputs = norm.inputs(np.float32, offset)
    exact = results("reference", norm, *widened(*inputs))
    reference = results("reference", norm, *inputs)
    for a, r, e in zip(results(tier, norm, *inputs), reference, exact, strict=True):
        error = np.abs(r - e).max() / np.abs(e).max()
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
    one, *others = ([], [])
    for count, got in ((1, one), (3, others[0])):
        monkeypatch.setenv("OMP_NUM_THREADS", str(count))
        got.extend(results(tier, norm, *inputs))
    for a, e in zip(one, others[0], strict=True):
        assert_close(a, e.astype(float), 5e-7)


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


STRANGE = {
    "nan": [np.nan],
    "inf": [np.inf],
    "both infinities": [np.inf, -np.inf],
    "squares overflow": [1e30],
}


@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize("name", ["batch", "layer", "rms", "group", "instance"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_not_finite_as_the_reference(name, strange, tier):
    """NaN and infinity go where the reference lets them, and nowhere else."""
    norm = next(n for n in SERVED if n.name.startswith(name) and len(n.shape) > 1)
    x, parameters, dy = norm.inputs(np.float32)
    values = STRANGE[strange]
    x.flat[1 : 1 + len(values)] = values
    inputs = x, parameters, dy
    expected = results("reference", norm, *inputs)
    for a, e in zip(results(tier, norm, *inputs), expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5)


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


@pytest.mark.parametrize(
    "norm",
    [
        batch((8, 64, 56, 56), 1),
        batch((8, 56, 56, 64), -1),
        layer((6272, 1024), -1),
        layer((8, 64, 56, 56), 1),
        rms((6272, 1024), -1),
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


def test_choice_of_a_tier():
    def names(size):
        return _tiers.candidates(np.zeros(size))

    assert names(3) == []
    assert names(10**5) == ["fused", "numpy"]
    with bnlib.kernels("reference"):
        assert names(10**5) == []
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
        x = np.random.default_rng(0).normal(size=(1000, 30))
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
            target=lambda: seen.extend(_tiers.candidates(np.zeros(10**5)))
        )
        other.start()
        other.join()
    assert seen == ["fused", "numpy"]


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
