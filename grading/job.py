"""One submission, from file to record.

`make_job` reads what is to be graded, `grade` grades it. Between them lies plain data,
so that it can be done in another process or on another machine.

But: no gradebook here (`grading.engine`).
"""

import copy
import hashlib
import json
import stat
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path

import nbformat

from grading import CourseError
from grading.execute import execute
from grading.isolation.sandbox import Limits, choose
from grading.isolation.session import NotStarted
from grading.isolation.student import Student
from grading.notebooks import grade_id
from grading.rebuild import Unreadable, read_cells, rebuild
from grading.records import GRADED, NOT_GRADED, Record

MAX_FILE = 10 << 20  # bytes of a submitted notebook
PACKAGES = ("numpy",)


def load_release(root: Path, db_url: str, assignment: str, notebook: str) -> str:
    """Return the released notebook with its hidden tests, as JSON text.

    Parameters
    ----------
    root : Path
        nbgrader's course.
    db_url : str
        Its gradebook, which has the hidden tests.
    assignment, notebook : str
        nbgrader's names.

    Raises
    ------
    CourseError
        If it has not been released.
    """
    path = root / "release" / assignment / f"{notebook}.ipynb"
    if not path.exists():
        raise CourseError(f"{path}: not released yet")
    released = nbformat.read(path, as_version=4)
    from nbgrader.api import Gradebook  # slow, and those who grade do not need it

    with Gradebook(db_url) as gradebook:
        cells = gradebook.find_notebook(notebook, assignment).source_cells
        known = {cell.name: cell for cell in cells}
        for cell in released.cells:
            if found := known.get(grade_id(cell)):
                cell.metadata.nbgrader["checksum"] = found.checksum
                if found.locked:
                    cell.source = found.source
    return nbformat.writes(released)


def make_job(
    root: Path,
    assignment: str,
    notebook: str,
    student: str,
    *,
    release: str,
    sandbox: str = "auto",
    limits: Limits | None = None,
    secret: str = "",
) -> dict | Record:
    """Read a submission.

    Parameters
    ----------
    root : Path
        nbgrader's course; the file is
        ``submitted/<student>/<assignment>/<notebook>.ipynb`` in it.
    release : str
        What `load_release` returned.
    sandbox : str
        "auto", "bubblewrap", "sandlock", or "none".
    limits : Limits, optional
        What the submission may use.
    secret : str
        The instructor's secret for hidden tests.

    Returns
    -------
    dict or Record
        What `grade` takes; or, if the file cannot be graded, the record that says why.
    """
    limits = limits or Limits()
    path = root / "submitted" / student / assignment / f"{notebook}.ipynb"
    try:
        data, problem = _read(path, root / "submitted"), ""
    except Unreadable as error:
        data, problem = b"", str(error)
    told = [release, sandbox, asdict(limits), secret, problem, program_digest()]
    digest = hashlib.sha256(json.dumps(told).encode() + data).hexdigest()
    if problem:
        return Record(student, assignment, notebook, digest, NOT_GRADED, problem)
    return text_job(
        release,
        data.decode("utf-8-sig", "replace"),
        student=student,
        assignment=assignment,
        notebook=notebook,
        digest=digest,
        sandbox=sandbox,
        limits=limits,
        secret=secret,
    )


def text_job(
    release: str,
    submission: str,
    *,
    student: str = "",
    assignment: str = "",
    notebook: str = "",
    digest: str = "",
    sandbox: str = "auto",
    limits: Limits | None = None,
    secret: str = "",
) -> dict:
    """Return what `grade` takes, of two notebooks as text.

    The names and the digest only reach the record.
    """
    return {
        "student": student,
        "assignment": assignment,
        "notebook": notebook,
        "digest": digest,
        "submission": submission,
        "release": release,
        "sandbox": sandbox,
        "limits": asdict(limits or Limits()),
        "secret": secret,
    }


def grade(job: dict) -> dict:
    """Grade a submission.

    Parameters
    ----------
    job : dict
        What `make_job` returned.

    Returns
    -------
    dict
        A `Record`, as ``asdict`` gives it. Whatever a submission does becomes part of
        the record.

    Raises
    ------
    CourseError
        If no sandbox works here, or a package is missing: nothing can be graded.
    """
    start = time.monotonic()
    names = (job[key] for key in ("student", "assignment", "notebook", "digest"))
    record = Record(*names, NOT_GRADED)
    try:
        cells = read_cells(job["submission"])
    except Unreadable as error:
        record.reason = str(error)
        return asdict(record)
    release = _release(job["release"])
    notebook, record.remarks = rebuild(release, cells)
    sandbox = choose(job["sandbox"])
    packages = tuple(notebook.metadata.get("packages", PACKAGES))
    student = Student(sandbox, packages, Limits(**job["limits"]))
    record.sandbox = sandbox.label
    if sandbox.name == "none":
        record.remarks.append("graded without a sandbox: not safe from the student")
    try:
        record.cells = execute(notebook, student, job["secret"])
        record.executed = nbformat.writes(notebook)
        record.status = GRADED
    except NotStarted as error:
        record.digest = ""  # the next run tries again
        record.reason = f"The sandbox could not be started: {error}."
    finally:
        student.finish()
    record.seconds = time.monotonic() - start
    return asdict(record)


PROGRAMS = (".py", ".h", ".cpp")  # the emulator's are C++


@cache
def program_digest() -> str:
    """Return a digest of the grader and the checks: what they find depends on it."""
    here = Path(__file__).parent
    files = [here / f"{name}.py" for name in ("execute", "job", "rebuild")]
    for folder in (here / "isolation", here.parent / "bnlib"):
        files += sorted(p for p in folder.rglob("*.*") if p.suffix in PROGRAMS)
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _parsed(release: str):
    return nbformat.reads(release, as_version=4)


def _release(text: str):
    return copy.deepcopy(_parsed(text))


def _read(path: Path, submitted: Path) -> bytes:
    """Return the bytes of a submitted file, if it is one."""
    folder = path
    while folder != submitted:
        if folder.is_symlink():
            raise Unreadable(
                f"{folder.name} is a symbolic link; only real files are graded. Hand "
                "in the notebook itself."
            )
        folder = folder.parent
    try:
        kind = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        raise Unreadable(
            f"There is no {path.name}. The notebook must keep the name that it was "
            "released under."
        ) from None
    if not stat.S_ISREG(kind.st_mode):
        raise Unreadable(f"{path.name} is not a file.")
    if kind.st_size > MAX_FILE:
        raise Unreadable(
            f"The notebook has {kind.st_size >> 20} MB; at most {MAX_FILE >> 20} MB "
            "are accepted. Clear its outputs (Kernel, Restart and Clear Outputs), save "
            "it, and hand it in again."
        )
    if kind.st_size == 0:
        raise Unreadable("The file is empty.")
    return path.read_bytes()
