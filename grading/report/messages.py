"""What checks have said, sorted by what it says."""

import re
import textwrap

from grading.text import clean

HEADER = re.compile(r"^✗ (?:[^\n:]*(?:\n  |: ))?")
LINK = re.compile(r"^ *Explained in .*", re.MULTILINE)
SENTENCE = re.compile(r".+?[.?!](?=\s+[A-Z(`\"'*]|$)")
NUMBER = re.compile(r"(?<![\w.])[-+−]?(?:\d[\d_]*(?:\.\d*)?(?:e[-+]?\d+)?|nan|inf)\b")
TUPLE = re.compile(r"\((?:\s*…\s*,?)+\)")
# After these words a check says on which of its inputs.
INPUT = re.compile(r"\b(raises \w+|is wrong|has shape \S+|holds \S+) on .*")


def sentence(message: str) -> str:
    """Return the first sentence that a check says under its "✗ name", in one line."""
    text = LINK.sub("", HEADER.sub("", clean(message).lstrip()))
    line = " ".join(text.split())
    first = SENTENCE.match(line)
    return textwrap.shorten(first[0] if first else line, 240, placeholder=" …")


def kind(sentence: str) -> str:
    """Return `sentence` without what differs from input to input.

    Two students have the same misconception if their sentences are of one kind.
    """
    return INPUT.sub(r"\1", TUPLE.sub("(…)", NUMBER.sub("…", sentence)))
