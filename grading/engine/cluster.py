"""Run jobs on a Dask cluster: one on this machine, or any scheduler's.

A job carries all that it needs: the workers share no files with this machine, only the
installed ``bnlib[cluster]``.
"""

import contextlib
import importlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed
from distributed.client import FutureCancelledError

from grading import CourseError
from grading.engine.outcome import arrived, limit, lost
from grading.engine.scratch import scratch_folder
from grading.engine.shield import shielded
from grading.records import Record

SETTINGS = {
    "distributed.logging": {"distributed": "critical"},
    "distributed.scheduler.allowed-failures": 1,
}
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

    A job whose worker dies goes to another one. Dask suspects all jobs of a worker that
    dies again and again; they are tried once more, one by one, before one is given up.

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
    with dask.config.set(SETTINGS):
        with _connected(workers, scheduler) as client:
            ahead = 2 * _check(client, work)
            completed = as_completed()

            def start(count: int) -> None:
                for job in islice(jobs, count):
                    future = client.submit(_within_limit, work, job, pure=False)
                    running[future.key] = job
                    completed.add(future)

            start(ahead)
            suspects = []
            for future in completed:
                job = running.pop(future.key)
                try:
                    yield _record(future, job)
                except KilledWorker:  # of this job, or of one that shared its workers
                    suspects.append(job)
                future.release()
                start(1)
            for job in suspects:
                future = client.submit(_within_limit, work, job, pure=False)
                try:
                    yield _record(future, job)
                except KilledWorker:
                    yield lost(job, "Every process that tried to grade it died.")


@contextlib.contextmanager
def _connected(workers: int, scheduler: str | None) -> Iterator[Client]:
    with contextlib.ExitStack() as stack:
        if scheduler is None:
            folder = stack.enter_context(scratch_folder())
            with shielded():
                cluster = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                    env={"TMPDIR": folder},
                )
                stack.callback(_close, cluster)
            scheduler = cluster.scheduler_address
        try:
            client = Client(scheduler, timeout=JOIN)
        except (OSError, ValueError) as error:
            raise CourseError(f"no Dask scheduler answers at {scheduler}") from error
        yield stack.enter_context(client)


def _close(cluster: LocalCluster) -> None:
    """End the workers at once: what they still do is not wanted."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        if nanny.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(nanny.pid, signal.SIGKILL)
    # Dask may stumble over a worker that it is just replacing.
    with contextlib.suppress(Exception):
        cluster.close(timeout=5)


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
    try:
        # Waits again if the result went down with its worker.
        return arrived(future.result())
    except (CourseError, KilledWorker):
        raise
    except FutureCancelledError as error:
        raise CourseError(
            "the Dask scheduler is gone; nothing is lost: run the same command again"
        ) from error
    except Exception as error:
        return lost(job, f"The grader failed: {type(error).__name__}: {error}")
