"""What every public function asks of its arguments, and how it says so.

Also here: which array library the arguments belong to, and the dtype in which a formula
accumulates. Nothing here knows about normalisation.
"""

import math
import numbers
import operator

import numpy as np


def namespace(**arrays):
    """Return the array library that all the named arrays come from.

    Parameters
    ----------
    **arrays : array or None
        Arguments of the public function, by name. None is skipped, but for the first.

    Returns
    -------
    module
        ``numpy``, ``cupy``, or whatever an array's ``__array_namespace__`` returns
        (`array API standard <https://data-apis.org/array-api/latest/>`__).

    Raises
    ------
    TypeError
        If an argument is no array, or if two come from different libraries.
    """
    (first, array), *rest = arrays.items()
    xp = _library(first, array)
    for name, other in rest:
        if other is not None and _library(name, other) is not xp:
            raise TypeError(
                f"{first} is a {type_name(array)} but {name} is a "
                f"{type_name(other)}; all arrays must come from one library"
            )
    return xp


def _library(name, array):
    if type(array) in (np.ndarray, np.memmap):
        return np
    if type(array).__module__.partition(".")[0] == "cupy":
        import cupy

        return cupy
    numpy_like = isinstance(array, np.ndarray | np.generic)
    if hasattr(array, "__array_namespace__") and not numpy_like:
        return array.__array_namespace__()
    raise TypeError(
        f"{name} is a {type_name(array)}; expected a NumPy or CuPy array "
        "(np.asarray makes one)"
    )


def type_name(value):
    """Return the full name of a value's type, for an error."""
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return module + kind.__qualname__


def cast(xp, array, dtype):
    """Return the array in another dtype, itself where it has that dtype already."""
    if array.dtype == dtype:
        return array
    return xp.astype(array, dtype) if hasattr(xp, "astype") else array.astype(dtype)


def accumulation_dtype(xp, name, array):
    """Return the dtype to compute in: float32 for narrower floats, else the array's.

    Raises
    ------
    TypeError
        If the array does not hold real floating-point numbers.
    """
    dtype = array.dtype
    if isinstance(dtype, np.dtype):  # NumPy's and CuPy's
        floating = dtype.kind == "f" or dtype.name == "bfloat16"
        narrow = dtype.itemsize < 4
    else:
        floating = xp.isdtype(dtype, "real floating")
        narrow = floating and xp.finfo(dtype).bits < 32
    if not floating:
        raise TypeError(
            f"{name} has dtype {dtype}; expected a floating-point dtype "
            "(float16, bfloat16, float32 or float64)"
        )
    return xp.float32 if narrow else dtype


def check_data(name, array, *, min_ndim, allow_empty=False):
    """Check the number of dimensions of an input, and that it holds something."""
    if array.ndim < min_ndim:
        raise ValueError(
            f"{name} has shape {tuple(array.shape)}; "
            f"expected at least {min_ndim} dimensions"
        )
    if not allow_empty and 0 in array.shape:
        raise ValueError(
            f"{name} is empty (shape {tuple(array.shape)}); "
            "expected at least one value along every axis"
        )


def check_axis(axis, ndim):
    """Return the axis counted from the front."""
    axis = check_integer("axis", axis)
    if not -ndim <= axis < ndim:
        raise ValueError(
            f"axis is {axis}; x has {ndim} dimensions, so expected "
            f"{-ndim} <= axis < {ndim}"
        )
    return axis % ndim


def check_integer(name, value, *, minimum=None):
    """Return an integer argument as an int."""
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; expected an integer") from None
    if minimum is not None and value < minimum:
        raise ValueError(f"{name} is {value}; expected an integer >= {minimum}")
    return value


def check_number(name, value, *, minimum, maximum=math.inf):
    """Return a real argument as a float; maximum may be infinite, NaN never passes."""
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r}; expected a number")
    value = float(value)
    if not minimum <= value <= maximum:
        upper = "" if maximum == math.inf else f" and <= {maximum}"
        raise ValueError(f"{name} is {value}; expected a number >= {minimum}{upper}")
    return value


def check_finite(name, value):
    """Return a real argument as a float, finite and not negative."""
    if isinstance(value, numbers.Real) and math.isinf(value):
        raise ValueError(f"{name} is {value}; expected a finite number >= 0")
    return check_number(name, value, minimum=0.0)


def check_eps(eps):
    """Return eps as a float, finite and not negative."""
    return check_finite("eps", eps)


def check_parameter(xp, name, array, shape, meaning, dtype):
    """Return a parameter in the accumulation dtype, or None if it is None.

    Raises
    ------
    TypeError, ValueError
        If its dtype is not floating, its shape not the expected one, or if it holds
        NaN or infinity.
    """
    if array is None:
        return None
    check_shape(name, array, shape, meaning)
    accumulation_dtype(xp, name, array)
    array = cast(xp, array, dtype)
    if not bool(xp.all(xp.isfinite(array))):
        raise ValueError(
            f"{name} holds NaN, infinity or numbers too large for {array.dtype}; "
            "expected finite numbers"
        )
    return array


def check_shape(name, array, shape, meaning):
    """Check that an array has the shape; `meaning` says where the shape comes from."""
    if tuple(array.shape) != tuple(shape):
        raise ValueError(
            f"{name} has shape {tuple(array.shape)}; expected {tuple(shape)}, {meaning}"
        )


def check_running(xp, running_mean, running_var, channels, dtype):
    """Return running mean and variance in the accumulation dtype."""
    meaning = "one value per channel"
    for name, array in (("running_mean", running_mean), ("running_var", running_var)):
        if array is None:
            raise TypeError(f"{name} is None; expected an array of shape ({channels},)")
    shape = (channels,)
    mean = check_parameter(xp, "running_mean", running_mean, shape, meaning, dtype)
    var = check_parameter(xp, "running_var", running_var, shape, meaning, dtype)
    if bool(xp.any(var < 0)):
        raise ValueError("running_var holds negative values; expected variances >= 0")
    return mean, var


def check_cache(norm, cache, kind):
    """Raise TypeError unless a cache is what the function of this name returns."""
    if not isinstance(cache, kind):
        raise TypeError(
            f"cache is a {type_name(cache)}; expected the cache that bnlib.{norm} "
            "returned"
        )
