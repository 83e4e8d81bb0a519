"""Cells that run in the page, in a browser; Pyodide lies beside the book.

Its core is npm's, NumPy is a wheel that another package of npm brings along: for these
tests, never for readers.
"""

import json
import re
import subprocess
import sys

import book
import nbformat
import pytest
from book import PHONE, WIDE
from test_pages import COLOURS, WIDER_THAN_THE_SCREEN, violations
from test_pages import axe as axe
from versions import ps1

from grading.notebooks import build, grade_id, is_hole

pytestmark = pytest.mark.xdist_group("live")  # one Python at a time is enough

NUMPY = "numpy-2.2.5-cp313-cp313-pyodide_2025_0_wasm32.whl"
SHA256 = "125230b4c3ecd08803e5c43f1162e017c0718d9f253146225a705a952b9c16c2"
CORE = ("pyodide.js", "pyodide.asm.js", "pyodide.asm.wasm", "python_stdlib.zip")
ELSEWHERE = "https://cdn.jsdelivr.net/pyodide/v0.29.5/full/"
PS1 = "exercises/ps1/ps1_forward.html"
SLOW = 180_000  # ms; Python is large, and a machine may be busy
ANSWERS = {
    grade_id(cell): cell.source
    for cell in build(book.ROOT / "solutions" / "ps1_forward.md").cells
    if is_hole(cell)
}
WRONG = next(version for version in ps1.WRONG if version.exercise == "train")


@pytest.fixture(scope="module")
def beside(npm, tmp_path_factory):
    """Put Pyodide into the site, with our NumPy in its list of packages."""
    lock = json.loads(npm("pyodide/pyodide-lock.json").read_text())
    lock["packages"]["numpy"] |= {"file_name": NUMPY, "sha256": SHA256}
    listed = tmp_path_factory.mktemp("pyodide") / "pyodide-lock.json"
    listed.write_text(json.dumps(lock))
    files = {name: npm(f"pyodide/{name}") for name in CORE}
    files[NUMPY] = npm(f"@bentopdf/pymupdf-wasm/assets/{NUMPY}")
    files[listed.name] = listed
    book.BESIDE.update({f"/_static/pyodide/{n}": path for n, path in files.items()})
    yield
    book.BESIDE.clear()


@pytest.fixture(scope="module")
def open_page(chromium, address, beside):
    """Open a page; what it asks of other sites is refused and noted."""
    contexts = []

    def open_page(path, **headers):
        context = chromium.new_context(viewport=WIDE, base_url=f"{address}/")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SLOW)
        page.faults, page.outside = [], []
        page.on("pageerror", lambda error: page.faults.append(f"{error}"))
        context.route(
            lambda url: not url.startswith((address, "data:", "blob:")),
            lambda route: (page.outside.append(route.request.url), route.abort()),
        )
        if headers:
            context.route(f"{address}/**", lambda route: with_headers(route, headers))
        page.goto(path, wait_until="load")
        return page

    yield open_page
    for context in contexts:
        context.close()


def with_headers(route, headers):
    answer = route.fetch()
    route.fulfill(response=answer, headers=answer.headers | headers)


@pytest.fixture(scope="module")
def chapter(open_page):
    page = open_page("chapters/forward.html")
    yield page
    assert (page.faults, page.outside) == ([], [])


@pytest.fixture(scope="module")
def problem_set(open_page):
    page = open_page(PS1)
    yield page
    assert (page.faults, page.outside) == ([], [])


def cell(page, k):
    """The k-th cell that runs, from 1."""
    return page.locator(".tag_run-here").nth(k - 1)


def ended(one, said="Done."):
    """Wait until a cell has run; return what it shows."""
    one.locator(f".live-bar [role=status]:text-is('{said}')").wait_for()
    return one.locator(".live-output").inner_text()


def run(one, said="Done."):
    one.get_by_role("button", name="Run").click()
    return ended(one, said)


def write(one, text):
    edit = one.get_by_role("button", name="Edit")
    if edit.is_visible():
        edit.click()
    one.locator("textarea").fill(text)


def test_nothing_is_loaded_before_the_first_run(chapter):
    names = chapter.evaluate(
        "performance.getEntriesByType('resource').map(e => e.name)"
    )
    assert any("live.js" in name for name in names)
    assert not [n for n in names if re.search(r"pyodide|worker|\.whl|live\.py", n)]


def test_a_cell_runs_after_those_above_it(chapter):
    third = cell(chapter, 3)
    before = cell(chapter, 2).locator(".cell_output")
    assert "after ReLU: mean" in run(third)
    assert "mean [  3. 400.]  variance" in cell(chapter, 2).inner_text()
    assert before.count() == 0 or before.is_hidden()
    assert cell(chapter, 1).get_by_role("status").inner_text() == "Done."
    assert cell(chapter, 4).get_by_role("status").inner_text() == ""
    live = third.locator(".live-output")
    assert live.get_attribute("aria-live") == "polite"


def test_it_is_our_library_on_their_numpy(chapter):
    write(cell(chapter, 4), "import sys\nprint(np.__version__, sys.version[:4], bnlib)")
    shown = run(cell(chapter, 4))
    assert shown.startswith("2.2.5 3.13 <module 'bnlib' from '/home/pyodide/bnlib/")


def test_edits_count_and_reset_undoes_them(chapter):
    second, third = cell(chapter, 2), cell(chapter, 3)
    original = second.locator("pre").first.text_content().rstrip("\n")
    second.get_by_role("button", name="Edit").click()
    editor = second.locator("textarea")
    assert editor.input_value() == original
    editor.fill(original.replace("[6.0, 400.0]", "[6.0, 800.0]"))
    editor.press("Shift+Enter")
    assert "mean [  3. 500.]" in ended(second)
    editor.fill("1 / 0")
    third.get_by_role("button", name="Run").click()  # runs what has changed above it
    third.get_by_text("Not run: see cell 2 above.").wait_for()
    assert "ZeroDivisionError" in second.inner_text()
    second.get_by_role("button", name="Reset").click()
    assert editor.input_value() == original
    assert second.locator(".live-output").is_hidden()
    assert "after ReLU: mean" in run(third)
    assert "mean [  3. 400.]" in second.inner_text()


def test_an_error_can_be_read(chapter):
    write(cell(chapter, 4), "def half(x):\n    return x / 0\n\nhalf(1)")
    shown = run(cell(chapter, 4), "An error.")
    assert shown.strip().splitlines() == [
        "cell 4, line 4:",
        "    half(1)",
        "cell 4, line 2, in half:",
        "    return x / 0",
        "ZeroDivisionError: division by zero",
    ]


def test_arrays_are_drawn(chapter):
    one = cell(chapter, 4)
    write(one, "np.array([0.0, 2.0, 1.0])")
    assert "A line of 3 values, from 0 to 2" in run(one)
    line = one.locator("svg polyline").get_attribute("points")
    assert line == "5.0,90.0 150.0,10.0 295.0,50.0"
    write(one, "np.array([[0.0, 1.0, 2.0], [2.0, np.nan, 0.0]])")
    assert "A picture of 2 × 3 entries, from 0 (dark) to 2 (bright)" in run(one)
    assert one.get_by_role("img", name="A picture of 2 × 3 entries").count() == 1
    pixels = one.locator("canvas").evaluate(
        "(c) => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    )
    dark, middle, bright = [20, 30, 90, 255], [138, 130, 120, 255], [255, 230, 150, 255]
    assert pixels == dark + middle + bright + bright + [0, 0, 0, 0] + dark


def test_by_keyboard(chapter):
    one = cell(chapter, 4)
    write(one, "'typed'")
    editor = one.locator("textarea")
    editor.focus()
    chapter.keyboard.press("Tab")  # does not trap
    assert one.get_by_role("button", name="Run").evaluate(
        "(e) => e === document.activeElement"
    )
    chapter.keyboard.press("Enter")
    assert "'typed'" in ended(one)


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_what_has_run_is_there_for_everybody(chapter, axe, size):
    write(cell(chapter, 4), "print('x' * 300)\nnp.eye(4)")
    run(cell(chapter, 4))
    write(cell(chapter, 5), "1 / 0")
    run(cell(chapter, 5), "An error.")
    chapter.set_viewport_size(size)
    chapter.wait_for_timeout(500)
    assert chapter.evaluate(WIDER_THAN_THE_SCREEN) == []
    for scheme in ("light", "dark"):
        chapter.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        chapter.wait_for_function(
            "(scheme) => document.documentElement.dataset.theme === scheme", arg=scheme
        )
        within = {"include": [[".tag_run-here"]]}
        rules = COLOURS if scheme == "dark" else {}
        assert violations(chapter, axe, rules, within) == []


def test_stop_ends_python_and_says_so(chapter):
    chapter.set_viewport_size(WIDE)
    one = cell(chapter, 4)
    write(one, "print('so far')\nwhile True:\n    pass")
    one.get_by_role("button", name="Run").click()
    one.get_by_text("so far").wait_for()
    stop = one.get_by_role("button", name="Stop")
    assert stop.evaluate("(e) => e === document.activeElement")
    stop.click()
    one.get_by_text("what cells have defined is lost").wait_for()
    write(one, "mean_of_x = mu.sum()\nmean_of_x")  # needs the cells above it, anew
    assert "403.0" in run(one)


def test_stop_keeps_python_where_the_server_isolates_pages(open_page):
    page = open_page(
        "chapters/forward.html",
        **{
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Embedder-Policy": "require-corp",
        },
    )
    write(cell(page, 1), "kept = 41")
    run(cell(page, 1))
    write(cell(page, 2), "print('so far')\nwhile True:\n    pass")
    cell(page, 2).get_by_role("button", name="Run").click()
    cell(page, 2).get_by_text("so far").wait_for()
    cell(page, 2).get_by_role("button", name="Stop").click()
    assert "is still there" in ended(cell(page, 2), "An error.")
    write(cell(page, 2), "kept + 1")
    assert "42" in run(cell(page, 2))


def test_without_files_beside_the_book_one_address_is_asked(open_page, monkeypatch):
    monkeypatch.setattr(book, "BESIDE", {})
    page = open_page("chapters/forward.html")
    cell(page, 1).get_by_role("button", name="Run").click()
    cell(page, 1).get_by_text("Python did not start").wait_for()
    assert page.outside == [f"{ELSEWHERE}pyodide.js"]
    assert cell(page, 1).get_by_role("button", name="Run").is_visible()


def answer(page, name):
    return page.locator(f"#cell-{name}")


def test_a_check_names_the_misconception(problem_set):
    check = answer(problem_set, "test_train")
    assert "still to be written" in run(check, "An error.")
    write(answer(problem_set, "train"), WRONG.source)
    assert WRONG.is_named_by(run(check, "An error."))


def test_a_right_answer_passes(problem_set):
    write(answer(problem_set, "train"), ANSWERS["train"])
    shown = run(answer(problem_set, "test_train"))
    assert shown.startswith("✓ batch_norm_train: right on")


def test_a_hole_above_keeps_no_check_from_running(problem_set):
    write(answer(problem_set, "running"), "def (:")
    write(answer(problem_set, "fold"), ANSWERS["fold"])
    assert run(answer(problem_set, "test_fold")).startswith("✓ fold")


def test_what_is_not_the_learners_cannot_be_edited(problem_set):
    for name in ("setup", "test_train"):
        given = answer(problem_set, name)
        assert given.locator("textarea").count() == 0
        assert given.get_by_role("button", name="Edit").count() == 0


def test_the_text_outlives_a_reload_and_goes_into_the_notebook(problem_set, tmp_path):
    page = problem_set
    for name in ("train", "running", "evaluate"):
        write(answer(page, name), ANSWERS[name])
    write(answer(page, "layer"), '# Grüße: γ, "β" and \\n\n\nclass BatchNorm: pass\n')
    page.reload(wait_until="load")
    for name in ("train", "running", "evaluate"):
        assert answer(page, name).locator("textarea").input_value() == ANSWERS[name]
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the notebook").click()
    assert download.value.suggested_filename == "ps1_forward.ipynb"
    path = tmp_path / "ps1_forward.ipynb"
    download.value.save_as(path)

    released = book.ROOT / "exercises/ps1/ps1_forward.ipynb"
    got, given = (json.loads(p.read_text(encoding="utf-8")) for p in (path, released))
    nbformat.validate(nbformat.from_dict(got))
    sources = {}
    for mine, theirs in zip(got["cells"], given["cells"], strict=True):
        name = mine["metadata"].get("nbgrader", {}).get("grade_id")
        sources[name] = "".join(mine["source"])
        if name in ("train", "running", "evaluate", "layer", "fold"):
            theirs["source"] = mine["source"]
    assert got == given
    assert sources["train"] == ANSWERS["train"]
    assert sources["layer"] == '# Grüße: γ, "β" and \\n\n\nclass BatchNorm: pass\n'

    done = subprocess.run(
        [sys.executable, "-m", "grading", "check", str(path)],
        cwd=book.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3, done.stderr  # not all is done
    assert re.search(r"\b9 of 20 points", done.stdout), done.stdout  # 3 + 2 + 2 + 2


def test_starting_anew_asks_and_forgets(problem_set):
    page = problem_set
    begin = page.get_by_role("button", name="Start anew")
    page.once("dialog", lambda dialog: dialog.dismiss())
    begin.click()
    editor = answer(page, "train").locator("textarea")
    assert editor.input_value() == ANSWERS["train"]
    page.once("dialog", lambda dialog: dialog.accept())
    begin.click()
    assert "YOUR CODE HERE" in editor.input_value()
    page.reload(wait_until="load")
    assert "YOUR CODE HERE" in editor.input_value()


def test_an_answer_in_words_has_a_field(open_page, axe, tmp_path):
    page = open_page("exercises/ps4/ps4_alternatives.html")
    field = page.get_by_label("Your answer in words")
    assert field.count() == 1 and not page.get_by_text("YOUR ANSWER HERE").is_visible()
    within = {"include": [["textarea.live-written"]]}
    assert violations(page, axe, {}, within) == []
    words = "Because *none* of the images\n\nis alone: $\\mu_B$ tells.\n"
    for written in (words, ""):
        field.fill(written)
        page.reload(wait_until="load")
        assert field.input_value() == written
        with page.expect_download() as download:
            page.get_by_role("button", name="Download the notebook").click()
        path = tmp_path / "ps4_alternatives.ipynb"
        download.value.save_as(path)
        released = book.ROOT / "exercises/ps4/ps4_alternatives.ipynb"
        got, given = (
            json.loads(p.read_text(encoding="utf-8")) for p in (path, released)
        )
        for mine, theirs in zip(got["cells"], given["cells"], strict=True):
            if mine["metadata"].get("nbgrader", {}).get("grade_id") == "why":
                assert "".join(mine["source"]) == (written or "YOUR ANSWER HERE")
                theirs["source"] = mine["source"]
        assert got == given
        nbformat.validate(nbformat.from_dict(got))
    field.fill(words)
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Start anew").click()
    assert field.input_value() == ""
    assert not page.faults and not page.outside
