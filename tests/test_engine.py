"""Grading a class: what is graded, what is saved, what is kept.

All of it is real; the tests share one graded class.
"""

import os
import re
import shutil
import signal
import subprocess
import time

import nbformat
import psutil
import pytest
from course_folder import run
from nbgrader.utils import notebook_hash
from tiny_class import (
    PARTLY,
    POINTS,
    RIGHT,
    grade,
    gradebook,
    make_class,
    record,
    root,
    scores,
    start,
    submit,
    submitted,
)

from grading import CourseError
from grading.engine.receipt import SECRET, read_receipt, read_timestamp
from grading.engine.students import submitted as find_submitted
from grading.records import NOT_GRADED, write_record

graded = pytest.mark.xdist_group("graded")
CLASS = {"right": RIGHT, "partly": PARTLY, "blank": None}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The class after its first grading; a test that changes it takes a copy."""
    course = make_class(tmp_path_factory.mktemp("engine") / "course", CLASS)
    grade(course, "grade", "ps1")
    return course


@pytest.fixture
def course(first, tmp_path):
    return shutil.copytree(first, tmp_path / "course")


@graded
@pytest.mark.parametrize("student", CLASS)
def test_points(first, student):
    assert record(first, student).points == POINTS[CLASS[student]]
    assert record(first, student).saved
    with gradebook(first) as book:
        assert book.find_submission("ps1", student).score == POINTS[CLASS[student]]
    executed = root(first) / f"autograded/{student}/ps1/ps1_tiny.ipynb"
    assert executed.stat().st_mode & 0o777 == 0o444
    nbformat.validate(nbformat.read(executed, as_version=4))


@graded
def test_the_gradebook_is_the_one_that_nbgrader_alone_writes(course):
    ours = scores(course)
    nbgrader = run(course, "nbgrader", "autograde", "ps1", "--force")
    assert nbgrader.returncode == 0
    assert scores(course) == ours


@graded
def test_a_second_run_grades_nothing(course):
    paths = sorted(root(course).glob("records/ps1/*.json"))
    before = [path.stat().st_mtime_ns for path in paths]
    assert "3 needed no new grading" in grade(course, "grade", "ps1")
    assert [path.stat().st_mtime_ns for path in paths] == before


@graded
def test_again_grades_again(course):
    paths = sorted(root(course).glob("records/ps1/*.json"))
    before = [path.stat().st_mtime_ns for path in paths]
    only = "grade", "ps1", "--again", "--student", "right", "--student", "partly"
    assert "0 needed no new grading" in grade(course, *only)
    changed = [
        path.stat().st_mtime_ns != at for path, at in zip(paths, before, strict=True)
    ]
    assert {path.stem: c for path, c in zip(paths, changed, strict=True)} == {
        "blank": False,
        "partly": True,
        "right": True,
    }


@graded
@pytest.mark.parametrize("what", ["gradebook", "notebook", "unsaved"])
def test_what_is_lost_comes_back_from_the_records(course, what):
    """Nothing is graded: a mark that grading would overwrite stays."""
    before = scores(course)
    marked = record(course, "right")
    marked.remarks = ["marked"]
    marked.saved = what != "unsaved"
    write_record(root(course), marked)
    executed = root(course) / "autograded/right/ps1/ps1_tiny.ipynb"
    text = executed.read_text()
    if what == "gradebook":
        (root(course) / "gradebook.db").unlink()
    elif what == "notebook":
        executed.unlink()
    assert "3 needed no new grading" in grade(course, "grade", "ps1")
    assert scores(course) == before
    assert executed.read_text() == text
    assert record(course, "right").saved
    assert record(course, "right").remarks == ["marked"]


@graded
def test_a_resubmission_is_graded(course):
    submit(course, "partly", RIGHT)
    assert "2 needed no new grading" in grade(course, "grade", "ps1")
    assert record(course, "partly").points == 3
    assert scores(course)["partly"] == scores(course)["right"]


@graded
def test_a_bad_resubmission_loses_the_good_grade(course):
    with gradebook(course) as book:
        grade_ = book.find_grade("why", "ps1_tiny", "ps1", "right")
        grade_.manual_score = 2.5
        book.find_comment("why", "ps1_tiny", "ps1", "right").manual_comment = "Nice."
        book.db.commit()
    grade(course, "feedback", "ps1")
    submitted(course, "right").write_text('{"cells": <script>')
    others = {s: v for s, v in scores(course).items() if s != "right"}

    said = grade(course, "grade", "ps1", status=3)
    assert re.search(r"right .* – .*not graded", said)
    assert "Not graded: right: The file is not a notebook" in said
    bad = record(course, "right")
    assert (bad.status, bad.saved, bad.executed) == (NOT_GRADED, True, "")
    now = scores(course)
    assert {s: v for s, v in now.items() if s != "right"} == others
    assert now["right"] == {
        "double (comment)": None,
        "test_double": (None, None, True),
        "test_double_again": (None, None, True),
        "why": (None, 2.5, True),
        "why (comment)": None,
    }
    with gradebook(course) as book:
        comment = book.find_comment("why", "ps1_tiny", "ps1", "right")
        assert comment.comment == "Nice."
    assert not (root(course) / "autograded/right/ps1").exists()
    assert not (root(course) / "feedback/right/ps1").exists()

    grade(course, "feedback", "ps1")
    page = (root(course) / "feedback/right/ps1/ps1_tiny.html").read_text()
    assert "could not be graded" in page
    assert "The file is not a notebook" in page


@graded
def test_a_student_is_told_when_the_reason_is_hostile(course):
    bad = record(course, "right")
    bad.status, bad.reason = NOT_GRADED, "<script>alert(1)</script>"
    write_record(root(course), bad)
    grade(course, "feedback", "ps1")
    page = (root(course) / "feedback/right/ps1/ps1_tiny.html").read_text()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page


@graded
def test_only_feedback_that_is_out_of_date_is_written(course):
    assert "Wrote 3 of 3" in grade(course, "feedback", "ps1")
    assert "Wrote 0 of 3" in grade(course, "feedback", "ps1")
    with gradebook(course) as book:
        book.find_grade("why", "ps1_tiny", "ps1", "right").manual_score = 1.25
        book.db.commit()
    (root(course) / "feedback/blank/ps1/ps1_tiny.html").unlink()
    assert "Wrote 2 of 3" in grade(course, "feedback", "ps1")
    page = (root(course) / "feedback/right/ps1/ps1_tiny.html").read_text()
    assert "4.25" in page


@graded
def test_nbgrader_can_release_all_feedback_to_the_latest_submission(course, tmp_path):
    exchange = tmp_path / "exchange"
    exchange.mkdir()
    with open(course / "nbgrader_config.py", "a") as file:
        file.write(f"\nc.Exchange.root = {str(exchange)!r}\n")
    submitted(course, "blank").write_text("no notebook")  # it gets a page as well
    for letter in "ab":  # "b": the same work is handed in once more
        for number, student in enumerate(CLASS):
            folder = submitted(course, student).parent
            (folder / "timestamp.txt").write_text("2026-03-01 12:00:00.000000 UTC")
            (folder / "submission_secret.txt").write_text(letter * 127 + f"{number}")
        grade(course, "grade", "ps1", status=3)
        assert "Wrote 3 of 3" in grade(course, "feedback", "ps1")
        run(course, "nbgrader", "release_feedback", "ps1")
        for number, words in enumerate(
            ["(Score: 3.0 /", "(Score: 1.0 /", "could not be"]
        ):
            secret = letter * 127 + f"{number}"
            page = notebook_hash(secret=secret, notebook_id="ps1_tiny") + ".html"
            assert words in (exchange / "batchnorm/feedback" / page).read_text()


@graded
def test_being_late_costs_what_nbgrader_says(course):
    with open(course / "nbgrader_config.py", "a") as file:
        file.write("\nc.LateSubmissionPlugin.penalty_method = 'zero'\n")
    with gradebook(course) as book:
        book.update_or_create_assignment("ps1", duedate="2026-03-01 12:00 UTC")
    for student, at in {"right": "12:00:01", "partly": "12:00:00"}.items():
        stamp = submitted(course, student).with_name("timestamp.txt")
        stamp.write_text(f"2026-03-01 {at} UTC")
    # A time stamp alone needs no grading, but it must not be overlooked.
    assert "3 needed no new grading" in grade(course, "grade", "ps1")
    with gradebook(course) as book:
        late = book.find_submission("ps1", "right")
        assert (late.total_seconds_late, late.late_submission_penalty) == (1, 3)
        just = book.find_submission("ps1", "partly")
        assert (just.total_seconds_late, just.late_submission_penalty) == (0, 0)
    copied = root(course) / "autograded/right/ps1"
    assert read_timestamp(copied) == read_timestamp(submitted(course, "right").parent)


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "zone", "words", "absent"])
def test_a_hostile_time_stamp_is_none(tmp_path, kind):
    path = tmp_path / "timestamp.txt"
    (tmp_path / "other").write_text("2026-03-01 12:00:00 UTC")
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "link":
            path.symlink_to(tmp_path / "other")
        case "folder":
            path.mkdir()
        case "zone":
            path.write_text(f"2026-03-01 12:00:00 {tmp_path}/pipe")
            os.mkfifo(tmp_path / "pipe")
        case "words":
            path.write_text("yesterday")
    assert read_timestamp(tmp_path) is None
    assert read_timestamp(tmp_path / "other") is None


@pytest.mark.parametrize("kind", ["link", "long", "words"])
def test_a_hostile_secret_is_left_out(tmp_path, kind):
    secret = "5" * 128
    (tmp_path / "other").write_text(secret)
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / SECRET).write_text(secret)
    match kind:
        case "link":
            (tmp_path / SECRET).symlink_to(tmp_path / "other")
        case "long":
            (tmp_path / SECRET).write_text(secret * 1000)
        case "words":
            (tmp_path / SECRET).write_text("../" * 40)
    assert read_receipt(tmp_path) == {}
    assert read_receipt(tmp_path / "good") == {SECRET: secret}


@graded
def test_a_changed_source_is_released_and_graded(course):
    path = course / "solutions" / "ps1_tiny.md"
    path.write_text(path.read_text().replace("points: 2}", "points: 5}"))
    assert "0 needed no new grading" in grade(course, "grade", "ps1")
    assert record(course, "right").points == 6
    with gradebook(course) as book:
        assert book.find_submission("ps1", "right").score == 6


@graded
def test_cells_that_come_too_late_are_one_line(course):
    path = course / "solutions" / "ps1_tiny.md"
    path.write_text(path.read_text().replace("grade_id: double,", "grade_id: twice,"))
    said = grade(course, "grade", "ps1", status=1)
    assert said.startswith("Error: ps1 has changed, and nbgrader cannot add or remove")
    assert "nbgrader db assignment remove ps1 --force" in said
    run(course, "nbgrader", "db", "assignment", "remove", "ps1", "--force")
    grade(course, "grade", "ps1")


@graded
def test_a_folder_that_is_no_students_is_named(course):
    for name in ("a[1]", "b*", ".ipynb_checkpoints"):
        shutil.copytree(
            root(course) / "submitted" / "right", root(course) / "submitted" / name
        )
    said = grade(course, "grade", "ps1", status=3)
    assert "Ignored: the folder 'a[1]'" in said
    assert "Ignored: the folder 'b*'" in said
    assert "checkpoints" not in said


@pytest.mark.parametrize(
    ("folders", "wanted", "message"),
    [
        ([], [], "nobody has handed in ps1"),
        (["ada"], ["ada", "eve"], "no submission of ps1 by eve$"),
    ],
)
def test_nobody_to_grade(tmp_path, folders, wanted, message):
    for folder in folders:
        (tmp_path / "submitted" / folder / "ps1").mkdir(parents=True)
    with pytest.raises(CourseError, match=message):
        find_submitted(tmp_path, "ps1", wanted)


@pytest.mark.parametrize("name", ["ada", "a.b@c-d", "Müller, Anna", "o'neil", "x" * 64])
def test_a_students_folder(tmp_path, name):
    (tmp_path / "submitted" / name / "ps1").mkdir(parents=True)
    assert find_submitted(tmp_path, "ps1", []) == ([name], [])


@pytest.mark.parametrize("name", ["x" * 65, "a ", "[a]", "a\nb", "-a", "a\x1b[2J"])
def test_no_students_folder(tmp_path, name):
    (tmp_path / "submitted" / name / "ps1").mkdir(parents=True)
    assert find_submitted(tmp_path, "ps1", []) == ([], [name])


@graded
def test_a_dask_cluster_gives_the_same_grades(course):
    before = scores(course)
    for name in ("gradebook.db", "records", "autograded"):
        path = root(course) / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    grade(course, "grade", "ps1", "--engine", "dask", "--workers", "2")
    assert scores(course) == before


@graded
def test_ctrl_c_stops_at_once_and_the_next_run_goes_on(course):
    slow = f"import time\ntime.sleep(0.5)\n{RIGHT}"  # not all done before the signal
    for number in range(30):
        submit(course, f"more{number:02}", slow)
    running = start(course, "--workers", "2", stderr=subprocess.PIPE)
    while len(list(root(course).glob("records/ps1/more*.json"))) < 3:
        assert running.poll() is None
        time.sleep(0.01)
    family = psutil.Process(running.pid).children(recursive=True)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, ""), out
    assert re.search(r"^Stopped: \d+ of 33 are done\. The same command", out, re.M)
    assert not psutil.wait_procs(family, timeout=20)[1]
    done = len(list(root(course).glob("records/ps1/*.json")))
    assert 6 <= done < 33
    assert f"{done} needed no new grading" in grade(course, "grade", "ps1")
    assert all(
        scores(course)[s] == scores(course)["right"] for s in ["more29", "more00"]
    )


@graded
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ps1", "--scheduler", "tcp://x"], "--scheduler goes with --engine dask"),
        (["ps7"], "no problem set 'ps7'"),
        (["ps1", "--student", "eve"], "no submission of ps1 by eve"),
    ],
)
def test_a_mistake_is_one_line(first, arguments, message):
    said = grade(first, "grade", *arguments, status=1)
    assert said.startswith(f"Error: {message}")
    assert said.count("\n") == 1
