"""The CUDA kernels on a GPU. Where there is none: `test_cuda_*.py`, on the emulator."""

from itertools import product

import numpy as np
import pytest
from cuda_cases import (
    SHAPES,
    check_batch,
    check_inference,
    check_rows,
    close,
    data,
    to_numpy,
    wide,
)

from bnlib.cuda.device import missing

if missing():
    pytest.skip(missing(), allow_module_level=True)

import cupy

import bnlib
from bnlib import _formula
from bnlib.batch import _per_channel
from bnlib.cuda import backward, forward
from bnlib.cuda.device import device

pytestmark = pytest.mark.gpu
DTYPES = ["float32", "float16", "bfloat16"]
BLOCKS = [32, 64, 96, 128, 256, 512]
LADDER = [*product([2, 3, 4, 5, 6], BLOCKS), (2, 1024), (3, 1024), (4, 1024), (6, 1024)]


@pytest.fixture(scope="module")
def gpu():
    return device(cupy.cuda.Device().id)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("step", "block"), LADDER)
def test_every_step_for_every_size_of_block(gpu, step, dtype, block):
    for shape in SHAPES:
        check_batch(gpu, cupy, shape, dtype, step=step, block=block)
        check_batch(gpu, cupy, shape, dtype, step=step, block=block, affine=False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("last", [False, True])
def test_the_step_that_is_chosen(gpu, last, dtype):
    for shape in [*SHAPES, (32, 64, 56, 56), (32, 512, 14, 14), (256, 512, 7, 7)]:
        check_batch(gpu, cupy, shape, dtype, last=last)
        check_inference(gpu, cupy, shape, dtype, last=last)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(70, 5), (2, 260), (1100, 4), (512, 2048)])
def test_batch_by_features(gpu, shape, dtype):
    check_batch(gpu, cupy, shape, dtype)


@pytest.mark.parametrize("block", [None, *BLOCKS])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("centred", [True, False])
def test_rows(gpu, centred, dtype, block):
    for shape in [(7, 45), (3, 5, 132), (1100, 8), (64, 4096)]:
        check_rows(gpu, cupy, shape, dtype, centred=centred, block=block)


def test_a_slab_of_more_than_48_kib(gpu):
    if gpu.shared < 63 * 1024:
        pytest.skip("a block of this GPU has no more")
    check_batch(gpu, cupy, (15, 3, 32, 32), step=6)
    check_batch(gpu, cupy, (7, 3, 32, 32), step=6)


def test_arrays_that_start_between_16_bytes(gpu):
    x, _ = data((3, 4, 8), (0, 2))
    place = cupy.empty(x.size + 1, x.dtype)[1:].reshape(x.shape)
    place[...] = cupy.asarray(x)
    y, cache = public(place)
    want, _ = bnlib.batch_norm(wide(x), None, None)
    close(y, want, 2e-6, "y")
    dx, *_ = backward("batch_norm", place, cache)
    assert cupy.isfinite(dx).all()


def public(x, **options):
    """Batch norm as `bnlib` would call it."""
    index = _per_channel(x.shape, 1)
    options = {"meaning": "", "shape": (x.shape[1],), **options}
    return forward("batch_norm", x, None, None, index, 1e-5, **options)


def test_beside_the_reference_on_cupy_arrays():
    x, dy = map(cupy.asarray, data((16, 8, 9, 9), (0, 2, 3)))
    y, cache = public(x)
    options = {"meaning": "", "shape": (8,)}
    index = _per_channel(x.shape, 1)
    want, reference = _formula.forward(
        "batch_norm", x, None, None, index, 1e-5, **options
    )
    assert isinstance(y, cupy.ndarray) and repr(cache) == repr(reference)
    close(y, wide(to_numpy(want)), 2e-6, "y")
    dx, *_ = _formula.backward("batch_norm", dy, cache)
    close(backward("batch_norm", dy, cache)[0], wide(to_numpy(dx)), 5e-6, "dx")


def test_runs_on_the_current_stream():
    x, _ = data((64, 32, 28, 28), (0, 2, 3))
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        y, _ = public(cupy.asarray(x))
    stream.synchronize()
    close(y, bnlib.batch_norm(wide(x), None, None)[0], 2e-6, "y")


def test_left_to_the_reference():
    x, _ = data((4, 6, 8), (0, 2))
    x = cupy.asarray(x)
    assert public(x.astype(np.float64)) is None
    assert public(x[:, ::2]) is None
