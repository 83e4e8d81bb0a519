"""Turn the text of a problem set into an nbgrader source notebook.

A cell's metadata holds a short form of nbgrader's, which `build` completes:

=====================================================  ===============================
``{grade_id: train, solution: true}``                  a learner's code cell
``{grade_id: test_train, grade: true, points: 2}``     a graded check
``{grade_id: why, grade: true, solution: true,``       an answer that a person grades
``points: 3}``
``{grade_id: setup}``                                  a read-only cell
=====================================================  ===============================

A solution stands between ``BEGIN SOLUTION`` and ``END SOLUTION``, hidden checks
between ``BEGIN HIDDEN TESTS`` and ``END HIDDEN TESTS``. Nothing in the result depends
on when or where it is built: cell ids derive from grade ids, and there are no outputs.

Where ``pyproject.toml`` says where the course is published (``Repository`` in
``[project.urls]``), every set begins with a cell that installs the checks if need be.

The header's ``packages: [numpy, torch]`` names what answers may import when they are
graded; by default it is NumPy only.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from bnlib.check import project_url
from grading import CourseError

SET_NAME = re.compile(r"(?P<set>ps\d+)_[a-z0-9_]+")
GRADE_ID = re.compile(r"[a-z][a-z0-9_]{0,49}")  # no hyphen: see `_name_cells`
KEYS = {"grade_id", "grade", "solution", "points"}
MARKERS = {
    "solution": ("BEGIN SOLUTION", "END SOLUTION"),
    "hidden tests": ("BEGIN HIDDEN TESTS", "END HIDDEN TESTS"),
}
INSTALL = """\
try:
    import bnlib
except ModuleNotFoundError:  # on Colab, for example
    %pip install --quiet "bnlib @ git+{address}"
"""
METADATA = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}


@dataclass(frozen=True)
class ProblemSet:
    """A problem set: nbgrader's assignment ``name`` with one ``notebook``."""

    name: str
    notebook: str
    source: Path


def find_sets(folder: Path) -> dict[str, ProblemSet]:
    """Find ``psN_name.md`` in `folder`; the keys are ``psN``, in order of N."""
    sets: dict[str, ProblemSet] = {}
    for path in folder.glob("*.md"):
        match = SET_NAME.fullmatch(path.stem)
        if not match:
            raise CourseError(f"{path}: a problem set is called psN_name.md")
        name = match["set"]
        if name in sets:
            raise CourseError(f"{path}: {sets[name].source.name} is already {name}")
        sets[name] = ProblemSet(name, path.stem, path)
    return dict(sorted(sets.items(), key=lambda item: int(item[0][2:])))


def build(path: Path) -> NotebookNode:
    """Read the text notebook at `path` and complete it for nbgrader.

    Raises
    ------
    CourseError
        If the text is not a MyST notebook or a cell breaks a rule; the message names
        the file and the cell.
    """
    try:
        text = jupytext.read(path, fmt="md:myst")
    except Exception as error:  # jupytext passes on whatever its parsers raise
        reason = " ".join(str(error).split())
        raise CourseError(f"{path}: not a MyST notebook: {reason}") from error

    for position, cell in enumerate(text.cells, 1):
        try:
            _complete(cell)
        except CourseError as error:
            raise CourseError(f"{path}: {_describe(cell, position)}: {error}") from None
    cells = [*_install(), *text.cells]
    try:
        _name_cells(cells)
    except CourseError as error:
        raise CourseError(f"{path}: {error}") from None
    if not any(is_graded(cell) for cell in cells):
        raise CourseError(f"{path}: no cell is graded")
    metadata = METADATA | _packages(path, text.metadata)
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def _install() -> list[NotebookNode]:
    """Return the first cell of a set whose course says where it is published.

    It installs the checks where they are missing, on Colab for example.
    """
    address = project_url("repository")
    if not address:
        return []
    cell = nbformat.v4.new_code_cell(INSTALL.format(address=address))
    cell.metadata["nbgrader"] = {"grade_id": "install"}
    _complete(cell)
    return [cell]


def _packages(path: Path, header: dict) -> dict:
    """Return the packages that answers may use, if the set's header names them."""
    if "packages" not in header:
        return {}
    names = header["packages"]
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise CourseError(f"{path}: packages is {names!r}, not a list of names")
    return {"packages": names}


def is_graded(cell: NotebookNode) -> bool:
    """Whether `cell` earns points."""
    return cell.metadata.get("nbgrader", {}).get("grade", False)


def is_hole(cell: NotebookNode) -> bool:
    """Whether a learner writes `cell`."""
    return cell.metadata.get("nbgrader", {}).get("solution", False)


def grade_id(cell: NotebookNode) -> str | None:
    """Return the name that nbgrader knows `cell` by, if it does."""
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def _describe(cell: NotebookNode, position: int) -> str:
    short = cell.metadata.get("nbgrader")
    if isinstance(short, dict) and "grade_id" in short:
        return f"cell {short['grade_id']!r}"
    first_line = cell.source.partition("\n")[0]
    return f"cell {position} ({first_line!r})"


def _complete(cell: NotebookNode) -> None:
    """Check a cell and give it the whole of nbgrader's metadata, schema version 3."""
    short = cell.metadata.get("nbgrader")
    solutions = _count_regions(cell, "solution")
    hidden = _count_regions(cell, "hidden tests")
    if short is None:
        if solutions or hidden:
            raise CourseError("it has markers but no nbgrader metadata")
        return
    if not isinstance(short, dict):
        raise CourseError(f"nbgrader metadata is {short!r}, not a mapping")
    if unknown := sorted(short.keys() - KEYS):
        raise CourseError(
            f"unknown nbgrader metadata: {', '.join(unknown)} "
            f"(known: {', '.join(sorted(KEYS))})"
        )
    name = short.get("grade_id")
    if not isinstance(name, str) or not GRADE_ID.fullmatch(name):
        raise CourseError(
            f"grade_id is {name!r}, not 1 to 50 lower-case letters, digits and _"
        )
    grade, solution = short.get("grade", False), short.get("solution", False)
    if not isinstance(grade, bool) or not isinstance(solution, bool):
        raise CourseError("grade and solution are true or false")
    points = short.get("points")
    if grade and (type(points) not in (int, float) or not points > 0):
        raise CourseError(f"a graded cell needs positive points, not {points!r}")
    if not grade and "points" in short:
        raise CourseError("points without grade: true")
    if cell.cell_type == "markdown" and grade != solution:
        raise CourseError(
            "a text cell is read-only, or an answer with grade: true and solution: true"
        )
    if solution and not solutions:
        raise CourseError("a solution cell without BEGIN SOLUTION and END SOLUTION")
    if solutions and not solution:
        raise CourseError("solution markers in a cell without solution: true")
    if hidden and (solution or not grade):
        raise CourseError("hidden tests belong in a cell with grade: true only")

    full = {
        "grade": grade,
        "grade_id": name,
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    if grade:
        full["points"] = points
    cell.metadata["nbgrader"] = full


def _count_regions(cell: NotebookNode, kind: str) -> int:
    """Count the regions between a kind's markers; raise if one has no other end."""
    begin, end = MARKERS[kind]
    count, inside = 0, False
    for line in cell.source.splitlines():
        if begin in line or end in line:
            if (begin in line) == inside:
                raise CourseError(f"unbalanced {kind} markers")
            inside = not inside
            count += inside
    if inside:
        raise CourseError(f"unbalanced {kind} markers")
    return count


def _name_cells(cells: list[NotebookNode]) -> None:
    """Give every cell an id that stays the same from build to build.

    It is the grade id; for other cells the grade id before them and a counter, joined
    by a hyphen, which grade ids do not contain. Before the first grade id it is 0.
    """
    seen: set[str] = set()
    before, counter = "0", 0
    for cell in cells:
        name = grade_id(cell)
        if name in seen:
            raise CourseError(f"cell {name!r}: two cells have this grade_id")
        if name:
            seen.add(name)
            before, counter = name, 0
            cell["id"] = name
        else:
            counter += 1
            cell["id"] = f"{before}-{counter}"
