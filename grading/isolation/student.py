"""A student's notebook in a sandbox: cells to run, and functions to test.

When a cell or a call has to be stopped, the sandbox ends with it. The next one starts
anew with the cells that ran to their end, as if the one that did not were not there.
"""

import linecache
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from grading.isolation.proxy import Calls
from grading.isolation.reuse import can_be_reused, keep, kept
from grading.isolation.runtime import Runtime
from grading.isolation.sandbox import Limits, Sandbox
from grading.isolation.session import Interruption, NotStarted, Session, TimedOut
from grading.text import clean

# Packages that right code may import without using them.
ABSENT = ["IPython", "bnlib", "cupy", "ipywidgets", "jax", "matplotlib", "nbgrader"]
ABSENT += ["pandas", "scipy", "seaborn", "sklearn", "tensorflow", "torch", "tqdm"]
ABSENT += ["torchvision"]

QUICK = {"numpy"}  # packages that are imported anew for each student


@dataclass
class Ran:
    """What became of a cell.

    Attributes
    ----------
    out, err : str
        What it wrote.
    lost : int
        Characters that it wrote beyond the limit.
    error : tuple of str, optional
        Kind and text of the exception that ended it, and the line that raised it.
    """

    out: str = ""
    err: str = ""
    lost: int = 0
    error: tuple[str, str, str] | None = None


@dataclass
class Student:
    """The sandboxed side of a notebook.

    Parameters
    ----------
    sandbox : Sandbox
        What to run in.
    packages : tuple of str
        What may be imported.
    limits : Limits
        What may be used.
    """

    sandbox: Sandbox
    packages: tuple[str, ...]
    limits: Limits
    _session: Session | None = None
    _cells: list[tuple[str, str]] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)

    def __post_init__(self):
        self._end = time.monotonic() + self.limits.total
        self._key = self.sandbox.name, self.packages, self.limits
        self._reused = bool(set(self.packages) - QUICK) and can_be_reused(self.sandbox)

    def run(self, name: str, source: str) -> Ran:
        """Run a cell.

        Raises
        ------
        Interruption
            If it had to be stopped.
        """
        filename = f"<cell {name}>"
        lines = source.splitlines(keepends=True)
        linecache.cache[filename] = (len(source), None, lines, filename)
        self._names.add(filename)
        reply = self._run(self._awake(), name, source)
        self._cells.append((name, source))
        return reply

    @contextmanager
    def calls(self) -> Iterator[Calls]:
        """Give access to a copy of the notebook's state."""
        session = self._awake()
        deadline = self._deadline()
        failure = None
        with self._stopping():
            session.send({"do": "fork"}, deadline=deadline)
            try:
                yield Calls(session, deadline, self._is_cell)
            except Exception as error:
                failure = error
            session.send({"do": "end"}, deadline=deadline)
            reply, _ = session.receive(deadline)
            if reply.get("re") != "joined":
                raise session.nonsense(ValueError("an answer that nobody asked for"))
        if failure:
            raise failure

    def close(self) -> None:
        """End the sandbox."""
        if self._session:
            self._session.close()
            self._session = None

    def finish(self) -> None:
        """End it, or keep it for the next student if that is worth while."""
        if self._session and self._reused and self._session.finish():
            keep(self._key, self._session)
            self._session = None
        self.close()

    def _awake(self) -> Session:
        """Return a session in which all cells so far have run."""
        if self._session is None:
            if time.monotonic() >= self._end:
                raise TimedOut(self._too_long())
            self._session = self._begin()
            for name, source in self._cells:
                self._run(self._session, name, source)
        return self._session

    def _begin(self) -> Session:
        """Return a session that has run nothing yet."""
        if session := kept(self._key):
            try:
                session.begin()
                return session
            except NotStarted:  # it went while it waited
                pass
        packages = (*self.packages, "sandlock") if self._reused else self.packages
        session = Session(
            self.sandbox,
            self._runtime(packages),
            self.limits,
            [name for name in packages if name.isidentifier()],
            [name for name in ABSENT if name not in self.packages],
            self._reused,
        )
        session.begin()
        return session

    def _runtime(self, packages: tuple[str, ...]) -> Runtime:
        return self.sandbox.runtime(packages)

    def _run(self, session: Session, name: str, source: str) -> Ran:
        deadline = self._deadline()
        with self._stopping():
            message = {"do": "run", "name": name, "source": source}
            session.send(message, deadline=deadline)
            reply, _ = session.receive(deadline)
            try:
                return self._ran(reply)
            except Exception as error:  # whatever an odd reply makes us stumble over
                raise session.nonsense(error) from None

    def _ran(self, reply: dict) -> Ran:
        if reply["re"] != "ran":
            raise ValueError("an answer that nobody asked for")
        limit = self.limits.output
        out, err = (clean(str(reply[key]))[:limit] for key in ("out", "err"))
        if (error := reply["error"]) is None:
            return Ran(out, err, int(reply["lost"]))
        where = ""
        if error["places"]:
            filename, line, _ = error["places"][-1]
            if self._is_cell(filename) and isinstance(line, int):
                where = linecache.getline(filename, line)
        kind, text = clean(str(error["kinds"][0])), clean(str(error["text"]))
        told = kind[:60], text[:2000], where.strip()[:200]
        return Ran(out, err, int(reply["lost"]), told)

    @contextmanager
    def _stopping(self):
        """Forget a session that had to be ended; say why."""
        try:
            yield
        except TimedOut:
            self.close()
            raise TimedOut(self._too_long()) from None
        except Interruption:
            self.close()
            raise
        except BaseException:
            self.close()  # it may be in the middle of a message
            raise

    def _too_long(self) -> str:
        if time.monotonic() >= self._end:
            return (
                f"Not finished: all of the notebook has {self.limits.total:g} s, and "
                "that was used up."
            )
        return (
            f"Your code was still running after {self.limits.cell:g} s and was "
            "stopped. Is there a loop that does not end?"
        )

    def _deadline(self) -> float:
        return min(time.monotonic() + self.limits.cell, self._end)

    def _is_cell(self, filename) -> bool:
        """Whether this is the file name of one of the cells."""
        return isinstance(filename, str) and filename in self._names
