"""What becomes of a job: the worker's record, or one that says why there is none."""

from grading.records import NOT_GRADED, Cell, Record


def arrived(result: dict) -> Record:
    """Return the record that a worker sent as a dict."""
    return Record(**{**result, "cells": [Cell(**cell) for cell in result["cells"]]})


def lost(job: dict, reason: str) -> Record:
    """Return the record of a job that its worker did not finish.

    It has no digest, so that the next run tries again: the cause may have been the
    machine, not the submission.
    """
    return Record(
        job["student"], job["assignment"], job["notebook"], "", NOT_GRADED, reason
    )


def limit(job: dict) -> float:
    """Return the seconds after which a job is stopped from outside.

    Its own limit comes first; this one is for what that cannot stop.
    """
    return job["limits"]["total"] + 15
