"""Sandboxes that wait for their next student, so that imports are done once.

Importing torch takes longer than grading. So the process that has imported it forks one
for each student; Landlock keeps those away from it and from one another. It is used
again only if it says that a student's process has left nothing: no process, no file, no
shared memory. It can say so only on a pipe that the student's process never had.

But: only for packages that are slow to import; others get a new sandbox each time.
"""

import atexit
from importlib import metadata

from grading.isolation.sandbox import Sandbox
from grading.isolation.session import Session

LANDLOCK = 6  # the version from which on it keeps signals in
_kept: dict[tuple, Session] = {}


def can_be_reused(sandbox: Sandbox) -> bool:
    """Whether a student's process can be kept away from the one that it came from."""
    try:
        metadata.version("sandlock")
        from sandlock import landlock_abi_version
    except (ImportError, metadata.PackageNotFoundError):
        return False
    return sandbox.name != "none" and landlock_abi_version() >= LANDLOCK


def keep(key: tuple, session: Session) -> None:
    """Keep a session for the next student, in place of any other."""
    for other in _kept.values():
        other.close()
    _kept.clear()
    _kept[key] = session


def kept(key: tuple) -> Session | None:
    """Return the session that was kept, if it is of this kind."""
    return _kept.pop(key, None)


@atexit.register
def _close() -> None:
    for session in _kept.values():
        session.close()
