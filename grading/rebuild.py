"""Make the notebook to grade: the release, with the student's text in its holes.

Cells' order, metadata, points and tests come from the release, whatever became of them
in the submission. From the submission comes text only: of its answers and of code cells
that the student added. So nothing that a student does to a notebook, on purpose or by
accident, reaches nbgrader.
"""

import copy
import json
import re
from dataclasses import dataclass

import nbformat
from nbformat import NotebookNode

from grading.notebooks import grade_id, is_graded, is_hole

TAG = re.compile(r"<(?=[A-Za-z/!?])")
MAX_CELLS = 1000
MAX_TEXT = 200_000  # characters of one cell


class Unreadable(Exception):
    """The file is no notebook; the message says why, for the student."""


@dataclass
class Found:
    """A cell of a submission: its text, and whether it is code."""

    name: str | None
    id: str | None
    code: bool
    text: str


def read_cells(text: str) -> list[Found]:
    """Return the cells of a submitted notebook, as far as they make sense.

    Raises
    ------
    Unreadable
        If it is not a notebook.
    """
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable(
            "The file is not a notebook: it is not JSON. Was it cut off or edited by "
            "hand? Open it in Jupyter, save it, and hand it in again."
        ) from None
    if isinstance(notebook, dict) and isinstance(notebook.get("worksheets"), list):
        notebook = _upgrade(notebook)
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise Unreadable("The file is JSON, but no notebook: it has no list of cells.")
    if len(cells) > MAX_CELLS:
        raise Unreadable(f"The notebook has {len(cells)} cells; at most {MAX_CELLS}.")
    return [found for cell in cells if (found := _read_cell(cell))]


def _upgrade(notebook: dict) -> dict:
    """Convert format 3 or older."""
    try:
        return nbformat.convert(nbformat.from_dict(notebook), 4)
    except Exception:  # nbformat raises whatever an odd file makes it stumble over
        raise Unreadable(
            "The notebook is in an old format that cannot be converted. Open it in "
            "Jupyter, save it, and hand it in again."
        ) from None


def _read_cell(cell) -> Found | None:
    if not isinstance(cell, dict):
        return None
    text = cell.get("source", "")
    if isinstance(text, list) and all(isinstance(line, str) for line in text):
        text = "".join(text)
    if not isinstance(text, str):
        return None
    metadata = cell.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = marks.get("grade_id") if isinstance(marks, dict) else None
    text = text.replace("\r\n", "\n").encode("utf-8", "replace").decode()
    if len(text) > MAX_TEXT:
        raise Unreadable(f"A cell has {len(text):,} characters; at most {MAX_TEXT:,}.")
    return Found(
        name if isinstance(name, str) else None,
        cell["id"] if isinstance(cell.get("id"), str) else None,
        cell.get("cell_type") == "code",
        text,
    )


def rebuild(
    release: NotebookNode, cells: list[Found]
) -> tuple[NotebookNode, list[str]]:
    """Put a submission's text into the release.

    Parameters
    ----------
    release : NotebookNode
        The released notebook; its tests may include hidden ones.
    cells : list of Found
        What `read_cells` found.

    Returns
    -------
    notebook : NotebookNode
        The notebook to grade.
    remarks : list of str
        What was unusual.
    """
    notebook = copy.deepcopy(release)
    names = {grade_id(cell): k for k, cell in enumerate(notebook.cells)}
    names.pop(None, None)
    ids = {cell.get("id"): k for k, cell in enumerate(notebook.cells)}
    ids.pop(None, None)
    theirs: dict[int, list[str]] = {}
    added: dict[int, list[NotebookNode]] = {}
    unchanged = {cell.source for cell in release.cells}
    last, extra, copies = -1, 0, 0
    for found in cells:
        at = names.get(found.name, ids.get(found.id))
        if at is not None:
            # A copied or split cell keeps its name; as in a notebook, all parts run.
            if found.text not in theirs.setdefault(at, []):
                theirs[at].append(found.text)
            last = max(last, at)
        elif found.code and found.text.strip() and found.text not in unchanged:
            extra += 1
            new = nbformat.v4.new_code_cell(found.text, id=f"added-{extra}")
            added.setdefault(last, []).append(new)
    missing = []
    for at, cell in enumerate(notebook.cells):
        cell.pop("attachments", None)
        if not _is_theirs(cell):
            continue
        if at in theirs:
            text = "\n\n".join(theirs[at])
            if cell.cell_type == "markdown" and text != cell.source:
                text = TAG.sub("&lt;", text)  # nobody's browser is to run it
            cell.source = text
            copies += len(theirs[at]) > 1
        elif is_hole(cell):
            missing.append(grade_id(cell))
    result = added.get(-1, [])
    for at, cell in enumerate(notebook.cells):
        result += [cell, *added.get(at, [])]
    notebook.cells = result
    return notebook, _remarks(missing, extra, copies)


def _is_theirs(cell: NotebookNode) -> bool:
    """Whether the student's text counts: in holes, and where nbgrader knows nothing."""
    return is_hole(cell) or (grade_id(cell) is None and not is_graded(cell))


def _remarks(missing: list[str], extra: int, copies: int) -> list[str]:
    remarks = []
    if missing:
        remarks.append(f"missing cells, taken as not answered: {', '.join(missing)}")
    if extra:
        remarks.append(f"cells that the student added and that were run: {extra}")
    if copies:
        remarks.append(f"cells that were there more than once, all parts run: {copies}")
    return remarks
