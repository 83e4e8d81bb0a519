"""What the instructor sees after a run: a table of a small class, and a few lines."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from grading.records import GRADED, Record
from grading.text import points

MOST = 40  # rows and lines; a longer list hides what matters


@dataclass(frozen=True)
class Row:
    """A submission in short."""

    student: str
    points: dict[str, float | None]
    total: float
    status: str
    reason: str
    seconds: float

    @classmethod
    def of(cls, record: Record) -> "Row":
        """Return the row of `record`."""
        unusual = {"timed out", "crashed", "by hand"}
        outcomes = sorted({c.outcome for c in record.cells} & unusual)
        graded = record.status == GRADED
        return cls(
            record.student,
            {cell.grade_id: cell.points for cell in record.cells},
            record.points,
            ", ".join(outcomes) if graded else record.status,
            "" if graded else record.reason or "no reason is known",
            record.seconds,
        )


def show(rows: Iterable[Row], name: str, console: Console) -> None:
    """Print the table of a small class, and who could not be graded."""
    rows = sorted(rows, key=lambda row: row.student)
    if len(rows) <= MOST:
        console.print(_table(rows, name))
    else:
        console.print(f"All grades: python -m grading report {name}", highlight=False)
    failed = [row for row in rows if row.reason]
    for row in failed[:MOST]:
        line = f"Not graded: {row.student}: {row.reason}"
        console.print(line, markup=False, highlight=False)
    if len(failed) > MOST:
        console.print(f"… and {len(failed) - MOST} more", highlight=False)


def _table(rows: list[Row], name: str) -> Table:
    exercises = list(dict.fromkeys(key for row in rows for key in row.points))
    # Close together, for sets with many exercises.
    table = Table(title=name, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("Student", overflow="fold", min_width=8)
    for number, _ in enumerate(exercises, 1):  # names would not fit
        table.add_column(str(number), justify="right")
    table.add_column("Total", justify="right")
    table.add_column("Seconds", justify="right")
    table.add_column("Status")
    for row in rows:
        shown = [points(row.points.get(exercise)) for exercise in exercises]
        total = "–" if row.reason else points(row.total)
        seconds = f"{row.seconds:.1f}"
        table.add_row(escape(row.student), *shown, total, seconds, row.status)
    return table
