"""Grading with stock nbgrader: its commands, and the sample class.

Every test here runs the real thing. The tests of a group share one graded course.
"""

import copy
import csv
import re
import shutil

import nbformat
import pytest
from course_folder import REPO, TINY, make_course, run

from grading import CourseError
from grading.notebooks import build, find_sets, is_graded, is_hole
from grading.sample_class import fill, read_class, read_submission
from grading.table import read_grades

ANSWERS = {
    "right": "def double(x):\n    return 2 * x",
    "blank": None,
    "warns": (
        "import sys, warnings\n"
        "def double(x):\n"
        "    warnings.warn('slow')\n"
        "    print('debug', file=sys.stderr)\n"
        "    return 2 * x"
    ),
    "loops": "def double(x):\n    while x: pass\n    return 0",
    "partly": "def double(x):\n    return 2 * abs(x)",
}


def nbgrader(course, *arguments, succeed=True):
    return run(course, "nbgrader", *arguments, succeed=succeed)


def submit(course, student, answer):
    """Hand in the released notebook with this answer in its first hole."""
    root = course / "_build" / "nbgrader"
    notebook = nbformat.read(root / "release/ps1/ps1_tiny.ipynb", as_version=4)
    hole = next(cell for cell in notebook.cells if is_hole(cell))
    hole.source = answer or hole.source
    folder = root / "submitted" / student / "ps1"
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / "ps1_tiny.ipynb")


def points(course, student):
    return read_grades(course / "_build" / "nbgrader")[student]["ps1"].points


# Stock nbgrader, a command at a time

stock = pytest.mark.xdist_group("stock")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The tiny course with `ANSWERS` handed in and graded, all by stock commands."""
    course = make_course(tmp_path_factory.mktemp("stock") / "course", TINY, timeout=3)
    run(course, "grading", "exercises")
    nbgrader(course, "generate_assignment", "ps1")
    for student, answer in ANSWERS.items():
        submit(course, student, answer)
    nbgrader(course, "autograde", "ps1")
    nbgrader(course, "generate_feedback", "ps1")
    nbgrader(course, "export", "--to", "grades.csv")
    return course


@stock
def test_stock_commands_write_their_files(course):
    root = course / "_build" / "nbgrader"
    released = root / "release/ps1/ps1_tiny.ipynb"
    assert released.read_bytes() == (
        (course / "exercises/ps1/ps1_tiny.ipynb").read_bytes()
    )
    for student in ANSWERS:
        assert (root / f"autograded/{student}/ps1/ps1_tiny.ipynb").is_file()
        feedback = (root / f"feedback/{student}/ps1/ps1_tiny.html").read_text()
        assert "test_double" in feedback


@stock
@pytest.mark.parametrize(
    ("student", "expected"),
    [("right", 3), ("blank", 0), ("warns", 3), ("loops", 1), ("partly", 1)],
)
def test_points(course, student, expected):
    assert points(course, student) == expected


@stock
def test_the_table_agrees_with_nbgraders_export(course):
    grades = read_grades(course / "_build" / "nbgrader")
    with open(course / "grades.csv") as file:
        rows = list(csv.DictReader(file))
    assert {row["student_id"] for row in rows} == set(ANSWERS) == set(grades)
    for row in rows:
        grade = grades[row["student_id"]]["ps1"]
        assert grade.points == float(row["score"])
        assert grade.max_points == float(row["max_score"]) == 6


@stock
def test_a_loop_costs_one_timeout_for_each_check_that_meets_it(course):
    notebook = (
        course / "_build/nbgrader/autograded/loops/ps1/ps1_tiny.ipynb"
    ).read_text()
    assert notebook.count('"ename": "CellTimeoutError"') == 1


@stock
def test_remarks(course):
    grades = read_grades(course / "_build" / "nbgrader")
    assert grades["loops"]["ps1"].status == "timed out"
    assert grades["blank"]["ps1"].status == ""
    output = run(course, "grading", "table").stdout
    assert re.search(r"loops .* 1 .*ps1 timed out", output)
    assert "ps1 / 6" in output


@stock
def test_a_process_that_dies_is_its_own_student_s_loss(course):
    submit(course, "dies", "import os\nos._exit(1)")
    submit(course, "zealous", ANSWERS["right"])
    nbgrader(course, "autograde", "ps1")
    assert points(course, "zealous") == 3
    assert points(course, "dies") == 0
    autograded = course / "_build/nbgrader/autograded/dies/ps1/ps1_tiny.ipynb"
    assert "The process that ran your code died" in autograded.read_text()


@stock
def test_a_copied_cell_does_not_stop_the_class(course):
    submit(course, "copies", ANSWERS["right"])
    path = course / "_build/nbgrader/submitted/copies/ps1/ps1_tiny.ipynb"
    notebook = nbformat.read(path, as_version=4)
    at = next(i for i, cell in enumerate(notebook.cells) if is_hole(cell))
    copied = copy.deepcopy(notebook.cells[at])
    copied.id = "a-copy"
    notebook.cells.insert(at, copied)
    nbformat.write(notebook, path)
    submit(course, "honest", ANSWERS["right"])
    for student in ("copies", "honest"):
        nbgrader(course, "autograde", "ps1", "--student", student)
        assert points(course, student) == 3


@stock
def test_a_resubmission_is_graded_again(course):
    submit(course, "again", ANSWERS["partly"])
    nbgrader(course, "autograde", "ps1", "--student", "again")
    assert points(course, "again") == 1
    submit(course, "again", ANSWERS["right"])
    nbgrader(course, "autograde", "ps1", "--student", "again", "--force")
    assert points(course, "again") == 3


@stock
def test_an_answer_in_words_waits_for_a_person(course):
    root = course / "_build" / "nbgrader"
    submit(course, "writer", None)
    path = root / "submitted/writer/ps1/ps1_tiny.ipynb"
    path.write_text(path.read_text().replace("YOUR ANSWER HERE", "It just is."))
    nbgrader(course, "autograde", "ps1", "--student", "writer")
    assert read_grades(root)["writer"]["ps1"].status == "needs manual grading"


# The sample class

sample = pytest.mark.xdist_group("sample")
SETS = find_sets(REPO / "solutions")
CLASS = read_class(REPO / "tests" / "sample_class")


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The sample class, graded, and a student who hands in the solutions."""
    course = make_course(tmp_path_factory.mktemp("sample") / "course", REPO)
    shutil.copytree(REPO / "tests" / "sample_class", course / "tests" / "sample_class")
    run(course, "grading", "exercises")
    run(course, "grading", "sample")
    again = run(course, "grading", "grade", "ps1").stdout
    assert re.search(r"^(\d+) submissions in .*: \1 needed no new grading", again, re.M)
    root = course / "_build" / "nbgrader"
    for name in SETS:
        shutil.copytree(root / "source" / name, root / "submitted/solution" / name)
        nbgrader(course, "autograde", name, "--student", "solution")
    return read_grades(root)


@sample
@pytest.mark.parametrize("name", SETS)
def test_the_solution_earns_every_point(graded, name):
    cells = build(SETS[name].source).cells
    checks = [cell for cell in cells if is_graded(cell) and not is_hole(cell)]
    expected = {cell.id: cell.metadata.nbgrader["points"] for cell in checks}
    assert expected.items() <= graded["solution"][name].cells.items()


@sample
@pytest.mark.parametrize(
    "submission", CLASS, ids=[f"{s.set_name}-{s.student}" for s in CLASS]
)
def test_the_sample_class_earns_what_it_should(graded, submission):
    grade = graded[submission.student][submission.set_name]
    earned = {name: grade.cells.get(name) for name in submission.cell_points}
    assert earned == submission.cell_points, grade.cells
    assert grade.points == submission.points, grade.cells


def test_the_sample_class_is_varied():
    assert len({submission.student for submission in CLASS}) >= 8
    assert {submission.set_name for submission in CLASS} == set(SETS)
    for name in SETS:
        texts = [s.path.read_text() for s in CLASS if s.set_name == name]
        assert "" in texts, "nobody hands in a blank notebook"


@sample
def test_a_second_grading_replaces_the_first(tmp_path):
    course = make_course(tmp_path / "course", TINY)
    folder = course / "tests" / "sample_class" / "ps1"
    folder.mkdir(parents=True)
    first, second = folder / "first.py", folder / "second.py"
    right = f"# Right.\n# expect: 3\n# %% double\n{ANSWERS['right']}\n"
    first.write_text(right)
    shutil.copy(course / "solutions" / "ps1_tiny.md", course / "solutions/ps2_tiny.md")
    run(course, "grading", "sample")
    assert points(course, "first") == 3

    # The student leaves, another comes, and the set has one check less: nbgrader alone
    # refuses to change a set that has submissions.
    first.rename(second)
    text = course / "solutions" / "ps1_tiny.md"
    text.write_text(text.read_text().replace(", grade: true, points: 1", ""))
    run(course, "grading", "sample")
    grades = read_grades(course / "_build" / "nbgrader")
    assert set(grades) == {"second"}
    assert grades["second"]["ps1"].cells == {"test_double": 2, "why": 0}


# The students' files


def test_a_students_file(tmp_path):
    path = tmp_path / "ps1" / "ada.py"
    path.parent.mkdir()
    path.write_text(
        "# Ada writes.\n# expect: 2.5 test_double=2 why=0.5\n\n"
        "# %% double\ndouble = lambda x: 2 * x\n\n"
        "# %% why\n# First.\n#\n# Second.\n"
    )
    ada = read_submission(path)
    assert (ada.student, ada.set_name, ada.points) == ("ada", "ps1", 2.5)
    assert ada.cell_points == {"test_double": 2, "why": 0.5}
    notebook = build(TINY / "solutions" / "ps1_tiny.md")
    before = {cell.id: cell.source for cell in notebook.cells}
    nbformat.write(notebook, tmp_path / "released.ipynb")
    after = {
        cell.id: cell.source for cell in fill(tmp_path / "released.ipynb", ada).cells
    }
    assert after == before | {
        "double": "double = lambda x: 2 * x",
        "why": "First.\n\nSecond.",
    }


def test_a_student_who_is_like_another(tmp_path):
    (tmp_path / "bruno.py").write_text("# expect: 3\n# %% double\nB\n# %% why\n# B\n")
    path = tmp_path / "ada.py"
    path.write_text("# expect: 2\n# like: bruno\n# %% double\nA\n")
    ada = read_submission(path)
    assert (ada.points, ada.answers) == (2, {"double": "A\n", "why": "# B\n"})
    path.with_name("chen.py").write_text("# expect: 2\n# like: ada\n")
    with pytest.raises(CourseError, match=r"chen\.py:2: ada is like somebody else"):
        read_submission(path.with_name("chen.py"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# expect: 1\n# like: eve\n", r"ada\.py:2: no other student 'eve'"),
        ("# expect: 1\n# like: ada\n", r"ada\.py:2: no other student 'ada'"),
        ("# %% double\npass\n", r"ada\.py: no line '# expect: <points>'"),
        ("# expect: many\n", r"ada\.py:1: write '# expect: "),
        ("# expect: 1\npass\n", r"ada\.py:2: text before the first"),
        ("# expect: 1\n# %%\npass\n", r"ada\.py:2: '# %%' needs the grade_id"),
        ("# expect: 1\n# %% a\n# %% a\n", r"ada\.py:3: a second answer to 'a'"),
        ("# expect: 1\n# %% setup\n", r"ada\.py: no cell 'setup' .*double, why"),
    ],
)
def test_a_mistake_in_a_students_file(tmp_path, text, message):
    path = tmp_path / "ada.py"
    path.write_text(text)
    nbformat.write(build(TINY / "solutions" / "ps1_tiny.md"), tmp_path / "ps1.ipynb")
    with pytest.raises(CourseError, match=message):
        fill(tmp_path / "ps1.ipynb", read_submission(path))


# The command line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample"], "no submissions in tests/sample_class"),
        (["sample", "ps7"], "no problem set 'ps7' (there are: ps1)"),
        (["table"], "no grades yet; run: python -m grading sample"),
    ],
)
def test_a_mistake_is_one_line_and_a_failure(tmp_path, arguments, message):
    course = make_course(tmp_path / "course", TINY)
    done = run(course, "grading", *arguments, succeed=False)
    assert done.stderr == f"Error: {message}\n"
