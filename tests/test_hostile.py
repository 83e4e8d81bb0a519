"""The grader against everything in tests/hostile, in both sandboxes.

Real courses, real sandboxes. One run grades the whole corpus, between honest students;
the tests then look at what it has found and at what has changed.
"""

import json
import os
import re
import shutil

import nbformat
import pytest
from bs4 import BeautifulSoup
from course_folder import REPO, make_course
from hostile.corpus import everything, hand_in, right_notebook
from hostile.world import World

from grading import CourseError
from grading.execute import hidden_lines
from grading.isolation.sandbox import choose
from grading.notebooks import build, find_sets
from grading.records import GRADED, NOT_GRADED, read_record
from grading.sample_class import fill, read_submission
from grading.table import read_grades

pytestmark = pytest.mark.hostile

CORPUS = everything()
CONTROLS = ("ada", "hana", "jana")  # of the sample class
SECONDS = 6  # for a cell; a machine may be busy
SHOWN = re.compile(
    "markup_|scripts_in|markup_message|loops_in_a_cell|numpy_comp|numbers"
)
ACTIVE = "script style iframe object embed form meta link base svg".split()
LINKS = "href src srcdoc action formaction data xlink:href".split()
MARK = re.compile(r"hostile|alert\(", re.IGNORECASE)  # in the corpus's scripts


class Outcome:
    """A world in which the whole corpus was graded."""

    def __init__(self, world, sandbox):
        self.world = world
        sources = world.course.parent / "sources"
        (sources / "solutions").mkdir(parents=True)
        shutil.copy(REPO / "solutions" / "ps1_forward.md", sources / "solutions")
        make_course(world.course, sources)
        with open(world.course / "nbgrader_config.py", "a") as config:
            config.write(f"\nc.IsolatedExecute.timeout = {SECONDS}\n")
            config.write("c.IsolatedExecute.total = 60\n")
        world.run("exercises")
        self.release = world.course / "exercises" / "ps1" / "ps1_forward.ipynb"
        self.right = right_notebook(self.release, next(sources.glob("*/*.md")))
        self.expected = {}
        for name in CONTROLS:
            self.submit_control(name)
        for name in ("again_bad_file", "again_wrong"):
            self.submit(name)
        self.grade(sandbox)
        self.controls = self.control_grades()
        self.before = world.state()
        self.submit("zoe")  # the last to be graded
        for handed in CORPUS:
            folder = self.folder(handed.student)
            hand_in(handed, folder, self.right, world.places)
        (self.folder("again_bad_file") / "ps1_forward.ipynb").write_text("{")
        self.submit("again_wrong", release=True)
        self.output = self.grade(sandbox)
        self.after = world.state()
        self.grades = read_grades(world.root)
        shown = [h.student for h in CORPUS if SHOWN.search(h.student)]
        shown += [*CONTROLS, "again_bad_file"]
        world.run("feedback", "ps1", *(f"--student={name}" for name in shown))
        pages = world.root.glob("feedback/*/ps1/*.html")
        self.pages = {p.parts[-3]: p.read_text() for p in pages}
        self.shown = shown

    def folder(self, student):
        return self.world.root / "submitted" / student / "ps1"

    def submit(self, student, release=False):
        self.folder(student).mkdir(parents=True, exist_ok=True)
        path = self.folder(student) / "ps1_forward.ipynb"
        if release:
            shutil.copy(self.release, path)
        else:
            nbformat.write(self.right, path)

    def submit_control(self, student):
        submission = read_submission(REPO / f"tests/sample_class/ps1/{student}.py")
        self.expected[student] = submission.points
        notebook = fill(self.release, submission)
        self.folder(student).mkdir(parents=True)
        nbformat.write(notebook, self.folder(student) / "ps1_forward.ipynb")

    def grade(self, sandbox):
        arguments = ("grade", "ps1", "--workers=2", f"--sandbox={sandbox}")
        return self.world.run(*arguments, statuses=(0, 3))

    def record(self, student):
        return read_record(self.world.root, "ps1", student)

    def control_grades(self):
        grades = read_grades(self.world.root)
        return {name: grades[name]["ps1"] for name in CONTROLS}

    @staticmethod
    def active(page):
        """Yield what a page has a browser run or fetch."""
        for tag in BeautifulSoup(page, "html.parser").find_all():
            if tag.name in ACTIVE:
                yield tag
            for name, value in tag.attrs.items():
                if name.startswith("on") or name == "style" or name in LINKS:
                    yield value

    def read_by(self, student):
        """Return all that a student reads, and nothing of what they wrote."""
        record = self.record(student)
        said = [record.reason, *record.remarks, *(c.message for c in record.cells)]
        if record.executed:
            for cell in json.loads(record.executed)["cells"]:
                said += map(_text, cell.get("outputs", []))
        return "\n".join(said)


def _text(output):
    return "".join(output.get("text", "")) + output.get("evalue", "")


def _backend(name):
    return pytest.param(name, marks=pytest.mark.xdist_group(f"hostile-{name}"))


@pytest.fixture(scope="module", params=map(_backend, ("bubblewrap", "sandlock")))
def outcome(request, tmp_path_factory):
    try:
        choose(request.param)
    except CourseError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp(f"hostile-{request.param}")
    world = World(folder)
    try:
        yield Outcome(world, request.param)
    finally:
        world.close()


def test_the_corpus_is_large_and_no_name_is_there_twice():
    names = [handed.student for handed in CORPUS]
    assert len(names) == len(set(names)) >= 200


# What each submission gets


@pytest.mark.parametrize("handed", CORPUS, ids=lambda handed: handed.student)
def test_it_gets_what_it_must(outcome, handed):
    record = outcome.record(handed.student)
    cells = {cell.grade_id: cell.points for cell in record.cells}
    said = outcome.read_by(handed.student)
    assert (record.status, record.points) == (handed.status, handed.points), said
    assert handed.cells.items() <= cells.items(), said
    assert re.search(handed.says, said), said
    assert outcome.grades[handed.student]["ps1"].points == handed.points
    assert outcome.world.secret not in record.to_json()


@pytest.mark.parametrize("handed", CORPUS, ids=lambda handed: handed.student)
def test_no_page_or_terminal_is_disturbed(outcome, handed):
    said = outcome.read_by(handed.student)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said)
    said.encode()  # fails on half a character
    assert len(said) < 2_000_000


# The others


def test_honest_students_before_keep_their_grades(outcome):
    assert outcome.control_grades() == outcome.controls
    points = {name: grade.points for name, grade in outcome.controls.items()}
    assert points == outcome.expected


def test_an_honest_student_after_all_others_is_graded(outcome):
    assert outcome.record("zoe").points == outcome.grades["zoe"]["ps1"].points == 20


def test_a_bad_file_takes_back_an_earlier_grade(outcome):
    record = outcome.record("again_bad_file")
    assert (record.status, record.points) == (NOT_GRADED, 0)
    assert "not a notebook" in record.reason
    assert outcome.grades["again_bad_file"]["ps1"].points == 0
    assert outcome.grades["again_bad_file"]["ps1"].status == NOT_GRADED
    assert "not a notebook" in outcome.pages["again_bad_file"]


def test_a_worse_notebook_takes_back_an_earlier_grade(outcome):
    record = outcome.record("again_wrong")
    assert (record.status, record.points) == (GRADED, 0)
    assert outcome.grades["again_wrong"]["ps1"].points == 0


# The world


def test_nothing_has_changed(outcome):
    before, after = outcome.before, outcome.after
    assert {k: v for k, v in after.items() if before.get(k) != v} == {}
    assert before.keys() == after.keys()


def test_nothing_is_left(outcome):
    assert outcome.world.left() == []


def test_nothing_went_over_the_network(outcome):
    assert outcome.world.calls == []


def test_the_grader_stays_small(outcome):
    assert 0 < outcome.world.largest < 1 << 30


# What students see


def test_hidden_tests_stay_hidden(outcome):
    [problem_set] = find_sets(outcome.world.course / "solutions").values()
    lines = {
        cell.source.splitlines()[number - 1].strip()
        for cell in build(problem_set.source).cells
        for number in hidden_lines(cell.source)
    }
    lines = {line for line in lines if "(" in line} | {"HIDDEN TESTS"}
    assert len(lines) > 9
    texts = [outcome.read_by(handed.student) for handed in CORPUS]
    texts += [
        BeautifulSoup(page, "html.parser").text for page in outcome.pages.values()
    ]
    for text in texts:
        assert [line for line in lines if line in text] == []


def test_feedback_runs_nothing_of_a_students(outcome):
    assert outcome.pages.keys() >= set(outcome.shown)
    for student, page in outcome.pages.items():
        active = list(map(str, outcome.active(page)))
        assert [text for text in active if MARK.search(text)] == [], student


def test_the_instructors_terminal_shows_no_markup_of_theirs(outcome):
    assert "\x1b" not in outcome.output
    assert "Traceback" not in outcome.output
