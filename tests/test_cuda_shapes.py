"""Where values lie, and the shapes of launches: no GPU, no compiler."""

import numpy as np
import pytest

from bnlib.cuda import shapes
from bnlib.cuda.shapes import Layout, batch_plan
from bnlib.cuda.sources import source

H200 = {"processors": 132, "shared": 226 * 1024}
TURING = {"processors": 40, "shared": 63 * 1024}


def channels_of(x, axis):
    return shapes.channels(x.shape, x.strides, x.itemsize, axis)


def test_channels_in_the_middle_or_last():
    x = np.empty((2, 3, 4, 5), np.float32)
    assert channels_of(x, 1) == Layout((0, 1, 2, 3), 2, 3, 20)
    assert channels_of(x, 3) == Layout((0, 1, 2, 3), 24, 5, 1)
    assert channels_of(x, 0) == Layout((0, 1, 2, 3), 1, 2, 60)


def test_transposed_arrays_are_walked_as_they_lie_in_memory():
    nhwc = np.empty((2, 4, 5, 3), np.float16)
    layout = channels_of(nhwc.transpose(0, 3, 1, 2), 1)
    assert layout == Layout((0, 2, 3, 1), 40, 3, 1)
    assert layout.inverse == (0, 3, 1, 2)
    assert nhwc.transpose(0, 3, 1, 2).transpose(layout.order).flags.c_contiguous


@pytest.mark.parametrize(
    "x",
    [
        np.empty((4, 6))[:, ::2],
        np.empty((4, 6))[::2],
        np.empty((4, 6))[::-1],
        np.broadcast_to(np.empty((1, 6)), (4, 6)),
        np.empty((4, 5, 6))[:, 1:],
    ],
)
def test_gaps_repeats_and_reversals_are_not_taken(x):
    assert channels_of(x, 1) is None
    assert shapes.rows(x.shape, x.strides, x.itemsize, 1) is None


def test_axes_of_size_1_may_have_any_stride():
    x = np.lib.stride_tricks.as_strided(np.empty(12), (4, 1, 3), (24, 8000, 8))
    assert channels_of(x, 2) == Layout((0, 1, 2), 4, 3, 1)
    assert channels_of(np.empty((7, 1, 3)), 1) == Layout((0, 1, 2), 1, 1, 21)


def test_rows_are_contiguous():
    x = np.empty((2, 3, 4), np.float32)
    assert shapes.rows(x.shape, x.strides, 4, 1) == Layout((0, 1, 2), 1, 2, 12)
    assert shapes.rows((4, 3, 2), x.T.strides, 4, 1) is None


@pytest.mark.parametrize(
    ("itemsize", "run", "address", "values"),
    [
        (4, 12, 0, 4), (4, 12, 8, 2), (4, 12, 4, 1), (4, 6, 16, 2), (4, 7, 0, 1),
        (2, 16, 32, 8), (2, 12, 0, 4), (2, 16, 8, 4), (2, 6, 0, 1), (2, 16, 2, 1),
    ],
)  # fmt: skip
def test_width_divides_the_run_and_the_address(itemsize, run, address, values):
    assert shapes.width(itemsize, run, [0, address]) == values


def test_width_asks_where_parameters_start():
    assert shapes.width(4, 8, [0], [16]) == 4
    assert shapes.width(4, 8, [0], [8]) == 2
    assert shapes.width(2, 8, [0], [8]) == 1
    assert shapes.width(2, 8, [0], [4]) == 1


@pytest.mark.parametrize("packets", [1, 31, 128, 129, 1000, 10**6])
def test_threads_are_whole_warps_with_work(packets):
    threads = shapes.threads(packets)
    assert threads % 32 == 0 and 32 <= threads <= 512
    assert threads == 512 or threads * shapes.FLIGHT < packets + 32 * shapes.FLIGHT


def test_shares_fill_the_device_unless_there_is_little_to_do():
    assert shapes.shares(10**6, 64, 512, 132) == 4 * 132 // 64
    assert shapes.shares(10**6, 1000, 512, 132) == 1
    assert shapes.shares(2048, 1, 512, 132) == 1
    assert shapes.shares(5 * 2048, 1, 512, 132) == 5


@pytest.mark.parametrize(
    ("device", "layout", "itemsize", "read", "step"),
    [
        (H200, Layout((0, 1), 512, 1000, 1), 4, 1, 7),
        (H200, Layout((0, 1, 2), 32, 64, 112 * 112), 4, 1, 5),
        (H200, Layout((0, 1, 2), 32, 2048, 49), 4, 1, 6),
        (H200, Layout((0, 1, 2), 256, 1024, 14 * 14), 4, 1, 6),
        (H200, Layout((0, 1, 2), 256, 1024, 14 * 14), 4, 2, 4),
        (H200, Layout((0, 1, 2), 256, 512, 14 * 14), 4, 2, 4),
        (H200, Layout((0, 1, 2), 32, 64, 56 * 56), 2, 1, 5),
        (H200, Layout((0, 1, 2), 32, 3, 49), 4, 1, 6),
        (H200, Layout((0, 1, 2), 256, 3, 196), 4, 1, 5),
        (TURING, Layout((0, 1, 2), 32, 512, 28 * 28), 4, 1, 4),
        (TURING, Layout((0, 1, 2), 32, 512, 28 * 28), 2, 1, 6),
    ],
)
def test_the_step_that_fits(device, layout, itemsize, read, step):
    plan = batch_plan(layout, itemsize, [0], read, **device)
    assert plan.step == step
    assert plan.shared <= device["shared"]
    if step == 6:
        assert plan.shared == layout.before * layout.after * itemsize * read


def every_plan():
    for before in (1, 2, 33, 256):
        for channels in (1, 3, 64, 2048):
            for after in (1, 7, 49, 196, 3136):
                for itemsize in (2, 4):
                    for read in (1, 2):
                        for device in (H200, TURING):
                            layout = Layout((0, 1, 2), before, channels, after)
                            yield layout, itemsize, read, device


def test_every_plan_can_be_launched_and_covers_the_array():
    for layout, itemsize, read, device in every_plan():
        plan = batch_plan(layout, itemsize, [0, 16], read, **device)
        grid, block = np.atleast_1d(plan.grid), np.atleast_1d(plan.block)
        assert (grid >= 1).all() and grid[0] < 2**31 and (grid[1:] < 65536).all()
        # Their __launch_bounds__.
        most = {4: 1024, 5: 512, 6: 1024, 7: 256}[plan.step]
        assert 32 <= block.prod() <= most and block.prod() % 32 == 0
        assert plan.shared <= device["shared"]
        assert plan.shares > 1 or plan.step != 5
        if plan.step == 7:
            assert layout.channels % plan.values == 0
            assert grid[0] * 32 * plan.values >= layout.channels
            assert grid[1] == plan.shares
        else:
            assert layout.after % plan.values == 0
            assert grid[-1] == layout.channels


def test_a_plan_may_be_asked_for():
    layout = Layout((0, 1, 2), 4, 8, 16)
    plan = batch_plan(layout, 4, [0], 1, **H200, step=4, block=96)
    assert (plan.step, plan.grid, plan.block, plan.values) == (4, 8, 96, 4)
    assert batch_plan(layout, 4, [0], 1, **H200, step=3).values == 1
    plan = batch_plan(layout, 4, [0], 1, **H200, step=5)
    assert (plan.step, plan.shares) == (5, 1)


def test_a_slab_that_leaves_no_room_for_another_has_a_large_block():
    layout = Layout((0, 1, 2), 32, 512, 28 * 28)
    assert batch_plan(layout, 4, [0], 2, **H200).block == 1024
    assert batch_plan(layout, 4, [0], 1, **H200).block == 512


def test_sizes_that_kernels_and_launches_must_agree_on():
    text = source("batch_7_channels_last")
    assert f"constexpr int FLIGHT = {shapes.FLIGHT};" in text
    assert f"constexpr int ROWS = {shapes.ROWS};" in text
