"""How long it takes to grade one learner's problem sets, each solved.

One after the other, in one process, in the sandbox that the grader would choose; the
first run of each is not counted (it finds files, and makes programs of CUDA kernels).
"""

import json
import os
import platform
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import nbformat
from rich.console import Console
from rich.progress import track
from rich.table import Table

from grading import CourseError
from grading.isolation.sandbox import choose
from grading.job import grade, text_job
from grading.notebooks import build

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "sets.json"
TURNS = 3


def seconds(path):
    """Grade a solution with its hidden tests; return the median time.

    Raises
    ------
    AssertionError
        If it does not get all points that need no person: then this is no measurement.
    """
    text = nbformat.writes(build(path))
    times = []
    for _ in range(TURNS + 1):
        start = time.perf_counter()
        record = grade(text_job(text, text, secret="measured"))
        times.append(time.perf_counter() - start)
        outcomes = {cell["outcome"] for cell in record["cells"]}
        assert record["status"] == "graded", f"{path.name}: {record['reason']}"
        assert outcomes <= {"passed", "by hand"}, f"{path.name}: {outcomes}"
    return statistics.median(times[1:])


def main():
    """Time all sets, print a table, write JSON."""
    console = Console()
    paths = sorted((ROOT / "solutions").glob("ps*.md"))
    load = os.getloadavg()[0]
    found = {
        path.stem.partition("_")[0]: seconds(path)
        for path in track(paths, "Grading", console=console)
    }
    table = Table("set", "seconds", title=f"one learner, {choose().label}")
    for name, took in (*found.items(), ("all", sum(found.values()))):
        table.add_row(name, f"{took:.1f}")
    console.print(table)
    result = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "load": load,
        "sandbox": choose().label,
        "seconds": found,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    console.print(f"written: {RESULT}")


if __name__ == "__main__":
    try:
        main()
    except CourseError as error:  # no sandbox, or no compiler for PS6
        sys.exit(f"Nothing is measured. {error}")
