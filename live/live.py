"""Runs cells in the reader's browser: what they print, their value, what went wrong.

A page's worker loads this into Pyodide. Nothing in here needs a browser.

But: no drawing. An array's picture is a few numbers, which the page draws.
"""

import ast
import io
import json
import linecache
import traceback
from contextlib import redirect_stderr, redirect_stdout

import numpy as np

LIMIT = 20_000  # characters that one run of a cell shows: a page cannot hold them all
POINTS = 600  # of a line that is drawn
SIDE = 120  # of a picture, in entries


class Printed(io.TextIOBase):
    """Hands on what a cell prints, line by line, until it is too much."""

    def __init__(self, show):
        self.show, self.waiting, self.room = show, "", LIMIT

    def write(self, text):
        """Hand on whole lines; keep the rest."""
        self.waiting += text[: self.room]
        self.room -= len(text)
        if self.room < 0 <= self.room + len(text):
            self.waiting += "\n... and more, which is not shown\n"
        whole, end, rest = self.waiting.rpartition("\n")
        if end:
            self.waiting = whole + end
            self.flush()
            self.waiting = rest
        return len(text)

    def flush(self):
        """Hand on what is kept."""
        if self.waiting:
            self.show(kind="text", text=self.waiting)
        self.waiting = ""


class Session:
    """The names that a page's cells share, as those of a notebook do.

    Parameters
    ----------
    send : callable
        Gets each thing to show, as JSON: ``{"kind": "text" or "error", "text": ...}``,
        or a `drawing`.
    """

    def __init__(self, send):
        self.names = {"__name__": "__main__"}
        self.send = send

    def show(self, **what):
        """Send one thing to show."""
        self.send(json.dumps(what, allow_nan=False))

    def run(self, source, place):
        """Run a cell, and show its last expression's value.

        Parameters
        ----------
        source : str
            Python.
        place : str
            What an error calls the cell: "cell 3".

        Returns
        -------
        bool
            Whether it ended without an error.
        """
        file = f"<{place}>"
        # The source of what is defined here can be read, by tracebacks and checks.
        linecache.cache[file] = len(source), None, source.splitlines(True), file
        printed = Printed(self.show)
        with redirect_stdout(printed), redirect_stderr(printed):
            try:
                value = self._value(source, file)
                if value is not None:
                    printed.write(f"{value!r}\n")
                printed.flush()
                if picture := drawing(value):
                    self.show(**picture)
            except BaseException as error:
                printed.flush()
                self.show(kind="error", text=told(error)[:LIMIT])
                return False
        return True

    def _value(self, source, file):
        tree = ast.parse(source, file)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = ast.Expression(tree.body.pop().value)
        exec(compile(tree, file, "exec"), self.names)
        return last and eval(compile(last, file, "eval"), self.names)


def told(error):
    """Return an error in words: where in the reader's own cells, and what."""
    if hasattr(error, "_render_traceback_"):  # a check's message stands for itself
        return "\n".join(error._render_traceback_())
    if isinstance(error, KeyboardInterrupt):
        return "Stopped. What the cells before it defined is still there."
    lines = []
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith("<cell "):
            where = f"{frame.filename[1:-1]}, line {frame.lineno}"
            inside = "" if frame.name == "<module>" else f", in {frame.name}"
            lines.append(f"{where}{inside}:\n    {frame.line}")
    if len(lines) > 6:  # recursion
        lines[3:-3] = [f"... {len(lines) - 6} more ..."]
    return "\n".join([*lines, "".join(traceback.format_exception_only(error)).strip()])


def drawing(value):
    """Return what the page needs to draw an array; None for any other value.

    A line of values has one axis, a picture two, of at least two entries each. Of a
    large array some entries are left out.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        return None
    if value.ndim not in (1, 2) or min(value.shape) < 2:
        return None
    values = value.astype(float)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    most = POINTS if values.ndim == 1 else SIDE
    thin = values[tuple(slice(None, None, -(-n // most)) for n in values.shape)]
    return {
        "kind": "line" if value.ndim == 1 else "picture",
        "shape": list(value.shape),
        "low": finite.min(),
        "high": finite.max(),
        "values": np.where(np.isfinite(thin), thin, None).tolist(),
    }
