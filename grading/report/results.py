"""The results of a problem set: the grader's records joined with the gradebook.

A score that a person gave counts before the grader's.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nbgrader.api import (
    Assignment,
    BaseCell,
    Gradebook,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
)
from nbgrader.api import Grade as Score

from grading.records import GRADED, NOT_GRADED, Record, read_records

NO_SUBMISSION = "no submission"


@dataclass
class Result:
    """What a student has in a problem set.

    Attributes
    ----------
    record : Record
        The grader's; of status `NO_SUBMISSION` where there is nothing to grade.
    first_name, last_name, email, lms_user_id : str
        From the gradebook; "" where it does not know.
    points : dict
        The points of each exercise by its grade_id; None where a person has yet to
        decide. Empty where the submission could not be graded.
    penalty : float
        What handing in late costs.
    """

    record: Record
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_user_id: str = ""
    points: dict[str, float | None] = field(default_factory=dict)
    penalty: float = 0.0

    @property
    def student(self) -> str:
        """The student's id."""
        return self.record.student

    @property
    def total(self) -> float | None:
        """All points less the penalty; None where nothing was graded."""
        if self.record.status != GRADED:
            return None
        return max(0.0, sum(p or 0.0 for p in self.points.values()) - self.penalty)

    @property
    def status(self) -> str:
        """What the instructor should know, in a few words; "" where all is well."""
        if self.record.status != GRADED:
            return self.record.status
        outcomes = {cell.outcome for cell in self.record.cells}
        words = [word for word in ("timed out", "crashed") if word in outcomes]
        if None in self.points.values():
            words.append("by hand")
        return ", ".join(words)


def read_results(root: Path, assignment: str, gradebook: Gradebook) -> list[Result]:
    """Return the results of all students of the course at `root`, sorted by id.

    Raises
    ------
    CourseError
        If nothing of this problem set was graded yet.
    """
    records = {r.student: r for r in read_records(root, assignment)}
    students = {s.id: s for s in gradebook.db.query(Student)}
    penalties = _penalties(gradebook, assignment)
    scores = _scores_by_hand(gradebook, assignment)
    results = []
    for name in sorted(records.keys() | students.keys()):
        result = absent(name, assignment)
        if name in records:
            result.record = records[name]
        elif (root / "submitted" / name / assignment).is_dir():
            result.record.status = NOT_GRADED
            result.record.reason = "handed in, but not graded yet"
        result.penalty = penalties.get(name, 0.0)
        if student := students.get(name):
            result.first_name = student.first_name or ""
            result.last_name = student.last_name or ""
            result.email = student.email or ""
            result.lms_user_id = student.lms_user_id or ""
        for cell in result.record.cells:
            manual, extra = scores[name].get(cell.grade_id, (None, None))
            points = cell.points if manual is None else manual
            result.points[cell.grade_id] = (
                points if extra is None else (points or 0.0) + extra
            )
        results.append(result)
    return results


def absent(student: str, assignment: str) -> Result:
    """Return the result of a student who handed nothing in."""
    return Result(Record(student, assignment, "", "", NO_SUBMISSION))


def max_points(results: Iterable[Result]) -> dict[str, float]:
    """Return the most that each exercise can earn, in the notebook's order."""
    return {c.grade_id: c.max_points for r in results for c in r.record.cells}


def _penalties(gradebook: Gradebook, assignment: str) -> dict[str, float]:
    rows = (
        gradebook.db.query(Student.id, SubmittedNotebook.late_submission_penalty)
        .select_from(SubmittedNotebook)
        .join(SubmittedAssignment)
        .join(Assignment)
        .join(Student)
        .filter(Assignment.name == assignment)
    )
    return {student: penalty for student, penalty in rows if penalty}


def _scores_by_hand(gradebook: Gradebook, assignment: str) -> dict[str, dict]:
    """Return ``{student: {grade_id: (score, extra credit)}}``; either may be None."""
    rows = (
        gradebook.db.query(
            Student.id, BaseCell.name, Score.manual_score, Score.extra_credit
        )
        .select_from(Score)
        .join(BaseCell, Score.cell_id == BaseCell.id)
        .join(SubmittedNotebook, Score.notebook_id == SubmittedNotebook.id)
        .join(SubmittedAssignment)
        .join(Assignment)
        .join(Student)
        .filter(Assignment.name == assignment)
    )
    scores: dict[str, dict] = defaultdict(dict)
    for student, cell, manual, extra in rows:
        scores[student][cell] = manual, extra
    return scores
