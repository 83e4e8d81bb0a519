"""A class that submits: small text files instead of notebooks.

``tests/sample_class/psN/<student>.py`` holds a student's answers only::

    # Ada divides by M - 1 in the running variance.
    # expect: 14 test_running=0
    # like: bruno
    # %% train
    def train(x): ...

    # %% why
    # An answer in words; the comment signs are dropped.

The first comment says what the student is like. ``expect`` states the points that
grading must give: in all and, optionally, for single cells. ``like``, which may be
missing, names a student of the same set whose answers this one hands in, but for those
that follow. The text after
``# %% <grade_id>`` replaces that cell of the released notebook; other cells stay as
released. An empty file is a blank notebook, worth 0 points.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from grading import CourseError
from grading.notebooks import grade_id, is_hole

SECTION = re.compile(r"# %% *(\S*) *")
LIKE = re.compile(r"# like: (\w+) *")
EXPECT = re.compile(r"# expect: (\d+(?:\.\d+)?)((?: \w+=\d+(?:\.\d+)?)*) *")


@dataclass
class Submission:
    """What a student hands in for a set, and what it must earn."""

    path: Path
    answers: dict[str, str] = field(default_factory=dict)
    points: float = 0
    cell_points: dict[str, float] = field(default_factory=dict)

    @property
    def student(self) -> str:
        """The student's name."""
        return self.path.stem

    @property
    def set_name(self) -> str:
        """The problem set, ``psN``."""
        return self.path.parent.name


def read_class(folder: Path) -> list[Submission]:
    """Read every submission in `folder`, sorted by set and student."""
    return [read_submission(path) for path in sorted(folder.glob("ps*/*.py"))]


def read_submission(path: Path) -> Submission:
    """Read a student's file; raise CourseError, naming the line, where it is wrong."""
    submission = Submission(path)
    name, expected, copied = None, False, {}
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        where = f"{path}:{number}"
        if match := SECTION.fullmatch(line):
            name = match[1]
            if not name:
                raise CourseError(f"{where}: '# %%' needs the grade_id of a cell")
            if name in submission.answers:
                raise CourseError(f"{where}: a second answer to {name!r}")
            submission.answers[name] = ""
        elif name:
            submission.answers[name] += line + "\n"
        elif match := EXPECT.fullmatch(line):
            expected = True
            submission.points = float(match[1])
            pairs = (pair.split("=") for pair in match[2].split())
            submission.cell_points = {cell: float(points) for cell, points in pairs}
        elif match := LIKE.fullmatch(line):
            other = path.with_name(f"{match[1]}.py")
            if other == path or not other.is_file():
                raise CourseError(f"{where}: no other student {match[1]!r} in this set")
            if any(map(LIKE.fullmatch, other.read_text().splitlines())):
                raise CourseError(f"{where}: {match[1]} is like somebody else already")
            copied = read_submission(other).answers
        elif line.startswith("# expect"):
            raise CourseError(f"{where}: write '# expect: 14 test_running=0'")
        elif line.strip() and not line.startswith("#"):
            raise CourseError(f"{where}: text before the first '# %% <grade_id>'")
    if lines and not expected:
        raise CourseError(f"{path}: no line '# expect: <points>'")
    submission.answers = copied | submission.answers
    return submission


def fill(release: Path, submission: Submission) -> NotebookNode:
    """Return the released notebook with the student's answers in its holes."""
    notebook = nbformat.read(release, as_version=4)
    holes = {grade_id(cell): cell for cell in notebook.cells if is_hole(cell)}
    for name, answer in submission.answers.items():
        if name not in holes:
            raise CourseError(
                f"{submission.path}: no cell {name!r} to answer "
                f"(there are: {', '.join(holes)})"
            )
        if holes[name].cell_type == "markdown":
            answer = re.sub("^# ?", "", answer, flags=re.MULTILINE)
        holes[name].source = answer.strip()
    return notebook
