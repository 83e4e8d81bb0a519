"""Run jobs on a Dask cluster: one on this machine, or any scheduler's.

A job carries all that it needs: the workers share no files with this machine, only the
installed ``bnlib[cluster]``.
"""

import contextlib
import importlib
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed

from grading import CourseError
from grading.engine.outcome import arrived, limit, lost
from grading.records import Record

JOIN = 60  # seconds in which a worker of the scheduler's must be there
ONE_AT_A_TIME = (
    threading.Lock()
)  # in a worker's process: tests print, and that is one's


def run(
    jobs: Iterable[dict],
    work: Callable[[dict], dict],
    workers: int,
    scheduler: str | None = None,
) -> Iterator[Record]:
    """Yield a record for every job, in the order in which they end.

    A job whose worker dies goes to another one; a job that kills one worker after the
    other is given up.

    Parameters
    ----------
    jobs
        Taken one by one, never more than two for each worker ahead.
    work
        A function that the workers can import; CourseError stops the run, what else it
        raises costs that job alone.
    workers
        How many workers to start on this machine where there is no `scheduler`.
    scheduler
        The address of a scheduler, such as ``tcp://10.0.0.1:8786``.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    jobs = iter(jobs)
    running: dict[str, dict] = {}
    with dask.config.set({"distributed.logging": {"distributed": "critical"}}):
        with _connected(workers, scheduler) as client:
            ahead = 2 * _check(client, work)
            completed = as_completed()

            def start(count: int) -> None:
                for job in islice(jobs, count):
                    future = client.submit(_within_limit, work, job, pure=False)
                    running[future.key] = job
                    completed.add(future)

            start(ahead)
            for future in completed:
                yield _record(future, running.pop(future.key))
                future.release()
                start(1)


@contextlib.contextmanager
def _connected(workers: int, scheduler: str | None) -> Iterator[Client]:
    with contextlib.ExitStack() as stack:
        if scheduler is None:
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
            scheduler = stack.enter_context(cluster).scheduler_address
        try:
            client = Client(scheduler, timeout=JOIN)
        except (OSError, ValueError) as error:
            raise CourseError(f"no Dask scheduler answers at {scheduler}") from error
        yield stack.enter_context(client)


def _check(client: Client, work: Callable) -> int:
    """Return the number of workers; they must be able to grade."""
    try:
        client.wait_for_workers(1, timeout=JOIN)
    except TimeoutError as error:
        raise CourseError(f"no Dask worker has come within {JOIN} s") from error
    probe = client.submit(_import, work.__module__, pure=False)
    if error := probe.exception():
        raise CourseError(
            f"the Dask workers cannot grade: {error} (is this course installed there?)"
        ) from error
    return len(client.nthreads())


def _import(module: str) -> None:
    importlib.import_module(module)


def _within_limit(work: Callable[[dict], dict], job: dict) -> dict:
    """Work; a job that nothing else can stop ends with its Dask worker."""
    with ONE_AT_A_TIME:
        watch = threading.Timer(limit(job), os._exit, [1])
        watch.daemon = True
        watch.start()
        try:
            return work(job)
        finally:
            watch.cancel()


def _record(future: Future, job: dict) -> Record:
    if future.status == "finished":
        return arrived(future.result())
    if future.status != "error":
        raise CourseError(
            "the Dask scheduler is gone; nothing is lost: run the same command again"
        )
    error = future.exception()
    if isinstance(error, CourseError):
        raise error
    if isinstance(error, KilledWorker):
        return lost(job, "Every process that tried to grade it died.")
    return lost(job, f"The grader failed: {type(error).__name__}: {error}")
