"""Every reference can be found by a reader, and is used."""

import re
from pathlib import Path

import pytest
from pybtex.database import parse_file

ROOT = Path(__file__).parents[1]
ENTRIES = parse_file(ROOT / "references.bib").entries
VENUE = {
    "article": "journal",
    "book": "publisher",
    "incollection": "booktitle",
    "inproceedings": "booktitle",
    "misc": "url",  # a preprint, documentation, or source code
    "techreport": "institution",
}
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("chapters/*.md"), *ROOT.glob("solutions/*.md")]
CITED = {
    key.strip()
    for page in PAGES
    for keys in re.findall(r"\{cite:\w+\}`([^`]+)`", page.read_text())
    for key in keys.split(",")
}


@pytest.mark.parametrize("key", ENTRIES)
def test_a_reference_is_complete(key):
    entry = ENTRIES[key]
    assert entry.persons, "no author"
    fields = entry.fields
    for name in ("title", "year", VENUE[entry.type]):
        assert fields.get(name), f"no {name}"
    assert re.fullmatch(r"(19|20)\d\d", fields["year"])
    assert any(fields.get(name) for name in ("doi", "url", "eprint", "isbn"))


def test_all_that_is_cited_is_listed_and_all_that_is_listed_is_cited():
    assert CITED - set(ENTRIES) == set()
    assert set(ENTRIES) - CITED == set()
