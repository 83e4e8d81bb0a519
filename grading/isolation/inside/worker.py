"""The process in which a student's code runs, inside the sandbox.

The grader tells it on standard input which cells to run. For each test cell it forks
a copy of itself, in which the grader calls the student's functions. Answers go to
standard output. All that it says is hearsay to the grader: student code runs here and
may do with this process what it likes.

But: no tests here, no expected values, no judgement.
"""

import ast
import builtins
import ctypes
import json
import linecache
import os
import resource
import signal
import sys
import threading
import traceback
import types
import warnings

import numpy as np
import placeholders
from remains import Remains
from wire import HEADER, Decoder, Encoder, pack, unpack, unpack_lengths

PR_SET_DUMPABLE = 4


class Channel:
    """The way to the grader. Standard input and output become empty for all others."""

    def __init__(self):
        self._in, self._out = os.dup(0), os.dup(1)
        self.lock = threading.RLock()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)

    def send(self, message, chunks=()):
        data = memoryview(pack(message, chunks))
        while data:
            data = data[os.write(self._out, data) :]

    def receive(self):
        text, size = unpack_lengths(self._read(HEADER.size))
        return unpack(self._read(text)), self._read(size)

    def clear(self):
        """Forget what a student's process has left in it."""
        os.set_blocking(self._in, False)
        try:
            while os.read(self._in, 1 << 20):
                pass
        except BlockingIOError:
            pass
        os.set_blocking(self._in, True)
        os.set_blocking(self._out, True)

    def _read(self, size):
        parts = []
        while size:
            part = os.read(self._in, min(size, 1 << 20))
            if not part:
                os._exit(0)  # the grader is gone
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


class Output:
    """A text stream that keeps its beginning and counts the rest."""

    encoding = "utf-8"
    errors = "replace"
    closed = False

    def __init__(self, limit):
        self._left, self._kept, self.lost = limit, [], 0

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        kept = text[: self._left]
        if kept:
            self._kept.append(kept)
            self._left -= len(kept)
        self.lost += len(text) - len(kept)
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        """Nothing is held back."""

    def isatty(self):
        return False

    def text(self):
        return "".join(self._kept)


class Remote:
    """An object of the grader's, such as a function to differentiate."""

    def __init__(self, calls, number):
        self._calls, self._number = calls, number

    def __call__(self, *args, **kwargs):
        return self._calls.ask("call", self._number, args, kwargs)


class RemoteIterator(Remote):
    """An iterator of the grader's; several values come at a time."""

    def __init__(self, calls, number):
        super().__init__(calls, number)
        self._ready, self._more = [], True

    def __iter__(self):
        return self

    def __next__(self):
        if not self._ready and self._more:
            values, self._more = self._calls.ask("next", self._number, (), {})
            if isinstance(values, np.ndarray):
                values.flags.writeable = False  # a change would go unnoticed
            self._ready = list(values)[::-1]
        if not self._ready:
            raise StopIteration
        return self._ready.pop()


class Calls:
    """Carries out the grader's calls of the student's functions and objects."""

    def __init__(self, channel, space):
        self._channel, self._space = channel, space
        self._objects = {}

    def serve(self):
        """Answer until the grader has no more."""
        while True:
            message, data = self._channel.receive()
            if message["do"] == "end":
                return
            encoder = Encoder(self._handle)
            try:
                value, arrays, before = self._perform(message, data)
                reply = {"re": "value", "value": encoder.encode(value)}
                reply["changed"] = [
                    [k, encoder.encode(array)]
                    for k, array in enumerate(arrays)
                    if array.tobytes() != before[k]
                ]
                self._channel.send(reply, encoder.chunks)
            except BaseException as error:
                self._channel.send({"re": "error", **describe(error)})

    def _perform(self, message, data):
        do, name = message["do"], message.get("name")
        if do == "name":
            if name not in self._space:
                raise NameError(f"name {name!r} is not defined")
            return self._space[name], [], []
        if do == "load":
            space = {"__name__": "beside"}
            exec(compile(message["source"], "<beside>", "exec"), space)
            return space[name], [], []
        target = self._objects[message["object"]]
        if do == "get":
            return getattr(target, name), [], []
        decoder = self._decoder(data)
        args = decoder.decode(message["args"])
        kwargs = decoder.decode(message["kwargs"])
        before = [array.tobytes() for array in decoder.arrays]
        if do == "set":
            setattr(target, name, args[0])
            return None, [], []
        # What NumPy would warn of is no concern of a grader's.
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return target(*args, **kwargs), decoder.arrays, before

    def ask(self, do, number, args, kwargs):
        """Have the grader use its own object."""
        with self._channel.lock:
            encoder = Encoder(self._handle)
            message = {"re": "ask", "do": do, "object": number}
            message["args"] = encoder.encode(args)
            message["kwargs"] = encoder.encode(kwargs)
            self._channel.send(message, encoder.chunks)
            message, data = self._channel.receive()
        value = self._decoder(data).decode(message["value"])
        if message["do"] == "raise":
            kind = getattr(builtins, value[0], Exception)
            raise (kind if issubclass(kind, Exception) else Exception)(value[1])
        return value

    def _decoder(self, data):
        def remote(number, name, iterable):
            return (RemoteIterator if iterable else Remote)(self, number)

        return Decoder(data, remote, self._objects.__getitem__)

    def _handle(self, encoder, value):
        if isinstance(value, Remote):
            return ["o", value._number]
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
            return encoder.encode(np.array(value, subok=False))
        if hasattr(value, "detach") and hasattr(value, "numpy"):  # a torch tensor
            return encoder.encode(np.array(value.detach().cpu().numpy()))
        number = len(self._objects)
        self._objects[number] = value
        return ["h", number, type(value).__name__, False]


def describe(error):
    """Return what the grader is to know of an exception."""
    try:
        text = str(error)
    except BaseException:
        text = ""
    frames = traceback.extract_tb(error.__traceback__)
    places = [
        [frame.filename, frame.lineno, frame.name]
        for frame in frames
        if frame.filename.startswith("<cell ")
    ]
    if isinstance(error, SyntaxError) and str(error.filename).startswith("<cell "):
        places.append([error.filename, error.lineno or 1, "<module>"])
    kinds = [kind.__name__ for kind in type(error).__mro__]
    text = text[:5000].encode("utf-8", "replace").decode()
    return {"kinds": kinds[:20], "text": text, "places": places[-5:]}


class Shell:
    """What is left of IPython: magics do nothing, or just run their cell."""

    def __init__(self, space):
        self._space = space

    def run_line_magic(self, name, line, *_):
        if name in ("time", "timeit"):
            exec(line, self._space)

    def run_cell_magic(self, name, line, cell):
        if name in ("time", "timeit", "capture"):
            exec(cell, self._space)

    def system(self, command):
        print("(shell commands do not run in grading)")

    getoutput = system

    def __getattr__(self, name):
        return placeholders.Nothing()


class Notebook:
    """The student's cells, one after the other in one namespace."""

    def __init__(self, channel, limit):
        self._channel, self._limit = channel, limit
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        self.space = module.__dict__
        shell = Shell(self.space)
        self.space["get_ipython"] = lambda: shell
        self.space["display"] = lambda *values, **_: print(*map(repr, values))

    def run(self, name, source):
        """Run a cell; return its output and its exception, if any."""
        filename = f"<cell {name}>"
        lines = source.splitlines(keepends=True)
        linecache.cache[filename] = (len(source), None, lines, filename)
        error = None
        with self._captured() as (out, err):
            try:
                tree = ast.parse(source, filename)
                last = tree.body.pop() if _ends_in_expression(tree) else None
                exec(compile(tree, filename, "exec"), self.space)
                if last is not None:
                    last = ast.Expression(last.value)
                    value = eval(compile(last, filename, "eval"), self.space)
                    if value is not None:
                        print(repr(value))
            except BaseException as raised:
                error = describe(raised)
        return {"re": "ran", "out": out.text(), "err": err.text(), "error": error} | {
            "lost": out.lost + err.lost
        }

    def fork(self):
        """Let a copy of this process answer calls, until the grader has no more."""
        child = os.fork()
        if child == 0:
            try:
                with self._captured():
                    Calls(self._channel, self.space).serve()
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        return {"re": "joined", "code": os.waitstatus_to_exitcode(status)}

    def _captured(self):
        return Captured(Output(self._limit), Output(self._limit))


def _ends_in_expression(tree):
    return bool(tree.body) and isinstance(tree.body[-1], ast.Expr)


class Captured:
    """Standard output and error of Python code, kept apart."""

    def __init__(self, out, err):
        self._streams = out, err

    def __enter__(self):
        sys.stdout, sys.stderr = self._streams
        return self._streams

    def __exit__(self, *_):
        sys.stdout, sys.stderr = self._streams  # whatever the cell put there


def confine(settings, uid):
    """Limit this process for good; as root, become nobody in particular first."""
    if settings["reused"]:
        import sandlock

        # Out of reach: the process that it was forked from, which others will be too.
        readable = [os.environ["PYTHONHOME"], "/dev/null", "/dev/urandom"]
        writable = [os.environ["HOME"], "/dev/null"]
        policy = {"fs_readable": readable, "fs_writable": writable}
        sandlock.confine(sandlock.Sandbox(**policy))
    for name, value in settings["rlimits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1)  # the grader measures memory


def work(channel, settings, uid):
    """Run one student's cells until the grader has no more."""
    confine(settings, uid)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    notebook = Notebook(channel, settings["output"])
    channel.send({"re": "ready"})
    while (message := channel.receive()[0])["do"] != "finish":
        if message["do"] == "run":
            channel.send(notebook.run(message["name"], message["source"]))
        else:
            channel.send(notebook.fork())


def main():
    """Import what takes time once; then fork a process for each student."""
    settings = json.loads(sys.argv[1])
    private = os.dup(2)  # to the grader; the forked processes do not have it
    channel = Channel()
    for name in settings["imports"]:
        __import__(name)
    sys.meta_path.append(placeholders.Finder(settings["placeholders"]))
    remains = Remains() if settings["reused"] else None
    os.write(private, b"+")
    while True:
        message, _ = channel.receive()
        child = os.fork()
        if child == 0:
            try:
                os.close(private)
                work(channel, settings, message["uid"])
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        if settings["reused"] and status == 0 and remains.nothing():
            channel.clear()
            os.write(private, b"+")
        else:
            os.write(private, b"%d" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
