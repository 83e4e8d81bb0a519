"""Each chapter is a notebook, too, whose first cell gets the course where it is not."""

import subprocess
import sys

import nbformat
import pytest
from course_folder import REPO
from notebooks import is_chapter, links, notebook

CHAPTERS = [
    path for path in sorted((REPO / "chapters").glob("*.md")) if is_chapter(path)
]
ADDRESS = "https://github.com/ada/batch-norm"


def run_first(folder, repository):
    """Run the first cell of a chapter's notebook as a kernel would, but for pip."""
    cell = notebook(REPO / "chapters" / "forward.md", repository).cells[0].source
    code = f"""
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.register_magic_function(lambda line: print("pip", line), magic_name="pip")
shell.run_cell({cell!r}).raise_error()
import os
print("in", os.path.basename(os.getcwd()), os.path.exists("quiz/forward.json"))
"""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True
    )


def test_there_are_all_chapters():
    assert len(CHAPTERS) >= 20
    names = {path.stem for path in CHAPTERS}
    assert "forward" in names and "instructor" not in names and "glossary" not in names


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_is_a_notebook(path):
    made = notebook(path, ADDRESS)
    nbformat.validate(made)
    assert made == notebook(path, ADDRESS)
    code = [cell.source for cell in made.cells if cell.cell_type == "code"]
    text = path.read_text(encoding="utf-8")
    assert len(code) == text.count("```{code-cell}") + 1
    assert f"git clone --quiet --depth 1 {ADDRESS} course" in code[0]
    assert all(source.splitlines()[-1] in text for source in code[1:])


def test_the_first_cell_gets_the_course_and_installs_it(tmp_path):
    published = tmp_path / "published"
    subprocess.run(["git", "clone", "-q", REPO, published], check=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = run_first(elsewhere, published.as_uri())
    assert done.stderr == ""
    assert done.stdout.splitlines()[-2:] == [
        'pip install --quiet "..[chapters]"',
        "in chapters True",
    ]


def test_the_first_cell_leaves_the_course_alone():
    done = run_first(REPO / "chapters", ADDRESS)
    assert done.stdout == "in chapters True\n"


def test_without_an_address_the_first_cell_says_what_to_do(tmp_path):
    done = run_first(tmp_path, "")
    assert done.returncode == 1
    assert "open it in the folder chapters/ of the course" in done.stderr
    assert run_first(REPO / "chapters", "").returncode == 0


@pytest.mark.parametrize("end", ["", ".git"])
def test_where_a_chapter_opens(end):
    assert links("chapters/forward", ADDRESS + end) == {
        "Binder": "https://mybinder.org/v2/gh/ada/batch-norm/main"
        "?urlpath=lab/tree/chapters/forward.ipynb",
        "Colab": "https://colab.research.google.com/github/ada/batch-norm/blob/notebooks/"
        "forward.ipynb",
    }
    assert links("chapters/forward", "https://gitlab.com/ada/norm") == {
        "Binder": "https://mybinder.org/v2/gl/ada%2Fnorm/main"
        "?urlpath=lab/tree/chapters/forward.ipynb"
    }
    assert links("chapters/forward", "https://git.example.org/ada/norm") == {}
    assert links("chapters/forward", "") == {}
