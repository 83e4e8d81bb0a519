"""The report on the terminal."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grading.report.statistics import ClassSummary
from grading.text import clean, points

COMMONEST = 10


def print_report(console: Console, summary: ClassSummary) -> None:
    """Print the students, the exercises and the commonest misconceptions.

    Exercises are numbered, so that a set with many of them fits the terminal.
    """
    students = _table(summary.assignment)
    students.box, students.padding = None, (0, 1, 0, 0)  # many columns
    students.add_column("Student", no_wrap=True)
    students.add_column(f"Total / {points(summary.max_points)}", justify="right")
    for number, _ in enumerate(summary.exercises, 1):
        students.add_column(str(number), justify="right")
    students.add_column("Seconds", justify="right")
    students.add_column("Status")
    for result in summary.results:
        students.add_row(
            _text(result.student),
            points(result.total),
            *(points(result.points.get(e.name)) for e in summary.exercises),
            f"{result.record.seconds:.1f}" if result.record.seconds else "–",
            result.status,
        )
    console.print(students)
    for result in summary.not_graded:
        reason = f"Not graded: {result.student}: {result.record.reason}"
        console.print(_text(reason), soft_wrap=True)

    exercises = _table("Exercises", "", "Exercise")
    for column in ("Points", "Mean", "Full marks", "Timed out or crashed"):
        exercises.add_column(column, justify="right")
    for number, exercise in enumerate(summary.exercises, 1):
        exercises.add_row(
            str(number),
            exercise.name.removeprefix("test_"),
            points(exercise.max_points),
            points(exercise.mean),
            "–" if exercise.mean is None else f"{exercise.full:.0%}",
            f"{exercise.stopped:.0%}",
        )
    if summary.exercises:
        console.print(exercises)

    found = [(m, e) for e in summary.exercises for m in e.misconceptions]
    found.sort(key=lambda pair: -len(pair[0].students))
    common = _table("Commonest misconceptions")
    common.add_column("Students", justify="right")
    common.add_column("Exercise")
    common.add_column("What the check says")
    for misconception, exercise in found[:COMMONEST]:
        common.add_row(
            str(len(misconception.students)),
            exercise.name.removeprefix("test_"),
            _text(misconception.text),
        )
    if found:
        console.print(common)


def _table(title: str, *columns: str) -> Table:
    return Table(
        *columns,
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )


def _text(text: str) -> Text:
    """Return a student's text as text: no markup, no control characters."""
    return Text(clean(text))
