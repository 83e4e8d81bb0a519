"""Read the grades out of nbgrader's gradebook.

This asks the SQLite file itself: importing nbgrader takes seconds. A test compares the
result with ``nbgrader export``. But: no late penalties and no extra credit.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from grading import CourseError

GRADES = """
    SELECT assignment.name, submitted_assignment.student_id, base_cell.name,
           COALESCE(grade.manual_score, grade.auto_score, 0), grade_cells.max_score,
           grade.needs_manual_grade
    FROM grade
    JOIN grade_cells ON grade_cells.id = grade.cell_id
    JOIN base_cell ON base_cell.id = grade.cell_id
    JOIN submitted_notebook ON submitted_notebook.id = grade.notebook_id
    JOIN submitted_assignment
      ON submitted_assignment.id = submitted_notebook.assignment_id
    JOIN assignment ON assignment.id = submitted_assignment.assignment_id
"""


@dataclass
class Grade:
    """A student's grade in a problem set."""

    cells: dict[str, float]
    max_points: float
    status: str

    @property
    def points(self) -> float:
        """The points of all cells."""
        return sum(self.cells.values())


def read_grades(root: Path) -> dict[str, dict[str, Grade]]:
    """Read the grades in the course at `root`: ``grades[student][set_name]``.

    A grade's status is ``""``, ``"timed out"``, ``"needs manual grading"`` or
    ``"not graded"`` (nbgrader failed on the submission or did not see it yet).
    """
    gradebook = root / "gradebook.db"
    if not gradebook.exists():
        raise CourseError("no grades yet; run: python -m grading sample")
    with closing(sqlite3.connect(f"file:{gradebook}?mode=ro", uri=True)) as connection:
        rows = connection.execute(GRADES).fetchall()

    grades: dict[str, dict[str, Grade]] = {}
    for set_name, student, cell, points, max_points, by_hand in rows:
        grade = grades.setdefault(student, {}).setdefault(
            set_name, Grade({}, 0, _status(root / "autograded" / student / set_name))
        )
        grade.cells[cell] = points
        grade.max_points += max_points
        if by_hand and not grade.status:
            grade.status = "needs manual grading"
    for folder in root.glob("submitted/*/*/"):
        sets = grades.setdefault(folder.parent.name, {})
        sets.setdefault(folder.name, Grade({}, 0, "not graded"))
    if not grades:
        raise CourseError("no submissions yet; run: python -m grading sample")
    return grades


def _status(autograded: Path) -> str:
    notebooks = list(autograded.glob("*.ipynb"))
    if not notebooks:
        return "not graded"
    timed_out = any('"CellTimeoutError"' in path.read_text() for path in notebooks)
    return "timed out" if timed_out else ""
