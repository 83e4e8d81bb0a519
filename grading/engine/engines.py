"""Choose an engine."""

import os
from functools import partial

from grading import CourseError, job
from grading.engine import local
from grading.engine.supervise import Run


def choose(engine: str, workers: int | None, scheduler: str | None) -> Run:
    """Return the function that runs jobs.

    Parameters
    ----------
    engine
        "local" or "dask".
    workers
        How many processes; None: one for each core that this process may use.
    scheduler
        The address of a Dask scheduler, which has workers of its own.
    """
    if scheduler and (engine != "dask" or workers):
        raise CourseError("--scheduler goes with --engine dask and without --workers")
    workers = workers or _cores()
    if engine == "local":
        return partial(local.run, work=job.grade, workers=workers)
    try:
        from grading.engine import cluster
    except ModuleNotFoundError as error:
        raise CourseError(
            f"{error.name} is not installed: pip install 'bnlib[cluster]'"
        ) from error
    return partial(cluster.run, work=job.grade, workers=workers, scheduler=scheduler)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # a container may have fewer than the machine
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
