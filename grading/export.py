"""Grades as CSV: for spreadsheets, and for the imports of Canvas and Moodle.

Text that a spreadsheet would take for a formula is made text again.

But: a submission without a grade gets an empty cell, never a 0; whether it counts as 0
is for a person to decide.
"""

import csv
import html
import io
import re
from pathlib import Path

import typer

from grading import CourseError
from grading.course import Course
from grading.notebooks import ProblemSet
from grading.records import NOT_GRADED
from grading.report.messages import sentence
from grading.report.results import Result, absent, max_points, read_results
from grading.text import clean, points

# A cell that begins like this is a formula to a spreadsheet; so is what follows a
# semicolon where that separates columns. The wide forms count as the narrow ones. See
# https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = re.compile(r"(^|;)(\s*)(?=[=+\-@＝＋－＠﹦﹢﹣﹫])")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


Grades = dict[ProblemSet, dict[str, Result]]  # by set, then by student


def run(course: Course, sets: list[str], format: str, file: Path | None) -> int:
    """Write the grades of these sets, or of all that have grades.

    Parameters
    ----------
    format : {"csv", "canvas", "moodle"}
        Who is to read the file.

    Returns
    -------
    int
        How many submissions have no grade.
    """
    grades = _read(course, sets)
    table = {"csv": _csv, "canvas": _canvas, "moodle": _moodle}[format]
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in table(grades))
    # Excel takes a CSV file for UTF-8 only if it begins with a byte order mark. The
    # importers expect none: it would become part of the first column's name.
    encoding = "utf-8-sig" if format == "csv" else "utf-8"
    file = file or course.root / "reports" / f"grades-{format}.csv"
    try:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(text.getvalue().encode(encoding))
    except OSError as error:
        raise CourseError(f"cannot write {file}: {error.strerror}") from error
    typer.echo(f"Grades of {', '.join(s.name for s in grades)}: {file}")
    everything = [result for of in grades.values() for result in of.values()]
    by_hand = sum(None in result.points.values() for result in everything)
    if by_hand:
        typer.echo(f"Of {by_hand}, answers to grade by hand count 0 for now.", err=True)
    missing = [r.record for r in everything if r.record.status == NOT_GRADED]
    for record in missing:
        what = f"{record.assignment} of {record.student}: {record.reason}"
        typer.echo(f"Left empty: {clean(what)}", err=True)
    return len(missing)


def _read(course: Course, sets: list[str]) -> Grades:
    grades: Grades = {}
    with course.gradebook() as gradebook:
        for problem_set in course.sets(sets):
            try:
                results = read_results(course.root, problem_set.name, gradebook)
            except CourseError:
                if sets:
                    raise
                continue
            grades[problem_set] = {result.student: result for result in results}
    if not grades:
        raise CourseError("no grades yet; run: python -m grading grade")
    return grades


def _cell(value: str | float | None) -> str:
    """Return a value as the text of a cell."""
    if not isinstance(value, str):
        return "" if value is None else points(value)
    value = " ".join(clean(value).split())
    return value if NUMBER.fullmatch(value) else FORMULA.sub(r"\1\2'", value)


def _csv(grades: Grades):
    """One row a student; the first says what can be earned."""
    header = ["student", "last name", "first name", "email"]
    most: list[str | float] = ["max points", "", "", ""]
    for problem_set, results in grades.items():
        name = problem_set.name
        limits = max_points(results.values())
        header += [name, f"{name} status", f"{name} late penalty"]
        header += [f"{name} {exercise}" for exercise in limits]
        most += [sum(limits.values()), "", "", *limits.values()]
    yield header
    yield most
    for student, of_sets in _students(grades):
        person = of_sets[0]
        row = [student, person.last_name, person.first_name, person.email]
        for result, results in zip(of_sets, grades.values(), strict=True):
            row += [result.total, result.status or "graded", result.penalty or None]
            limits = max_points(results.values())
            row += [result.points.get(exercise) for exercise in limits]
        yield row


def _canvas(grades: Grades):
    """Canvas' gradebook import: the rows and columns that its importer looks for.

    https://github.com/instructure/canvas-lms/blob/master/lib/gradebook_importer.rb

    It finds a student by ``ID``, Canvas' own number, else by ``SIS Login ID``; and an
    assignment by its title, else it offers to make one.
    """
    titles = [_title(problem_set) for problem_set in grades]
    most = [
        sum(max_points(results.values()).values()) or None
        for results in grades.values()
    ]
    yield ["Student", "ID", "SIS Login ID", "Section", *titles]
    yield ["Points Possible", "", "", "", *most]
    for student, of_sets in _students(grades):
        person = of_sets[0]
        name = ", ".join(filter(None, [person.last_name, person.first_name]))
        if "Points Possible" in name:  # Canvas would take the row for the one above
            name = ""
        totals = [result.total for result in of_sets]
        yield [name or student, person.lms_user_id, student, "", *totals]


def _moodle(grades: Grades):
    """Moodle's grade import, with the names of columns that its export uses.

    https://docs.moodle.org/en/Grade_import: "Map from" the e-mail address or the ID
    number. Where a grade is imported, its feedback has to be, too.
    """
    header = ["ID number", "First name", "Last name", "Email address"]
    for problem_set in grades:
        header += [_title(problem_set), f"{_title(problem_set)} (feedback)"]
    yield header
    for student, of_sets in _students(grades):
        person = of_sets[0]
        row = [student, person.first_name, person.last_name, person.email]
        for result in of_sets:
            row += [result.total, _feedback(result)]
        yield row


def _feedback(result: Result) -> str:
    """Say in short what each exercise earned, and what went wrong in it."""
    parts = [result.record.reason] if result.record.reason else []
    for cell in result.record.cells:
        earned = result.points[cell.grade_id]
        name = cell.grade_id.removeprefix("test_")
        part = f"{name}: {points(earned)} of {points(cell.max_points)}"
        if cell.outcome not in ("passed", "by hand"):
            part += f" ({sentence(cell.message) or cell.outcome})"
        parts.append(part)
    if result.penalty:
        parts.append(f"handed in late: −{points(result.penalty)}")
    return html.escape(" | ".join(parts), quote=False)  # Moodle shows it as HTML


def _students(grades: Grades):
    """Yield each student of any set, with the results in all sets."""
    everyone = sorted({student for results in grades.values() for student in results})
    for student in everyone:
        yield (
            student,
            [
                results.get(student) or absent(student, problem_set.name)
                for problem_set, results in grades.items()
            ],
        )


def _title(problem_set: ProblemSet) -> str:
    """Return ``PS1 Forward`` for the notebook ``ps1_forward``."""
    number, _, name = problem_set.notebook.partition("_")
    return f"{number.upper()} {name.replace('_', ' ').capitalize()}"
