"""What is handed in, and what it must get.

``tests/hostile/<kind>/<name>.py`` holds a student's answers, as in the sample class,
under a few lines more::

    # Patches numpy's comparisons.
    # expect: 17 test_train=0
    # says: still running
    # status: not graded
    # rest: right
    # %% train
    def batch_norm_train(x, gamma, beta, eps=1e-5): ...

``says`` is a pattern found in what the student reads, ``status`` is "graded" unless
said otherwise, and ``rest: right`` puts the model solution into all cells without an
answer. The answer ``notes`` is written below the right answer of ``train``. Where an
attack needs a place, it says ``{gradebook}``; see `Places`.

Submissions that are more than answers are functions, in `structure` and `files`.
"""

import copy
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from grading.notebooks import MARKERS, build, grade_id, is_hole
from grading.sample_class import read_submission

HERE = Path(__file__).parent
HEADER = re.compile(r"^# (says|status|rest): (.+)$", re.MULTILINE)


@dataclass
class Places:
    """What an attacker would like to find, as text."""

    course: str  # nbgrader's: _build/nbgrader
    gradebook: str
    config: str
    source: str
    release: str
    solutions: str
    other_student: str
    home: str
    repo: str
    canary: str  # a file beside the course that anybody may write
    victim: str  # the number of a process of the instructor's
    port: str
    socket: str
    abstract: str

    def fill(self, text: str) -> str:
        """Put the places into a text."""
        for name, place in asdict(self).items():
            text = text.replace("{%s}" % name, place)  # noqa: UP031 (braces)
        return text


@dataclass
class Handed:
    """One submission.

    Attributes
    ----------
    student : str
        ``<kind>_<name>``.
    points : float
        In all.
    cells : dict
        Points of single cells.
    says : str
        A pattern, found in what the student reads.
    status : str
        "graded" or "not graded".
    write : callable
        ``write(folder, notebook, places)`` hands in: `folder` is there and empty,
        `notebook` has every answer right.
    """

    student: str
    points: float
    cells: dict[str, float]
    says: str
    status: str
    write: Callable[[Path, NotebookNode, Places], None]


@dataclass
class Kind:
    """The submissions of a module that writes them with functions."""

    name: str
    handed: list[Handed] = field(default_factory=list)

    def submission(self, points: float = 0, says: str = "", status="graded", **cells):
        """Register the function below as a submission."""

        def register(write):
            student = f"{self.name}_{write.__name__}"
            self.handed.append(Handed(student, points, cells, says, status, write))
            return write

        return register

    def notebook(self, points: float = 0, says: str = "", **cells):
        """Register a function that changes a right notebook, which is handed in."""

        def register(change):
            def write(folder, notebook, places):
                change(notebook)
                (folder / "ps1_forward.ipynb").write_text(json.dumps(notebook))

            write.__name__ = change.__name__
            self.submission(points, says, **cells)(write)
            return change

        return register


def right_notebook(release: Path, source: Path) -> NotebookNode:
    """Return the release with the model solution in its holes.

    The layer has its own copies of the functions that it calls, so that an attack in
    one of those costs that exercise only.
    """
    markers = MARKERS["solution"]
    solutions = {
        grade_id(cell): "\n".join(
            line
            for line in cell.source.splitlines()
            if not any(marker in line for marker in markers)
        )
        for cell in build(source).cells
    }
    parts = [solutions[name] for name in ("train", "running", "evaluate", "layer")]
    layer = "\n\n\n".join(parts)
    for name in ("batch_norm_train", "update_running", "batch_norm_eval"):
        layer = layer.replace(name, f"own_{name}")
    solutions["layer"] = layer
    notebook = nbformat.read(release, as_version=4)
    for cell in filter(is_hole, notebook.cells):
        cell.source = solutions[grade_id(cell)]
    return notebook


def read_texts() -> list[Handed]:
    """Read all text files."""
    return [_read(path) for path in sorted(HERE.glob("*/*.py"))]


def _read(path: Path) -> Handed:
    submission = read_submission(path)
    header = dict(HEADER.findall(path.read_text()))
    answers = submission.answers

    def write(folder, notebook, places):
        for cell in filter(is_hole, notebook.cells):
            name = grade_id(cell)
            if name in answers:
                cell.source = places.fill(answers[name]).strip()
            elif "rest" not in header:
                cell.source = "raise NotImplementedError()"
            if name == "train" and "notes" in answers:
                cell.source += "\n\n\n" + places.fill(answers["notes"]).strip()
        nbformat.write(notebook, folder / "ps1_forward.ipynb")

    return Handed(
        f"{path.parent.name}_{path.stem}",
        submission.points,
        submission.cell_points,
        header.get("says", ""),
        header.get("status", "graded"),
        write,
    )


def everything() -> list[Handed]:
    """Return the whole corpus."""
    from hostile import files, structure

    return [*read_texts(), *structure.KIND.handed, *files.KIND.handed]


def hand_in(handed: Handed, folder: Path, right: NotebookNode, places: Places) -> None:
    """Write a submission's folder."""
    folder.mkdir(parents=True)
    handed.write(folder, copy.deepcopy(right), places)
