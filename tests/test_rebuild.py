"""The notebook that is graded: the release with the student's text, whatever came."""

import copy
import json

import nbformat
import pytest
from course_folder import TINY

from grading.notebooks import build, grade_id
from grading.rebuild import MAX_CELLS, MAX_TEXT, Unreadable, read_cells, rebuild

ANSWER = "def double(x):\n    return 2 * x"


@pytest.fixture(scope="module")
def release():
    return build(TINY / "solutions" / "ps1_tiny.md")


@pytest.fixture
def submission(release):
    notebook = copy.deepcopy(release)
    cell(notebook, "double").source = ANSWER
    return notebook


def cell(notebook, name):
    return next(c for c in notebook.cells if grade_id(c) == name)


def rebuilt(release, submission):
    text = submission if isinstance(submission, str) else json.dumps(submission)
    return rebuild(release, read_cells(text))


def test_an_untouched_submission_is_the_release(release):
    notebook, remarks = rebuilt(release, release)
    assert notebook == release and remarks == []


def test_answers_are_taken_and_nothing_else(release, submission):
    submission.metadata["evil"] = True
    cell(submission, "double").metadata["evil"] = True
    cell(submission, "double")["outputs"] = ["x"]
    cell(submission, "why").source = "Because."
    for name in ("setup", "test_double", "note"):
        cell(submission, name).source = "changed"
    notebook, remarks = rebuilt(release, submission)
    expected = copy.deepcopy(release)
    cell(expected, "double").source = ANSWER
    cell(expected, "why").source = "Because."
    assert notebook == expected and remarks == []


@pytest.mark.parametrize(
    "change",
    [
        lambda cell: cell.metadata["nbgrader"].update(points=100, grade=True),
        lambda cell: cell.metadata["nbgrader"].update(schema_version=99),
        lambda cell: cell.metadata["nbgrader"].update(locked=True, solution=False),
        lambda cell: cell.update(cell_type="markdown"),
        lambda cell: cell.update(cell_type="raw"),
        lambda cell: cell.update(source=ANSWER.splitlines(keepends=True)),
        lambda cell: cell.update(source=ANSWER.replace("\n", "\r\n")),
        lambda cell: cell.pop("id"),
        lambda cell: cell.update(metadata={}),  # its id is left
    ],
)
def test_a_cell_with_other_metadata_keeps_its_answer(release, submission, change):
    change(cell(submission, "double"))
    notebook, remarks = rebuilt(release, submission)
    assert cell(notebook, "double").source == ANSWER
    assert cell(notebook, "double").metadata == cell(release, "double").metadata
    assert cell(notebook, "double").cell_type == "code" and remarks == []


def test_a_deleted_answer_is_not_answered(release, submission):
    submission.cells.remove(cell(submission, "double"))
    notebook, remarks = rebuilt(release, submission)
    assert cell(notebook, "double").source == cell(release, "double").source
    assert remarks == ["missing cells, taken as not answered: double"]


def test_deleted_tests_come_back(release, submission):
    submission.cells = [cell(submission, "double")]
    notebook, _ = rebuilt(release, submission)
    assert [c.source for c in notebook.cells if grade_id(c) != "double"] == [
        c.source for c in release.cells if grade_id(c) != "double"
    ]


def test_both_parts_of_a_split_cell_run(release, submission):
    at = submission.cells.index(cell(submission, "double"))
    second = copy.deepcopy(submission.cells[at])
    submission.cells[at].source, second.source = "def helper(): pass", ANSWER
    submission.cells.insert(at + 1, second)
    notebook, remarks = rebuilt(release, submission)
    assert cell(notebook, "double").source == f"def helper(): pass\n\n{ANSWER}"
    assert remarks == ["cells that were there more than once, all parts run: 1"]


def test_an_exact_copy_counts_once(release, submission):
    submission.cells.append(copy.deepcopy(cell(submission, "double")))
    notebook, remarks = rebuilt(release, submission)
    assert cell(notebook, "double").source == ANSWER and remarks == []


def test_added_code_runs_where_it_was_put(release, submission):
    at = submission.cells.index(cell(submission, "double"))
    submission.cells.insert(at, nbformat.v4.new_code_cell("helper = 1"))
    submission.cells.insert(at, nbformat.v4.new_markdown_cell("my notes"))
    notebook, remarks = rebuilt(release, submission)
    at = next(k for k, c in enumerate(notebook.cells) if c.source == "helper = 1")
    assert notebook.cells[at + 1] == cell(notebook, "double")
    assert "nbgrader" not in notebook.cells[at].metadata
    assert remarks == ["cells that the student added and that were run: 1"]
    nbformat.validate(notebook)


def test_an_added_cell_is_never_graded(release, submission):
    new = copy.deepcopy(cell(submission, "test_double"))
    new.metadata["nbgrader"].update(grade_id="bonus", points=100)
    new.pop("id")
    new.source = "1"
    submission.cells.append(new)
    notebook, _ = rebuilt(release, submission)
    assert "nbgrader" not in notebook.cells[-1].metadata


def test_html_of_a_students_is_text(release, submission):
    cell(submission, "why").source = "a < b, <b>\n\n<script>alert(1)</script>"
    notebook, _ = rebuilt(release, submission)
    assert cell(notebook, "why").source == (
        "a < b, &lt;b>\n\n&lt;script>alert(1)&lt;/script>"
    )


def test_html_of_ours_stays(release):
    ours = copy.deepcopy(release)
    cell(ours, "why").source = "<details>hint</details>"
    notebook, _ = rebuilt(ours, ours)
    assert cell(notebook, "why").source == "<details>hint</details>"


def test_a_lone_surrogate_does_no_harm(release, submission):
    cell(submission, "double").source = "x = '\ud800'"
    notebook, _ = rebuilt(release, submission)
    nbformat.writes(notebook).encode()


def test_an_old_notebook_is_converted(release, submission):
    old = nbformat.convert(submission, 3)
    notebook, _ = rebuilt(release, old)
    assert cell(notebook, "double").source == ANSWER


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("\0\0", "not JSON"),
        ("[" * 200_000, "not JSON"),
        ("[]", "no list of cells"),
        ("{}", "no list of cells"),
        ('{"cells": 3}', "no list of cells"),
        ('"text"', "no list of cells"),
        ('{"worksheets": [3], "nbformat": 3}', "old format"),
        (json.dumps({"cells": [{}] * (MAX_CELLS + 1)}), "cells; at most"),
        (json.dumps({"cells": [{"source": "x" * (MAX_TEXT + 1)}]}), "characters"),
    ],
)
def test_what_is_no_notebook_is_refused_with_a_reason(text, says):
    with pytest.raises(Unreadable, match=says):
        read_cells(text)


@pytest.mark.parametrize(
    "odd",
    [
        None,
        3,
        [],
        {},
        {"source": 3},
        {"source": [1]},
        {"source": "x", "metadata": 3},
        {"source": "x", "metadata": {"nbgrader": 3}},
        {"source": "x", "metadata": {"nbgrader": {"grade_id": ["a"]}}},
        {"source": "x", "id": {}, "cell_type": []},
    ],
    ids=str,
)
def test_odd_cells_are_passed_over(release, submission, odd):
    submission = json.loads(json.dumps(submission))
    submission["cells"].insert(0, odd)
    notebook, _ = rebuilt(release, json.dumps(submission))
    assert cell(notebook, "double").source == ANSWER
