"""What a kernel's parameters take, and arrays that are known to be unwritten."""

import numbers
import struct
from dataclasses import dataclass

import numpy as np

from bnlib.emulator._errors import EmulatorError

FLOATS = {2: "float16", 4: "float32", 8: "float64"}
WORDS = {"f": FLOATS, "h": {2: "float16"}, "g": {2: "bfloat16"}, "b": {1: "bool"}}
# A value that no calculation gives stands where nothing was written: NaN with a payload
# of our own, or a large odd integer. Integers of a byte have none to spare.
PATTERN = {
    "float16": 0x7EBD, "bfloat16": 0x7FBD, "float32": 0x7FC0BAD1,
    "float64": 0x7FF8BAD1BAD1BAD1, "int16": 0x3AD1, "uint16": 0xBAD1,
    "int32": 0x3AD1BAD1, "uint32": 0xBAD1BAD1, "int64": 0x3AD1BAD1BAD1BAD1,
    "uint64": 0xBAD1BAD1BAD1BAD1,
}  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """A parameter of a kernel, as the compiler understands it."""

    name: str
    pointer: bool
    constant: bool
    kind: str
    scalar: int
    whole: int

    @property
    def dtype(self):
        """Name of the NumPy dtype of what it points to, or is; None if none."""
        if self.kind in WORDS:
            return WORDS[self.kind].get(self.scalar)
        if self.kind in "iu":
            return f"{'u' if self.kind == 'u' else ''}int{8 * self.scalar}"
        return None


def parameters(signature, names):
    """Return the parameters that a compiled kernel describes."""
    rows = [line.split() for line in signature.splitlines()]
    return [
        Parameter(name, p == "1", c == "1", kind, int(scalar), int(whole))
        for name, (p, c, kind, scalar, whole) in zip(names, rows, strict=True)
    ]


def empty(shape, dtype):
    """Return an array whose entries the emulator knows to be unwritten.

    Like `numpy.empty`, but a kernel that reads an entry before anyone wrote it, or
    returns without having written it, raises `EmulatorError`.

    Parameters
    ----------
    shape : int or tuple of int
    dtype : dtype
        Floating point, or integers of two bytes or more.

    Returns
    -------
    numpy.ndarray
        Every entry is a NaN, or an integer, that calculations do not give.
    """
    array = np.empty(shape, dtype)
    pattern = _pattern(array.dtype)
    if pattern is None:
        raise TypeError(
            f"dtype is {array.dtype}; expected floats, or integers of two bytes or more"
        )
    array.reshape(-1).view(pattern.dtype)[:] = pattern
    return array


def unwritten(array):
    """Return which entries of an array, flattened, nobody wrote since `empty`."""
    pattern = _pattern(array.dtype)
    if pattern is None:
        return np.zeros(array.size, bool)
    return array.reshape(-1).view(pattern.dtype) == pattern


def _pattern(dtype):
    value = PATTERN.get(dtype.name)
    return None if value is None else np.array(value, f"u{dtype.itemsize}")[()]


def pack(parameter, value):
    """Return an argument as machine.cpp reads it: a head, and the bytes of an array.

    Raises
    ------
    EmulatorError
        If the value is not what the parameter takes.
    """
    name = parameter.name
    if parameter.kind == "?":
        raise EmulatorError(
            f"The parameter {name} has a type that the emulator cannot pass: expected "
            "pointers and numbers."
        )
    if not parameter.pointer:
        return _head(0, 0, 0, 0, _scalar(parameter, value)), b""
    if value is None:
        return _head(0, 0, 0, 0, b""), b""
    if not isinstance(value, np.ndarray):
        raise EmulatorError(
            f"{name} is a {type(value).__name__}; the kernel takes a pointer, so "
            "expected a NumPy array, or None for a null pointer."
        )
    _check_array(parameter, value)
    granule = parameter.scalar if parameter.kind != "v" else value.itemsize
    pattern, poisoned = b"", 0
    if unwritten(value).any():
        pattern, poisoned = _pattern(value.dtype).tobytes(), 1
    return _head(value.nbytes, 1, granule, poisoned, pattern), value.tobytes()


def _check_array(parameter, value):
    name, dtype = parameter.name, parameter.dtype
    allowed = {dtype, "uint16"} if dtype == "bfloat16" else {dtype}
    if parameter.kind != "v" and value.dtype.name not in allowed:
        raise EmulatorError(
            f"{name} has dtype {value.dtype}; the kernel's parameter is a pointer to "
            f"{dtype}. On a GPU its bytes would be misread without a word."
        )
    if not value.flags.c_contiguous:
        raise EmulatorError(
            f"{name} is not contiguous (shape {value.shape}, strides {value.strides}); "
            "a kernel sees bytes, not strides. Pass np.ascontiguousarray(...)."
        )
    if not parameter.constant and not value.flags.writeable:
        raise EmulatorError(
            f"{name} is read-only, but the kernel's parameter is not const."
        )


def _scalar(parameter, value):
    name, dtype = parameter.name, parameter.dtype
    if isinstance(value, np.ndarray) and value.ndim:
        raise EmulatorError(
            f"{name} is an array; the kernel takes one {dtype} by value there."
        )
    if isinstance(value, np.generic | np.ndarray):
        if value.dtype.name != dtype:
            raise EmulatorError(
                f"{name} is a {value.dtype}; the kernel takes a {dtype}. Pass "
                f"np.{dtype}(...)."
            )
        return value.tobytes()
    whole = parameter.kind in "iub"
    if not isinstance(value, numbers.Integral if whole else numbers.Real):
        raise EmulatorError(f"{name} is {value!r}; the kernel takes a {dtype}.")
    if dtype == "bfloat16":
        bits = struct.unpack("<I", struct.pack("<f", value))[0]
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).to_bytes(2, "little")
    try:
        return np.array(value, dtype).tobytes()
    except OverflowError:
        raise EmulatorError(f"{name} is {value}, too large for {dtype}.") from None


def _head(size, is_array, granule, poisoned, value):
    return struct.pack("<Q4I16s", size, is_array, granule, poisoned, 0, value)
