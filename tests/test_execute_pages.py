"""A page of the book is executed when it, or what it uses, has changed."""

import os
import shutil
import subprocess
import sys

import pytest
from course_folder import REPO

HEAD = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  name: python3
---

# A page

```{{code-cell}} ipython3
{code}
```
"""
FILES = {
    "_toc.yml": "format: jb-book\nroot: index\nparts:\n- chapters:\n"
    "  - file: chapters/one\n  - file: chapters/two\n  - file: chapters/text\n",
    "_config.yml": "execute: {timeout: 60}\n",
    "pyproject.toml": "",
    "constraints.txt": "",
    "data.json": "{}",
    "bnlib/__init__.py": "",
    "bnlib/deep/formula.py": "",
    "bnlib/check/__init__.py": "",
    "bnlib/cuda/kernel.cu": "",
    "experiments/__init__.py": "",
    "experiments/base.py": "",
    "experiments/one.py": "from experiments.base import __name__\n",
    "experiments/two.py": "",
    "index.md": HEAD.format(code="%matplotlib inline\nimport bnlib"),
    "chapters/one.md": HEAD.format(
        code="from bnlib.check import __name__\nfrom experiments.one import __name__"
    ),
    "chapters/two.md": HEAD.format(
        code="from experiments import two\nopen('../data.json').close()"
    ),
    "chapters/text.md": "# Only text\n",
}
ALL = {"index", "one", "two"}


@pytest.fixture
def book(tmp_path):
    shutil.copytree(REPO / "tools", tmp_path / "tools")
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def executed(book):
    """Run; return the pages that were executed, and how they ended."""
    done = subprocess.run(
        [sys.executable, book / "tools" / "execute_pages.py"],
        env={**os.environ, "PYTHONPATH": str(book)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return dict(line.strip().split(": ") for line in done.stdout.splitlines())


def test_only_what_has_changed_is_executed(book):
    assert executed(book).keys() == ALL
    assert executed(book).keys() == set()
    compiled = book / "bnlib" / "deep" / "__pycache__"
    compiled.mkdir(exist_ok=True)
    (compiled / "loops.nbi").touch()  # as Numba keeps what it has compiled
    assert executed(book).keys() == set()
    for changed, pages in (
        ("experiments/base.py", {"one"}),
        ("experiments/two.py", {"two"}),
        ("data.json", {"two"}),
        ("bnlib/deep/formula.py", {"index", "one"}),
        ("bnlib/check/__init__.py", {"one"}),
        ("bnlib/cuda/kernel.cu", set()),
        ("chapters/one.md", {"one"}),
        ("constraints.txt", ALL),
    ):
        with open(book / changed, "a") as file:
            text = "```{code-cell}\n1 + 1\n```" if changed.endswith("md") else "# more"
            file.write(f"\n{text}\n")
        assert executed(book).keys() == pages, changed


def test_a_page_whose_outputs_are_stale_is_read_anew(book):
    executed(book)
    kept = book / "_build" / ".doctrees" / "chapters"
    kept.mkdir(parents=True)
    for name in ("one", "two"):
        (kept / f"{name}.doctree").touch()
    (book / "experiments" / "two.py").write_text("changed = True\n")
    executed(book)
    assert [path.stem for path in kept.iterdir()] == ["one"]


def test_a_page_that_fails_is_tried_again_and_holds_nobody_up(book):
    (book / "experiments" / "two.py").write_text("1 / 0\n")
    assert executed(book)["two"] == "failed"
    assert executed(book) == {"two": "failed"}
    (book / "experiments" / "two.py").write_text("")
    assert executed(book).keys() == {"two"}
    assert executed(book) == {}
