"""What a problem set asks of a learner: exercises, points, time, where it opens."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bnlib.check import project_url
from grading.notebooks import build, is_graded, is_hole

HEADING = re.compile(r"^(##|###) (.+)$", re.MULTILINE)
EXERCISE = re.compile(
    r"(?P<title>.+) "
    r"\((?P<points>\d+) points?, (?:about )?(?P<minutes>\d+) minutes\)"
)


@dataclass(frozen=True)
class Exercise:
    """An exercise: a heading that ends in ``(3 points, 15 minutes)``.

    Its parts may say theirs: they do not count again.
    """

    title: str
    points: int
    minutes: int


@dataclass(frozen=True)
class Overview:
    """What the text of a problem set says of itself.

    Attributes
    ----------
    title : str
        Its first heading.
    exercises : tuple of Exercise
        In order.
    points, by_hand : float
        Of all graded cells; of those that a person grades.
    """

    title: str
    exercises: tuple[Exercise, ...]
    points: float
    by_hand: float

    @property
    def time(self) -> str:
        """The estimated time, such as ``2 h 25 min``."""
        hours, minutes = divmod(sum(e.minutes for e in self.exercises), 60)
        text = f"{hours} h {minutes} min" if minutes else f"{hours} h"
        return text.replace(" ", "\u00a0")  # one word


def read_overview(path: Path) -> Overview:
    """Read ``solutions/psN_name.md``.

    Raises
    ------
    CourseError
        If it is no problem set.
    """
    cells = build(path).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    title = re.search(r"^# (.+?)(?: \(.*\))?$", text, re.MULTILINE)
    graded = [cell for cell in cells if is_graded(cell)]
    return Overview(
        title[1] if title else path.stem,
        tuple(_exercises(text)),
        sum(cell.metadata.nbgrader.points for cell in graded),
        sum(cell.metadata.nbgrader.points for cell in graded if is_hole(cell)),
    )


def _exercises(text: str) -> Iterator[Exercise]:
    whole = False  # whether the heading above has said it for its parts
    for level, heading in HEADING.findall(text):
        found = EXERCISE.fullmatch(heading)
        if found and not (whole and level == "###"):
            yield Exercise(found["title"], int(found["points"]), int(found["minutes"]))
        if level == "##":
            whole = found is not None


def colab_address(released: str) -> str:
    """Return where a notebook of ours opens on Colab; "" for a course without address.

    Parameters
    ----------
    released : str
        Its path in the repository, which must be on GitHub.
    """
    host, _, name = project_url("repository").partition("github.com/")
    if host != "https://":
        return ""
    name = name.removesuffix(".git")
    return f"https://colab.research.google.com/github/{name}/blob/main/{released}"
