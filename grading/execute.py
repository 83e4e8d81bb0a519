"""Run a rebuilt notebook: the student's cells in a sandbox, the tests here.

A test cell runs in this process, on plain arrays; a name that it does not define is the
student's, and stands for something in the sandbox. The outputs are written as nbgrader
expects them, so that it takes the points from there.

- A student's cell runs in the sandbox only.
- A read-only cell runs there, and here as well, for tests use what it imports; here it
  has no access to the student's names.
- A test cell runs here only, with a fresh copy of the student's process to call.
"""

import ast
import builtins
import contextlib
import io
import linecache
import math
import os
import re
import time
import traceback
import warnings
from collections.abc import Callable

import nbformat
from nbformat import NotebookNode

from bnlib.check.kernels import launched_by
from grading.isolation.session import Interruption, NotStarted
from grading.isolation.student import Ran, Student
from grading.isolation.workshop import Workshop
from grading.notebooks import MARKERS, grade_id, is_graded, is_hole
from grading.records import Cell
from grading.text import clean

OUTPUT = 500_000  # characters of all cells' output that are kept
MESSAGE = 6000  # characters of a message that are kept
MAGIC = re.compile(r"^\s*(?:[^#'\"\n]*=\s*)?[%!?]|\?\s*$", re.MULTILINE)
SECRET = "BNLIB_CHECK_SECRET"  # read by bnlib.check.hidden_seeds


class NotDefined(NameError):
    """The student's notebook does not define a name that a test needs."""


class Space(dict):
    """The names of the tests; names that are missing are the student's."""

    def __init__(self):
        super().__init__(__name__="__main__")
        self.lookup: Callable | None = None

    def __missing__(self, name):
        if hasattr(builtins, name) or self.lookup is None:
            raise KeyError(name)
        return self.lookup(name)


def execute(notebook: NotebookNode, student: Student, secret: str = "") -> list[Cell]:
    """Run a notebook, write the outputs into it, and return what its tests found.

    Parameters
    ----------
    notebook : NotebookNode
        What `grading.rebuild` made; changed in place.
    student : Student
        Where the student's cells run.
    secret : str
        The instructor's secret, from which hidden tests draw their seeds.
    """
    os.environ[SECRET] = secret
    run = _Run(student)
    try:
        for number, cell in enumerate(notebook.cells):
            run.cell(cell, f"added {number + 1}")
    finally:
        run.close()
    return run.cells


class _Run:
    def __init__(self, student: Student):
        self.cells: list[Cell] = []
        self._student = student
        self._workshop = Workshop(student.sandbox, student.limits)
        self._space = Space()
        self._shown = 0  # characters of output
        self._failures: list[tuple[str, str, str]] = []  # cell, its text, what happened

    def close(self) -> None:
        """End what was started here."""
        self._workshop.close()

    def cell(self, cell: NotebookNode, name: str) -> None:
        """Do with a cell what is to be done; `name` is what it is called without id."""
        if cell.cell_type != "code":
            if is_graded(cell):
                self.by_hand(cell)
            return
        cell.outputs = []
        cell.execution_count = None
        if is_graded(cell) and not is_hole(cell):
            self.test(cell)
            return
        self.students(cell, grade_id(cell) or name)
        if is_graded(cell):
            self.by_hand(cell)
        elif grade_id(cell) and not is_hole(cell):
            self.ours(cell)

    def by_hand(self, cell: NotebookNode) -> None:
        """Leave a cell to a person."""
        points = cell.metadata.nbgrader.points
        self.cells.append(Cell(grade_id(cell), None, points, "by hand"))

    def students(self, cell: NotebookNode, name: str) -> None:
        """Run a cell in the sandbox."""
        try:
            ran = self._student.run(name, without_magics(cell.source))
        except Interruption as stopped:
            cell.outputs.append(_error(_kind(stopped), str(stopped)))
            self._failures.append((name, cell.source, str(stopped)))
            return
        room = max(OUTPUT - self._shown, 0)
        ran.lost += sum(len(text[room:]) for text in (ran.out, ran.err))
        ran.out, ran.err = ran.out[:room], ran.err[:room]
        self._shown += len(ran.out) + len(ran.err)
        cell.outputs += _outputs(ran)
        if ran.error:
            kind, text, line = ran.error
            where = f"\nin the line: {line}" if line else ""
            cell.outputs.append(_error(kind, text + where))
            self._failures.append((name, cell.source, f"{kind}: {text}{where}"))

    def ours(self, cell: NotebookNode) -> None:
        """Run a read-only cell here, for the tests; its output is not wanted."""
        with _quietly(), contextlib.suppress(Exception):
            exec(compile(cell.source, f"<{grade_id(cell)}>", "exec"), self._space)

    def test(self, cell: NotebookNode) -> None:
        """Run a test cell and note what it finds."""
        name, most = grade_id(cell), cell.metadata.nbgrader.points
        start = time.monotonic()
        result = Cell(name, 0.0, most, "failed")
        self.cells.append(result)
        before = dict(self._space)
        printed = io.StringIO()
        try:
            with (
                self._student.calls() as calls,
                launched_by(self._workshop.launch),
                _quietly(printed),
            ):
                self._space.lookup = lambda name: self._lookup(calls, name)
                value = _evaluate(cell.source, name, self._space)
                result.points, shown = _credit(value, most)
            result.outcome = "passed" if result.points == most else "partly"
            if shown is not None:
                cell.outputs.append(_value(shown))
        except NotStarted:
            raise
        except Interruption as stopped:
            result.outcome, result.message = stopped.outcome, str(stopped)
            cell.outputs.append(_error(_kind(stopped), result.message))
        except Exception as error:
            result.message = clean(explain(error, cell.source, name))[:MESSAGE]
            cell.outputs.append(_error(type(error).__name__, result.message))
        finally:
            if result.outcome != "passed":  # what a kernel has left there
                self._workshop.close()
            self._space.lookup = None
            self._space.clear()
            self._space.update(before)
            result.seconds = time.monotonic() - start
        if said := _without_repetition(printed.getvalue()):
            cell.outputs.insert(0, _stream("stdout", said))

    def _lookup(self, calls, name: str):
        """Return the student's object of this name."""
        try:
            return calls.name(name)
        except NameError:
            pass
        reason = f"{name} is not defined: no cell above defines it."
        for cell, source, what in self._failures:
            if name in source:
                reason = f"{name} is not defined, for the cell {cell!r} failed:\n{what}"
        raise NotDefined(reason)


def explain(error: Exception, source: str, name: str) -> str:
    """Say what failed, without a word of a hidden test's text."""
    text = str(error)
    if isinstance(error, NotDefined) or hasattr(error, "_render_traceback_"):
        return text  # written for learners
    line = _failing_line(error, name)
    if line in hidden_lines(source):
        what = "A hidden test failed"
    else:
        what = f"This test failed: {source.splitlines()[line - 1].strip()}" * bool(line)
    kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
    return "\n".join(part for part in (what, f"{kind}{text}".strip(": ")) if part)


def hidden_lines(source: str) -> set[int]:
    """Return the numbers of the lines that learners must not see, markers included."""
    begin, end = MARKERS["hidden tests"]
    hidden, inside = set(), False
    for number, line in enumerate(source.splitlines(), 1):
        inside = inside or begin in line
        if inside:
            hidden.add(number)
        inside = inside and end not in line
    return hidden


def without_magics(source: str) -> str:
    """Return plain Python: IPython's magics become calls of get_ipython().

    Of a few magics in a cell of a usual size, for IPython reads it anew for each.
    """
    try:
        ast.parse(source)
        return source
    except Exception:  # perhaps it is IPython
        if len(source) > 20_000 or len(MAGIC.findall(source)) > 20:
            return source
        from IPython.core.inputtransformer2 import TransformerManager
    try:
        return TransformerManager().transform_cell(source)
    except Exception:  # neither; running it will say so
        return source


def _evaluate(source: str, name: str, space: Space):
    """Run a cell; return the value of its last expression, if it ends in one."""
    filename = f"<{name}>"
    linecache.cache[filename] = (len(source), None, [], filename)
    tree = ast.parse(source, filename)
    last = (
        tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    )
    exec(compile(tree, filename, "exec"), space)
    if last is not None:
        return eval(compile(ast.Expression(last.value), filename, "eval"), space)
    return None


def _credit(value, most: float) -> tuple[float, float | None]:
    """Return the points that a test's last value gives, and the value to show."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return most, None
    if not math.isfinite(value):
        raise ValueError("The test gave no number of points.")
    points = min(max(float(value), 0.0), most)
    return points, points


def _failing_line(error: Exception, name: str) -> int:
    """Return the line of the test cell at which it stopped, or 0."""
    if isinstance(error, SyntaxError) and error.filename == f"<{name}>":
        return error.lineno or 0
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == f"<{name}>":
            return frame.lineno
    return 0


@contextlib.contextmanager
def _quietly(printed: io.StringIO | None = None):
    printed = io.StringIO() if printed is None else printed
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def _without_repetition(text: str) -> str:
    """Say once what hidden tests repeat."""
    return "\n".join(dict.fromkeys(clean(text).splitlines()))[:MESSAGE]


def _kind(stopped: Interruption) -> str:
    return "CellTimeoutError" if stopped.outcome == "timed out" else "Crashed"


def _outputs(ran: Ran) -> list[NotebookNode]:
    found = [_stream("stdout", ran.out), _stream("stderr", ran.err)]
    found = [output for output in found if output.text]
    if ran.lost > 0:
        found.append(_stream("stdout", f"\n[{ran.lost:,} more characters were cut]\n"))
    return found


def _stream(name: str, text: str) -> NotebookNode:
    return nbformat.v4.new_output("stream", name=name, text=text)


def _value(value: float) -> NotebookNode:
    data = {"text/plain": repr(value)}
    return nbformat.v4.new_output("execute_result", data, execution_count=None)


def _error(kind: str, text: str) -> NotebookNode:
    lines = text.splitlines() or [kind]
    return nbformat.v4.new_output("error", ename=kind, evalue=text, traceback=lines)
