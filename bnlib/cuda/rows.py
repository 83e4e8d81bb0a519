"""Layer and RMS norm on a device: which kernels are launched, with what.

The large arrays are C-contiguous here, (R, D) as their layout tells: statistics belong
to a row, parameters to the places in it. They are float32, and None where left out.
"""

from bnlib.cuda import shapes
from bnlib.cuda.launcher import Launcher


def forward(device, x, gamma, beta, y, layout, eps, centred, *, block=None):
    """Write y; return mean, None if not centred, and variance or mean square.

    Parameters
    ----------
    device : Device
    x, y : array
        Input and output, of one dtype.
    gamma, beta : array of D values, or None
    layout : shapes.Layout
        (1, R, D).
    eps : float
    centred : bool
        Whether the mean is subtracted: layer norm, or else RMS norm.
    block : int, or None
        Threads of a block, a multiple of 32, up to 512; None for as many as have work.
    """
    launch = _launcher(device, layout, (x, y), (gamma, beta), centred)
    rows, length = layout.channels, layout.after
    mean = launch.floats(rows) if centred else None
    var = launch.floats(rows)
    block = block or shapes.threads(length // launch.values)
    args = (x, gamma, beta, y, mean, var, rows, length, eps)
    launch("forward_rows", rows, block, args)
    return mean, var


def backward(
    device, dy, x, gamma, mean, var, dx, layout, eps, *, parameters=True, block=None
):
    """Write dx; return dgamma and dbeta as float32, None each if not asked for.

    Parameters
    ----------
    device : Device
    dy, x, dx : array
        Gradient, input and output, of one dtype and layout.
    gamma : array of D values, or None
    mean, var : array of R values
        Mean is None for RMS norm.
    layout, eps, block
        As for `forward`.
    parameters : bool
        Whether the gradients of gamma and beta are asked for.
    """
    launch = _launcher(device, layout, (dy, x, dx), (gamma,), mean is not None)
    rows, length = layout.channels, layout.after
    rest = launch.floats(rows)
    block = block or shapes.threads(length // launch.values)
    args = (dy, x, gamma, mean, var, dx, rest, rows, length, eps)
    launch("backward_rows", rows, block, args)
    if not parameters:
        return None, None
    grid, tile = shapes.tile_grid(length, launch.values, rows, device.processors)
    parts = grid[1]
    partial = launch.floats(parts, 3, length)
    dgamma, dbeta = launch.floats(length), launch.floats(length)
    args = (dy, x, mean, rest, var, partial, rows, length, eps)
    launch("parameters_rows", grid, tile, args)
    args = (partial, dgamma, dbeta, parts, length)
    launch("merge_parameters", *shapes.merge_grid(length), args)
    return dgamma, dbeta


def _launcher(device, layout, arrays, parameters, centred):
    values = shapes.width(
        arrays[0].dtype.itemsize,
        layout.after,
        [device.address(a) for a in arrays],
        [device.address(p) for p in parameters if p is not None],
    )
    return Launcher(device, "rows", arrays[0].dtype.name, values, centred)
