"""The code that a chapter prints, to be tested as it stands there."""

import re
from pathlib import Path

CHAPTERS = Path(__file__).parents[1] / "chapters"
CELL = re.compile(r"^```\{code-cell\} ipython3\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEAD = re.compile(r"\A(?:---\n.*?^---\n|(?::[^\n]*\n)+)?\n*", re.MULTILINE | re.DOTALL)


def printed(chapter: str, *starts: str, names: dict | None = None) -> dict:
    """Execute the cells of a chapter that begin with some texts, one each.

    Parameters
    ----------
    chapter : str
        The page's name without ending.
    *starts : str
        How the cells begin, after their options; in the order of execution.
    names : dict, optional
        What the cells find defined.

    Returns
    -------
    dict
        All names afterwards.
    """
    text = (CHAPTERS / f"{chapter}.md").read_text(encoding="utf-8")
    cells = [HEAD.sub("", cell) for cell in CELL.findall(text)]
    found = dict(names or {})
    for start in starts:
        [cell] = [cell for cell in cells if cell.startswith(start)]
        exec(cell, found)
    return found
