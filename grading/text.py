"""Text of students', and points, as people are to see them."""

import re

ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?)")
# Control characters, line separators, what turns the direction of text, and halves
# of characters, which no file can hold. Tabs and newlines are left.
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def clean(text: str) -> str:
    """Return `text` without what could act on a terminal, a page or a file."""
    return UNSAFE.sub("", ANSI.sub("", text))


def points(value: float | None) -> str:
    """Return points as text, with up to two decimals; "–" where there are none."""
    return "–" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")
