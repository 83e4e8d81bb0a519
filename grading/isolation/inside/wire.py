"""Values as JSON and raw bytes, between the grader and a student's process.

Both sides use this file. Neither trusts the other: a message is plain data, never code,
and decoding raises `WireError` for anything that is not exactly as described.

A message is a dictionary. Its frame is two lengths (of the JSON text and of the bytes
after it), the JSON text and the bytes. In it a value is a list that begins with a tag:

===================================  ==================================================
``["v", x]``                         None, a bool, an int, a float or a string
``["c", re, im]``                    a complex number
``["l" | "t", [...]]``               a list, a tuple
``["d", [[key, value], ...]]``       a dictionary
``["a", dtype, shape, axes, gaps,``  a NumPy array: its axes from the longest stride to
``writeable, number, size]``         the shortest, whether there are gaps between its
                                     entries, its number in the message
``["g", dtype, size]``               a NumPy scalar
``["y", dtype]``                     a NumPy dtype, or the type of its scalars
``["h", id, class, iterable]``       an object that stays with the sender
``["o", id]``                        an object that the receiver owns
===================================  ==================================================

Arrays and scalars have their bytes after the JSON, in the order in which they occur.
"""

import json
import struct

import numpy as np

HEADER = struct.Struct("<II")
MAX_TEXT = 4 << 20  # bytes of JSON in a frame
MAX_BYTES = 64 << 20  # bytes of arrays in a frame
MAX_DEPTH = 20
MAX_VALUES = 50_000
MAX_OBJECTS = 1000
KINDS = "biufc"
TAGS = frozenset("vcltdagyho")


class WireError(Exception):
    """A message that is not as agreed, or a value that does not fit into one."""


class Encoder:
    """Turns values into JSON and bytes.

    Parameters
    ----------
    handle : callable
        ``handle(encoder, value)`` is called with an object that has no plain form and
        returns what stands for it, a form with the tag "h" or "o", or that of another
        value.
    """

    def __init__(self, handle):
        self.arrays = []
        self.chunks = []
        self._handle = handle
        self._values = 0
        self._bytes = 0
        self._seen = {}

    def encode(self, value, depth=0):
        """Return the JSON form of a value."""
        self._values += 1
        if depth > MAX_DEPTH or self._values > MAX_VALUES:
            raise WireError("the value is nested too deeply or has too many parts")
        kind = type(value)
        if isinstance(value, np.generic) and value.dtype.kind in KINDS:
            return ["g", value.dtype.str, self._append(value.tobytes())]
        if value is None or kind is bool:
            return ["v", value]
        if isinstance(value, float):
            return ["v", float(value)]
        if isinstance(value, int):
            if value.bit_length() > 10_000:
                raise WireError("the integer has too many digits")
            return ["v", int(value)]
        if isinstance(value, str):
            if len(value) > MAX_TEXT // 8:
                raise WireError("the string is too long")
            return ["v", value.encode("utf-8", "replace").decode()]
        if isinstance(value, complex):
            return ["c", value.real, value.imag]
        if isinstance(value, list | tuple):  # a namedtuple as well
            tag = "l" if isinstance(value, list) else "t"
            return [tag, [self.encode(part, depth + 1) for part in value]]
        if isinstance(value, dict):
            pairs = [
                [self.encode(part, depth + 1) for part in pair]
                for pair in value.items()
            ]
            return ["d", pairs]
        if kind is np.ndarray and value.dtype.kind in KINDS:
            return self._array(value)
        if kind is np.dtype and value.kind in KINDS:
            return ["y", value.str]
        if kind is type and issubclass(value, np.generic):
            return ["y", np.dtype(value).str]
        return self._handle(self, value)

    def _array(self, array):
        if array.nbytes > MAX_BYTES:
            raise WireError(f"the array has {array.nbytes >> 20} MB")
        if array.size and id(array) in self._seen:
            return self._seen[id(array)]
        axes = sorted(range(array.ndim), key=lambda a: -abs(array.strides[a]))
        moved = array.transpose(axes)
        gaps = not moved.flags.c_contiguous
        data = np.ascontiguousarray(moved).tobytes()
        form = ["a", array.dtype.str, list(array.shape), axes, gaps]
        form += [array.flags.writeable, len(self.arrays), self._append(data)]
        self.arrays.append(array)
        self._seen[id(array)] = [*form[:-1], 0]
        return form

    def _append(self, data):
        self._bytes += len(data)
        if self._bytes > MAX_BYTES:
            raise WireError(f"more than {MAX_BYTES >> 20} MB at once")
        self.chunks.append(data)
        return len(data)


class Decoder:
    """Turns JSON and bytes into values again.

    Parameters
    ----------
    data : bytes
        The bytes after the JSON.
    remote : callable
        ``remote(id, class_name, iterable)`` returns what stands for the sender's
        object.
    own : callable
        ``own(id)`` returns the object that the receiver once sent.
    """

    def __init__(self, data, remote, own):
        self.arrays = []
        self._data = data
        self._at = 0
        self._values = self._objects = 0
        self._remote = remote
        self._own = own

    def decode(self, form, depth=0):
        """Return the value; raise WireError if the form is not one."""
        self._values += 1
        if depth > MAX_DEPTH or self._values > MAX_VALUES:
            raise WireError("nested too deeply, or too many parts")
        try:
            tag, *rest = _listed(form)
            if tag not in TAGS:
                raise WireError("not a tag")
            return getattr(self, f"_{tag}")(depth + 1, *rest)
        except (TypeError, ValueError, KeyError, IndexError) as error:
            raise WireError(f"not a value: {type(error).__name__}") from None

    def _v(self, depth, value):
        if value is not None and type(value) not in (bool, int, float, str):
            raise WireError("not a plain value")
        if type(value) is str:
            return value.encode("utf-8", "replace").decode()  # no half characters
        return value

    def _c(self, depth, real, imag):
        return complex(float(real), float(imag))

    def _l(self, depth, parts):
        return [self.decode(part, depth) for part in _listed(parts)]

    def _t(self, depth, parts):
        return tuple(self._l(depth, parts))

    def _d(self, depth, pairs):
        result = {}
        for key, value in _listed(pairs):
            result[self.decode(key, depth)] = self.decode(value, depth)
        return result

    def _a(self, depth, dtype, shape, axes, gaps, writeable, number, size):
        if number < len(self.arrays) and size == 0:
            return self.arrays[number]
        dtype, shape = _dtype(dtype), tuple(map(_length, _listed(shape)))
        if len(shape) > 32 or sorted(_listed(axes)) != list(range(len(shape))):
            raise WireError("not the axes of an array")
        count = 1
        for length in shape:
            count *= length
        if count * dtype.itemsize != size:
            raise WireError("an array whose bytes do not fit its shape")
        moved = tuple(shape[a] for a in axes)
        array = np.frombuffer(self._take(size), dtype).reshape(moved)
        if gaps and array.ndim and array.size:
            wide = np.zeros((*moved[:-1], 2 * moved[-1]), dtype)
            wide[..., ::2] = array
            array = wide[..., ::2]
        else:
            array = array.copy()
        array = array.transpose(np.argsort(axes)) if axes else array
        array.flags.writeable = bool(writeable)
        self.arrays.append(array)
        return array

    def _g(self, depth, dtype, size):
        dtype = _dtype(dtype)
        if size != dtype.itemsize:
            raise WireError("a scalar of the wrong size")
        return np.frombuffer(self._take(size), dtype)[0]

    def _y(self, depth, dtype):
        return _dtype(dtype)

    def _h(self, depth, number, name, iterable):
        if type(name) is not str or not name.isidentifier():
            name = "object"
        self._objects += 1
        if self._objects > MAX_OBJECTS:
            raise WireError("too many objects")
        return self._remote(_length(number), name[:60], bool(iterable))

    def _o(self, depth, number):
        return self._own(_length(number))

    def _take(self, size):
        data = self._data[self._at : self._at + _length(size)]
        if len(data) != size:
            raise WireError("bytes are missing")
        self._at += size
        return data


def _listed(value):
    if type(value) is not list:
        raise WireError("not a list")
    return value


def _length(value):
    if type(value) is not int or not 0 <= value < 2**40:
        raise WireError("not a length")
    return value


def _dtype(name):
    if type(name) is not str or len(name) > 8:
        raise WireError("not a dtype")
    dtype = np.dtype(name)
    if dtype.kind not in KINDS or dtype.itemsize > 32:
        raise WireError("not the dtype of a number")
    return dtype


def pack(message, chunks=()):
    """Return the frame of a message and its arrays' bytes."""
    text = json.dumps(message).encode()
    size = sum(map(len, chunks))
    if len(text) > MAX_TEXT or size > MAX_BYTES:
        raise WireError("the message is too long")
    return b"".join([HEADER.pack(len(text), size), text, *chunks])


def unpack_lengths(header):
    """Return the two lengths of a frame; raise WireError if they are too large."""
    text, size = HEADER.unpack(header)
    if text > MAX_TEXT or size > MAX_BYTES:
        raise WireError("the message is too long")
    return text, size


def unpack(text):
    """Return the message of a frame's JSON text."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise WireError("not JSON") from None
    if type(message) is not dict:
        raise WireError("not a message")
    return message
