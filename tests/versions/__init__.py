"""Wrong and right versions of every exercise: what its check must reject and accept.

A version is plain source text, as a learner would type it into the answer's cell. Each
problem set has a module here of the set's name, which a later set adds in the same way:

- ``CHECKS``, the module of its checks;
- ``WRONG`` and ``RIGHT``, lists of `Wrong` and `Right`.

But: no tests here, and nothing that a version or a check is made of.
"""

from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from itertools import takewhile
from pathlib import Path
from re import search

import numpy as np

from bnlib.check import CheckFailed


@dataclass(frozen=True)
class Wrong:
    """A wrong version.

    Attributes
    ----------
    exercise : str
        The ``grade_id`` of the answer's cell, and the name of its check.
    source : str
        The learner's text.
    says : tuple of str
        Regular expressions that the check's message must all contain.
    listed : tuple of int
        Numbers in the collected list of misconceptions; empty for those found later.
    """

    exercise: str
    source: str
    says: tuple[str, ...]
    listed: tuple[int, ...] = ()

    def is_named_by(self, message: str) -> bool:
        """Whether a check's message says what is wrong with this version."""
        message = " ".join(message.split())
        return all(search(part, message) for part in self.says)


@dataclass(frozen=True)
class Right:
    """A right version; `style` says how it is written."""

    exercise: str
    source: str
    style: str


def find_sets() -> dict:
    """Return the module of every problem set, by the set's name."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("ps*.py"))
    return {name: import_module(f"versions.{name}") for name in names}


def wrong(exercise: str, source: str, rows: list) -> list[Wrong]:
    """Make wrong versions out of a right one.

    A row holds numbers of the list of misconceptions, if any; what the message must
    say, a string or several in a tuple; and pairs: a piece of the source, and what the
    learner writes instead.
    """
    versions = []
    for row in rows:
        listed = tuple(takewhile(lambda part: isinstance(part, int), row))
        says, *edits = row[len(listed) :]
        says = (says,) if isinstance(says, str) else says
        versions.append(Wrong(exercise, edited(source, *edits), says, listed))
    return versions


def filled(rows: list, **names: str) -> list:
    """Return rows that several exercises share, ``{v}`` replaced by the name v."""
    return [
        tuple(part.format(**names) if isinstance(part, str) else part for part in row)
        for row in rows
    ]


def right(exercise: str, styles: dict[str, str]) -> list[Right]:
    """Make right versions out of sources by style."""
    return [Right(exercise, source, style) for style, source in styles.items()]


def edited(source: str, *edits: str) -> str:
    """Return the source with old replaced by new, for each pair in `edits`."""
    for old, new in zip(edits[::2], edits[1::2], strict=True):
        assert old in source, old
        source = source.replace(old, new)
    return source


def answer(source: str, name: str):
    """Return the function or class that a learner's text defines."""
    scope = {"np": np}
    exec(source, scope)
    return scope[name]


def message(exercise, function, **options) -> str:
    """Return what a check says of a learner's function; nothing if it is right."""
    try:
        with redirect_stdout(StringIO()):
            exercise(function, **options)
    except CheckFailed as failure:
        return str(failure)
    return ""
