"""From the text of a problem set to what learners receive."""

import json
import re
import shutil

import nbformat
import pytest
from course_folder import REPO, TINY, make_course, run

from grading import CourseError
from grading.notebooks import MARKERS, build, find_sets, grade_id

SETS = list(find_sets(REPO / "solutions").values())
EXERCISES = REPO / "exercises"
TINY_TEXT = (TINY / "solutions" / "ps1_tiny.md").read_text()


@pytest.fixture
def text(tmp_path):
    """Build a notebook from text."""

    def build_text(text):
        path = tmp_path / "ps1_tiny.md"
        path.write_text(text)
        return build(path)

    return build_text


# What the build makes of the text


def test_metadata_are_complete_and_nothing_is_executed(text):
    notebook = text(TINY_TEXT)
    nbformat.validate(notebook)
    cells = {grade_id(cell): cell for cell in notebook.cells}
    assert cells["test_double"].metadata.nbgrader == {
        "grade": True,
        "grade_id": "test_double",
        "locked": True,
        "points": 2,
        "schema_version": 3,
        "solution": False,
        "task": False,
    }
    assert cells["double"].metadata.nbgrader == {
        "grade": False,
        "grade_id": "double",
        "locked": False,
        "schema_version": 3,
        "solution": True,
        "task": False,
    }
    assert cells["why"].cell_type == "markdown"
    assert cells["why"].metadata.nbgrader["points"] == 3
    assert cells["setup"].metadata.nbgrader["locked"]
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


def test_cell_ids_derive_from_grade_ids(text):
    assert [cell.id for cell in text(TINY_TEXT).cells] == [
        "0-1",
        "setup",
        "setup-1",
        "double",
        "test_double",
        "test_double_again",
        "why",
        "note",
        "note-1",
    ]


def replace(old, new):
    assert old in TINY_TEXT
    return TINY_TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("grade_id: setup", "grade_id: double", "'double': two cells have this"),
        (", points: 2", "", "'test_double': a graded cell needs positive points"),
        ("points: 2", "points: two", "'test_double': a graded cell needs"),
        ("points: 2", "points: -2", "'test_double': a graded cell needs"),
        ("setup}", "setup, points: 1}", "'setup': points without grade"),
        ("grade: true, points: 2", "graded: true", "'test_double': unknown .* graded"),
        ("grade_id: setup", "grade_id: Set-Up", "'Set-Up': grade_id is"),
        ("{grade_id: setup", "{id: setup", "cell 2 .*import math.*unknown .* id"),
        ("{grade_id: setup}", "setup", "cell 2 .*'setup', not a mapping"),
        ("{grade_id: setup}", "{solution: true}", "cell 2 .*grade_id is None"),
        ("{grade_id: setup}", "{grade_id: [}", "not a MyST notebook"),
        ("solution: true}", "solution: perhaps}", "'double': grade and solution are"),
        ("    ### BEGIN SOLUTION\n", "", "'double': unbalanced solution"),
        ("    ### END SOLUTION\n", "", "'double': unbalanced solution"),
        ("### END SOLUTION", "### BEGIN SOLUTION", "'double': unbalanced solution"),
        ("### END HIDDEN TESTS\n", "", "'test_double': unbalanced hidden tests"),
        (
            "<!-- BEGIN SOLUTION -->\nBecause two is one and one.\n<!-- END SOLUTION",
            "<!-- END",
            "'why': a solution cell without",
        ),
        (
            "doubled_by_adding = x + x",
            "# BEGIN HIDDEN TESTS\n# END HIDDEN TESTS",
            "'double': hidden tests belong",
        ),
        ("import math", "# BEGIN SOLUTION\n# END SOLUTION", "'setup': solution mark"),
        ("The end.", "BEGIN SOLUTION\nEND SOLUTION", "cell 9 .*markers but no"),
        ('"note"', '"note", "grade": true, "points": 1', "'note': a text cell is"),
        ("grade: true, ", "", "points without grade"),
        (TINY_TEXT[TINY_TEXT.index("```") :], "", "no cell is graded"),
    ],
)
def test_a_mistake_names_the_file_and_the_cell(text, old, new, message):
    with pytest.raises(CourseError, match=rf"ps1_tiny\.md: .*{message}") as error:
        text(replace(old, new))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["forward.md"], "is called psN_name.md"),
        (["ps1_a.md", "ps1_b.md"], "is already ps1"),
    ],
)
def test_names_of_sets(tmp_path, names, message):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(CourseError, match=message):
        find_sets(tmp_path)


def test_sets_are_in_order_of_their_numbers(tmp_path):
    for name in ("ps10_a.md", "ps2_b.md"):
        (tmp_path / name).touch()
    assert list(find_sets(tmp_path)) == ["ps2", "ps10"]


# What the release makes of it

release = pytest.mark.xdist_group("release")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The course's own sets, released in a folder of their own."""
    course = make_course(tmp_path_factory.mktemp("release") / "course", REPO)
    for problem_set in SETS:
        folder = course / "_build" / "nbgrader" / "source" / problem_set.name
        folder.mkdir(parents=True)
        (folder / "left_over.md").write_text("nbgrader would release this")
    run(course, "grading", "exercises")
    return course


def files_under(folder):
    return {p.relative_to(folder): p for p in folder.rglob("*") if p.is_file()}


@release
def test_committed_exercises_are_what_the_sources_give(released):
    committed = files_under(REPO / "exercises")
    committed = {
        path: file
        for path, file in committed.items()
        if ".ipynb_checkpoints" not in path.parts
    }
    fresh = files_under(released / "exercises")
    assert sorted(committed) == sorted(fresh)
    for path in fresh:
        same = committed[path].read_bytes() == fresh[path].read_bytes()
        assert same, f"{path} is not up to date; run: make exercises"


@release
def test_nothing_lies_beside_the_notebooks(released):
    for folder in (released / "exercises", released / "_build" / "nbgrader" / "source"):
        assert sorted(map(str, files_under(folder))) == [
            f"{s.name}/{s.notebook}.ipynb" for s in SETS
        ]


@release
@pytest.mark.parametrize("name", [s.name for s in SETS])
def test_released_notebooks_are_clean(released, name):
    [path] = (released / "exercises" / name).iterdir()
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@release
@pytest.mark.parametrize("problem_set", SETS, ids=lambda s: s.name)
def test_validate_sees_what_is_still_to_do(released, problem_set):
    """A learner's Validate button fails every exercise of the blank notebook."""
    name = f"{problem_set.name}/{problem_set.notebook}.ipynb"
    notebook = nbformat.read(released / "exercises" / name, as_version=4)
    checks = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade")]
    said = run(released, "nbgrader", "validate", f"exercises/{name}").stdout
    assert f"VALIDATION FAILED ON {len(checks)} CELL(S)!" in said

    source = released / "_build" / "nbgrader" / "source" / name
    said = run(released, "nbgrader", "validate", str(source)).stdout
    assert "Success! Your notebook passes all the tests." in said


@release
def test_nothing_secret_is_released(released):
    given = ""  # by earlier sets, which is no secret later
    for problem_set in SETS:
        lines = secret_lines(build(problem_set.source))
        secrets = {line for line in lines if line not in given}
        assert secrets
        path = EXERCISES / problem_set.name / f"{problem_set.notebook}.ipynb"
        given += "\n".join(strings_in(json.loads(path.read_text())))
        assert find_leaks(secrets, released / "exercises") == []
        assert find_leaks(secrets, EXERCISES) == []


@pytest.mark.parametrize(
    "leak",
    ["doubled_by_adding = x + x", "BEGIN HIDDEN TESTS", "Because two is one and one."],
)
def test_a_planted_leak_is_found(text, tmp_path, leak):
    secrets = secret_lines(text(TINY_TEXT))
    assert find_leaks(secrets, tmp_path) != []  # the source itself lies there
    (tmp_path / "ps1_tiny.md").unlink()
    cell = nbformat.v4.new_code_cell("pass")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbformat.write(notebook, tmp_path / "released.ipynb")
    assert find_leaks(secrets, tmp_path) == []
    cell.outputs = [nbformat.v4.new_output("stream", text=f"first\n    {leak}\n")]
    nbformat.write(notebook, tmp_path / "released.ipynb")
    assert len(find_leaks(secrets, tmp_path)) == 1


def secret_lines(notebook):
    """Return the lines between markers that learners do not see anywhere else."""
    markers = [marker for pair in MARKERS.values() for marker in pair]
    hidden, visible, inside = set(), [], False
    for cell in notebook.cells:
        for line in cell.source.splitlines():
            if any(marker in line for marker in markers):
                inside = not inside
            elif inside:
                hidden.add(line.strip())
            else:
                visible.append(line)
    visible = "\n".join(visible)
    telling = {line for line in hidden if not re.fullmatch(r"[\w.]+,", line)}
    return {line for line in telling if len(line) >= 10 and line not in visible}


def find_leaks(secrets, folder):
    """Find secrets and markers in the text of every file in `folder`."""
    forbidden = secrets | {marker for pair in MARKERS.values() for marker in pair}
    leaks = []
    for path, file in files_under(folder).items():
        text = file.read_text()
        if path.suffix == ".ipynb":
            text = "\n".join(strings_in(json.loads(text)))
        leaks += [(path, line) for line in forbidden if line in text]
    return leaks


def strings_in(node):
    """Yield every piece of text in a notebook, its lines joined."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        if all(isinstance(item, str) for item in node):
            node = ["".join(node)]
        for item in node:
            yield from [item] if isinstance(item, str) else strings_in(item)
    elif isinstance(node, dict):
        for item in node.values():
            yield from strings_in(item)


# The command line


@release
@pytest.mark.parametrize(
    ("arguments", "break_course", "message"),
    [
        (["ps9"], None, "no problem set 'ps9' (there are: ps1)"),
        ([], "solutions", "solutions/ holds no problem set"),
        ([], "nbgrader_config.py", "no nbgrader_config.py here"),
        ([], "points", "cell 'test_double': a graded cell needs positive points"),
    ],
)
def test_a_mistake_is_one_line_and_a_failure(
    tmp_path, arguments, break_course, message
):
    course = make_course(tmp_path / "course", TINY)
    if break_course == "solutions":
        shutil.rmtree(course / "solutions")
    elif break_course == "points":
        path = course / "solutions" / "ps1_tiny.md"
        path.write_text(replace("points: 2", "points: 0"))
    elif break_course:
        (course / break_course).unlink()
    done = run(course, "grading", "exercises", *arguments, succeed=False)
    assert message in done.stderr
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
