"""Write the students' feedback pages with nbgrader, where they are out of date."""

import hashlib
import html
import json
from pathlib import Path

from nbgrader.api import Gradebook

from grading.course import Course
from grading.engine.receipt import read_receipt
from grading.notebooks import ProblemSet
from grading.records import GRADED, Record, record_path

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<body style="font: 1rem/1.5 sans-serif; max-width: 40rem; margin: 2rem auto">
<h1>{title}</h1>
<p>Your submission could not be graded. You have neither gained nor lost points.</p>
<p><strong>{reason}</strong></p>
<p>If you can mend it, hand it in again; else ask your teacher.</p>
"""


class Feedback:
    """The feedback pages of a problem set.

    A page is out of date when what it shows has changed: the executed notebook, a
    score or a comment, be it by a person; or when it answers another submission. The
    gradebook keeps no times, so a digest of all that lies beside the record.
    """

    def __init__(self, course: Course, problem_set: ProblemSet):
        self.course = course
        self.problem_set = problem_set

    def is_current(self, record: Record) -> bool:
        """Whether a student's page shows what there is to show."""
        try:
            known = self._mark(record).read_text(encoding="utf-8")
        except FileNotFoundError:
            return False
        return self._page(record).is_file() and known == self._digest(record)

    def write(self, record: Record) -> None:
        """Write a student's page.

        Raises
        ------
        CourseError
            If nbgrader cannot.
        """
        digest = self._digest(record)
        if record.status == GRADED:
            self.course.write_feedback(self.problem_set, record.student)
        else:
            page = self._page(record)
            page.parent.mkdir(parents=True, exist_ok=True)
            title = html.escape(f"{record.notebook}: not graded")
            text = PAGE.format(title=title, reason=html.escape(record.reason))
            page.write_text(text, encoding="utf-8")
            for name, content in self._receipt(record).items():
                page.with_name(name).write_text(content, encoding="utf-8")
        self._mark(record).write_text(digest, encoding="utf-8")

    def _page(self, record: Record) -> Path:
        folder = self.course.step("feedback", record.assignment, record.student)
        return folder / f"{record.notebook}.html"

    def _mark(self, record: Record) -> Path:
        path = record_path(self.course.root, record.assignment, record.student)
        return path.with_suffix(".feedback")

    def _receipt(self, record: Record) -> dict[str, str]:
        step = "autograded" if record.status == GRADED else "submitted"
        return read_receipt(self.course.step(step, record.assignment, record.student))

    def _digest(self, record: Record) -> str:
        shown = [record.status, record.reason, record.executed, self._receipt(record)]
        if record.status == GRADED:
            with self.course.gradebook() as gradebook:
                shown += _scores(gradebook, record)
        return hashlib.sha256(json.dumps(shown).encode()).hexdigest()


def _scores(gradebook: Gradebook, record: Record) -> list:
    notebook = gradebook.find_submission_notebook(
        record.notebook, record.assignment, record.student
    )
    grades = sorted((grade.name, grade.score) for grade in notebook.grades)
    comments = sorted((c.name, c.comment or "") for c in notebook.comments)
    return [grades, comments, notebook.late_submission_penalty]
