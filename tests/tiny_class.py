"""A class that has handed in the tiny problem set, and what became of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
from course_folder import REPO, TINY, make_course, run
from nbgrader.api import Gradebook

from grading.notebooks import is_hole
from grading.records import read_record

RIGHT = "def double(x):\n    return 2 * x"
PARTLY = "def double(x):\n    return 2 * abs(x)"
POINTS = {RIGHT: 3, PARTLY: 1, None: 0}


def make_class(folder: Path, answers: dict[str, str | None]) -> Path:
    """Set up the tiny course; `answers` are handed in for its first hole."""
    course = make_course(folder, TINY)
    run(course, "grading", "exercises")
    for student, answer in answers.items():
        submit(course, student, answer)
    return course


def grade(course: Path, *arguments: str, status: int = 0) -> str:
    """Run ``python -m grading``; return all that it says."""
    done = subprocess.run(
        [sys.executable, "-m", "grading", *arguments],
        cwd=course,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def start(course: Path, *arguments: str, stderr=subprocess.STDOUT) -> subprocess.Popen:
    """Start to grade; the process group is its own, and Ctrl-C is heard.

    (A shell has what it runs in the background ignore Ctrl-C, and that is inherited.)
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "grading", "grade", "ps1", *arguments],
            cwd=course,
            env={**os.environ, "PYTHONPATH": str(REPO)},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def root(course: Path) -> Path:
    return course / "_build" / "nbgrader"


def submitted(course: Path, student: str) -> Path:
    return root(course) / "submitted" / student / "ps1" / "ps1_tiny.ipynb"


def submit(course: Path, student: str, answer: str | None) -> None:
    notebook = nbformat.read(course / "exercises/ps1/ps1_tiny.ipynb", as_version=4)
    hole = next(cell for cell in notebook.cells if is_hole(cell))
    hole.source = answer or hole.source
    path = submitted(course, student)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def record(course: Path, student: str):
    return read_record(root(course), "ps1", student)


def gradebook(course: Path, db_url: str | None = None) -> Gradebook:
    return Gradebook(db_url or f"sqlite:///{root(course)}/gradebook.db", "batchnorm")


def scores(course: Path, db_url: str | None = None) -> dict[str, dict]:
    """Return all that the gradebook holds of ps1, by student and cell."""
    with gradebook(course, db_url) as book:
        return {
            submission.student_id: {
                grade.name: (
                    grade.auto_score,
                    grade.manual_score,
                    grade.needs_manual_grade,
                )
                for notebook in submission.notebooks
                for grade in notebook.grades
            }
            | {
                f"{comment.name} (comment)": comment.auto_comment
                for notebook in submission.notebooks
                for comment in notebook.comments
            }
            for submission in book.find_assignment("ps1").submissions
        }
