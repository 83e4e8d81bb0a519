"""Run jobs in a pool of processes on this machine."""

import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Future,
    TimeoutError,
    wait,
)
from itertools import islice
from multiprocessing import forkserver

from pebble import ProcessExpired, ProcessPool

from grading import CourseError
from grading.engine.outcome import arrived, limit, lost
from grading.engine.scratch import scratch_folder
from grading.engine.shield import shielded
from grading.records import Record

JOBS_OF_A_WORKER = 50  # then a fresh process takes its place: memory stays flat


def warm() -> None:
    """Start the process that workers fork from; its imports take a second or two."""
    with shielded():
        multiprocessing.set_forkserver_preload(["grading.job", "bnlib.check"])
        forkserver.ensure_running()


def run(
    jobs: Iterable[dict], work: Callable[[dict], dict], workers: int
) -> Iterator[Record]:
    """Yield a record for every job, in the order in which they end.

    Parameters
    ----------
    jobs
        Taken one by one, never more than two for each worker ahead.
    work
        An importable function; CourseError stops the run, what else it raises costs
        that job alone.
    workers
        How many processes work at once.
    """
    jobs = iter(jobs)
    first = list(islice(jobs, 2 * workers))
    if not first:
        return
    workers = min(workers, len(first))  # one that is stopped while it starts complains
    folder = scratch_folder()
    warm()
    context = multiprocessing.get_context("forkserver")
    pool = ProcessPool(
        workers, JOBS_OF_A_WORKER, _begin, [folder.name], context=context
    )
    running: dict[Future, dict] = {}

    def start(jobs: Iterable[dict]) -> None:
        for job in jobs:
            running[pool.schedule(work, args=[job], timeout=limit(job))] = job

    try:
        with shielded():
            pool.schedule(_nothing).result()  # there is a worker
        start(first)
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield _record(future, running.pop(future))
                start(islice(jobs, 1))
    finally:
        pool.stop()
        pool.join()
        folder.cleanup()


def _record(future: Future, job: dict) -> Record:
    error = future.exception()
    if error is None:
        return arrived(future.result())
    if isinstance(error, CourseError):
        raise error
    if isinstance(error, BrokenExecutor):
        raise CourseError(
            "the grading processes broke down (is the memory full?); nothing is lost: "
            "run the same command again"
        ) from error
    if isinstance(error, TimeoutError):
        reason = f"Grading did not end within {limit(job):.0f} seconds."
    elif isinstance(error, ProcessExpired):
        reason = f"The process that graded it died (exit status {error.exitcode})."
    else:
        reason = f"The grader failed: {type(error).__name__}: {error}"
    return lost(job, reason)


def _nothing() -> None:
    pass


def _begin(folder: str) -> None:
    """Set up a worker, which must not outlive the grader that it works for."""
    tempfile.tempdir = folder
    threading.Thread(target=_die_with_grader, daemon=True).start()


def _die_with_grader() -> None:
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGKILL)  # and the kernel ends the sandbox with it
