"""A learner's own check of a notebook: what grading would say, but for hidden tests."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grading import CourseError
from grading.job import grade, text_job
from grading.notebooks import grade_id, is_graded, is_hole
from grading.rebuild import Unreadable, read_cells
from grading.records import GRADED, Cell
from grading.text import points

HEADING = re.compile(r"^#{2,4} (.*?)(?: \([^()]*\))?$", re.MULTILINE)
SIGNS = {
    "passed": ("✓", "green"),
    "by hand": ("✎", "blue"),
    "not begun": ("·", "dim"),
}


@dataclass
class Exercise:
    """A graded cell, and how far the learner is.

    Attributes
    ----------
    title : str
        The heading above it.
    cell : Cell
        What grading found.
    begun : bool
        Whether an answer that it tests was changed.
    """

    title: str
    cell: Cell
    begun: bool

    @property
    def state(self) -> str:
        """The outcome, or ``"not begun"``."""
        waits = self.cell.outcome not in ("passed", "by hand") and not self.begun
        return "not begun" if waits else self.cell.outcome


def check(path: Path, console: Console, exercises: Path = Path("exercises")) -> int:
    """Print how far a notebook is; return how many of its checks do not pass yet.

    Parameters
    ----------
    path : Path
        A learner's notebook, under the name that it was released with.
    console : rich.console.Console
        Where to print.
    exercises : Path
        Holds the released notebooks, ``psN/psN_name.ipynb``.

    Raises
    ------
    CourseError
        If the file is no notebook of this course, or cannot be read.
    """
    released = _find_release(path, exercises)
    release = nbformat.read(released, as_version=4)
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
        answers = {found.name: found.text for found in read_cells(text)}
    except OSError as error:
        raise CourseError(f"{path}: {error.strerror}") from None
    except Unreadable as error:
        raise CourseError(f"{path}: {error}") from None
    with console.status("Running the checks ..."):
        # The code is the learner's own, and so is the machine.
        record = grade(text_job(nbformat.writes(release), text, sandbox="none"))
    if record["status"] != GRADED:
        raise CourseError(f"{path}: {record['reason']}")
    cells = {cell["grade_id"]: Cell(**cell) for cell in record["cells"]}
    found = list(_exercises(release, cells, answers))
    _show(console, found)
    return sum(e.state not in ("passed", "by hand") for e in found)


def _find_release(path: Path, exercises: Path) -> Path:
    if not path.is_file():
        raise CourseError(f"{path}: there is no such file")
    released = sorted(exercises.glob("ps*/*.ipynb"))
    if not released:
        raise CourseError(
            f"no notebooks in {exercises}/: run this in the course's folder"
        )
    for candidate in released:
        if path.stem.startswith(candidate.stem):  # "ps1_forward (1).ipynb" is one, too
            return candidate
    names = ", ".join(candidate.name for candidate in released)
    raise CourseError(f"{path}: no notebook of this course has that name ({names})")


def _exercises(
    release: NotebookNode, cells: dict[str, Cell], answers: dict[str, str]
) -> Iterator[Exercise]:
    title, begun, tested = "", False, True
    for cell in release.cells:
        if cell.cell_type == "markdown" and (titles := HEADING.findall(cell.source)):
            title = titles[-1]
        name = grade_id(cell)
        if is_hole(cell):
            changed = answers.get(name, cell.source) != cell.source
            begun = changed or (begun and not tested)
            tested = False
        if is_graded(cell):
            yield Exercise(title, cells[name], begun)
            tested = True


def _show(console: Console, exercises: list[Exercise]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("Exercise")
    table.add_column("Points", justify="right")
    table.add_column("")
    for exercise in exercises:
        sign, style = SIGNS.get(exercise.state, ("✗", "red"))
        earned, most = exercise.cell.points, exercise.cell.max_points
        table.add_row(
            Text(sign, style),
            exercise.title,
            f"{points(earned)} / {points(most)}",
            Text("" if exercise.state == "passed" else exercise.state, style),
        )
    console.print(table)
    for exercise in exercises:
        if exercise.state in SIGNS:
            continue
        console.print(Text(f"\n{exercise.title}", "bold red"))
        console.print(Text(exercise.cell.message), soft_wrap=True)
    earned = sum(e.cell.points or 0 for e in exercises)
    most = sum(e.cell.max_points for e in exercises)
    console.print(
        f"\n{points(earned)} of {points(most)} points by the checks that you see; "
        "grading runs them on more inputs.",
        soft_wrap=True,
    )
