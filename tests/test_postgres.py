"""The gradebook in PostgreSQL, a real server: the same grades as in SQLite."""

import csv
import getpass
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from course_folder import run
from tiny_class import PARTLY, RIGHT, grade, make_class, scores, submit, submitted

CLASS = {"right": RIGHT, "partly": PARTLY, "blank": None}


@pytest.fixture(scope="module")
def db_url():
    """A new server's, which listens on a socket in a folder of its own."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        assert not os.environ.get("CI"), "PostgreSQL is not installed"
        pytest.skip("PostgreSQL is not installed (on Debian: apt install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    user, words = getpass.getuser(), []
    if os.getuid() == 0:  # the server refuses to run as root
        user, words = "postgres", ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, user, user)

    def server(program, *arguments):
        command = [*words, found[-1] / program, *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)

    data, options = folder / "data", f"-k {folder} -c listen_addresses="
    try:
        server("initdb", "-D", data, "-A", "trust", "--no-sync", "-E", "UTF8")
        log = folder / "log"
        server("pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start")
        try:
            server("createdb", "-h", folder, "gradebook")
            yield f"postgresql+psycopg://{user}@/gradebook?host={folder}"
        finally:
            server("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def exported(course):
    run(course, "nbgrader", "export", "--to", "grades.csv")
    with open(course / "grades.csv") as file:
        return sorted(csv.DictReader(file), key=lambda row: row["student_id"])


def test_the_same_grades_as_in_sqlite(tmp_path, db_url):
    course = make_class(tmp_path / "course", CLASS)
    other = shutil.copytree(course, tmp_path / "other")
    with open(other / "nbgrader_config.py", "a") as file:
        file.write(f"\nc.CourseDirectory.db_url = {db_url!r}\n")

    for _ in range(2):  # the second time with resubmissions, a good and a bad one
        status = int("{" == submitted(course, "right").read_text()) * 3
        grade(course, "grade", "ps1", status=status)
        grade(other, "grade", "ps1", status=status)
        assert scores(other, db_url) == scores(course)
        assert set(scores(other, db_url)) == set(CLASS)
        assert exported(other) == exported(course)
        assert not (other / "_build/nbgrader/gradebook.db").exists()
        for folder in (course, other):
            submit(folder, "blank", RIGHT)
            submitted(folder, "right").write_text("{")
    assert "Wrote 3 of 3" in grade(other, "feedback", "ps1")
