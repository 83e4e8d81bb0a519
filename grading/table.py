"""Read the grades out of nbgrader's gradebook.

But: no late penalties.
"""

from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import Gradebook

from grading import CourseError


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


def read_grades(root: Path, db_url: str = "") -> dict[str, dict[str, Grade]]:
    """Read the grades in the course at `root`: ``grades[student][set_name]``.

    The gradebook is that at `db_url`; by default the course's SQLite file.

    A grade's status is ``""``, ``"timed out"``, ``"needs manual grading"`` or
    ``"not graded"`` (nbgrader failed on the submission or did not see it yet).
    """
    gradebook = root / "gradebook.db"
    if not db_url and not gradebook.exists():
        raise CourseError("no grades yet; run: python -m grading sample")
    grades: dict[str, dict[str, Grade]] = {}
    with Gradebook(db_url or f"sqlite:///{gradebook}") as book:
        for assignment in book.assignments:
            for submission in assignment.submissions:
                student = submission.student.id
                work = root / "autograded" / student / assignment.name
                cells = [g for n in submission.notebooks for g in n.grades]
                status = _status(work)
                if not status and any(cell.needs_manual_grade for cell in cells):
                    status = "needs manual grading"
                grades.setdefault(student, {})[assignment.name] = Grade(
                    {cell.name: cell.score for cell in cells},
                    sum(cell.max_score for cell in cells),
                    status,
                )
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
