"""A class whose grades are there already: records, and nbgrader's own gradebook."""

import warnings
from pathlib import Path

from course_folder import TINY, make_course, run
from nbgrader.api import Gradebook

from grading.records import GRADED, NOT_GRADED, Cell, Record, write_record

EVIL = "<script>alert(1)</script>[red]x[/red]\x1b]0;y\x07\x1b[31m\u202e"


def make_class(folder: Path) -> Path:
    """Return the root of a course in the new `folder`, its grades being there.

    ada is right (3 of 3, and 2 of 3 by hand), bob has a misconception and is late, cy
    has the same on other inputs, dora times out, eve's file is broken, fay is absent,
    and gus is not in the gradebook.
    """
    make_course(folder, TINY)
    run(folder, "grading", "exercises")
    run(folder, "nbgrader", "generate_assignment", "ps1")
    root = folder / "_build" / "nbgrader"
    with open_gradebook(root) as gradebook, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbgrader 0.9.6 is noisy with SQLAlchemy 2.1
        for name in ("ada", "bob", "cy", "dora", "eve", "fay"):
            gradebook.add_student(name, last_name=name.capitalize())
        gradebook.update_or_create_student("ada", first_name="=1+1", email="a@x.org")
        for name in ("ada", "bob"):
            gradebook.add_submission("ps1", name)
        grade = gradebook.find_grade("why", "ps1_tiny", "ps1", "ada")
        grade.manual_score = 2
        late = gradebook.find_submission_notebook("ps1_tiny", "ps1", "bob")
        late.late_submission_penalty = 0.5
        gradebook.db.commit()
    wrong = "✗ double\n  y has shape ({k}, 2) on {k} rows; expected (2,). Is it (2, 1)?"
    for record in (
        _record("ada", (2, "passed", ""), (1, "passed", "")),
        _record("bob", (1, "partly", wrong.format(k=3)), (1, "passed", "")),
        _record("cy", (0, "failed", wrong.format(k=5)), (0, "failed", EVIL)),
        _record("dora", (0, "timed out", "Stopped after 20 s."), (0, "crashed", "")),
        _record("gus", (2, "passed", ""), (1, "passed", ""), sandbox="none (unsafe)"),
        Record("eve", "ps1", "ps1_tiny", "", NOT_GRADED, f"not JSON {EVIL}"),
    ):
        write_record(root, record)
    return root


def open_gradebook(root: Path) -> Gradebook:
    """Open the gradebook of the course at `root`."""
    return Gradebook(f"sqlite:///{root}/gradebook.db", "batchnorm")


def _record(student, double, again, sandbox="bubblewrap 0.8.0"):
    cells = [
        Cell("test_double", double[0], 2, *double[1:], seconds=0.5),
        Cell("test_double_again", again[0], 1, *again[1:], seconds=0.25),
        Cell("why", None, 3, "by hand"),
    ]
    remarks = ["a cell was deleted"] if student == "cy" else []
    return Record(
        student, "ps1", "ps1_tiny", "digest", GRADED, "", sandbox, remarks, cells,
        seconds=0.8,
    )  # fmt: skip
