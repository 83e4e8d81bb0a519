"""All norms against PyTorch, finite differences and other array libraries."""

import array_api_strict
import numpy as np
import pytest
from norms import DTYPES, LAYOUTS, NORMS, SMALL, Norm, assert_close, check, tensor

import bnlib

every_norm = pytest.mark.parametrize("norm", NORMS, ids=str)


@every_norm
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_torch(norm, dtype, layout):
    dtype, tolerance = DTYPES[dtype]
    x, parameters, dy = norm.inputs(dtype)
    arrange = LAYOUTS[layout]
    check(norm, (arrange(x), [*map(arrange, parameters)], arrange(dy)), tolerance)


@every_norm
@pytest.mark.parametrize("offset", [-300.0, 1e4])
def test_large_mean(norm, offset):
    check(norm, norm.inputs(np.float32, offset), 1e-5)


@pytest.mark.parametrize("shape, axis", [((2**19, 3), 1), ((4, 256, 512, 2), -1)])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_many_rows(shape, axis, offset):
    """NumPy sums the rows of channels-last data one after the other."""
    rng = np.random.default_rng(1)
    x = rng.normal(offset, 1, shape).astype(np.float32)
    dy = rng.normal(size=shape).astype(np.float32)
    gamma = np.linspace(-1, 2, shape[axis], dtype=np.float32)
    wide = [a.astype(np.float64) for a in (x, gamma, dy)]

    @bnlib.kernels("reference")
    def run(x, gamma, dy):
        y, cache = bnlib.batch_norm(x, gamma, gamma, axis=axis)
        gradients = bnlib.batch_norm_backward(dy, cache)
        return y, cache.var, *gradients

    for actual, expected in zip(run(x, gamma, dy), run(*wide), strict=True):
        assert_close(actual, expected, 1e-6)


@pytest.mark.parametrize(
    "norm", [n for n in NORMS if not n.name.startswith(("renorm", "power"))], ids=str
)
def test_finite_differences(norm):
    """Not where something is held constant: r and d, or u and v."""
    x, parameters, dy = norm.inputs(seed=2)
    inputs = [x, *parameters]
    _, cache = norm.forward(*inputs)
    rng = np.random.default_rng(3)
    for array, gradient in zip(inputs, norm.backward(dy, cache), strict=True):
        for i in rng.choice(array.size, min(12, array.size), replace=False):
            value, step = array.flat[i], 1e-5
            losses = []
            for array.flat[i] in (value + step, value - step):
                losses.append(np.sum(dy * norm.forward(*inputs)[0]))
            array.flat[i] = value
            numeric = (losses[0] - losses[1]) / (2 * step)
            assert gradient.flat[i] == pytest.approx(numeric, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("missing", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("name", [n for n in SMALL if n != "weight"])
def test_no_parameters(name, missing):
    norm = SMALL[name]
    x, parameters, dy = norm.inputs()
    for i in set(missing) & set(range(len(parameters))):
        parameters[i] = None
    check(norm, (x, parameters, dy), 1e-10)


@every_norm
def test_dtypes_are_independent(norm):
    """The gradient of a parameter has its dtype, whatever the input's."""
    x, parameters, dy = norm.inputs(np.float16)
    parameters = [p.astype(np.float32) for p in parameters]
    check(norm, (x, parameters, dy), DTYPES["float16"][1])


NO_EPS = ("weight", "spectral", "tanh")


@pytest.mark.parametrize("name", [n for n in SMALL if n not in NO_EPS])
def test_default_eps(name):
    """1e-5, as PyTorch's but for RMS norm; inside the root."""
    norm = SMALL[name]
    x, parameters, _ = norm.inputs()
    options = {k: v for k, v in norm.forward.keywords.items() if k != "eps"}
    default = norm.forward.func(1e-2 * x, *parameters, *norm.constants, **options)
    same = norm.forward.func(
        1e-2 * x, *parameters, *norm.constants, **options, eps=1e-5
    )
    assert default[1].eps == 1e-5
    np.testing.assert_array_equal(default[0], same[0])


def test_half_precision_does_not_overflow():
    """300² exceeds the largest float16."""
    x = np.array([[-300.0], [300.0]], np.float16)
    y, cache = bnlib.batch_norm(x, None, None)
    np.testing.assert_array_equal(y, [[-1], [1]])
    assert cache.var == 90000


def test_memory_map(tmp_path):
    norm = SMALL["batch"]
    x, parameters, dy = norm.inputs()
    mapped = np.memmap(tmp_path / "x", x.dtype, "w+", shape=x.shape)
    mapped[:] = x
    y, cache = norm.forward(mapped, *parameters)
    dx, *_ = norm.backward(dy, cache)
    assert type(y) is type(dx) is np.ndarray


def test_cache_repr():
    _, cache = bnlib.batch_norm(np.ones((3, 2)), None, None)
    assert repr(cache) == "<cache of batch_norm: x (3, 2), M = 3>"


@pytest.fixture(params=["array_api_strict", "cupy"])
def xp(request):
    return array_api_strict if request.param == "array_api_strict" else cupy_or_skip()


def cupy_or_skip():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        pytest.skip("CuPy finds no GPU")
    return cupy


@every_norm
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_array_library(norm: Norm, dtype, xp):
    """The strict library refuses what is not in the array API standard."""
    dtype, tolerance = DTYPES[dtype]
    check(norm, norm.inputs(dtype), tolerance, convert=xp.asarray)


def test_inference_in_array_library(xp):
    rng = np.random.default_rng(4)
    x, dy = rng.normal(size=(2, 4, 3, 5))
    gamma, beta, mean = rng.normal(size=(3, 3))
    var = rng.uniform(0.5, 2, 3)
    functions = {
        bnlib.batch_norm_inference: (x, gamma, beta, mean, var),
        bnlib.batch_norm_inference_backward: (dy, x, gamma, mean, var),
        bnlib.fold_batch_norm: (x.swapaxes(0, 1), beta, gamma, beta, mean, var),
    }
    for function, arrays in functions.items():
        options = {} if function is bnlib.fold_batch_norm else {"axis": 1}
        arrays = [a[..., 0] if a.ndim > 2 else a for a in arrays]
        assert_same_in(xp, lambda *a, f=function, o=options: f(*a, **o), arrays)


def test_statistics_in_array_library(xp):
    rng = np.random.default_rng(5)
    x, (mean, var) = rng.normal(size=(6, 3)), rng.uniform(0.5, 2, (2, 3))

    def update(x, mean, var):
        _, cache = bnlib.ghost_batch_norm(x, None, None, ghost_size=2)
        return bnlib.update_running(mean, var, cache)

    def merge(x, mean, var):
        return bnlib.merge_moments((mean, var, 4), (var, mean, 2))[:2]

    assert_same_in(xp, update, (x, mean, var))
    assert_same_in(xp, merge, (x, mean, var))


def assert_same_in(xp, function, arrays):
    converted = [xp.asarray(a) for a in arrays]
    expected, actual = function(*arrays), function(*converted)
    if not isinstance(expected, tuple):
        expected, actual = (expected,), (actual,)
    for e, a in zip(expected, actual, strict=True):
        assert type(a) is type(converted[0])
        assert_close(a, e, 1e-12)


def test_reference_is_independent():
    """The references compute with PyTorch: their results carry a graph."""
    for norm in NORMS:
        x, parameters, _ = norm.inputs()
        inputs = [tensor(a).requires_grad_() for a in (x, *parameters)]
        y = norm.reference(*inputs, *map(tensor, norm.constants))
        assert y.grad_fn is not None
