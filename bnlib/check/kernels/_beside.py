"""What is done with a learner's function where that function is.

The grader sends this text into the sandbox that holds it, so it uses nothing of ours.
A learner who bends tracemalloc or NumPy to their will can deceive it, and nobody else.

But: no inputs and no judgement here.
"""

import tracemalloc

import numpy as np


def traced(function, *arguments):
    """Return what a function returns, and the most bytes in use during the call."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = function(*arguments)
        return result, tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def plainly(function, *arguments, **options):
    """Call a function with NumPy's namespace in front."""
    return function(np, *arguments, **options)


def on_gpu(function, *arguments, **options):
    """Call a function with CuPy's namespace and arrays; return NumPy's."""
    import cupy

    result = function(cupy, *map(cupy.asarray, arguments), **options)
    if isinstance(result, tuple):
        return tuple(map(cupy.asnumpy, result))
    return cupy.asnumpy(result)


def strictly(function, *arguments, **options):
    """Call a function with arrays that take no function but of their own namespace."""
    result = function(Namespace(), *map(Strict, arguments), **options)
    if not isinstance(result, tuple):
        result = (result,)
    for value in result:
        if isinstance(value, np.ndarray):
            raise TypeError("NumPy's array is returned where xp's array went in.")
    return tuple(map(_plain, result))


class Strict:
    """An array that lies where NumPy cannot reach it, as one on a GPU does."""

    def __init__(self, array):
        self._array = array

    shape = property(lambda self: self._array.shape)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    dtype = property(lambda self: self._array.dtype)
    T = property(lambda self: Strict(self._array.T))

    def __array_ufunc__(self, function, _, *inputs, **__):
        _refuse(inputs, "An operator")
        raise TypeError(
            f"np.{function.__name__} meets an array that is not NumPy's. Use xp's "
            "functions, and plain Python numbers."
        )

    def __array_function__(self, function, *_):
        raise TypeError(
            f"np.{function.__name__} is given an array that is not NumPy's: write "
            f"xp.{function.__name__}."
        )

    def __array__(self, *_, **__):
        raise TypeError(
            "The array is turned into NumPy's without a word, as by np.asarray or a "
            "NumPy function. From a GPU that would be a copy, so CuPy refuses."
        )

    def __iter__(self):
        raise TypeError("The array is looped over: on a GPU, each step is a launch.")

    def __len__(self):
        return len(self._array)

    def __getitem__(self, key):
        return _wrap(self._array[_plain(key)])

    def __setitem__(self, key, value):
        _refuse(value, "an assignment")
        self._array[_plain(key)] = _plain(value)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return _wrapped(getattr(self._array, name), f".{name}")


class Namespace:
    """NumPy's functions, for `Strict` arrays and for no others."""

    def __getattr__(self, name):
        value = getattr(np, name)
        if isinstance(value, type) or not callable(value):
            return value
        return _wrapped(value, f"xp.{name}")


def _wrapped(function, name):
    def call(*arguments, **options):
        _refuse((arguments, tuple(options.values())), name)
        options = {key: _plain(value) for key, value in options.items()}
        return _wrap(function(*map(_plain, arguments), **options))

    return call


def _refuse(value, where):
    if isinstance(value, tuple | list):
        for part in value:
            _refuse(part, where)
    if isinstance(value, np.ndarray):
        raise TypeError(
            f"{where} is given one of NumPy's arrays, made by a function of np's. Make "
            "it with xp's."
        )


def _plain(value):
    if isinstance(value, tuple | list):
        return type(value)(map(_plain, value))
    return value._array if isinstance(value, Strict) else value


def _wrap(value):
    if isinstance(value, tuple | list):
        return type(value)(map(_wrap, value))
    return Strict(value) if isinstance(value, np.ndarray | np.generic) else value


def _operator(name):
    def operate(self, *others):
        for other in others:
            _refuse(other, "An operator")
        return _wrap(getattr(self._array, name)(*map(_plain, others)))

    def in_place(self, other):
        _refuse(other, "An operator")
        getattr(self._array, name)(_plain(other))
        return self

    return in_place if name.startswith("__i") else operate


for _name in "add sub mul truediv pow".split():
    for _kind in ("", "r", "i"):
        setattr(Strict, f"__{_kind}{_name}__", _operator(f"__{_kind}{_name}__"))
for _name in "neg abs lt le gt ge eq ne".split():
    setattr(Strict, f"__{_name}__", _operator(f"__{_name}__"))
