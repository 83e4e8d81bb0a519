"""What grading found out about one submission: a JSON file each.

Records are the truth about a run: the grader writes them first, then the gradebook, so
that a run that was stopped goes on where it was. Reports and exports read them.

``<course>/records/<assignment>/<student>.json``
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from grading import CourseError

GRADED = "graded"
NOT_GRADED = "not graded"


@dataclass
class Cell:
    """The outcome of one graded cell.

    Attributes
    ----------
    grade_id : str
        nbgrader's name of the cell.
    points, max_points : float
        What it earned, of how many. ``points`` is None where a person decides.
    outcome : str
        ``"passed"``, ``"partly"``, ``"failed"``, ``"timed out"``, ``"crashed"`` (the
        learner's process died or used too much memory), or ``"by hand"``.
    message : str
        What the learner reads: the check's message, or "".
    seconds : float
        Wall-clock time.
    """

    grade_id: str
    points: float | None
    max_points: float
    outcome: str
    message: str = ""
    seconds: float = 0.0


@dataclass
class Record:
    """The outcome of one submission.

    Attributes
    ----------
    student, assignment, notebook : str
        nbgrader's names; the notebook's without ``.ipynb``.
    digest : str
        SHA-256 of all that the outcome depends on; where it is unchanged, grading again
        would give the same.
    status : str
        `GRADED` or `NOT_GRADED`.
    reason : str
        Why it could not be graded, for the student and the instructor; else "".
    sandbox : str
        What the student's code ran in: "bubblewrap 0.8.0", "sandlock 0.9.0" or
        "none (unsafe)"; "" where nothing ran.
    remarks : list of str
        What was unusual but did no harm, such as cells that were ignored.
    cells : list of Cell
        In the notebook's order; empty where it could not be graded.
    executed : str
        The executed notebook as JSON text, as nbgrader wants it in ``autograded/``; ""
        where it could not be graded.
    seconds : float
        Wall-clock time of the grading.
    saved : bool
        Whether the gradebook has it.
    """

    student: str
    assignment: str
    notebook: str
    digest: str
    status: str
    reason: str = ""
    sandbox: str = ""
    remarks: list[str] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    executed: str = ""
    seconds: float = 0.0
    saved: bool = False

    @property
    def points(self) -> float:
        """The points of all cells that were graded automatically."""
        return sum(cell.points or 0 for cell in self.cells)

    @property
    def max_points(self) -> float:
        """The points of all cells."""
        return sum(cell.max_points for cell in self.cells)

    def to_json(self) -> str:
        """Return the record as JSON text."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Record":
        """Return the record that `to_json` wrote."""
        values = json.loads(text)
        values["cells"] = [Cell(**cell) for cell in values["cells"]]
        return cls(**values)


def record_path(root: Path, assignment: str, student: str) -> Path:
    """Return where the record of a submission lies in the course at `root`."""
    return root / "records" / assignment / f"{student}.json"


def write_record(root: Path, record: Record) -> None:
    """Write a record as a whole or not at all."""
    path = record_path(root, record.assignment, record.student)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")  # one process writes
    try:
        with open(new, "w", encoding="utf-8", errors="replace") as file:
            file.write(record.to_json())
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def read_record(root: Path, assignment: str, student: str) -> Record | None:
    """Return the record of a submission, or None if there is none that is whole."""
    path = record_path(root, assignment, student)
    try:
        return Record.from_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def read_records(root: Path, assignment: str) -> list[Record]:
    """Return all records of an assignment, sorted by student.

    Raises
    ------
    CourseError
        If there are none.
    """
    paths = sorted((root / "records" / assignment).glob("*.json"))
    records = [read_record(root, assignment, path.stem) for path in paths]
    records = [record for record in records if record]
    if not records:
        raise CourseError(
            f"no grades of {assignment} yet; run: python -m grading grade {assignment}"
        )
    return records
