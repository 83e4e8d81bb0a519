"""Work spread over threads: NumPy and compiled kernels both release the GIL.

One pool of our own, instead of Numba's: that one is not safe in several Python threads
at once, nor after a fork, and compiling for it takes several times as long.
"""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache

LEAST = 2**18  # bytes of x for a thread; waking it costs more than fewer


def count():
    """Return the number of threads: OMP_NUM_THREADS, or the cores we may run on."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def useful(nbytes):
    """Return the number of threads that so many bytes of x keep busy."""
    return max(1, min(count(), nbytes // LEAST))


@cache
def _pool(workers):
    return ThreadPoolExecutor(workers, thread_name_prefix="bnlib")


# A child process inherits the pool's object, but none of its threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


def spread(work, tasks):
    """Call work(task) for every task, on as many threads as are useful."""
    queue = deque(tasks)
    helpers = min(count(), len(queue)) - 1

    def drain():
        while queue:
            try:
                task = queue.popleft()
            except IndexError:  # another thread was faster
                return
            work(task)

    if helpers < 1:
        drain()
        return
    # A copy of the context carries the caller's np.errstate along.
    futures = []
    try:
        for _ in range(helpers):
            futures.append(_pool(helpers).submit(copy_context().run, drain))
    except RuntimeError:
        pass  # no thread may be started: a limit, or the interpreter is ending
    try:
        drain()
    finally:
        # One that has not started finds an empty queue: no need to wait for it.
        started = [future for future in futures if not future.cancel()]
        for future in started:
            future.exception()  # wait: no thread may still write when we return
    for future in started:
        future.result()


def blocks(total, size):
    """Return (start, stop) of consecutive blocks of a size; the last may be short."""
    return [(i, min(i + size, total)) for i in range(0, total, size)]


def shares(total, nbytes):
    """Return one block for each thread that so many bytes keep busy."""
    return blocks(total, -(-total // useful(nbytes)))
