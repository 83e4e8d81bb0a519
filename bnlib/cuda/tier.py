"""From the formula's arguments to a device's kernels and back.

`forward` and `backward` compute what those of `bnlib._formula` do, or return None where
no kernel takes the input; the formula then does.

But: whether gamma and beta are finite is not checked. To look would make the CPU wait
for the GPU at every call.
"""

import numpy as np

from bnlib._arguments import accumulation_dtype, cast, check_shape, namespace
from bnlib._formula import Cache
from bnlib.cuda import channels, rows, shapes
from bnlib.cuda.sources import TYPES

FLOAT = np.dtype(np.float32)
LARGEST = 2**31  # offsets are 32 bits wide, and go a little beyond the end


def takes(*arrays):
    """Whether there are kernels for arrays of these dtypes and sizes.

    Float32, float16 or bfloat16, all the same, and fewer than 2**31 values. Which
    memory they lie in is another question; see `bnlib.cuda.shapes`.
    """
    dtype = arrays[0].dtype
    return dtype.name in TYPES and all(
        a.dtype == dtype and 0 < a.size < LARGEST for a in arrays
    )


def forward(
    device,
    norm,
    x,
    gamma,
    beta,
    index,
    eps,
    *,
    meaning,
    shape,
    centred=True,
    out=None,
    **choice,
):
    """Compute `_formula.forward`, or return None where no kernel takes x.

    Parameters
    ----------
    device : Device
    norm, x, gamma, beta, index, eps, meaning, shape, centred
        As for `_formula.forward`.
    out : array, or None
        Where to write y.
    **choice
        ``step`` and ``block``, as for `shapes.batch_plan`.

    Returns
    -------
    y : array
    cache : Cache
    """
    layout = _layout(norm, index, x) if takes(x) else None
    # Where eps is 0, the formula looks for variances of 0.
    if layout is None or not np.float32(eps) > 0:
        return None
    if out is not None and _layout(norm, index, out) != layout:
        return None
    xp = namespace(x=x, gamma=gamma, beta=beta)
    g = _parameter(xp, "gamma", gamma, shape, meaning)
    b = _parameter(xp, "beta", beta, shape, meaning)
    flat = x.transpose(layout.order)
    y = _target(device, flat, out, layout)
    if norm == "batch_norm":
        mean, var = channels.forward(device, flat, g, b, y, layout, eps, **choice)
    else:
        mean, var = rows.forward(device, flat, g, b, y, layout, eps, centred, **choice)
    mean, var = (
        None if s is None else s.reshape(index.statistics) for s in (mean, var)
    )
    y = y.transpose(layout.inverse) if out is None else out
    return y, Cache(norm, x, gamma, beta, mean, var, eps, index)


def backward(device, norm, dy, cache, *, out=None, **choice):
    """Compute `_formula.backward`, or return None where no kernel takes dy.

    Parameters
    ----------
    device : Device
    norm, dy, cache
        As for `_formula.backward`.
    out : array, or None
        Where to write dx.
    **choice
        As for `forward`.

    Returns
    -------
    dx : array
    dgamma, dbeta : array, or None
        None where the parameter is.
    """
    x, gamma, index = cache.x, cache.gamma, cache.index
    layout = _layout(norm, index, x) if takes(x, dy) else None
    if layout is None or not np.float32(cache.eps) > 0 or cache.var.dtype != FLOAT:
        return None
    for other in (dy, out):
        if other is not None and _layout(norm, index, other) != layout:
            return None
    xp = namespace(dy=dy, x=x)
    flat_dy, flat = dy.transpose(layout.order), x.transpose(layout.order)
    dx = _target(device, flat, out, layout)
    g = None if gamma is None else _float(xp, gamma)
    mean, var = (None if s is None else _float(xp, s) for s in (cache.mean, cache.var))
    args = (device, flat_dy, flat, g, mean, var, dx, layout, cache.eps)
    if norm == "batch_norm":
        gradients = channels.backward(*args, **choice)
    else:
        needed = gamma is not None or cache.beta is not None
        gradients = rows.backward(*args, parameters=needed, **choice)
    dgamma, dbeta = (
        None if p is None else cast(xp, total.reshape(p.shape), p.dtype)
        for total, p in zip(gradients, (gamma, cache.beta), strict=True)
    )
    return dx.transpose(layout.inverse) if out is None else out, dgamma, dbeta


def inference(device, x, gamma, beta, mean, var, *, axis, eps, out=None, **choice):
    """Compute batch norm from given statistics, or return None.

    Parameters
    ----------
    device : Device
    x : array
    gamma, beta, mean, var : array of shape (C,)
        Already checked; gamma and beta may be None.
    axis : int
        The channel axis, counted from the front.
    eps : float
        Added to the variance; variances and it do not add up to 0.
    out : array, or None
        Where to write y.
    **choice
        ``block``, as for `forward`.

    Returns
    -------
    y : array
    """
    layout = _channels(x, axis) if takes(x) else None
    if layout is None or (out is not None and _channels(out, axis) != layout):
        return None
    xp = namespace(x=x, mean=mean, var=var)
    g, b = (None if p is None else _float(xp, p) for p in (gamma, beta))
    flat = x.transpose(layout.order)
    y = _target(device, flat, out, layout)
    statistics = _float(xp, mean), _float(xp, var)
    channels.inference(device, flat, g, b, *statistics, y, layout, eps, **choice)
    return y.transpose(layout.inverse) if out is None else out


def _layout(norm, index, x):
    if norm == "batch_norm":
        (axis,) = (a for a in range(x.ndim) if a not in index.reduced)
        return _channels(x, axis)
    if norm in ("layer_norm", "rms_norm"):
        return shapes.rows(x.shape, x.strides, x.dtype.itemsize, index.reduced[0])
    return None


def _channels(x, axis):
    return shapes.channels(x.shape, x.strides, x.dtype.itemsize, axis)


def _target(device, flat, out, layout):
    """Return what is written to: new, or the caller's, in the order of memory."""
    if out is None:
        return device.empty(flat.shape, flat.dtype)
    return out.transpose(layout.order)


def _parameter(xp, name, array, shape, meaning):
    if array is None:
        return None
    check_shape(name, array, shape, meaning)
    accumulation_dtype(xp, name, array)
    return _float(xp, array)


def _float(xp, array):
    return xp.ascontiguousarray(cast(xp, array, FLOAT)).reshape(-1)
