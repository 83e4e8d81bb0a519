"""Layer and RMS norm's CUDA kernels on the emulator."""

import numpy as np
import pytest
from cuda_cases import check_rows

from bnlib import emulator
from bnlib.cuda.emulated import Emulated

pytestmark = [
    pytest.mark.usefixtures("emulator_cache"),
    pytest.mark.skipif(emulator.compiler() is None, reason="no C++ compiler"),
]


@pytest.mark.parametrize("block", [32, 64, 96, 256, 512])
@pytest.mark.parametrize("centred", [True, False])
def test_rows_for_every_size_of_block(centred, block):
    device = Emulated()
    check_rows(device, np, (3, 5, 132), centred=centred, block=block)
    kind = str(centred).lower()
    kernels = ("forward_rows", "backward_rows", "parameters_rows")
    assert device.names[:3] == [f"{kernel}<float, 4, {kind}>" for kernel in kernels]
    assert device.names[3:] == ["merge_parameters"]


@pytest.mark.parametrize(
    ("shape", "axis"), [((7, 45), -1), ((2, 3, 5, 7), 1), ((5,), 0)]
)
def test_odd_sizes_and_several_axes(shape, axis):
    device = Emulated()
    check_rows(device, np, shape, axis=axis)
    assert "<float, 1, " in device.names[0]


def test_many_rows_are_summed_in_shares():
    device = Emulated(processors=8)
    check_rows(device, np, (1100, 4))
    assert device.launched[2][1].grid == (1, 32, 1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_floats_accumulate_in_float32(dtype):
    check_rows(Emulated(), np, (6, 48), dtype)


@pytest.mark.parametrize("centred", [True, False])
def test_without_parameters_their_gradients_are_not_computed(centred):
    device = Emulated()
    check_rows(device, np, (6, 48), centred=centred, affine=False)
    assert len(device.names) == 2


def test_a_row_is_read_twice():
    device = Emulated()
    check_rows(device, np, (8, 1024))
    x = device.launched[0][1].arrays["x"]
    assert x.coalesced == 1
    assert x.read == pytest.approx(2 * 8 * 4096, rel=0.1)
