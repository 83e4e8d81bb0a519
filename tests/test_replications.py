"""The page of replications holds every chapter's table, and each of its numbers."""

import json
import re
from pathlib import Path

import pytest
import yaml

from experiments.replications import COLUMNS, HEADING, count, replications, table

ROOT = Path(__file__).parents[1]
CHAPTERS = ROOT / "chapters"
PAGE = CHAPTERS / "replications.md"
WITH_TABLE = [p for p in sorted(CHAPTERS.glob("*.md")) if HEADING in p.read_text()]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
ORDER = [c["file"] for part in TOC["parts"] for c in part["chapters"]]


def write(tmp_path, *rows, after=""):
    page = tmp_path / "page.md"
    head = "| source | says | setting | ours | holds? |\n|---|---|---|---|---|\n"
    page.write_text(
        f"# A\n\n{HEADING}\n{head}" + "\n".join(rows) + after + "\n\n## B\n"
    )
    return page


def test_all_tables_are_there_in_the_order_of_the_book():
    shown = re.findall(r'table\("(\w+\.md)"\)', PAGE.read_text())
    assert sorted(shown) == [page.name for page in WITH_TABLE]
    assert shown == sorted(shown, key=lambda s: ORDER.index(f"chapters/{s[:-3]}"))
    counted = re.search(r"PAGES = \((.*?)\)", PAGE.read_text(), re.DOTALL)[1]
    assert re.findall(r'"(.*?)"', counted) == shown


def test_at_least_twenty_results_each_with_its_paper_and_our_number():
    rows = [row for page in WITH_TABLE for row in replications(page)[0]]
    assert len(rows) >= 20
    for row in rows:
        assert "{cite:t}" in row.source
        assert all((row.says, row.setting, row.ours, row.verdict)), row
    measured = sum("{glue:text}" in row.ours for row in rows)
    assert measured >= 0.9 * len(rows)


def test_not_everything_is_confirmed():
    kinds = count(*WITH_TABLE)
    assert min(kinds["yes"], kinds["in part"], kinds["no"]) > 0


@pytest.mark.parametrize("page", WITH_TABLE, ids=lambda p: p.stem)
def test_numbers_are_those_of_the_chapter(page):
    known = json.loads(
        (ROOT / f"_build/jupyter_execute/chapters/{page.stem}.glue.json").read_text()
    )
    text = table(page).data
    keys = re.findall(r"\{glue:text\}`([\w.]+)::([^`:]+):[^`]+`", text)
    assert keys and {name for name, _ in keys} == {page.name}
    assert {key for _, key in keys} <= set(known)
    assert text.count("{glue:text}") == len(keys)


def test_a_number_becomes_a_reference_and_the_same_is_named(tmp_path):
    page = write(
        tmp_path,
        "| {cite:t}`a2015`, fig. 1 | so \\| so | here | {glue:text}`x-y` | Yes, but |",
        "| the same, fig. 2 | more | there | {glue:text}`x-z:.2f` | not here |",
        "| table 3 | most | yonder | {glue:text}`x-v:.0f` | in part |",
        after="\n\n```{code-cell} ipython3\nhidden\n```\n\nIn {glue:text}`x-w:.0%`.",
    )
    (one, two, three), remarks = replications(page)
    assert one.says == "so \\| so"
    assert one.ours == "{glue:text}`page.md::x-y:s`"
    assert two.source == "{cite:t}`a2015`, fig. 2"
    assert two.ours == "{glue:text}`page.md::x-z:.2f`"
    assert three.source == "{cite:t}`a2015`, table 3"
    assert remarks == "In {glue:text}`page.md::x-w:.0%`."
    assert [r.kind for r in (one, two, three)] == ["yes", "no", "in part"]
    assert table(page).data.splitlines()[0] == f"| {' | '.join(COLUMNS)} |"


def test_a_page_without_a_table_and_a_row_too_short(tmp_path):
    page = tmp_path / "empty.md"
    page.write_text("# Nothing\n")
    with pytest.raises(ValueError, match="no section '## The paper says"):
        replications(page)
    with pytest.raises(ValueError, match="3 columns, expected 5"):
        replications(write(tmp_path, "| a | b | c |"))
