"""Checks of the CUDA kernels against the reference in float64, for any device.

The emulator's device runs them everywhere (`test_cuda_batch.py`, `test_cuda_rows.py`),
a GPU where there is one (`test_gpu.py`).
"""

import numpy as np

import bnlib
from bnlib.batch import _per_channel
from bnlib.cuda import tier
from bnlib.cuda.shapes import memory_order
from bnlib.layer import trailing

EPS = 1e-3
# Odd sizes, packets of all widths, one row, one channel.
SHAPES = [(7, 3, 8, 12), (3, 4, 5, 7), (3, 4, 6), (6, 1), (5, 1, 3), (1, 9, 33)]
# Largest error, over the largest value: of y and dx, which are rounded to the dtype.
ROUNDING = {"float32": 2e-6, "float16": 7e-4, "bfloat16": 5e-3}
# Of statistics and of the parameters' gradients, which are float32 throughout.
SUMS = 1e-5


def dtype_named(name):
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def data(shape, axes, dtype="float32", seed=0):
    """Return x and dy: each channel (or row) with a mean and deviation of its own.

    `axes` are those that share statistics. In float32 some means are 10,000 deviations.
    """
    rng = np.random.default_rng(seed)
    own = tuple(1 if a in axes else n for a, n in enumerate(shape))
    means = rng.choice([0.0, -5.0, 1e4 if dtype == "float32" else 30.0], own)
    x = rng.normal(size=shape) * rng.uniform(0.5, 3, own) + means
    dy = rng.normal(size=shape) + rng.normal(size=own)
    return x.astype(dtype_named(dtype)), dy.astype(dtype_named(dtype))


def parameters(shape, seed=1):
    """Return gamma, of both signs, and beta."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).astype("f"), rng.normal(size=shape).astype("f")


def close(got, want, tolerance, what):
    got = to_numpy(got).astype(np.float64)
    assert got.shape == want.shape, what
    error = np.abs(got - want).max() / np.abs(want).max()
    assert error <= tolerance, f"{what}: off by {error:.2g} of the largest"


def to_numpy(array):
    return array if isinstance(array, np.ndarray) else array.get()


def wide(array):
    return None if array is None else array.astype(np.float64)


def channels_last(array):
    """Return the same values, with axis 1 last in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


def check_batch(
    device, xp, shape, dtype="float32", *, axis=1, last=False, affine=True, **choice
):
    """Forward and backward of batch norm on a device are the reference's."""
    axes = tuple(a for a in range(len(shape)) if a != axis % len(shape))
    x, dy = data(shape, axes, dtype)
    x, dy = (channels_last(a) if last else a for a in (x, dy))
    g, b = parameters(shape[axis]) if affine else (None, None)
    args = _on(xp, x, g, b)
    y, cache = tier.forward(
        device,
        "batch_norm",
        *args,
        _per_channel(shape, axis % len(shape)),
        EPS,
        meaning="",
        shape=(shape[axis],),
        **choice,
    )
    want, reference = bnlib.batch_norm(wide(x), wide(g), wide(b), axis=axis, eps=EPS)
    assert y.strides == x.strides and y.dtype == x.dtype
    close(y, want, ROUNDING[dtype], "y")
    _check_statistics(cache, reference, wide(x).std())

    (dy_there,) = _on(xp, dy)
    gradients = tier.backward(device, "batch_norm", dy_there, cache, **choice)
    check_gradients(gradients, bnlib.batch_norm_backward(wide(dy), reference), dtype)


def check_rows(
    device, xp, shape, dtype="float32", *, centred=True, axis=-1, affine=True, **choice
):
    """Forward and backward of layer or RMS norm on a device are the reference's."""
    axis %= len(shape)
    x, dy = data(shape, tuple(range(axis, len(shape))), dtype)
    g, b = parameters(shape[axis:]) if affine else (None, None)
    norm = "layer_norm" if centred else "rms_norm"
    b = b if centred else None
    there = _on(xp, x, g, b)
    y, cache = tier.forward(
        device,
        norm,
        *there,
        trailing(*there, axis),
        EPS,
        meaning="",
        shape=shape[axis:],
        centred=centred,
        **choice,
    )
    function, gradient = getattr(bnlib, norm), getattr(bnlib, f"{norm}_backward")
    beta = (wide(b),) if centred else ()
    want, reference = function(wide(x), wide(g), *beta, axis=axis, eps=EPS)
    close(y, want, ROUNDING[dtype], "y")
    _check_statistics(cache, reference, 1.0)
    (dy_there,) = _on(xp, dy)
    gradients = tier.backward(device, norm, dy_there, cache, **choice)
    if not centred:
        assert gradients[2] is None
        gradients = gradients[:2]
    check_gradients(gradients, gradient(wide(dy), reference), dtype)


def check_gradients(gradients, want, dtype):
    close(gradients[0], want[0], ROUNDING[dtype], "dx")
    names = ("dgamma", "dbeta")[: len(want) - 1]
    for name, got, exact in zip(names, gradients[1:], want[1:], strict=True):
        if exact is None:
            assert got is None
        else:
            close(got, exact, SUMS, name)


def check_inference(device, xp, shape, dtype="float32", *, last=False, **choice):
    """Inference on a device is the reference's."""
    x, _ = data(shape, (), dtype)
    x = channels_last(x) if last else x
    rng = np.random.default_rng(2)
    g, b = parameters(shape[1])
    mean = rng.normal(size=shape[1]).astype("f") * 100
    var = rng.uniform(0.1, 4, shape[1]).astype("f")
    there = _on(xp, x, g, b, mean, var)
    y = tier.inference(device, *there, axis=1, eps=EPS, **choice)
    want = bnlib.batch_norm_inference(*map(wide, (x, g, b, mean, var)), eps=EPS)
    close(y, want, ROUNDING[dtype], "y")


def _check_statistics(cache, reference, scale):
    if reference.mean is None:
        assert cache.mean is None
    else:
        error = np.abs(to_numpy(cache.mean) - reference.mean)
        assert (error <= 1e-6 * (np.abs(reference.mean) + scale)).all(), "mean"
    # Values that a narrow dtype rounds to one have no variance.
    error = np.abs(to_numpy(cache.var) - reference.var)
    assert (error <= SUMS * reference.var + 1e-9).all(), "var"


def _on(xp, *arrays):
    """Return arrays on the device, laid out in memory as they are."""
    return [a if a is None else _moved(xp, a) for a in arrays]


def _moved(xp, array):
    order = memory_order(array.shape, array.strides, array.itemsize)
    inverse = tuple(order.index(axis) for axis in range(array.ndim))
    return xp.asarray(array.transpose(order)).transpose(inverse)
