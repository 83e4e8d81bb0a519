"""Where the values of an array lie, and with which shape a kernel is launched.

Pure functions of sizes: no GPU, no array library.
"""

import math
from dataclasses import dataclass

from bnlib.cuda.sources import widths

WARP = 32
FLIGHT = 4  # packets that a thread has in flight, as in batch_4_wide.cu
ROWS = 8  # rows of threads of a tile, as in batch_7_channels_last.cu
# Blocks that keep one multiprocessor busy: several, so that one computes while another
# waits for memory.
BLOCKS = 4
SMALL = 16 * 1024  # bytes of a channel that one block reads in no time


@dataclass(frozen=True)
class Layout:
    """An array as a kernel sees it: ``before`` x ``channels`` x ``after`` values.

    Attributes
    ----------
    order : tuple of int
        The axes by their place in memory: ``x.transpose(order)`` is C-contiguous.
    before, channels, after : int
        N, C, S of the kernels: sizes of what lies outside, on, and inside the channel
        axis. (1, R, D) for the rows of layer norm.
    """

    order: tuple[int, ...]
    before: int
    channels: int
    after: int

    @property
    def inverse(self):
        """The axes that undo `order`."""
        return tuple(self.order.index(a) for a in range(len(self.order)))


def memory_order(shape, strides, itemsize):
    """Return the axes by their place in memory, or None if the values are not dense.

    Parameters
    ----------
    shape, strides : tuple of int
        Of the array; strides in bytes.
    itemsize : int
        Bytes of a value.
    """
    wide = sorted((a for a, n in enumerate(shape) if n > 1), key=lambda a: -strides[a])
    expected = itemsize
    for axis in reversed(wide):
        if strides[axis] != expected:
            return None
        expected *= shape[axis]
    if wide == sorted(wide):
        return tuple(range(len(shape)))
    # Where an axis of size 1 goes does not matter.
    return (*(a for a, n in enumerate(shape) if n == 1), *wide)


def channels(shape, strides, itemsize, axis):
    """Return the `Layout` of a batch norm's input, None where it is not dense."""
    order = memory_order(shape, strides, itemsize)
    if order is None:
        return None
    at = order.index(axis)
    sizes = [shape[a] for a in order]
    before, after = math.prod(sizes[:at]), math.prod(sizes[at + 1 :])
    if shape[axis] == 1:
        before, after = 1, before * after
    return Layout(order, before, shape[axis], after)


def rows(shape, strides, itemsize, axis):
    """Return the `Layout` of a layer norm's input, None if it is not C-contiguous."""
    order = memory_order(shape, strides, itemsize)
    if order != tuple(range(len(shape))):
        return None
    return Layout(order, 1, math.prod(shape[:axis]), math.prod(shape[axis:]))


def width(itemsize, run, addresses, parameters=()):
    """Return how many values a thread reads at once: 16 bytes, 8, or one value.

    Parameters
    ----------
    itemsize : int
        Bytes of a value.
    run : int
        How many values lie side by side; packets must not straddle two runs.
    addresses : sequence of int
        Where the arrays start.
    parameters : sequence of int
        Where float32 arrays start of which as many values are read.
    """
    return next(
        values
        for values in widths(itemsize)
        if run % values == 0
        and all(address % (values * itemsize) == 0 for address in addresses)
        and all(address % min(16, 4 * values) == 0 for address in parameters)
    )


def threads(packets, most=512):
    """Return the threads of a block that takes that many packets: a multiple of 32.

    As many as have FLIGHT packets each, at most, so that a short row does not leave
    most of a block idle.
    """
    wanted = -(-packets // FLIGHT)
    return min(most, max(WARP, -(-wanted // WARP) * WARP))


def shares(packets, channels, block, processors):
    """Return in how many parts each channel is cut, 1 if there are channels enough.

    No more blocks than the device runs at once: what is left over would run alone. And
    each thread has FLIGHT packets.

    Parameters
    ----------
    packets : int
        Of one channel.
    channels : int
        Groups of blocks that there are anyway.
    block : int
        Threads of a block.
    processors : int
        Multiprocessors of the device.
    """
    room = BLOCKS * processors // channels
    return max(1, min(room, packets // (block * FLIGHT), 65535))


def tile_grid(columns, values, rows, processors):
    """Return grid and block of the tiles of step 7: shares of the rows along y."""
    tiles = -(-columns // (WARP * values))
    return (tiles, shares(rows, tiles, ROWS, processors)), (WARP, ROWS)


def merge_grid(columns):
    """Return grid and block that merge the shares of that many columns."""
    return -(-columns // WARP), (WARP, ROWS)


@dataclass(frozen=True)
class Plan:
    """How a batch norm is computed.

    Attributes
    ----------
    step : int
        Of the ladder.
    values : int
        V, the values of a packet.
    grid, block : int or tuple of int
        Of the kernels that read the large arrays.
    shared : int
        Bytes of dynamic shared memory.
    shares : int
        In how many parts a channel is cut.
    """

    step: int
    values: int
    grid: int | tuple[int, ...]
    block: int | tuple[int, ...]
    shared: int = 0
    shares: int = 1


def batch_plan(
    layout, itemsize, addresses, read, processors, shared, *, step=None, block=None
):
    """Return the `Plan` of a batch norm.

    Parameters
    ----------
    layout : Layout
    itemsize : int
        Bytes of a value.
    addresses : sequence of int
        Where the large arrays start.
    read : int
        How many of them are read: 1 forward, 2 backward.
    processors : int
        Multiprocessors of the device.
    shared : int
        Bytes of shared memory that a block may ask for.
    step : int, or None
        The step of the ladder to take; None for the one that fits: 6 or 7, or else 5,
        which is 4 where no channel needs to be split.
    block : int, or None
        Threads of a block, a multiple of 32, up to 1024 (512 in step 5); None for as
        many as have work.
    """
    chosen = step or best_step(layout, itemsize, read, processors, shared)
    run = layout.channels if chosen == 7 else layout.after
    values = 1 if chosen < 4 else width(itemsize, run, addresses)
    if chosen == 7:
        grid, block = tile_grid(layout.channels, values, layout.before, processors)
        return Plan(7, values, grid, block, shares=grid[1])
    packets = layout.before * layout.after // values
    slab = packets * values * itemsize * read if chosen == 6 else 0
    # Where a slab leaves no room for a second block, the one should be large.
    block = block or threads(packets, 1024 if 2 * slab > shared else 512)
    if chosen == 5:
        parts = shares(packets, layout.channels, block, processors)
        if parts > 1 or step == 5:
            return Plan(5, values, (parts, layout.channels), block, shares=parts)
        chosen = 4
    return Plan(chosen, values, layout.channels, block, slab)


def best_step(layout, itemsize, read, processors, shared):
    """Return the step of the ladder that fits, 5, 6 or 7; see `batch_plan`."""
    if layout.after == 1:
        return 7
    slab = layout.before * layout.after * itemsize * read
    # A slab in few blocks leaves most of the chip idle, unless it is small anyway.
    few = 2 * layout.channels < processors
    return 6 if slab <= (min(SMALL, shared) if few else shared) else 5
