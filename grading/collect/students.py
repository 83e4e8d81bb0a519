"""Students and their names in nbgrader's gradebook."""

import csv
import re
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry
from rich.progress import track

from grading import CourseError
from grading.collect.names import STUDENT, Owner
from grading.text import clean

COLUMNS = ("id", "first_name", "last_name", "email")


def enter_students(gradebook: Gradebook, file: Path, silent: bool) -> int:
    """Enter the students of a CSV file; return how many they are.

    An empty cell leaves what the gradebook has. Nothing is entered where a line of the
    file is wrong.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            columns = reader.fieldnames or []
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeError, csv.Error) as error:
        raise CourseError(f"{file}: not a CSV file in UTF-8 ({error})") from error
    if "id" not in columns or not set(columns) <= set(COLUMNS):
        raise CourseError(
            f"{file}: its first line must be {','.join(COLUMNS)} (only id is needed)"
        )
    for line, row in rows:
        if None in row or None in row.values():
            raise CourseError(f"{file}:{line}: not as many cells as in the first line")
        if not re.fullmatch(STUDENT, row["id"]):
            raise CourseError(f"{file}:{line}: {row['id']!r} is not a student id")
    for _, row in track(rows, "Students", transient=True, disable=silent):
        student = row.pop("id")
        known = {key: _fit(text) for key, text in row.items() if text}
        gradebook.update_or_create_student(student, **known)
    return len(rows)


def enter_owner(gradebook: Gradebook, owner: Owner) -> None:
    """Tell the gradebook what an LMS says about a student; a name it knows stays."""
    if not owner.name:
        return
    try:
        student = gradebook.find_student(owner.student)
        named = student.first_name or student.last_name
    except MissingEntry:
        named = None
    new = {} if named else {"last_name": _fit(owner.name)}
    if owner.lms_user_id:
        new["lms_user_id"] = owner.lms_user_id
    if new:
        gradebook.update_or_create_student(owner.student, **new)


def _fit(text: str) -> str:
    """Return `text` as the gradebook's columns can hold it."""
    return clean(text)[:128]
