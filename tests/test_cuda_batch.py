"""Batch norm's CUDA kernels, each step of the ladder, on the emulator."""

import numpy as np
import pytest
from cuda_cases import check_batch, check_inference

from bnlib import emulator
from bnlib.cuda.emulated import Emulated

pytestmark = [
    pytest.mark.usefixtures("emulator_cache"),
    pytest.mark.skipif(emulator.compiler() is None, reason="no C++ compiler"),
]
BLOCKS = (32, 64, 96, 256, 1024)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("step", [2, 3, 4, 6])
def test_one_block_a_channel_for_every_size_of_block(step, block):
    device = Emulated()
    check_batch(device, np, (7, 3, 8, 12), step=step, block=block)
    values = {2: "", 3: ""}.get(step, ", 4")
    kernels = (f"forward_{step}", f"backward_{step}")
    assert device.names == [f"{kernel}<float{values}>" for kernel in kernels]
    assert {report.block[0] for _, report in device.launched} == {block}


@pytest.mark.parametrize(
    ("block", "parts"), [(32, 14), (64, 7), (96, 4), (256, 1), (512, 1)]
)
def test_split_channels_for_every_size_of_block(block, parts):
    device = Emulated(processors=15)
    check_batch(device, np, (7, 3, 32, 32), step=5, block=block)
    kernels = ("moments_5", "forward_5", "sums_5", "backward_5")
    assert device.names == [f"{kernel}<float, 4>" for kernel in kernels]
    assert {report.grid[0] for _, report in device.launched} == {parts}


@pytest.mark.parametrize(
    ("shape", "last"),
    [((70, 5), False), ((1, 36, 5, 7), True), ((9, 32, 17), True), ((2, 260), False)],
)
def test_channels_last(shape, last):
    device = Emulated(processors=40)
    check_batch(device, np, shape, last=last)
    assert all("_7" in name for name in device.names)


def test_channels_last_in_shares():
    device = Emulated(processors=8)
    check_batch(device, np, (1100, 4))
    assert device.launched[0][1].grid == (1, 32, 1)


@pytest.mark.parametrize(
    ("step", "shape", "values"),
    [
        (4, (3, 4, 5, 7), 1),
        (4, (3, 4, 6), 2),
        (4, (6, 1), 2),
        (4, (5, 1, 3), 1),
        (6, (3, 4, 5, 7), 1),
    ],
)
def test_rows_that_16_bytes_do_not_divide(step, shape, values):
    device = Emulated()
    check_batch(device, np, shape, step=step)
    assert all(name.endswith(f"<float, {values}>") for name in device.names)


def test_arrays_that_start_between_16_bytes():
    device = Emulated(address_is=4)
    check_batch(device, np, (3, 4, 8), step=4)
    assert device.names == ["forward_4<float, 1>", "backward_4<float, 1>"]


@pytest.mark.parametrize(
    ("dtype", "kind", "values"),
    [
        ("float16", "__half", 8),
        ("float16", "__half", 1),
        ("bfloat16", "__nv_bfloat16", 8),
    ],
)
def test_narrow_floats_accumulate_in_float32(dtype, kind, values):
    device = Emulated()
    check_batch(device, np, (40, 3, 7, values), dtype, step=4)
    assert device.names[0] == f"forward_4<{kind}, {values}>"


@pytest.mark.parametrize("step", [6, 7])
def test_half_precision_in_the_later_steps(step):
    shape = (40, 16) if step == 7 else (9, 3, 8)
    check_batch(Emulated(), np, shape, "float16", step=step)


@pytest.mark.parametrize(
    ("shape", "step"), [((3, 4, 8), 4), ((3, 4, 8), 5), ((9, 8), 7)]
)
def test_without_parameters(shape, step):
    check_batch(Emulated(), np, shape, affine=False, step=step)


@pytest.mark.parametrize(
    ("shape", "last", "kernel"),
    [((3, 4, 8), False, "inference_5"), ((3, 8, 5), True, "forward_7")],
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_inference(shape, last, kernel, dtype):
    device = Emulated()
    check_inference(device, np, shape, dtype, last=last)
    (name,) = device.names
    assert name.startswith(kernel)


# ---- bytes: what each step is for ----------------------------------------------------


def traffic(step, shape, **sizes):
    """Return reads of x, in multiples of its size, and how well they coalesce."""
    device = Emulated(**sizes)
    check_batch(device, np, shape, step=step, block=64)
    forward = [report for name, report in device.launched if "forward" in name]
    forward += [report for name, report in device.launched if "moments" in name]
    x = [report.arrays["x"] for report in forward if report.arrays["x"].read > 4096]
    size = 4 * np.prod(shape)
    return sum(t.read for t in x) / size, min(t.coalesced for t in x)


@pytest.mark.parametrize(("step", "reads"), [(2, 3), (3, 2), (4, 2), (6, 1)])
def test_reads_of_x(step, reads):
    got, coalesced = traffic(step, (7, 3, 32, 32))
    assert got == pytest.approx(reads, rel=0.05)
    assert coalesced > 0.95


def test_a_split_costs_no_reads():
    reads, _ = traffic(5, (7, 3, 32, 32), processors=15)
    assert reads == pytest.approx(2, rel=0.15)  # each thread reads the first value


def test_tiles_coalesce_where_a_walk_along_a_channel_does_not():
    shape = (256, 64)
    reads, coalesced = traffic(7, shape)
    assert reads == pytest.approx(2, rel=0.15)
    assert coalesced == 1
    assert traffic(4, shape)[1] < 0.15


def test_16_bytes_a_read_are_a_quarter_of_the_requests():
    devices = [Emulated(), Emulated()]
    for device, step in zip(devices, (3, 4), strict=True):
        check_batch(device, np, (7, 3, 32, 32), step=step)
    one, four = (d.launched[0][1].arrays["x"].requests for d in devices)
    assert four < 0.3 * one
