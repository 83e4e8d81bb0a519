"""Write what was found out: the record, then nbgrader's gradebook and files.

Only the supervisor writes. nbgrader's own functions count the points of the executed
notebook, so that its formgrader, feedback and export work as ever. What a
person has graded or commented stays.

But: only the notebook, its time stamp and its secret go to ``autograded/``, not what a
student handed in beside them.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import nbformat
from nbgrader.preprocessors import AssignLatePenalties
from nbgrader.utils import (
    compute_checksum,
    determine_grade,
    is_grade,
    is_solution,
)

from grading.course import Course
from grading.engine.receipt import FILES, read_receipt, read_timestamp
from grading.notebooks import ProblemSet, grade_id
from grading.records import GRADED, Record, write_record


class Saver:
    """Save the records of a problem set of `course`."""

    def __init__(self, course: Course, problem_set: ProblemSet):
        self.course = course
        self.name = problem_set.name
        self.notebook = problem_set.notebook
        with course.gradebook() as gradebook:
            submissions = gradebook.find_assignment(self.name).submissions
            self._in_gradebook = {submission.student_id for submission in submissions}

    def record(self, record: Record) -> None:
        """Write the record alone: from here on, nothing need be graded again."""
        write_record(self.course.root, replace(record, saved=False))

    def save(self, record: Record) -> None:
        """Write a record that was written into gradebook and files.

        It can be repeated: each time it does all of it.
        """
        student = record.student
        submitted = self.course.step("submitted", self.name, student)
        stamp, receipt = read_timestamp(submitted), read_receipt(submitted)
        options = {} if stamp is None else {"timestamp": stamp}
        with self.course.gradebook() as gradebook:
            gradebook.update_or_create_student(student)
            gradebook.update_or_create_submission(self.name, student, **options)
        folder = self.course.step("autograded", self.name, student)
        if record.status == GRADED:
            self._count(record, late=stamp is not None)
            folder.mkdir(parents=True, exist_ok=True)
            self._write(folder / f"{self.notebook}.ipynb", record.executed)
            for name in FILES:
                if name in receipt:
                    self._write(folder / name, receipt[name])
                else:
                    (folder / name).unlink(missing_ok=True)
        else:
            self._clear(student)
            shutil.rmtree(folder, ignore_errors=True)
            feedback = self.course.step("feedback", self.name, student)
            shutil.rmtree(feedback, ignore_errors=True)
        write_record(self.course.root, replace(record, saved=True))
        self._in_gradebook.add(student)

    def is_saved(self, record: Record) -> bool:
        """Whether gradebook and files are those that `save` wrote for `record`."""
        folder = self.course.step("autograded", self.name, record.student)
        submitted = self.course.step("submitted", self.name, record.student)
        if not record.saved or record.student not in self._in_gradebook:
            return False
        if record.status != GRADED:
            return True
        return (folder / f"{self.notebook}.ipynb").is_file() and (
            read_receipt(folder) == read_receipt(submitted)
        )

    def _count(self, record: Record, late: bool) -> None:
        """Write the points that nbgrader counts, and what being late costs.

        As nbgrader's SaveAutoGrades does, but in one transaction.
        """
        notebook = nbformat.reads(record.executed, as_version=4)
        with self.course.gradebook() as gradebook:
            found = gradebook.find_submission_notebook(
                self.notebook, self.name, record.student
            )
            found.late_submission_penalty = None
            grades = {grade.name: grade for grade in found.grades}
            comments = {comment.name: comment for comment in found.comments}
            for cell in notebook.cells:
                if is_grade(cell):
                    grade = grades[grade_id(cell)]
                    grade.auto_score, _ = determine_grade(cell, self.course.app.log)
                    by_hand = grade.auto_score is None or grade.manual_score is not None
                    grade.needs_manual_grade = by_hand
                if is_solution(cell):
                    empty = cell.metadata.nbgrader.get("checksum")
                    unanswered = empty == compute_checksum(cell)
                    comment = "No response." if unanswered else None
                    comments[grade_id(cell)].auto_comment = comment
            gradebook.db.commit()
        if late:
            known = {"student": record.student, "assignment": self.name}
            known |= {"notebook": self.notebook}
            known |= {"db_url": self.course.app.coursedir.db_url}
            penalties = AssignLatePenalties(parent=self.course.app)
            penalties.preprocess(notebook, {"nbgrader": known})

    def _clear(self, student: str) -> None:
        """Take back what an earlier submission earned."""
        with self.course.gradebook() as gradebook:
            found = gradebook.find_submission_notebook(
                self.notebook, self.name, student
            )
            found.late_submission_penalty = None
            for grade in found.grades:
                grade.auto_score = None
                grade.needs_manual_grade = True
            for comment in found.comments:
                comment.auto_comment = None
            gradebook.db.commit()

    def _write(self, path: Path, text: str) -> None:
        """Write a file as a whole or not at all, for those whom nbgrader lets."""
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        new.write_text(text, encoding="utf-8")
        new.chmod(0o664 if self.course.app.coursedir.groupshared else 0o444)
        new.replace(path)
