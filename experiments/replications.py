"""The tables "The paper says, we measure", for the page that collects them."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from IPython.display import Markdown

HEADING = "## The paper says, we measure\n"
GLUE = re.compile(r"\{glue:text\}`([^`:]+)(:[^`]+)?`")
CITATION = re.compile(r"\{cite:t\}`[^`]+`")
COLUMNS = ("source", "it says", "our setting", "ours", "does it hold?")


@dataclass(frozen=True)
class Replication:
    """One published result, and what a chapter measured.

    Attributes
    ----------
    source, says, setting, ours, verdict : str
        MyST text.
    """

    source: str
    says: str
    setting: str
    ours: str
    verdict: str

    @property
    def kind(self) -> str:
        """How the verdict begins: "yes", "no", or else "in part"."""
        word = re.split(r"\W", self.verdict.lower(), maxsplit=1)[0]
        if word in ("yes", "true"):
            return "yes"
        return "no" if word in ("no", "not") else "in part"


def replications(page: str | Path) -> tuple[list[Replication], str]:
    """Return the results in a chapter's table, and the remarks around it.

    Numbers of the chapter become references to it. A source that is only "the same",
    or another place in it, is named.

    Parameters
    ----------
    page : str or pathlib.Path
        A chapter, from the folder of the page that shows the results.

    Raises
    ------
    ValueError
        If there is no such table, or a row has not five columns.
    """
    _, found, section = Path(page).read_text(encoding="utf-8").partition(HEADING)
    if not found:
        raise ValueError(f"{page} has no section {HEADING.strip()!r}")
    section = re.split(r"^## ", section, maxsplit=1, flags=re.MULTILINE)[0]
    section = re.sub(r"^```.*?^```$", "", section, flags=re.MULTILINE | re.DOTALL)
    section = GLUE.sub(
        lambda m: f"{{glue:text}}`{Path(page).name}::{m[1]}{m[2] or ':s'}`", section
    )
    lines = section.splitlines()
    rows, cited = [], ""
    for line in [line for line in lines if line.startswith("|")][2:]:
        cells = [c.strip() for c in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if len(cells) != len(COLUMNS):
            raise ValueError(f"{page}: {len(cells)} columns, expected 5: {line}")
        if citation := CITATION.search(cells[0]):
            cited = citation[0]
        elif "the same" in cells[0]:
            cells[0] = cells[0].replace("the same", cited)
        else:
            cells[0] = f"{cited}, {cells[0]}"
        rows.append(Replication(*cells))
    remarks = "\n".join(line for line in lines if not line.startswith("|"))
    return rows, re.sub(r"\n{3,}", "\n\n", remarks).strip()


def table(page: str | Path) -> Markdown:
    """Return a chapter's results as a table, with the chapter's remarks below."""
    rows, remarks = replications(page)
    lines = [COLUMNS, ("---",) * len(COLUMNS)]
    lines += [(r.source, r.says, r.setting, r.ours, r.verdict) for r in rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return Markdown(f"{text}\n\n{remarks}")


def count(*pages: str | Path) -> Counter:
    """Count the results of some chapters by how their verdict begins."""
    return Counter(row.kind for page in pages for row in replications(page)[0])
