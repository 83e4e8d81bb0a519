"""Wait for a gradebook that another program, such as the formgrader, is writing to."""

import time
from collections.abc import Callable
from typing import TypeVar

from grading import CourseError
from grading.engine.errors import database_errors

Result = TypeVar("Result")


def patiently(
    action: Callable[[], Result], patience: float, say: Callable[[str], None]
) -> Result:
    """Return ``action()``, repeated while the gradebook is locked.

    Parameters
    ----------
    action
        Must be harmless to repeat.
    patience
        Seconds after which to give up.
    say
        Is told, once, that this waits.

    Raises
    ------
    CourseError
        If the gradebook was locked for too long.
    """
    end = None
    while True:
        try:
            return action()
        except Exception as error:
            if not _is_locked(error):
                raise
            now = time.monotonic()
            if end is None:
                end = now + patience
                say("The gradebook is in use by another program; waiting for it.")
            if now >= end:
                raise CourseError(
                    f"the gradebook was in use by another program for {patience:g} s; "
                    "nothing is lost: run the same command again when it is free"
                ) from None
        time.sleep(0.5)


def _is_locked(error: Exception) -> bool:
    return any("locked" in str(e.orig) for e in database_errors(error))
