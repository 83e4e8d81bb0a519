"""Batch norm on a device: which kernels are launched, with what.

The large arrays are C-contiguous here, and their layout (N, C, S) is told besides.
Parameters and statistics are float32; a parameter that is left out is None.
"""

from bnlib.cuda import shapes
from bnlib.cuda.launcher import Launcher
from bnlib.cuda.sources import BATCH


def forward(device, x, gamma, beta, y, layout, eps, *, step=None, block=None):
    """Write y; return mean and biased variance of each channel.

    Parameters
    ----------
    device : Device
    x, y : array
        Input and output, of one dtype.
    gamma, beta : array of shape (C,), or None
    layout : shapes.Layout
    eps : float
    step, block : int, or None
        As for `shapes.batch_plan`.
    """
    plan, launch = _plan(device, layout, (x, y), 1, step, block)
    n, c, s = layout.before, layout.channels, layout.after
    mean, var = launch.floats(c), launch.floats(c)
    large = plan.grid, plan.block
    if plan.step == 7:
        partial = launch.floats(plan.shares, 3, c)
        origin, rest = launch.floats(c), launch.floats(c)
        launch("moments_7", *large, (x, partial, n, c))
        launch(
            "merge_moments_7",
            *shapes.merge_grid(c),
            (x, partial, origin, rest, mean, var, plan.shares, c),
        )
        launch("forward_7", *large, (x, origin, rest, var, gamma, beta, y, n, c, eps))
    elif plan.step == 5:
        partial = launch.floats(c, plan.shares, 3)
        launch("moments_5", *large, (x, partial, n, c, s))
        args = (x, partial, gamma, beta, y, mean, var, n, c, s, eps)
        launch("forward_5", *large, args)
    else:
        args = (x, gamma, beta, y, mean, var, n, c, s, eps)
        launch(f"forward_{plan.step}", *large, args, plan.shared)
    return mean, var


def backward(
    device, dy, x, gamma, mean, var, dx, layout, eps, *, step=None, block=None
):
    """Write dx; return dgamma and dbeta, the latter two as float32.

    Parameters
    ----------
    device : Device
    dy, x, dx : array
        Gradient, input and output, of one dtype and layout.
    gamma, mean, var : array of shape (C,)
        Gamma may be None.
    layout, eps, step, block
        As for `forward`.
    """
    plan, launch = _plan(device, layout, (dy, x, dx), 2, step, block)
    n, c, s = layout.before, layout.channels, layout.after
    dgamma, dbeta = launch.floats(c), launch.floats(c)
    large = plan.grid, plan.block
    if plan.step == 7:
        partial, total = launch.floats(plan.shares, 3, c), launch.floats(3, c)
        launch("sums_7", *large, (dy, x, mean, partial, n, c))
        launch(
            "merge_sums_7",
            *shapes.merge_grid(c),
            (partial, var, total, dgamma, dbeta, plan.shares, n, c, eps),
        )
        args = (dy, x, gamma, mean, var, total, dx, n, c, eps)
        launch("backward_7", *large, args)
    elif plan.step == 5:
        partial = launch.floats(c, plan.shares, 3)
        launch("sums_5", *large, (dy, x, mean, partial, n, c, s))
        args = (dy, x, partial, gamma, mean, var, dx, dgamma, dbeta, n, c, s, eps)
        launch("backward_5", *large, args)
    else:
        args = (dy, x, gamma, mean, var, dx, dgamma, dbeta, n, c, s, eps)
        launch(f"backward_{plan.step}", *large, args, plan.shared)
    return dgamma, dbeta


def inference(device, x, gamma, beta, mean, var, y, layout, eps, *, block=None):
    """Write y from given statistics: one read, one write, one multiply-add a value.

    Parameters are those of `forward`, and mean and variance of shape (C,).
    """
    step = 7 if layout.after == 1 else 5
    plan, launch = _plan(device, layout, (x, y), 1, step, block)
    n, c, s = layout.before, layout.channels, layout.after
    large = plan.grid, plan.block
    if plan.step == 7:
        launch("forward_7", *large, (x, mean, None, var, gamma, beta, y, n, c, eps))
    else:
        launch("inference_5", *large, (x, gamma, beta, mean, var, y, n, c, s, eps))


def _plan(device, layout, arrays, read, step, block):
    plan = shapes.batch_plan(
        layout,
        arrays[0].dtype.itemsize,
        [device.address(a) for a in arrays],
        read,
        device.processors,
        device.shared,
        step=step,
        block=block,
    )
    dtype = arrays[0].dtype.name
    return plan, Launcher(device, BATCH[plan.step], dtype, plan.values)
