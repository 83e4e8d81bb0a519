"""What a student's process holds, as if it were here.

A function can be called, an object has attributes and methods; arrays and numbers come
back as plain values. An array that the student's code changes in place changes here as
well. An exception comes back as one of the same built-in kind, with the student's own
lines in its traceback.

But: no operators, no iteration, no length: a test gets those from plain values.
"""

import builtins
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from grading.isolation.inside.wire import Decoder, Encoder, WireError
from grading.isolation.session import Session
from grading.text import clean

BATCH_BYTES = 1 << 18  # of what an iterator of ours gives at a time
BATCH_VALUES = 64
MAX_RECEIVED = 64 << 20  # bytes that one test cell takes in
SAMPLE = 1 << 21  # bytes of these between two looks at the memory in use
SETTLING = 2 << 20  # bytes that a process needs to get going, and for fragments


class Object:
    """An object in the student's process, with the name of its class there."""

    def __init__(self, calls: "Calls", number: int):
        self.__dict__["_calls"], self.__dict__["_number"] = calls, number

    def __call__(self, *args, **kwargs):
        """Call it there."""
        return self._calls.call(self._number, args, kwargs)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self._calls.get(self._number, name)

    def __setattr__(self, name, value):
        self._calls.set(self._number, name, value)

    def __repr__(self):
        return f"<{type(self).__name__}>"

    def measure_memory(self, *args, **kwargs):
        """Call it; return the result and how much memory the call took, in bytes.

        Measured from outside whenever the call asks for more of an iterator's values.
        """
        return self._calls.measure(lambda: self(*args, **kwargs))

    def beside(self, source: str, name: str):
        """Return a function of a text of ours, which runs where this object is."""
        return self._calls.load(source, name)


class Calls:
    """Calls into a copy of the student's process, for one test cell.

    Parameters
    ----------
    session : Session
        Its process answers calls now.
    deadline : float
        When all of them have to be done, in `time.monotonic`'s seconds.
    is_cell : callable
        ``is_cell(filename)`` says whether this is the file name of a student's cell.
    """

    def __init__(self, session: Session, deadline: float, is_cell: Callable):
        self._session, self._deadline, self._is_cell = session, deadline, is_cell
        self._mine: list = []
        self._received = 0
        self._samples: list[int] | None = None

    def name(self, name: str):
        """Return what has this name in the student's notebook."""
        return self._do({"do": "name", "name": name})

    def load(self, source: str, name: str):
        """Return what has this name in a text that is run there, for itself."""
        return self._do({"do": "load", "source": source, "name": name})

    def call(self, number: int, args: tuple, kwargs: dict):
        """Call an object."""
        return self._do({"do": "call", "object": number}, args, kwargs)

    def get(self, number: int, name: str):
        """Return an attribute."""
        return self._do({"do": "get", "object": number, "name": name})

    def set(self, number: int, name: str, value) -> None:
        """Set an attribute."""
        self._do({"do": "set", "object": number, "name": name}, (value,), {})

    def measure(self, call: Callable):
        """Return the result of a call and the most memory that it added."""
        self._samples, self._served = [self._session.memory()], 0
        try:
            result = call()
            return result, max(self._samples) - self._samples[0] - SETTLING
        finally:
            self._samples = None

    def _do(self, message: dict, args: tuple = (), kwargs: dict | None = None):
        encoder = Encoder(self._handle)
        message["args"] = encoder.encode(args)
        message["kwargs"] = encoder.encode(kwargs or {})
        self._session.send(message, encoder.chunks, deadline=self._deadline)
        try:
            while True:
                reply, data = self._session.receive(self._deadline)
                self._received += len(data)
                if self._received > MAX_RECEIVED:
                    raise WireError(f"more than {MAX_RECEIVED >> 20} MB of results")
                if reply.get("re") == "joined":
                    raise self._session.death(reply["code"])
                if reply.get("re") != "ask":
                    return self._result(reply, data, encoder.arrays)
                self._answer(reply, data)
        except Exception as error:
            if getattr(error, "of_student", False):
                raise
            raise self._session.nonsense(error) from None

    def _result(self, reply: dict, data: bytes, arrays: list):
        decoder = self._decoder(data)
        if reply["re"] == "error":
            raise self._exception(reply)
        value = decoder.decode(reply["value"])
        for number, form in reply["changed"]:
            changed, mine = decoder.decode(form), arrays[number]
            if changed.shape == mine.shape and changed.dtype == mine.dtype:
                if mine.flags.writeable:
                    mine[...] = changed
        return value

    def _answer(self, request: dict, data: bytes) -> None:
        """Use an object of ours for the student's code."""
        decoder = self._decoder(data)
        mine = self._mine[request["object"]]
        args = decoder.decode(request["args"])
        kwargs = decoder.decode(request["kwargs"])
        encoder = Encoder(self._handle)
        try:
            with np.errstate(all="ignore"):
                more = request["do"] == "next"
                value = self._batch(mine) if more else mine(*args, **kwargs)
            reply = {"do": "return", "value": encoder.encode(value)}
        except Exception as error:
            encoder = Encoder(self._handle)
            told = [type(error).__name__, str(error)[:1000]]
            reply = {"do": "raise", "value": encoder.encode(told)}
        self._session.send(reply, encoder.chunks, deadline=self._deadline)

    def _batch(self, iterator: Iterator):
        """Return the iterator's next values, and whether there may be more."""
        values, size = [], 0
        for value in islice(iterator, BATCH_VALUES):
            values.append(value)
            size += getattr(value, "nbytes", 0)
            if size >= BATCH_BYTES:
                break
        if self._samples is not None:
            self._served += size
            if self._served >= SAMPLE or not values:
                self._samples.append(self._session.memory())
                self._served = 0
        # Arrays of one kind travel as one: thousands would take their time.
        kinds = {(getattr(v, "dtype", None), np.shape(v)) for v in values}
        if len(kinds) == 1 and isinstance(values[0], np.ndarray):
            values = np.stack(values)
        return values, len(values) > 0

    def _handle(self, encoder: Encoder, value):
        if isinstance(value, Object):
            return ["o", value._number]
        if not callable(value) and not isinstance(value, Iterator):
            name = type(value).__name__
            raise TypeError(f"a {name} cannot be passed to a student's function")
        self._mine.append(value)
        return ["h", len(self._mine) - 1, "function", isinstance(value, Iterator)]

    def _decoder(self, data: bytes) -> Decoder:
        def remote(number, name, iterable):
            return type(name, (Object,), {})(self, number)

        return Decoder(data, remote, self._mine.__getitem__)

    def _exception(self, reply: dict) -> Exception:
        """Return an exception of the nearest built-in kind."""
        names = [name for name in reply["kinds"] if isinstance(name, str)]
        kinds = (getattr(builtins, name, None) for name in names)
        kind = next((k for k in kinds if _is_exception(k)), Exception)
        first = names[0] if names and clean(names[0]).isidentifier() else kind.__name__
        if first != kind.__name__:
            kind = type(first[:60], (Exception,), {})
        error = _make(kind, clean(str(reply["text"]))[:2000])
        error.of_student = True
        for place in reversed(reply["places"][-5:]):
            filename, line, function = place
            if self._is_cell(filename) and type(line) is int and 0 < line < 10**6:
                error = error.with_traceback(_frame(filename, line, function, error))
        return error


def _is_exception(kind) -> bool:
    return isinstance(kind, type) and issubclass(kind, Exception)


def _make(kind: type[Exception], text: str) -> Exception:
    try:
        return kind(text)
    except TypeError:  # a UnicodeDecodeError wants more
        return Exception(text)


def _frame(filename: str, line: int, function: str, error: Exception):
    """Return a traceback with one more frame, of the student's cell, in front."""
    inner = error.__traceback__
    name = function if isinstance(function, str) and function.isidentifier() else "cell"
    code = compile("raise error", filename, "exec")
    code = code.replace(co_name=name, co_firstlineno=line)
    try:
        exec(code, {"error": error.with_traceback(None)})
    except Exception as raised:
        frame = raised.__traceback__.tb_next
        return type(frame)(inner, frame.tb_frame, frame.tb_lasti, line)
