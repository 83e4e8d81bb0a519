"""``python -m grading check``: a learner's own look at a notebook."""

import io
import shutil

import nbformat
import pytest
from course_folder import REPO
from rich.console import Console
from versions import ps1

from grading import CourseError
from grading.__main__ import main
from grading.check import check
from grading.notebooks import build, grade_id, is_hole

EXERCISES = REPO / "exercises"
RELEASED = EXERCISES / "ps1" / "ps1_forward.ipynb"
ANSWERS = {
    grade_id(cell): cell.source
    for cell in build(REPO / "solutions" / "ps1_forward.md").cells
    if is_hole(cell)
}
WRONG = next(v for v in ps1.WRONG if v.exercise == "evaluate")


@pytest.fixture
def notebook(tmp_path):
    """A learner's copy; ``notebook(train=...)`` writes answers into it."""
    path = tmp_path / RELEASED.name
    shutil.copy(RELEASED, path)

    def write(**answers):
        text = nbformat.read(path, as_version=4)
        for cell in text.cells:
            cell.source = answers.get(grade_id(cell), cell.source)
        nbformat.write(text, path)
        return path

    return write


def checked(path, exercises=EXERCISES):
    shown = io.StringIO()
    failing = check(path, Console(file=shown, width=100), exercises)
    return failing, shown.getvalue()


def row(text, title):
    [line] = [line for line in text.splitlines() if f" {title} " in line]
    return line.split()


def test_a_new_notebook_is_not_begun(notebook):
    failing, text = checked(notebook())
    assert failing == text.count("not begun") == 9
    assert "0 of 20 points" in text


def test_a_solved_notebook(notebook):
    failing, text = checked(notebook(**ANSWERS))
    assert failing == 0
    assert text.count("✓") == 9 and "20 of 20 points" in text


def test_a_mistake_is_named_and_the_rest_is_left_alone(notebook):
    path = notebook(train=ANSWERS["train"], evaluate=WRONG.source)
    failing, text = checked(path)
    assert row(text, "1. Training")[0] == "✓"
    assert row(text, "3. Inference") == [
        "✗",
        "3.",
        "Inference",
        "0",
        "/",
        "2",
        "failed",
    ]
    assert row(text, "7. Folding")[-2:] == ["not", "begun"]
    assert failing == 8 and "3 of 20 points" in text
    assert WRONG.is_named_by(text)


def test_two_checks_of_one_answer_are_both_begun(tmp_path):
    path = tmp_path / "ps2_backward.ipynb"
    text = nbformat.read(EXERCISES / "ps2" / path.name, as_version=4)
    for cell in text.cells:
        if grade_id(cell) == "staged":
            cell.source = "def batch_norm_backward_staged(dy, x, gamma): return {}"
    nbformat.write(text, path)
    _, shown = checked(path)
    graph = [
        line for line in shown.splitlines() if "1. The graph" in line and "/" in line
    ]
    assert [line.split()[-1] for line in graph] == ["failed", "failed"]


def test_checks_that_the_learner_changed_are_run_as_released(notebook):
    failing, text = checked(
        notebook(test_train="pass", train="def batch_norm_train(): 0")
    )
    assert row(text, "1. Training")[-1] == "failed" and failing == 9


def test_a_copy_from_the_browser(notebook):
    path = notebook(**ANSWERS)
    assert checked(path.rename(path.with_name("ps1_forward (1).ipynb")))[0] == 0


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("ps1_forward.ipynb", None, "there is no such file"),
        ("homework.ipynb", "{}", r"has that name \(ps1_forward.ipynb, ps2_"),
        ("ps1_forward.ipynb", "not a notebook", "it is not JSON"),
    ],
)
def test_what_is_no_notebook(tmp_path, name, content, reason):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(CourseError, match=reason):
        checked(path)


def test_a_folder_that_is_no_course(notebook, tmp_path):
    with pytest.raises(CourseError, match="run this in the course's folder"):
        checked(notebook(), tmp_path / "exercises")


def test_a_learners_mistakes_cost_only_themselves(notebook):
    answers = {
        "train": "def batch_norm_train(:",
        "running": "import os\nos._exit(3)",
        "evaluate": ANSWERS["evaluate"] + "\nprint('x' * 10**7)",
        "moments": "raise SystemExit",
    }
    failing, text = checked(notebook(**answers))
    assert row(text, "1. Training")[-1] == row(text, "6a. Moments of any float")[-1]
    assert row(text, "3. Inference")[0] == "✓" and failing == 8
    assert "SyntaxError" in text and len(text) < 5000


def test_the_exit_status(notebook, monkeypatch, capsys):
    monkeypatch.chdir(REPO)
    for answers, status in (({}, 3), (ANSWERS, 0)):
        monkeypatch.setattr("sys.argv", ["grading", "check", str(notebook(**answers))])
        with pytest.raises(SystemExit) as done:
            main()
        assert (done.value.code or 0) == status
    assert "20 of 20 points" in capsys.readouterr().out
