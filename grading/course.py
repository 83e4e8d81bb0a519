"""Run stock nbgrader on the course in a folder, in this process.

The folder holds ``nbgrader_config.py``, ``solutions/`` and ``exercises/``; what
nbgrader works on lies in ``_build/nbgrader`` beside them. Its log is a file there.
"""

import contextlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps.baseapp import NbGrader
from nbgrader.converters import GenerateAssignment, GenerateFeedback
from nbgrader.converters.base import BaseConverter, NbGraderException
from nbgrader.utils import temp_attrs
from traitlets.config import Config

from grading import CourseError
from grading.notebooks import ProblemSet, build, find_sets
from grading.sample_class import Submission, fill

SAMPLE = "(sample class)"  # the last name of its students in the gradebook


class Course:
    """The course in `folder`, as ``nbgrader_config.py`` there describes it.

    Parameters
    ----------
    folder
        Must be the current folder: nbgrader reads its configuration from there.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.app = NbGrader()
        self.app.initialize([])
        self.root = Path(self.app.coursedir.root)
        self.root.mkdir(parents=True, exist_ok=True)
        self.log_file = self.root / "grading.log"
        self.log_file.write_text("")
        handler = logging.FileHandler(self.log_file)
        handler.setLevel(logging.INFO)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handler.handleError = lambda record: None  # a full disk says so elsewhere
        self.app.log_level = logging.INFO  # first: it sets up the log again
        for log in (self.app.log, logging.getLogger("tornado.application")):
            log.handlers = [handler]  # the gradebook writes into the second
            log.propagate = False

    def sets(self, names: Iterable[str] = ()) -> list[ProblemSet]:
        """Return the problem sets of these `names`, or all."""
        found = find_sets(self.folder / "solutions")
        if not found:
            raise CourseError("solutions/ holds no problem set (psN_name.md)")
        names = list(names) or list(found)
        for name in names:
            if name not in found:
                raise CourseError(
                    f"no problem set {name!r} (there are: {', '.join(found)})"
                )
        return [found[name] for name in names]

    def write_source(self, problem_set: ProblemSet) -> None:
        """Build the source notebook, with nothing beside it.

        nbgrader copies whatever lies beside it to learners.
        """
        text = _text(problem_set)
        folder = self.step("source", problem_set.name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / f"{problem_set.notebook}.ipynb").write_text(text, encoding="utf-8")

    def release(self, problem_set: ProblemSet) -> Path:
        """Write the learners' notebook into ``exercises/`` and return its path.

        The gradebook is left alone: what learners get depends on the source only.
        """
        self.write_source(problem_set)
        with tempfile.TemporaryDirectory(dir=self.root) as folder:
            self._run(
                GenerateAssignment,
                problem_set,
                release_directory=Path(folder).name,
                GenerateAssignment={"no_database": True},
                SaveCells={"enabled": False},
            )
            target = self.folder / "exercises" / problem_set.name
            shutil.copytree(Path(folder) / problem_set.name, target, dirs_exist_ok=True)
        return target / f"{problem_set.notebook}.ipynb"

    def register(self, problem_set: ProblemSet) -> None:
        """Release inside nbgrader's course and enter the set into its gradebook."""
        self.write_source(problem_set)
        self._run(GenerateAssignment, problem_set)

    def is_registered(self, problem_set: ProblemSet) -> bool:
        """Whether release and gradebook are those of the text in ``solutions/``."""
        name = f"{problem_set.notebook}.ipynb"
        source, release = (
            self.step("source", problem_set.name) / name,
            self.step("release", problem_set.name) / name,
        )
        # nbgrader writes the release last: an older one was not finished.
        if not (source.is_file() and release.is_file()) or (
            release.stat().st_mtime_ns < source.stat().st_mtime_ns
        ):
            return False
        if source.read_text(encoding="utf-8") != _text(problem_set):
            return False
        with self.gradebook() as gradebook, contextlib.suppress(MissingEntry):
            gradebook.find_notebook(problem_set.notebook, problem_set.name)
            return True
        return False

    def step(self, step: str, set_name: str, student: str = ".") -> Path:
        """Return the folder where nbgrader has this step of a student's work."""
        directory = getattr(self.app.coursedir, f"{step}_directory")
        path = self.app.coursedir.format_path(directory, student, set_name)
        return Path(os.path.normpath(path))

    def receive(
        self, problem_sets: list[ProblemSet], submissions: list[Submission]
    ) -> None:
        """Replace the sample class's work on these sets by these submissions.

        Submissions of other students stay as they are.
        """
        with self.gradebook() as gradebook:
            for student in list(gradebook.students):
                if student.last_name == SAMPLE:
                    self._forget(gradebook, [s.name for s in problem_sets], student.id)
        for problem_set in problem_sets:
            self.register(problem_set)
        for submission in submissions:
            [problem_set] = (s for s in problem_sets if s.name == submission.set_name)
            name = f"{problem_set.notebook}.ipynb"
            notebook = fill(self.root / "release" / problem_set.name / name, submission)
            folder = self.root / "submitted" / submission.student / problem_set.name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            nbformat.write(notebook, folder / name)
            with self.gradebook() as gradebook:
                gradebook.update_or_create_student(submission.student, last_name=SAMPLE)

    def write_feedback(self, problem_set: ProblemSet, student: str) -> None:
        """Write the page that shows a student the grades."""
        self._run(GenerateFeedback, problem_set, student)

    def _forget(self, gradebook: Gradebook, sets: list[str], student: str) -> None:
        """Remove a student's work on these sets, and the student if none is left."""
        for name in sets:
            for step in ("submitted", "autograded", "feedback"):
                shutil.rmtree(self.root / step / student / name, ignore_errors=True)
            with contextlib.suppress(MissingEntry):
                gradebook.remove_submission(name, student)
        if not gradebook.find_student(student).submissions:
            gradebook.remove_student(student)

    def gradebook(self) -> Gradebook:
        """Open nbgrader's gradebook; close it, or use it in ``with``."""
        return Gradebook(self.app.coursedir.db_url, self.app.coursedir.course_id)

    def _run(
        self,
        converter: type[BaseConverter],
        problem_set: ProblemSet,
        student: str = "*",
        release_directory: str = "release",
        **options,
    ) -> None:
        """Run one of nbgrader's converters; its failure is a CourseError."""
        selection = {
            "assignment_id": problem_set.name,
            "student_id": student,
            "release_directory": release_directory,
        }
        with temp_attrs(self.app.coursedir, **selection):
            run = converter(self.app.coursedir, parent=self.app, force=True)
            run.update_config(Config(options))
            cause = _Cause(logging.ERROR)
            self.app.log.addHandler(cause)
            try:
                run.start()
            except NbGraderException as error:
                what = problem_set.name + (f" of {student}" if student != "*" else "")
                raise CourseError(
                    f"{what}: nbgrader failed, see {self.log_file}"
                ) from (cause.error or error)
            finally:
                self.app.log.removeHandler(cause)


class _Cause(logging.Handler):
    """Keep the exception that nbgrader writes into its log and raises no more."""

    error: BaseException | None = None

    def emit(self, record):
        self.error = sys.exc_info()[1] or self.error


def _text(problem_set: ProblemSet) -> str:
    return nbformat.writes(build(problem_set.source)) + "\n"
