"""Cells that run in the page, as far as no browser is needed: what a run shows."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "live"))

import live  # noqa: E402

HTML = ROOT / "_build" / "html"
MARKED = sorted(
    path.stem
    for path in (ROOT / "chapters").glob("*.md")
    if "tags: [run-here]" in path.read_text(encoding="utf-8")
)


@pytest.fixture
def shown():
    return []


@pytest.fixture
def run(shown):
    """Run one cell after the other; return whether it went well and what it showed."""
    session = live.Session(lambda message: shown.append(json.loads(message)))

    def run(source, place="cell 1"):
        shown.clear()
        right = session.run(source, place)
        return right, "".join(what.get("text", "") for what in shown)

    return run


def test_what_is_printed_and_the_last_value(run):
    assert run("x = 2\nprint('x', x, end='')\nx + 1") == (True, "x 23\n")
    assert run("x * 10") == (True, "20\n")  # names last
    assert run("x") == (True, "2\n")
    assert run("print('a\\nb', end='')") == (True, "a\nb")
    assert run("None") == (True, "")
    assert run("") == (True, "")
    assert run("import sys\nprint('oh', file=sys.stderr)") == (True, "oh\n")


def test_lines_are_shown_as_they_come(run, shown):
    run("print('a', 1)\nprint('b')")
    assert [what["text"] for what in shown] == ["a 1\n", "b\n"]


@pytest.mark.parametrize(
    "source", ["for k in range(10**5):\n    print(k)", "'x' * 10**6"]
)
def test_too_much_is_cut(run, source):
    right, text = run(source)
    assert right
    assert live.LIMIT < len(text) < live.LIMIT + 100
    assert text.count("... and more, which is not shown") == 1


def test_an_error_names_the_readers_own_lines(run):
    assert run("def half(x):\n    return x.half\n", "cell 2")[0]
    right, text = run("import numpy as np\nnp.vectorize(half)([1.0])", "cell 5")
    assert not right
    assert text == (
        "cell 5, line 2:\n    np.vectorize(half)([1.0])\n"
        "cell 2, line 2, in half:\n    return x.half\n"
        "AttributeError: 'numpy.float64' object has no attribute 'half'"
    )


def test_an_error_in_the_grammar_shows_the_place(run):
    right, text = run("x = = 2", "cell 4")
    assert not right
    assert "cell 4" in text and "x = = 2" in text and "^" in text
    assert text.splitlines()[-1].startswith("SyntaxError: ")


def test_what_came_before_an_error_is_shown_and_kept(run):
    right, text = run("y = 1\nprint('so far')\n1 / 0")
    assert not right
    assert text.startswith("so far\n")
    assert run("y") == (True, "1\n")


def test_recursion_is_told_shortly(run):
    right, text = run("def f():\n    f()\nf()")
    assert not right
    assert len(text.splitlines()) < 20 and "RecursionError" in text


@pytest.mark.parametrize("source", ["raise SystemExit", "raise KeyboardInterrupt"])
def test_the_session_outlives_it(run, source):
    assert not run(source)[0]
    assert run("1") == (True, "1\n")


def test_a_check_says_only_its_message_with_the_line(run):
    run("from bnlib.check import forward as check")
    run("def batch_norm_train(x, gamma, beta, eps=1e-5):\n    return x @ 'a'", "cell 2")
    right, text = run("check.train(batch_norm_train)", "cell 3")
    assert not right
    assert text.startswith("✗ batch_norm_train\n")
    assert "in line 2: return x @ 'a'" in text
    assert "cell 3" not in text


@pytest.mark.parametrize(
    ("source", "kind", "shape", "low", "high"),
    [
        ("np.array([3, 1, 2])", "line", [3], 1, 3),
        ("np.arange(6.0).reshape(2, 3)", "picture", [2, 3], 0, 5),
        ("np.array([np.nan, 1.0, np.inf, 2.0])", "line", [4], 1, 2),
        ("np.eye(3) > 0", "picture", [3, 3], 0, 1),
        ("np.arange(1e5)", "line", [100_000], 0, 99_999),
        ("np.ones((1000, 500))", "picture", [1000, 500], 1, 1),
    ],
)
def test_an_array_is_drawn(run, shown, source, kind, shape, low, high):
    assert run(f"import numpy as np\n{source}")[0]
    printed, drawn = shown
    assert printed["text"].startswith("array(")
    assert drawn["kind"] == kind
    assert (drawn["shape"], drawn["low"], drawn["high"]) == (shape, low, high)
    values = np.array(drawn["values"], dtype=float)
    assert values.ndim == len(shape)
    assert 2 <= min(values.shape) and max(values.shape) <= live.POINTS
    assert np.nanmin(values) == low
    if max(shape) <= live.SIDE:
        wanted = np.asarray(eval(source), dtype=float)
        wanted[~np.isfinite(wanted)] = np.nan
        np.testing.assert_array_equal(values, wanted)


@pytest.mark.parametrize(
    "source",
    [
        "np.float64(2)",
        "np.ones(1)",
        "np.ones((2, 2, 2))",
        "np.ones((5, 1))",
        "np.array(['a', 'b'])",
        "np.full(3, np.nan)",
        "np.ones(3) * 1j",
        "[1, 2]",
    ],
)
def test_what_is_no_line_or_picture_is_only_printed(run, shown, source):
    assert run(f"import numpy as np\n{source}")[0]
    assert [what["kind"] for what in shown] == ["text"]


def cells(page):
    """The marked cells of a built page: their code, and the output shown there."""
    soup = BeautifulSoup((HTML / f"{page}.html").read_text(), "html.parser")
    for cell in soup.select(".tag_run-here"):
        output = cell.select_one(".cell_output")
        yield cell.select_one("pre").text, output.text.strip() if output else ""


def test_chapters_have_marked_cells():
    assert {"forward", "backward"} <= {*MARKED}


@pytest.mark.parametrize("chapter", MARKED)
def test_marked_cells_show_what_the_page_shows(run, chapter):
    """Alone: nothing that an unmarked cell does is missing."""
    found = list(cells(f"chapters/{chapter}"))
    assert found
    for code, output in found:
        right, text = run(code)
        assert right, text
        assert text.strip() == output


@pytest.mark.parametrize("name", ["ps1_forward", "ps2_backward", "ps4_alternatives"])
def test_a_sets_page_has_all_cells_of_the_notebook(name):
    path = ROOT / "exercises" / name.partition("_")[0] / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    code = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.metadata.nbgrader.grade_id != "install"
    ]
    page = BeautifulSoup(
        (HTML / path.relative_to(ROOT).with_suffix(".html")).read_text(), "html.parser"
    )
    found = page.select(".tag_run-here")
    for cell, element in zip(code, found, strict=True):
        about = cell.metadata.nbgrader
        assert element["id"] == f"cell-{about.grade_id}"
        assert element.select_one("pre").text.rstrip("\n") == cell.source
        kinds = {"answer": about.solution, "check": about.grade, "locked": about.locked}
        for kind, holds in kinds.items():
            assert (f"live-{kind}" in element["class"]) == holds
    place = page.select_one(".live-set")
    assert page.h1.find_next_sibling() == place
    released = HTML / "exercises" / path.parent.name / place["data-notebook"]
    assert released.resolve().read_bytes() == path.read_bytes()


def test_what_installs_the_course_has_no_place_in_the_page():
    from docutils import nodes, utils
    from run_here import mark_sets

    def cell(name):
        about = {"grade_id": name, "solution": True, "grade": False, "locked": False}
        return nodes.container(
            nb_element="cell_code",
            cell_metadata={"nbgrader": about},
            classes=[],
            ids=[],
        )

    page = utils.new_document("a set")
    page += [cell("install"), cell("train")]
    env = SimpleNamespace(docname="exercises/ps1/ps1_forward")
    env.doc2path = lambda name: ROOT / f"{name}.ipynb"
    app = SimpleNamespace(env=env)
    mark_sets(app, page)
    (left,) = page.children
    assert left["ids"] == ["cell-train"] and "tag_run-here" in left["classes"]


def test_only_pages_with_marked_cells_load_what_runs_them():
    for path in HTML.rglob("*.html"):
        if "_static" not in path.parts:
            text = path.read_text(encoding="utf-8")
            assert ("live.js" in text) == ("tag_run-here" in text), path
            assert "live-worker.js" not in text and "pyodide" not in text, path


def test_the_wheel_is_bnlib_and_needs_numpy_only(tmp_path):
    wheel = HTML / "_static" / "bnlib.whl"
    # An empty folder to start from, and no editable install of this very course.
    code = (
        f"import sys; sys.path.insert(0, {str(wheel)!r})\n"
        "sys.modules['torch'] = None\n"
        "import bnlib, bnlib.check.forward, bnlib.check.backward\n"
        "import bnlib.check.alternatives\n"
        "from importlib.metadata import version\n"
        "print(bnlib.__file__, version('bnlib'))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    place, version = done.stdout.split()
    assert place == str(wheel / "bnlib" / "__init__.py")
    assert re.search(
        f'^version = "{version}"', (ROOT / "pyproject.toml").read_text(), re.M
    )


def test_python_is_pinned_once():
    worker = (ROOT / "live" / "live-worker.js").read_text()
    package = json.loads((ROOT / "package.json").read_text())
    pinned = package["devDependencies"]["pyodide"]
    assert re.findall(r"pyodide/v([\d.]+)/", worker) == [pinned]
