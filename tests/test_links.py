"""A check's message says which section explains it: a link, once there is a book."""

import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from course_folder import REPO, make_course

from bnlib.check import CheckFailed, project_url
from bnlib.check import forward as check
from grading.links import with_links

BOOK = "https://example.org/our-course/"
PAGE = "chapters/forward.html#sec-forward-training"
WRONG = """
def batch_norm_train(x, gamma, beta, eps=1e-5):
    mean, var = x.sum(axis=0), x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta, mean, var
"""


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A folder with what pip installs of a project that names its book's address."""
    installed = tmp_path / "installed" / "bnlib-9.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: bnlib\nVersion: 9\n"
        "Project-URL: Source, https://example.org/git\n"
        f"Project-URL: Book, {BOOK[:-1]}\n"
    )
    monkeypatch.syspath_prepend(installed.parent)
    project_url.cache_clear()
    yield installed.parent
    project_url.cache_clear()


def wrong(x, gamma, beta, eps=1e-5):
    return x, x.sum(axis=0), x.var(axis=0)


def test_what_a_learner_reads(published):
    with pytest.raises(CheckFailed) as caught:
        check.train(wrong)
    assert str(caught.value).splitlines()[-1] == f"  Explained in {BOOK}{PAGE}"


def test_a_book_that_is_not_published():
    with pytest.raises(CheckFailed) as caught:
        check.train(wrong)
    assert str(caught.value).splitlines()[-1] == f"  Explained in {PAGE}"
    assert with_links(f"Explained in {PAGE}") == f"Explained in {PAGE}"


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/chapters/forward.html#sec-a",
        f"{BOOK}elsewhere.html#sec-a",
        f'{BOOK}" onclick="alert(1)',
        f"{BOOK}../../evil",
        "<a href='https://example.com'>x</a>",
    ],
)
def test_nothing_else_becomes_a_link(published, text):
    assert "<a" not in with_links(text)


def test_markup_in_a_students_text_stays_text(published):
    found = with_links(f"<b>{BOOK}{PAGE}<script>")
    assert found == f'&lt;b&gt;<a href="{BOOK}{PAGE}">{BOOK}{PAGE}</a>&lt;script&gt;'


def test_a_feedback_page(published, tmp_path):
    (tmp_path / "source" / "solutions").mkdir(parents=True)
    shutil.copy(
        REPO / "solutions" / "ps1_forward.md", tmp_path / "source" / "solutions"
    )
    course = make_course(tmp_path / "course", tmp_path / "source")
    paths = os.pathsep.join([str(published), str(REPO)])

    def grading(*arguments):
        subprocess.run(
            [sys.executable, "-m", "grading", *arguments],
            cwd=course,
            env={**os.environ, "PYTHONPATH": paths},
            check=True,
            capture_output=True,
        )

    grading("exercises")
    notebook = nbformat.read(course / "exercises/ps1/ps1_forward.ipynb", 4)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "train":
            cell.source = WRONG
    root = course / "_build" / "nbgrader"
    (root / "submitted/ada/ps1").mkdir(parents=True)
    nbformat.write(notebook, root / "submitted/ada/ps1/ps1_forward.ipynb")
    grading("grade", "ps1")
    grading("feedback", "ps1")
    page = (root / "feedback/ada/ps1/ps1_forward.html").read_text(encoding="utf-8")
    assert f'Explained in <a href="{BOOK}{PAGE}">{BOOK}{PAGE}</a>' in page
