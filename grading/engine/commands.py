"""The bodies of the commands ``grade`` and ``feedback``.

Both return the exit status: 0, `SOME_NOT` where something is left, `INTERRUPTED` after
Ctrl-C; what could not run at all raises CourseError.
"""

from functools import partial
from time import monotonic

from rich.console import Console

from grading import CourseError
from grading.course import Course
from grading.engine.errors import plain_errors
from grading.engine.feedback import Feedback
from grading.engine.patience import patiently
from grading.engine.progress import Display
from grading.engine.saving import Saver
from grading.engine.students import submitted
from grading.engine.summary import Row, show
from grading.engine.supervise import Prepare, Run, Supervisor
from grading.job import load_release, make_job
from grading.notebooks import ProblemSet
from grading.preprocessors import IsolatedExecute, course_secret
from grading.records import read_record

SOME_NOT = 3
INTERRUPTED = 130


def grade(
    course: Course,
    problem_set: ProblemSet,
    wanted: list[str],
    again: bool,
    sandbox: str,
    run: Run,
    patience: float,
    console: Console,
) -> int:
    """Grade a problem set.

    Parameters
    ----------
    course, problem_set
        What to grade.
    wanted
        Only these students; empty: all.
    again
        Grade also what has not changed since it was graded.
    sandbox
        The sandbox's name, for `grading.job.make_job`.
    run
        The engine.
    patience
        Seconds to wait for a gradebook that is in use.
    console
        Where to print.
    """
    name = problem_set.name
    students, strange = submitted(course.root, name, wanted)
    say = partial(console.print, markup=False, highlight=False)
    wait = partial(patiently, patience=patience, say=say)
    rows: list[Row] = []
    start = monotonic()
    try:
        with plain_errors():
            wait(partial(_register, course, problem_set))
            saver = wait(partial(Saver, course, problem_set))
            prepare = wait(partial(_preparation, course, problem_set, sandbox))
            supervisor = Supervisor(saver, prepare, run, wait, rows)
            with Display(console, f"Reading {name}", len(students)) as display:
                waiting = supervisor.plan(students, again, display)
            with Display(console, f"Grading {name}", len(waiting)) as display:
                supervisor.grade(waiting, display)
    except KeyboardInterrupt:
        say(f"Stopped: {len(rows)} of {len(students)} are done. ", end="")
        say("The same command goes on from there.")
        return INTERRUPTED
    show(rows, name, console)
    for folder in strange:
        say(f"Ignored: the folder {folder!r}, which has no student's id for a name")
    failed = sum(bool(row.reason) for row in rows)
    kept = len({row.student for row in rows if not row.reason} - set(waiting))
    say(
        f"{len(students)} submissions in {monotonic() - start:.1f} s: "
        f"{kept} needed no new grading, {failed} could not be graded."
    )
    return SOME_NOT if failed or strange else 0


def feedback(
    course: Course, problem_set: ProblemSet, wanted: list[str], console: Console
) -> int:
    """Write the feedback pages that are out of date; parameters as for `grade`."""
    name = problem_set.name
    students, _ = submitted(course.root, name, wanted)
    say = partial(console.print, markup=False, highlight=False)
    pages = Feedback(course, problem_set)
    written, failures = 0, []
    try:
        with plain_errors(), Display(console, f"Feedback {name}", len(students)) as bar:
            for student in students:
                record = read_record(course.root, name, student)
                try:
                    if record is None or not record.saved:
                        raise CourseError(f"{student} is not graded yet")
                    if not pages.is_current(record):
                        pages.write(record)
                        written += 1
                except CourseError as error:
                    failures.append(str(error))
                bar.advance()
    except KeyboardInterrupt:
        say(f"Stopped: {written} pages are written. The same command goes on.")
        return INTERRUPTED
    for failure in failures:
        say(f"No feedback: {failure}")
    say(f"Wrote {written} of {len(students)} pages; the others were up to date.")
    return SOME_NOT if failures else 0


def _register(course: Course, problem_set: ProblemSet) -> None:
    """Enter a set that is new or has changed into nbgrader's course."""
    if course.is_registered(problem_set):
        return
    try:
        course.register(problem_set)
    except CourseError as error:
        if not isinstance(error.__cause__, RuntimeError):
            raise
        name = problem_set.name
        raise CourseError(
            f"{name} has changed, and nbgrader cannot add or remove cells of a set "
            "that has grades. If they may go: "
            f"nbgrader db assignment remove {name} --force"
        ) from None


def _preparation(course: Course, problem_set: ProblemSet, sandbox: str) -> Prepare:
    """Return the function that makes a student's job."""
    names = problem_set.name, problem_set.notebook
    return partial(
        make_job,
        course.root,
        *names,
        release=load_release(course.root, course.app.coursedir.db_url, *names),
        sandbox=sandbox,
        limits=IsolatedExecute(parent=course.app).limits,
        secret=course_secret(course.root),
    )
