"""Keep Ctrl-C from the processes that the grader starts: it ends them itself.

A terminal sends it to all of them at once, and each would print where it was.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def shielded() -> Iterator[None]:
    """Start processes, or threads that start them, which Ctrl-C does not reach.

    Here it takes effect at the end of the block.
    """
    resource_tracker.ensure_running()  # later it would lift the shield
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
