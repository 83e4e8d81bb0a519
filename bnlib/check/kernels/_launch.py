"""Where a learner's kernel is compiled and run: here, or where a grader says.

A kernel is a program. In the learner's own process it may run as it likes; a grader
gives strangers' kernels to a sandbox.
"""

from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from bnlib.check.kernels import _launching

LAUNCHING = Path(_launching.__file__).read_text(encoding="utf-8")  # for a sandbox
_launcher = ContextVar("launcher", default=_launching.launch)


@contextmanager
def launched_by(launcher):
    """Have kernels launched by another function than `_launching.launch`.

    Parameters
    ----------
    launcher : callable
        ``launcher(source, name, launches)``.
    """
    token = _launcher.set(launcher)
    try:
        yield
    finally:
        _launcher.reset(token)


def launch(source, name, launches):
    """Compile a kernel and run it on several inputs; see `_launching.launch`."""
    return _launcher.get()(source, name, launches)


def is_here():
    """Whether kernels run in this process's name, not in a sandbox."""
    return _launcher.get() is _launching.launch
