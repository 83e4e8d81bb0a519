"""The reading list: each entry has a reference, two sentences and a chapter."""

import re
from pathlib import Path

import pytest
from pybtex.database import parse_file

ROOT = Path(__file__).parents[1]
KEYS = set(parse_file(ROOT / "references.bib").entries)
TEXT = (ROOT / "chapters/reading_list.md").read_text()
ENTRIES = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |^#|^\n\S|\Z)", TEXT, re.M | re.S)
CHAPTERS = {
    label: page
    for page in (ROOT / "chapters").glob("*.md")
    for label in re.findall(r"^\(([a-z-]+)\)=$", page.read_text(), re.M)
}


def test_the_numbers_run_through():
    assert [int(number) for number, _ in ENTRIES] == list(range(1, len(ENTRIES) + 1))
    assert 35 <= len(ENTRIES) <= 60


@pytest.mark.parametrize("entry", [text for _, text in ENTRIES], ids=lambda t: t[9:35])
def test_an_entry(entry):
    said, arrow, used = " ".join(entry.split()).partition(" → ")
    key = re.match(r"\{cite:t\}`(\w+)`", said).group(1)
    assert key in KEYS
    assert len(re.findall(r"\.(?= [A-Z]|$)", said)) == 2, "not two sentences"
    labels = re.findall(r"\{ref\}`([a-z-]+)`", used)
    assert arrow and labels and used.count(",") == len(labels) - 1
    assert any(f"`{key}`" in CHAPTERS[label].read_text() for label in labels)


def test_no_paper_is_listed_twice():
    keys = re.findall(r"^\d+\. \{cite:t\}`(\w+)`", TEXT, re.M)
    assert len(set(keys)) == len(keys) == len(ENTRIES)
