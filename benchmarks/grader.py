"""Time the grader beside stock nbgrader, on the same class, in one run.

``make bench-grader`` (about a quarter of an hour) writes
``benchmarks/results/grader.json``:

- a class of 60 on PS1, with stock ``nbgrader autograde`` and with ours; the students of
  the sample class in turn, one in 13 with an endless loop;
- the same without the loops;
- 1,000 submissions in one run: whether the rate stays, and the memory;
- 60 submissions on Dask with 1, 2 and 4 workers.

Memory is that of all processes of a run together, shared pages in parts.
"""

import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import nbformat
import psutil
from rich.console import Console
from rich.table import Table

from grading.sample_class import fill, read_class

REPO = Path(__file__).parents[1]
RESULT = REPO / "benchmarks" / "results" / "grader.json"
LOOPS = "karl"  # the student of the sample class whose code does not end
STOCK = """
import os, sys
c = get_config()
c.CourseDirectory.root = {root!r}
c.CourseDirectory.course_id = "batchnorm"
c.Application.log_level = "ERROR"
c.Execute.timeout = 20
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
"""
GRADE = ["grading", "grade", "ps1"]
console = Console()


def make_course(folder: Path, students: list[str], stock: bool) -> Path:
    """Set up a course in which these students of the sample class have submitted.

    ``7_ada`` hands in what ada did.
    """
    folder.mkdir()
    (folder / "exercises").mkdir()
    (folder / "solutions").mkdir()
    shutil.copy(REPO / "solutions" / "ps1_forward.md", folder / "solutions")
    config = (REPO / "nbgrader_config.py").read_text()
    (folder / "nbgrader_config.py").write_text(config)
    run(folder, "grading", "exercises")
    run(folder, "nbgrader", "generate_assignment", "ps1")
    root = folder / "_build" / "nbgrader"
    if stock:
        text = STOCK.format(root=str(root))
        (folder / "nbgrader_config.py").write_text(text)
    sample = read_class(REPO / "tests" / "sample_class")
    answers = {s.student: s for s in sample if s.set_name == "ps1"}
    release = root / "release" / "ps1" / "ps1_forward.ipynb"
    for student in students:
        notebook = fill(release, answers[student.partition("_")[2]])
        target = root / "submitted" / student / "ps1"
        target.mkdir(parents=True)
        nbformat.write(notebook, target / release.name)
    return folder


def a_class(size: int, loops: int) -> list[str]:
    """Return the names of a class in order, the first `loops` with endless loops."""
    sample = read_class(REPO / "tests" / "sample_class")
    names = [s.student for s in sample if s.set_name == "ps1" and s.student != LOOPS]
    who = [LOOPS] * loops + [names[k % len(names)] for k in range(size - loops)]
    return [f"{k:04}_{name}" for k, name in enumerate(who)]


def run(folder: Path, *command: str) -> tuple[float, float]:
    """Run ``python -m command`` in a course; return seconds and peak megabytes."""
    start, peak = time.monotonic(), 0.0
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", *command],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
        )
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(0.5)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{output.read().decode()}")
    return time.monotonic() - start, peak / 2**20


def memory(pid: int) -> float:
    """Return the bytes in use by a process and all its descendants."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            total += process.memory_full_info().pss
    except psutil.Error:  # one has just ended
        pass
    return total


def tenths(folder: Path) -> list[float]:
    """Return how many submissions a second were graded, in each tenth of a run."""
    records = (folder / "_build" / "nbgrader" / "records" / "ps1").glob("*.json")
    times = sorted(path.stat().st_mtime for path in records)
    step = len(times) // 10
    cuts = [times[k * step] for k in range(10)] + [times[-1]]
    return [step / (b - a) for a, b in itertools.pairwise(cuts)]


def measure(size: int, many: int) -> dict:
    """Do all runs."""
    found: dict = {"class": size, "many": many}
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        for loops in (0, round(size / 13)):
            who = a_class(size, loops)
            case = {"loops": loops}
            for name, command in (
                ("stock", ["nbgrader", "autograde", "ps1"]),
                ("ours", GRADE),
                ("sandlock", [*GRADE, "--sandbox", "sandlock"]),
            ):
                console.print(f"{size} submissions, {loops} with a loop: {name} ...")
                course = here / f"{name}{loops}"
                make_course(course, who, name == "stock")
                seconds, peak = run(course, *command)
                case[name] = {"seconds": seconds, "megabytes": peak}
            found["with loops" if loops else "without loops"] = case
        console.print(f"{many} submissions in one run ...")
        course = make_course(here / "many", a_class(many, 0), False)
        seconds, peak = run(course, *GRADE)
        found["one run"] = {
            "seconds": seconds,
            "megabytes": peak,
            "rates": tenths(course),
        }
        found["dask"] = {}
        for workers in (1, 2, 4):
            console.print(f"{size} submissions on Dask, {workers} workers ...")
            course = make_course(here / f"dask{workers}", a_class(size, 0), False)
            command = [*GRADE, "--engine", "dask", "--workers", str(workers)]
            seconds, peak = run(course, *command)
            found["dask"][workers] = {"seconds": seconds, "megabytes": peak}
    return found


def machine() -> dict:
    """Describe where this runs."""
    names = ("nbgrader", "numpy", "pebble", "distributed", "sandlock")
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = (line.partition(":") for line in info.read_text().splitlines())
        model = next((v.strip() for k, _, v in lines if "model name" in k), model)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in names},
    }


def show(found: dict) -> None:
    """Print what was measured."""
    size = found["class"]
    view = Table(title=f"A class of {size} on PS1", title_justify="left")
    for column in ("", "seconds", "s / submission", "of stock", "MB"):
        view.add_column(column, justify="left" if not column else "right")
    for case in ("without loops", "with loops"):
        stock = found[case]["stock"]["seconds"]
        for name in ("stock", "ours", "sandlock"):
            seconds = found[case][name]["seconds"]
            view.add_row(
                f"{name}, {case}",
                f"{seconds:.0f}",
                f"{seconds / size:.2f}",
                f"1/{stock / seconds:.1f}",
                f"{found[case][name]['megabytes']:.0f}",
            )
    for workers, run in found["dask"].items():
        seconds = run["seconds"]
        stock = found["without loops"]["stock"]["seconds"]
        view.add_row(
            f"Dask, {workers} workers, without loops",
            f"{seconds:.0f}",
            f"{seconds / size:.2f}",
            f"1/{stock / seconds:.1f}",
            f"{run['megabytes']:.0f}",
        )
    console.print(view)
    one = found["one run"]
    rates = " ".join(f"{rate:.1f}" for rate in one["rates"])
    console.print(
        f"{found['many']} submissions: {one['seconds']:.0f} s, "
        f"{one['megabytes']:.0f} MB; submissions a second in each tenth: {rates}"
    )


def main() -> None:
    """Measure, write the result, show it."""
    size, many = (int(word) for word in (sys.argv[1:] or ["60", "1000"]))
    found = machine() | measure(size, many)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    show(found)


if __name__ == "__main__":
    main()
