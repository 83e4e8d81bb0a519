"""No grade is lost to a killed grader, a full disk, a busy gradebook, a dead worker.

Each test breaks a run and lets the same command go on; the gradebook is then the one
of an undisturbed run.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import psutil
import pytest
from course_folder import REPO, run
from tiny_class import (
    PARTLY,
    RIGHT,
    grade,
    make_class,
    record,
    root,
    scores,
    start,
)

from grading.records import read_records

CLASS = {
    f"s{number}": answer for number, answer in enumerate([RIGHT, PARTLY, None] * 2)
}


class Undisturbed(NamedTuple):
    """What the gradebook holds afterwards, and what the run took."""

    scores: dict
    seconds: float
    bytes: int


def used(course):
    return sum(path.stat().st_size for path in root(course).rglob("*"))


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory):
    """The class before its grading."""
    return make_class(tmp_path_factory.mktemp("faults") / "course", CLASS)


@pytest.fixture(scope="module")
def undisturbed(handed_in, tmp_path_factory):
    """An undisturbed run."""
    course = shutil.copytree(handed_in, tmp_path_factory.mktemp("calm") / "course")
    before, start = used(course), time.monotonic()
    grade(course, "grade", "ps1")
    seconds = time.monotonic() - start
    return Undisturbed(scores(course), seconds, used(course) - before)


@pytest.fixture
def course(handed_in, tmp_path):
    return shutil.copytree(handed_in, tmp_path / "course")


def wait_for_records(course, running, count):
    while len(list(root(course).glob("records/ps1/*.json"))) < count:
        assert running.poll() is None, running.stdout.read()
        time.sleep(0.01)


def check(course, undisturbed):
    """Grade to the end; the result must be the undisturbed one."""
    grade(course, "grade", "ps1")
    assert scores(course) == undisturbed.scores
    records = read_records(root(course), "ps1")
    assert [r.student for r in records if r.saved] == sorted(CLASS)
    for student in CLASS:
        assert (root(course) / f"autograded/{student}/ps1/ps1_tiny.ipynb").is_file()


@pytest.mark.parametrize("seed", range(10))
def test_a_killed_grader(course, undisturbed, seed):
    running = start(course)
    time.sleep(random.Random(seed).uniform(0.3, 0.95) * undisturbed.seconds)
    family = psutil.Process(running.pid).children(recursive=True)
    running.kill()
    running.communicate(timeout=60)
    assert not psutil.wait_procs(family, timeout=30)[1], "processes outlive the grader"
    check(course, undisturbed)


def test_a_grader_killed_between_record_and_gradebook(course, undisturbed):
    """The moment that the random ones may miss."""
    running = start(course)
    wait_for_records(course, running, 2)
    running.kill()
    running.communicate(timeout=60)
    check(course, undisturbed)


def fill(folder, leave):
    """Fill the disk of `folder` but for some bytes; return the file that does it."""
    path = folder / "filler"
    free = shutil.disk_usage(folder).free
    with open(path, "wb") as file:
        file.write(b"\0" * max(free - leave, 0))
    return path


@pytest.fixture
def small_disk(handed_in, tmp_path):
    """A course whose _build is a disk of 8 MB."""
    course = tmp_path / "course"
    shutil.copytree(handed_in, course, ignore=shutil.ignore_patterns("_build"))
    build = course / "_build"
    build.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(build)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk to fill: {done.stderr.strip()}")
    try:
        shutil.copytree(handed_in / "_build", build, dirs_exist_ok=True)
        yield course
    finally:
        subprocess.run(["umount", "-l", str(build)], check=True)


@pytest.mark.parametrize("share", [0, 0.3, 0.6, 0.8])
def test_a_full_disk(small_disk, undisturbed, share):
    filler = fill(small_disk / "_build", leave=int(share * undisturbed.bytes))
    said = grade(small_disk, "grade", "ps1", status=1)
    errors = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert errors == [
        "Error: the disk is full; nothing is lost: make room and run the same command "
        "again"
    ]
    filler.unlink()
    check(small_disk, undisturbed)


def make_gradebook(course):
    run(course, "nbgrader", "db", "student", "list")


LOCK = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
db.execute(f"BEGIN {sys.argv[2]}")
print("locked", flush=True)
sys.stdin.readline()
db.execute("ROLLBACK")
"""


@contextlib.contextmanager
def locked(course, how):
    """Let another process lock the gradebook; yields what unlocks it."""
    path = root(course) / "gradebook.db"
    command = [sys.executable, "-c", LOCK, path, how]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as other:
        assert other.stdout.readline() == "locked\n"
        yield lambda: other.communicate("\n", timeout=60)
        other.kill()


@pytest.mark.parametrize("how", ["EXCLUSIVE", "IMMEDIATE"])
def test_a_gradebook_in_use_for_a_while(course, undisturbed, how):
    make_gradebook(course)
    with locked(course, how) as unlock:
        running = start(course)
        for line in running.stdout:
            if line.startswith("The gradebook is in use by another program"):
                break
        unlock()
        said, _ = running.communicate(timeout=120)
        assert running.returncode == 0, said
    check(course, undisturbed)


def test_a_gradebook_that_becomes_busy_in_mid_run(course, undisturbed):
    running = start(course, "--patience", "120")
    wait_for_records(course, running, 1)
    with locked(course, "EXCLUSIVE") as unlock:
        time.sleep(8)
        assert running.poll() is None
        unlock()
        said, _ = running.communicate(timeout=120)
    assert running.returncode == 0, said
    check(course, undisturbed)


@pytest.mark.parametrize("how", ["EXCLUSIVE", "IMMEDIATE"])
def test_a_gradebook_in_use_for_ever(course, undisturbed, how):
    make_gradebook(course)
    with locked(course, how):
        said = grade(course, "grade", "ps1", "--patience", "1", status=1)
    *_, last = said.splitlines()
    assert last == (
        "Error: the gradebook was in use by another program for 1 s; nothing is lost: "
        "run the same command again when it is free"
    )
    check(course, undisturbed)


def test_a_gradebook_that_is_none(course):
    (root(course) / "gradebook.db").write_text("not a database, " * 100)
    said = grade(course, "grade", "ps1", status=1)
    assert said.startswith("Error: the gradebook cannot be used: ")
    assert said.count("\n") == 1


def test_a_lost_dask_worker(course, undisturbed):
    running = start(course, "--engine", "dask", "--workers", "2")
    wait_for_records(course, running, 1)
    workers = [
        process
        for process in psutil.Process(running.pid).children()
        if "spawn_main" in " ".join(process.cmdline())
    ]
    assert len(workers) == 2
    workers[0].send_signal(signal.SIGKILL)
    said, _ = running.communicate(timeout=300)
    assert running.returncode == 0, said
    assert scores(course) == undisturbed.scores
    assert all(record(course, student).saved for student in CLASS)


@pytest.fixture
def machines(tmp_path):
    """A Dask scheduler and two workers that somebody else has started."""
    told = tmp_path / "scheduler.json"
    commands = [["scheduler", "--port", "0", "--no-dashboard"]]
    commands += [["worker", "--no-dashboard", "--nthreads", "2"]] * 2
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "dask", *command, "--scheduler-file", str(told)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPO)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for command in commands
    ]
    for _ in range(600):
        if told.exists() and told.read_text().endswith("}"):
            break
        time.sleep(0.1)
    yield json.loads(told.read_text())["address"], running[1:]
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_machine_of_a_cluster_is_lost(machines, course, undisturbed):
    scheduler, workers = machines
    running = start(course, "--engine", "dask", "--scheduler", scheduler)
    wait_for_records(course, running, 1)
    os.killpg(workers[0].pid, signal.SIGKILL)
    said, _ = running.communicate(timeout=300)
    assert running.returncode == 0, said
    assert scores(course) == undisturbed.scores
    assert all(record(course, student).saved for student in CLASS)
