"""The report: what it counts, groups and shows, and that students cannot act in it."""

import re
import shutil
from html.parser import HTMLParser

import pytest
from course_folder import run
from graded_class import make_class, open_gradebook

from grading import CourseError
from grading.records import GRADED, Cell, Record, write_record
from grading.report.messages import kind, sentence
from grading.report.page import write_page
from grading.report.results import Result, read_results
from grading.report.statistics import summarise
from grading.text import clean


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_class(tmp_path_factory.mktemp("report") / "course")


@pytest.fixture(scope="module")
def summary(root):
    return summarise("ps1", read(root))


@pytest.fixture(scope="module")
def page(root, summary):
    return write_page(root, summary).read_text(encoding="utf-8")


def read(root, set_name="ps1", records=None):
    with open_gradebook(root) as gradebook:
        return read_results(records or root, set_name, gradebook)


def result(summary, student):
    return next(r for r in summary.results if r.student == student)


# Text of students


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a\tb\nc é 你 ✗ −1", "a\tb\nc é 你 ✗ −1"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("a\x00b\x08c\rd\x9b31me\x7f", "abcd31me"),
        ("\u202etxt.exe\u2066\u200f", "txt.exe"),
        ("half \ud800", "half "),
    ],
)
def test_clean(text, safe):
    assert clean(text) == safe
    clean(text).encode()


@pytest.mark.parametrize(
    ("message", "first"),
    [
        (
            "✗ f\n  The variance is the unbiased one: you\n  divide by N − 1. A batch "
            "is\n  Explained in chapters/forward.html",
            "The variance is the unbiased one: you divide by N − 1.",
        ),
        ("✗ f\n  Rounded to float16. (NumPy's", "Rounded to float16."),
        ("✗ f\n  It is 2.5 not 1.5.\n  Explained in x", "It is 2.5 not 1.5."),
        ("✗ f: still to be written.", "still to be written."),
        ("✗ f calls g, which is late.\nx", "f calls g, which is late. x"),
        ("no header", "no header"),
        ("", ""),
        ("x" * 1000, "…"),
    ],
)
def test_the_first_sentence(message, first):
    assert sentence(message) == first


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("y is wrong on 3 rows, first at 0", "y is wrong on (2, 3), first at 4", True),
        ("y has shape (3, 2) on 3 rows", "y has shape (5,) on float32", True),
        ("It raises ValueError on 5: no", "It raises ValueError on 3: so", True),
        ("It raises ValueError on 5", "It raises TypeError on 5", False),
        ("y is 2.5e-3 times", "y is −4 times", True),
        ("y holds nan", "y holds 1", True),
        ("It is float16.", "It is float32.", False),
        ("dx is wrong", "dgamma is wrong", False),
    ],
)
def test_kinds_of_message_ignore_the_input(one, other, same):
    assert (kind(one) == kind(other)) is same


# Results


def test_results_join_records_and_gradebook(summary):
    totals = {r.student: r.total for r in summary.results}
    assert totals == {
        "ada": 5,  # 3 and 2 by hand
        "bob": 1.5,  # 2, and half a point for being late
        "cy": 0,
        "dora": 0,
        "eve": None,
        "fay": None,
        "gus": 3,
    }
    statuses = {r.student: r.status for r in summary.results}
    assert statuses["ada"] == ""
    assert statuses["bob"] == "by hand"
    assert statuses["dora"] == "timed out, crashed, by hand"
    assert statuses["eve"] == "not graded"
    assert statuses["fay"] == "no submission"
    assert result(summary, "ada").email == "a@x.org"


def test_a_persons_score_counts_before_the_graders(root, tmp_path):
    root = shutil.copytree(root, tmp_path / "root")
    with open_gradebook(root) as gradebook:
        grade = gradebook.find_grade("test_double", "ps1_tiny", "ps1", "bob")
        grade.manual_score, grade.extra_credit = 0.25, 1
        grade = gradebook.find_grade("test_double_again", "ps1_tiny", "ps1", "bob")
        grade.auto_score = 0  # the grader's own word is in its record
        gradebook.db.commit()
    [bob] = (r for r in read(root) if r.student == "bob")
    assert bob.points == {"test_double": 1.25, "test_double_again": 1, "why": None}
    assert bob.total == 1.75


def test_handed_in_but_not_graded_yet(root, tmp_path):
    root = shutil.copytree(root, tmp_path / "root")
    (root / "submitted/fay/ps1").mkdir(parents=True)
    [fay] = (r for r in read(root) if r.student == "fay")
    assert (fay.total, fay.status) == (None, "not graded")


def test_statistics(summary):
    double, again, why = summary.exercises
    assert (double.mean, double.full, double.stopped) == (1, 2 / 5, 1 / 5)
    assert (again.mean, again.full, again.stopped) == (3 / 5, 3 / 5, 1 / 5)
    assert (why.mean, why.full) == (2, 0)
    assert (summary.mean, summary.median) == (9.5 / 5, 1.5)
    assert [r.student for r in summary.not_graded] == ["eve"]
    assert [r.student for r in summary.unsafe] == ["gus"]


def test_misconceptions_are_grouped_and_ordered(summary):
    double = [(m.text, m.students) for m in summary.exercises[0].misconceptions]
    assert double == [
        ("y has shape (3, 2) on 3 rows; expected (2,).", ["bob", "cy"]),
        ("Stopped after 20 s.", ["dora"]),
    ]
    again = summary.exercises[1].misconceptions
    assert "No message: crashed." in [m.text for m in again]


# The page


class Elements(HTMLParser):
    """Collects the elements of a page, and the text outside of style."""

    def __init__(self, html):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_the_page_asks_nothing_of_any_other_place(page):
    tags = Elements(page).found
    names = {tag for tag, _ in tags}
    assert not names & {"script", "link", "img", "iframe", "object", "form", "a"}
    for _, attributes in tags:
        assert not {"src", "onerror", "onload", "onclick"} & attributes.keys()
        assert attributes.get("xlink:href", "#").startswith("#")
    assert not re.search(r"url\((?!#)|@import", page)


def test_students_cannot_act_in_the_page(page):
    elements = Elements(page)
    assert "<script>alert(1)</script>[red]x[/red]" in elements.text
    assert not {"\x1b", "\x07", "\u202e"} & set(page)
    assert "script" not in {tag for tag, _ in elements.found}


def test_hostile_ids_and_remarks(root, tmp_path):
    bad = Record("<b>&", "ps9", "n", "", GRADED, remarks=["<i>\x00"], seconds=1)
    bad.cells = [Cell("test_x", 0, 1, "failed", "<u>no</u>")]
    write_record(tmp_path, bad)
    results = read(root, "ps9", records=tmp_path)
    page = write_page(tmp_path, summarise("ps9", results)).read_text()
    assert not {"b", "i", "u"} & {tag for tag, _ in Elements(page).found}
    assert "&lt;b&gt;&amp;" in page
    assert "&lt;i&gt;" in page


def test_the_page_is_accessible(page):
    elements = Elements(page).found
    headings = [tag for tag, _ in elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1
    images = [attributes for tag, attributes in elements if tag == "svg"]
    assert len(images) == 2
    assert all(i["role"] == "img" and i["aria-label"] for i in images)
    tables = re.findall(r"<table(.*?)</table>", page, re.DOTALL)
    assert len(tables) == 7
    assert all("<caption>" in t or t.startswith(" aria-label") for t in tables)
    assert '<html lang="en">' in page
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_page_shows_everything(page):
    text = " ".join(Elements(page).text.split())
    for shown in ("not JSON", "a cell was deleted", "Graded without a sandbox", "−0.5"):
        assert shown in text


def test_a_class_that_nobody_could_grade(root, tmp_path):
    record = Record("x", "ps1", "ps1_tiny", "", "not graded", "an empty file")
    write_record(tmp_path, record)
    results = read(root, records=tmp_path)
    page = write_page(tmp_path, summarise("ps1", results)).read_text()
    assert "an empty file" in page


def test_no_grades_yet(root):
    with pytest.raises(CourseError, match="grade ps2"):
        read(root, "ps2")


# The command


def test_the_command(root):
    done = run(root.parents[1], "grading", "report", "ps1", succeed=False)
    assert done.returncode == 3  # eve has no grade
    assert re.search(r"bob +1\.5 +1 +1 +– +0\.8 +by hand", done.stdout)
    assert re.search(r"2 +double +y has shape", done.stdout)
    assert "[red]x[/red]" in done.stdout
    assert not {"\x1b", "\x07", "\u202e"} & set(done.stdout)
    assert (root / "reports/ps1.html").is_file()


def test_an_unknown_set(root):
    done = run(root.parents[1], "grading", "report", "ps9", succeed=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["Error: no problem set 'ps9' (there are: ps1)"]


def test_a_hole_is_no_misconception():
    said = [
        "✗ f: still to be written.",
        "✗ f calls g, which is still to be written.",
        "✗ f\n  It is g.",
    ]
    results = []
    for k, text in enumerate(said):
        cells = [Cell("f", 0, 1, "failed", text)]
        record = Record(f"s{k}", "ps1", "tiny", "", GRADED, cells=cells)
        results.append(Result(record, points={"f": 0}))
    [exercise] = summarise("ps1", results).exercises
    assert [found.text for found in exercise.misconceptions] == ["It is g."]
    assert exercise.outcomes["failed"] == 3
