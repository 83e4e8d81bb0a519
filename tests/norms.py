"""Every norm of bnlib with its PyTorch reference, and one check for all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod

import ml_dtypes
import numpy as np
import torch
import torch.nn.functional as F

import bnlib

torch.set_num_threads(1)  # small arrays, and other tests run beside
EPS = 0.01  # large enough to be seen at every tolerance
# Largest error over largest value. The half-precision ones are half a unit in the last
# place of y, which is what rounding a float32 result once costs.
DTYPES = {
    "float64": (np.float64, 1e-10),
    "float32": (np.float32, 2e-6),
    "float16": (np.float16, 2**-11 + 1e-5),
    "bfloat16": (ml_dtypes.bfloat16, 2**-8 + 1e-5),
}


def _strided(a):
    wide = np.zeros(tuple(2 * n for n in a.shape), a.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def _negative(a):
    flip = tuple(slice(None, None, -1) for _ in a.shape)
    return a[flip].copy()[flip]


def _read_only(a):
    a.flags.writeable = False
    return a


LAYOUTS = {
    "contiguous": lambda a: a,
    "Fortran": np.asfortranarray,
    "strided": _strided,
    "negative strides": _negative,
    "channels last in memory": lambda a: np.moveaxis(
        np.moveaxis(a, 1 % a.ndim, -1).copy(), -1, 1 % a.ndim
    ),
    "read-only": _read_only,
}


@dataclass
class Norm:
    """A norm on one shape: how bnlib and PyTorch compute it."""

    name: str
    shape: tuple
    parameters: tuple  # shapes
    forward: Callable  # x, *parameters, *constants -> y, cache
    backward: Callable  # dy, cache -> dx, *gradients
    reference: Callable  # on tensors: x, *parameters, *constants -> y
    view: tuple = ()  # statistics are those of x in this shape ...
    reduced: tuple = ()  # ... over these axes
    constants: tuple = ()

    def __str__(self):
        return self.name

    def inputs(self, dtype=np.float64, offset=0.0, seed=0):
        """Return random x, parameters and dy."""
        rng = np.random.default_rng(seed)
        x = (rng.normal(size=self.shape) + offset).astype(dtype)
        dy = rng.normal(size=self.shape).astype(dtype)
        parameters = [both_signs(rng, shape).astype(dtype) for shape in self.parameters]
        return x, parameters, dy

    def statistics(self, x):
        """Return mean and biased variance in float64, by their definition."""
        x = np.asarray(x, np.float64).reshape(self.view)
        if self.name.startswith(("rms", "filter")):
            return None, np.mean(x**2, axis=self.reduced)
        return x.mean(self.reduced), x.var(self.reduced)


def both_signs(rng, shape):
    """Return random values away from 0, every second one negative."""
    signs = np.where(np.arange(prod(shape)) % 2, 1.0, -1.0).reshape(shape)
    return signs * rng.uniform(0.5, 1.5, shape)


def per_channel(x, axis, function):
    """Apply a function of PyTorch, which knows channels on axis 1 only."""
    return function(x.movedim(axis, 1)).movedim(1, axis)


def torch_batch(x, g, b, axis):
    return per_channel(
        x, axis, lambda t: F.batch_norm(t, None, None, g, b, training=True, eps=EPS)
    )


def torch_ghost(x, g, b, axis, size):
    return torch.cat([torch_batch(part, g, b, axis) for part in x.split(size)])


def torch_renorm(x, g, b, mean_r, var_r, axis, r_max, d_max):
    """Algorithm 1 of the paper; r and d are detached as it asks."""

    def renorm(t):
        t = t.movedim(1, -1)
        others = tuple(range(t.ndim - 1))
        mean = t.mean(others)
        std = (t.var(others, correction=0) + EPS).sqrt()
        std_r = (var_r + EPS).sqrt()
        r = (std / std_r).detach().clamp(1 / r_max, r_max)
        d = ((mean - mean_r) / std_r).detach().clamp(-d_max, d_max)
        return (((t - mean) / std * r + d) * g + b).movedim(-1, 1)

    return per_channel(x, axis, renorm)


def batch(shape, axis):
    others = tuple(a for a in range(len(shape)) if a != axis % len(shape))
    return Norm(
        name=f"batch {shape} axis {axis}",
        shape=shape,
        parameters=((shape[axis],),) * 2,
        forward=partial(bnlib.batch_norm, axis=axis, eps=EPS),
        backward=bnlib.batch_norm_backward,
        reference=partial(torch_batch, axis=axis),
        view=shape,
        reduced=others,
    )


def renorm(shape, axis, r_max, d_max):
    plain = batch(shape, axis)
    options = {"axis": axis, "r_max": r_max, "d_max": d_max}
    return Norm(
        name=f"renorm {shape} r {r_max} d {d_max}",
        shape=shape,
        parameters=plain.parameters,
        forward=partial(bnlib.batch_renorm, eps=EPS, **options),
        backward=bnlib.batch_renorm_backward,
        reference=partial(torch_renorm, **options),
        view=shape,
        reduced=plain.reduced,
        # Bounds are hit in some channels only; exact in every dtype.
        constants=(
            np.array([-2, -1, 0, 1, 2], np.float16),
            np.array([2**-5, 0.25, 1, 2, 4], np.float16),
        ),
    )


def ghost(shape, size, axis):
    view = (shape[0] // size, size, *shape[1:])
    channel = axis % len(shape) + 1
    return Norm(
        name=f"ghost {shape} by {size} axis {axis}",
        shape=shape,
        parameters=((shape[axis],),) * 2,
        forward=partial(bnlib.ghost_batch_norm, ghost_size=size, axis=axis, eps=EPS),
        backward=bnlib.ghost_batch_norm_backward,
        reference=partial(torch_ghost, axis=axis, size=size),
        view=view,
        reduced=tuple(a for a in range(1, len(view)) if a != channel),
    )


def layer(shape, axis):
    features = shape[axis:]
    return Norm(
        name=f"layer {shape} axis {axis}",
        shape=shape,
        parameters=(features, features),
        forward=partial(bnlib.layer_norm, axis=axis, eps=EPS),
        backward=bnlib.layer_norm_backward,
        reference=lambda x, g, b: F.layer_norm(x, features, g, b, eps=EPS),
        view=shape,
        reduced=tuple(range(axis % len(shape), len(shape))),
    )


def rms(shape, axis):
    features = shape[axis:]
    return Norm(
        name=f"rms {shape} axis {axis}",
        shape=shape,
        parameters=(features,),
        forward=partial(bnlib.rms_norm, axis=axis, eps=EPS),
        backward=bnlib.rms_norm_backward,
        reference=lambda x, g: F.rms_norm(x, features, g, eps=EPS),
        view=shape,
        reduced=tuple(range(axis % len(shape), len(shape))),
    )


def group(shape, groups):
    return Norm(
        name=f"group {shape} in {groups}",
        shape=shape,
        parameters=((shape[1],),) * 2,
        forward=partial(bnlib.group_norm, num_groups=groups, eps=EPS),
        backward=bnlib.group_norm_backward,
        reference=lambda x, g, b: F.group_norm(x, groups, g, b, eps=EPS),
        view=(shape[0], groups, -1),
        reduced=(2,),
    )


def instance(shape):
    return Norm(
        name=f"instance {shape}",
        shape=shape,
        parameters=((shape[1],),) * 2,
        forward=partial(bnlib.instance_norm, eps=EPS),
        backward=bnlib.instance_norm_backward,
        reference=lambda x, g, b: F.instance_norm(x, weight=g, bias=b, eps=EPS),
        view=shape,
        reduced=tuple(range(2, len(shape))),
    )


def torch_filter_response(x, g, b):
    positions = tuple(range(2, x.ndim))
    xhat = x / (x.square().mean(positions, keepdim=True) + EPS).sqrt()
    return (xhat.movedim(1, -1) * g + b).movedim(-1, 1)


def filter_response(shape):
    return Norm(
        name=f"filter response {shape}",
        shape=shape,
        parameters=((shape[1],),) * 2,
        forward=partial(bnlib.filter_response_norm, eps=EPS),
        backward=bnlib.filter_response_norm_backward,
        reference=torch_filter_response,
        view=shape,
        reduced=tuple(range(2, len(shape))),
    )


def weight(shape, axis, length_shape):
    kept = tuple(n if a == axis else 1 for a, n in enumerate(shape))
    return Norm(
        name=f"weight {shape} axis {axis} g {length_shape}",
        shape=shape,
        parameters=(length_shape,),
        forward=partial(bnlib.weight_norm, axis=axis),
        backward=bnlib.weight_norm_backward,
        reference=lambda v, g: torch._weight_norm(v, g.reshape(kept), axis),
    )


def dynamic_tanh(shape, axis):
    def reference(x, g, b, a):
        return (torch.tanh(a * x).movedim(axis, -1) * g + b).movedim(-1, axis)

    return Norm(
        name=f"tanh {shape} axis {axis}",
        shape=shape,
        parameters=((shape[axis],), (shape[axis],), (1,)),
        forward=partial(bnlib.dynamic_tanh, axis=axis),
        backward=bnlib.dynamic_tanh_backward,
        reference=reference,
    )


def torch_standardisation(v, g, axis):
    others = tuple(a for a in range(v.ndim) if a != axis)
    var, mean = torch.var_mean(v, others, correction=0, keepdim=True)
    kept = [-1 if a == axis else 1 for a in range(v.ndim)]
    return g.reshape(kept) * (v - mean) / (var + EPS).sqrt()


def standardised(shape, axis):
    return Norm(
        name=f"standardised weight {shape} axis {axis}",
        shape=shape,
        parameters=((shape[axis],),),
        forward=partial(bnlib.weight_standardisation, axis=axis, eps=EPS),
        backward=bnlib.weight_standardisation_backward,
        reference=partial(torch_standardisation, axis=axis),
        view=shape,
        reduced=tuple(a for a in range(len(shape)) if a != axis),
    )


def torch_spectral(w, u=None, axis=0):
    matrix = w.movedim(axis, 0).flatten(1)
    if u is None:
        return w / torch.linalg.matrix_norm(matrix, 2)
    with torch.no_grad():
        v = F.normalize(matrix.T @ u, dim=0)
        u = F.normalize(matrix @ v, dim=0)
    return w / (u @ matrix @ v)


def spectral(shape, axis, steps=False):
    return Norm(
        name=f"{'power' if steps else 'spectral'} {shape} axis {axis}",
        shape=shape,
        parameters=(),
        forward=partial(bnlib.spectral_norm, axis=axis),
        backward=lambda dy, cache: (bnlib.spectral_norm_backward(dy, cache),),
        reference=partial(torch_spectral, axis=axis),
        constants=(np.linspace(-1, 2, shape[axis]),) if steps else (),
    )


NORMS = [
    batch((7, 5), 1),
    batch((5, 3, 7), 1),
    batch((3, 5, 7, 2), 1),
    batch((3, 7, 2, 5), -1),
    batch((2, 3, 5, 4, 7), 1),
    batch((5, 7), 0),
    renorm((7, 5), 1, 2.0, 0.5),
    renorm((3, 7, 2, 5), -1, 1.5, 1.0),
    renorm((3, 5, 7, 2), 1, float("inf"), float("inf")),
    ghost((6, 5), 3, 1),
    ghost((6, 5, 3, 7), 2, 1),
    ghost((6, 3, 7, 5), 2, -1),
    layer((7,), -1),
    layer((7, 5), -1),
    layer((3, 5, 7, 2), 1),
    layer((3, 5, 7, 2), -2),
    rms((7, 5), -1),
    rms((3, 5, 7, 2), 1),
    group((3, 10), 2),
    group((3, 6, 5), 3),
    group((3, 6, 5, 7), 2),
    instance((2, 3, 5)),
    instance((2, 3, 5, 7)),
    instance((2, 3, 5, 4, 7)),
    filter_response((2, 3, 5)),
    filter_response((2, 3, 5, 1)),
    filter_response((2, 3, 5, 7)),
    weight((5, 7), 0, (5,)),
    weight((5, 3, 2, 7), 0, (5, 1, 1, 1)),
    weight((5, 7, 3), 1, (7,)),
    standardised((5, 7), 0),
    standardised((5, 3, 2, 7), 0),
    standardised((5, 7, 3), 1),
    spectral((5, 7), 0),
    spectral((7, 5), 0),
    spectral((5, 3, 2, 7), 0),
    spectral((5, 7, 3), 1),
    spectral((5, 3, 2, 7), 0, steps=True),
    spectral((5, 7, 3), 1, steps=True),
    dynamic_tanh((7,), -1),
    dynamic_tanh((7, 5), -1),
    dynamic_tanh((3, 5, 7, 2), 1),
]
SMALL = {
    name: next(n for n in NORMS if n.name.startswith(name))
    for name in (
        "batch renorm ghost layer rms group instance filter weight standardised "
        "spectral tanh".split()  # one of each
    )
}


def to_numpy(a):
    return a.get() if hasattr(a, "get") else np.asarray(a)


def assert_close(actual, expected, tolerance):
    """Compare by the largest error over the largest value."""
    actual = np.asarray(to_numpy(actual), np.float64)
    expected = np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    error = np.abs(actual - expected).max(initial=0)
    scale = np.abs(expected).max(initial=0)
    assert error <= tolerance * scale, f"{error / scale:.1e} > {tolerance:.1e}"


def torch_gradients(function, dy, inputs, constants=()):
    """Return the output and the gradients of the inputs, in float64."""
    tensors = [tensor(a).requires_grad_() for a in inputs]
    y = function(*tensors, *map(tensor, constants))
    gradients = torch.autograd.grad(y, tensors, tensor(dy))
    return y.detach().numpy(), [g.numpy() for g in gradients]


def tensor(a):
    """Return a float64 copy as a tensor."""
    return torch.from_numpy(np.array(to_numpy(a), np.float64, order="C"))


def check(norm, inputs, tolerance, convert=lambda a: a):
    """Compare one norm to PyTorch in float64: values, dtypes, shapes, statistics."""
    x, parameters, dy = inputs
    # No gamma is gamma = 1, no beta is beta = 0.
    filled = [
        np.full(shape, 1.0 - i) if p is None else p
        for i, (p, shape) in enumerate(zip(parameters, norm.parameters, strict=True))
    ]
    expected, gradients = torch_gradients(
        norm.reference, dy, (x, *filled), norm.constants
    )
    arrays = [
        None if a is None else convert(a)
        for a in (x, *parameters, dy, *(c.astype(dy.dtype) for c in norm.constants))
    ]
    before = [None if a is None else to_numpy(a).copy() for a in arrays]
    x_in, *rest = arrays
    given, dy_in = [x_in, *rest[: len(parameters)]], rest[len(parameters)]

    y, cache = norm.forward(*given, *rest[len(parameters) + 1 :])
    assert_like(y, x_in)
    assert_close(y, expected, tolerance)
    results = norm.backward(dy_in, cache)
    for source, result, gradient in zip(given, results, gradients, strict=True):
        if source is None:
            assert result is None
        else:
            assert_like(result, source)
            assert_close(result, gradient, tolerance)
    if norm.view:
        float32_or_wider = 1e-10 if x.dtype == np.float64 else 1e-6
        for actual, value in zip(
            (cache.mean, cache.var), norm.statistics(x), strict=True
        ):
            if value is None:
                assert actual is None
            else:
                assert_close(actual, value, float32_or_wider)
                assert to_numpy(actual).dtype.itemsize >= 4
    for array, copy in zip(arrays, before, strict=True):
        assert array is None or (to_numpy(array) == copy).all()


def assert_like(actual, source):
    """Check array library, dtype and shape."""
    assert type(actual) is type(source)
    assert actual.dtype == source.dtype
    assert actual.shape == source.shape
