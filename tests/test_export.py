"""The exports: whose format they have, and what they say of whom."""

import csv
import shutil

import pytest
from course_folder import run
from graded_class import make_class, open_gradebook

from grading.export import _cell


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_class(tmp_path_factory.mktemp("export") / "course")


def export(root, *arguments, status=3, encoding="utf-8"):
    """Run the command; return the rows of its file, and what it printed."""
    file = root.parents[1] / "grades.csv"
    command = ["grading", "export", *arguments, "--output", str(file)]
    done = run(root.parents[1], *command, succeed=not status)
    assert done.returncode == status, done.stderr
    with open(file, encoding=encoding, newline="") as lines:
        return list(csv.reader(lines, strict=True)), done


@pytest.mark.parametrize(
    "formula",
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(1)",
        "＝1+1",  # the wide forms
        "＋1",
        "－1",
        "＠x",
        "\t=1",
        "\r=1",
        "  =1",
        "\u200e=1",
        "\x00=1",
        "\n=1",
    ],
)
def test_formulas_become_text(formula):
    assert _cell(formula).lstrip().startswith("'")


@pytest.mark.parametrize("text", ["x;=1", "x; =1", "x;＝1"])
def test_formulas_behind_a_semicolon_become_text(text):
    assert ";'" in _cell(text).replace(" ", "")


@pytest.mark.parametrize("text", ["-1", "+2.5", "007", "Ada", "a-b@x.org", "−1", "1e5"])
def test_what_is_no_formula_stays(text):
    assert _cell(text) == text


def test_numbers_stay_numbers():
    assert [_cell(x) for x in (-1, 0, 2.5, 1 / 3, None)] == [
        "-1",
        "0",
        "2.5",
        "0.33",
        "",
    ]


def test_csv(root):
    rows, done = export(root, "ps1", encoding="utf-8-sig")
    assert rows == [
        "student,last name,first name,email,ps1,ps1 status,ps1 late penalty,"
        "ps1 test_double,ps1 test_double_again,ps1 why".split(","),
        ["max points", "", "", "", "6", "", "", "2", "1", "3"],
        ["ada", "Ada", "'=1+1", "a@x.org", "5", "graded", "", "2", "1", "2"],
        ["bob", "Bob", "", "", "1.5", "by hand", "0.5", "1", "1", ""],
        ["cy", "Cy", "", "", "0", "by hand", "", "0", "0", ""],
        ["dora", "Dora", "", "", "0", "timed out, crashed, by hand", "", "0", "0", ""],
        ["eve", "Eve", "", "", "", "not graded", "", "", "", ""],
        ["fay", "Fay", "", "", "", "no submission", "", "", "", ""],
        ["gus", "", "", "", "3", "by hand", "", "2", "1", ""],
    ]
    assert "Of 4, answers to grade by hand count 0 for now." in done.stderr
    assert "Left empty: ps1 of eve: not JSON" in done.stderr
    assert "\x1b" not in done.stderr


def test_excel_takes_it_for_utf8(root):
    export(root)
    assert (root.parents[1] / "grades.csv").read_bytes().startswith(b"\xef\xbb\xbf")


def test_canvas(root, tmp_path):
    course = shutil.copytree(root.parents[1], tmp_path / "course")
    root = course / "_build" / "nbgrader"
    with open_gradebook(root) as gradebook:
        gradebook.update_or_create_student("cy", lms_user_id="4711")
        gradebook.update_or_create_student("dora", first_name="Points Possible")
    (root / "records/ps1/eve.json").unlink()
    rows, _ = export(root, "--format", "canvas", status=0)  # all have a grade
    assert rows == [
        ["Student", "ID", "SIS Login ID", "Section", "PS1 Tiny"],
        ["Points Possible", "", "", "", "6"],
        ["Ada, =1+1", "", "ada", "", "5"],
        ["Bob", "", "bob", "", "1.5"],
        ["Cy", "4711", "cy", "", "0"],
        ["dora", "", "dora", "", "0"],
        ["Eve", "", "eve", "", ""],
        ["Fay", "", "fay", "", ""],
        ["gus", "", "gus", "", "3"],
    ]


def test_moodle(root):
    rows, _ = export(root, "--format", "moodle")
    header, ada, bob, *_, eve, fay, _ = rows
    assert header[:4] == ["ID number", "First name", "Last name", "Email address"]
    assert header[4:] == ["PS1 Tiny", "PS1 Tiny (feedback)"]
    assert ada[:5] == ["ada", "'=1+1", "Ada", "a@x.org", "5"]
    assert ada[5] == "double: 2 of 2 | double_again: 1 of 1 | why: 2 of 3"
    assert "double: 1 of 2 (y has shape (3, 2) on 3 rows; expected (2,).)" in bob[5]
    assert bob[5].endswith("why: – of 3 | handed in late: −0.5")
    assert eve[4] == ""
    assert eve[5].startswith("not JSON &lt;script&gt;")
    assert fay[4:] == ["", ""]


def test_only_what_an_importer_reads_lacks_the_mark(root):
    for format in ("canvas", "moodle"):
        export(root, "--format", format)
        assert not (root.parents[1] / "grades.csv").read_bytes().startswith(b"\xef")


def test_mistakes_are_one_line(root, tmp_path):
    course = root.parents[1]
    for arguments in (["ps9"], ["ps1", "--output", str(tmp_path / "no" / "no" / "x")]):
        done = run(course, "grading", "export", *arguments, succeed=False)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
