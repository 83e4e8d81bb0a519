"""Say in one line what disk or database refused."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DatabaseError

from grading import CourseError

FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn a full disk or an unusable gradebook into a CourseError."""
    try:
        yield
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in FULL
        said = [str(e.orig).strip().splitlines()[0] for e in database_errors(error)]
        if full or any("disk is full" in line for line in said):
            raise CourseError(
                "the disk is full; nothing is lost: make room and run the same "
                "command again"
            ) from error
        if said:
            raise CourseError(f"the gradebook cannot be used: {said[0]}") from error
        raise


def database_errors(error: BaseException | None) -> Iterator[DatabaseError]:
    """Yield what the database said, in `error` or in what led to it.

    nbgrader hides some of it behind errors of its own.
    """
    while error is not None:
        if isinstance(error, DatabaseError):
            yield error
        hidden = error.__suppress_context__
        error = error.__cause__ or (None if hidden else error.__context__)
