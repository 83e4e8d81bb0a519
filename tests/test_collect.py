"""Collecting uploads: whose they are, which count, and that none does harm."""

import io
import os
import re
import stat
import struct
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from course_folder import TINY, make_course, run
from nbgrader.api import Gradebook
from nbgrader.utils import parse_utc

from grading import CourseError
from grading.collect import take, uploads
from grading.collect.names import STUDENT, find_owner
from grading.collect.students import enter_students
from grading.collect.take import collect
from grading.collect.uploads import Rejected, Upload
from grading.engine.students import STUDENT_ID
from grading.notebooks import ProblemSet

TINY_SET = ProblemSet("ps1", "ps1_tiny", TINY / "solutions" / "ps1_tiny.md")


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "course"
    root.mkdir()
    return root


def upload(folder, path, content="{}", saved=1_700_000_000.0):
    """Put a file into a folder of uploads."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    os.utime(file, (saved, saved))
    return file


def take_in(root, source):
    return collect(root, TINY_SET, source)


def submitted(root, student):
    return (root / "submitted" / student / "ps1" / "ps1_tiny.ipynb").read_text()


def everything(folder):
    """Return every path below a folder, with what it holds."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        if path.is_file()
        else b""
        for path in folder.rglob("*")
    }


# Whose it is


@pytest.mark.parametrize(
    ("path", "student", "name", "canvas", "version"),
    [
        ("ada/ps1_tiny.ipynb", "ada", "", "", 0),
        ("a.b_c-d@x.org/Untitled 1.ipynb", "a.b_c-d@x.org", "", "", 0),
        ("ada_my answer.ipynb", "ada", "", "", 0),
        ("0123_ps1.ipynb", "0123", "", "", 0),
        ("Ada Löve_12_assignsubmission_file_/x.ipynb", "12", "Ada Löve", "", 0),
        ("Ada Löve_12_assignsubmission_file/x.ipynb", "12", "Ada Löve", "", 0),
        ("A_B_12_assignsubmission_file_x.ipynb", "12", "A_B", "", 0),
        ("loveada_12_345_ps1_tiny.ipynb", "12", "loveada", "12", 0),
        ("loveada_12_345_ps1_tiny-3.ipynb", "12", "loveada", "12", 3),
        ("loveada_LATE_12_345_ps1_tiny-10.ipynb", "12", "loveada", "12", 10),
        ("love_٣_1_x.ipynb", "love", "", "", 0),  # no number of Canvas'
        ("anon_x7Yz1_345_ps1_tiny.ipynb", "anon_x7Yz1", "", "", 0),
        ("x" * 64 + "/x.ipynb", "x" * 64, "", "", 0),
    ],
)
def test_whose_it_is(path, student, name, canvas, version):
    owner = find_owner(Upload(path, 1, 0, True, None), "ps1_tiny")
    found = owner.student, owner.name, owner.lms_user_id, owner.version
    assert found == (student, name, canvas, version)


@pytest.mark.parametrize(
    "path",
    [
        "x.ipynb",
        "ps1_tiny.ipynb",  # not of a student "ps1"
        "ada/x.txt",
        "ada/x.ipynb.zip",
        "../ada/x.ipynb",
        "ada/../x.ipynb",
        "../x.ipynb",
        "../../x_y.ipynb",
        "/ada/x.ipynb",
        "/etc_x.ipynb",
        "C:/x.ipynb",
        "ada/deep/x.ipynb",
        "a b/x.ipynb",
        "-rf/x.ipynb",
        "*/x.ipynb",
        "ａｄａ/x.ipynb",
        "٣_x.ipynb",
        "a\n/x.ipynb",
        "a\x00/x.ipynb",
        "x" * 65 + "/x.ipynb",
        "",
    ],
)
def test_nobodys(path):
    with pytest.raises(Rejected):
        find_owner(Upload(path, 1, 0, True, None), "ps1_tiny")


# What happens to a folder


def test_a_folder(root, tmp_path):
    up = tmp_path / "up"
    upload(up, "ada/any name.ipynb", "ada's")
    upload(up, "bob_x.ipynb", "bob's")
    upload(up, "notes.txt")
    upload(up, ".ipynb_checkpoints/cy_x.ipynb")
    upload(up, "ada/.ipynb_checkpoints/x-checkpoint.ipynb", saved=1_800_000_000)
    done = take_in(root, up)
    assert done.taken == {"ada": "ada/any name.ipynb", "bob": "bob_x.ipynb"}
    assert done.rejected == [("notes.txt", "not a notebook (.ipynb)")]
    assert not done.older
    assert submitted(root, "ada") == "ada's"
    assert {p for p in everything(root) if "." in p} == {
        f"submitted/{student}/ps1/{file}"
        for student in ("ada", "bob")
        for file in ("ps1_tiny.ipynb", "timestamp.txt")
    }


def test_the_newest_counts(root, tmp_path):
    for name, saved in [("a", 100), ("z", 50), ("b", 200)]:
        upload(tmp_path / "up", f"ada/{name}.ipynb", name, saved)
    done = take_in(root, tmp_path / "up")
    assert submitted(root, "ada") == "b"
    assert done.older == [("ada/z.ipynb", "ada"), ("ada/a.ipynb", "ada")]
    assert not done.rejected


def test_of_canvas_the_highest_counts(root, tmp_path):
    for version, saved in [("", 300), ("-2", 200), ("-10", 100)]:
        name = f"love_1_2_ps1{version}.ipynb"
        upload(tmp_path / "up", name, version, saved)
    take_in(root, tmp_path / "up")
    assert submitted(root, "1") == "-10"


def test_nbgrader_reads_the_time(root, tmp_path):
    upload(tmp_path / "up", "ada/x.ipynb", saved=1_700_000_000)
    take_in(root, tmp_path / "up")
    stamp = (root / "submitted/ada/ps1/timestamp.txt").read_text().strip()
    expected = datetime.fromtimestamp(1_700_000_000, UTC).replace(tzinfo=None)
    assert parse_utc(stamp) == expected


def test_no_time_lies_in_the_future(root, tmp_path):
    upload(tmp_path / "up", "ada/x.ipynb", saved=4_000_000_000)
    take_in(root, tmp_path / "up")
    stamp = (root / "submitted/ada/ps1/timestamp.txt").read_text().strip()
    assert parse_utc(stamp) <= datetime.now(UTC).replace(tzinfo=None)


def test_what_was_there_is_kept(root, tmp_path):
    up = tmp_path / "up"
    upload(up, "ada/x.ipynb", "first")
    upload(up, "bob/x.ipynb", "bob")
    first = take_in(root, up)
    assert first.replaced is None
    again = take_in(root, up)
    assert (again.taken, list(again.unchanged)) == ({}, ["ada", "bob"])
    assert again.replaced is None

    upload(up, "ada/x.ipynb", "second", saved=1_700_000_001)
    upload(root / "submitted", "ada/ps1/extra.txt", "hers")
    last = take_in(root, up)
    assert list(last.taken) == ["ada"]
    assert submitted(root, "ada") == "second"
    kept = last.replaced / "ada" / "ps1"
    assert last.replaced.parent == root / "submitted-old"
    assert (kept / "ps1_tiny.ipynb").read_text() == "first"
    assert (kept / "extra.txt").read_text() == "hers"
    assert not (root / "submitted/ada/ps1/extra.txt").exists()


def test_links_and_special_files_are_not_read(root, tmp_path):
    up, secret = tmp_path / "up", upload(tmp_path, "secret.ipynb", "secret")
    upload(up, "ada/x.ipynb")
    (up / "bob").mkdir()
    (up / "bob/x.ipynb").symlink_to(secret)
    (up / "cy").symlink_to(up / "ada")
    os.mkfifo(up / "dora_x.ipynb")
    done = take_in(root, up)
    assert list(done.taken) == ["ada"]
    assert {path for path, _ in done.rejected} == {"bob/x.ipynb", "cy", "dora_x.ipynb"}
    assert not any(b"secret" in content for content in everything(root).values())


def test_a_file_that_turns_into_a_link_is_not_read(root, tmp_path):
    up, secret = tmp_path / "up", upload(tmp_path, "secret.ipynb", "secret")
    with uploads.open_uploads(upload(up, "ada/x.ipynb").parents[1]) as [found]:
        (up / "ada/x.ipynb").unlink()
        (up / "ada/x.ipynb").symlink_to(secret)
        with pytest.raises(Rejected):
            found.read()


def test_what_cannot_be_taken_does_not_hide_an_older_file(root, tmp_path):
    up = tmp_path / "up"
    upload(up, "ada/a.ipynb", "older", saved=1)
    upload(up, "ada/b.ipynb", "x" * 10_000_001)
    (up / "ada/c.ipynb").symlink_to(up / "ada/a.ipynb")
    done = take_in(root, up)
    assert submitted(root, "ada") == "older"
    assert len(done.rejected) == 2


def test_links_in_submitted_lead_nowhere(root, tmp_path):
    outside = tmp_path / "outside"
    upload(outside, "ps1/ps1_tiny.ipynb", "mine")
    before = everything(outside)
    (root / "submitted/bob").mkdir(parents=True)
    (root / "submitted/ada").symlink_to(outside)
    (root / "submitted/bob/ps1").symlink_to(outside / "ps1")
    upload(tmp_path / "up", "ada/x.ipynb", "new")
    upload(tmp_path / "up", "bob/x.ipynb", "new")
    done = take_in(root, tmp_path / "up")
    assert everything(outside) == before
    assert [path for path, _ in done.rejected] == ["ada/x.ipynb"]
    assert submitted(root, "bob") == "new"
    assert not (root / "submitted/bob/ps1").is_symlink()


def test_large_files(root, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "FILE_LIMIT", 1000)
    monkeypatch.setattr(take, "FILE_LIMIT", 1000)
    upload(tmp_path / "up", "ada/x.ipynb", "x" * 1001)
    upload(tmp_path / "up", "bob/x.ipynb", "x" * 1000)
    done = take_in(root, tmp_path / "up")
    assert list(done.taken) == ["bob"]
    assert [path for path, _ in done.rejected] == ["ada/x.ipynb"]


def test_a_large_upload_is_refused_as_a_whole(root, tmp_path, monkeypatch):
    for student in ("ada", "bob", "cy"):
        upload(tmp_path / "up", f"{student}/x.ipynb", "x" * 100)
    monkeypatch.setattr(take, "TOTAL_LIMIT", 299)
    with pytest.raises(CourseError, match="nothing was taken"):
        take_in(root, tmp_path / "up")
    monkeypatch.setattr(take, "TOTAL_LIMIT", 300)
    monkeypatch.setattr(uploads, "COUNT_LIMIT", 2)
    with pytest.raises(CourseError, match="nothing was taken"):
        take_in(root, tmp_path / "up")
    assert everything(root) == {}


def test_a_full_disk_is_one_line(root, tmp_path):
    upload(tmp_path / "up", "ada/x.ipynb")
    upload(root, "submitted", "a file where the folder should be")
    with pytest.raises(CourseError, match="ada: cannot be stored"):
        take_in(root, tmp_path / "up")


# What happens to a zip file


def pack(path, files, **options):
    """Write a zip file; a key is a name or a ZipInfo."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content, **options)
    return path


def test_a_zip_file(root, tmp_path):
    file = pack(
        tmp_path / "up.zip",
        {"ada/x.ipynb": "ada's", "up/bob_x.ipynb": "bob's", "cy\\x.ipynb": "cy's"},
    )
    done = take_in(root, file)
    assert list(done.taken) == ["ada", "bob", "cy"]
    assert submitted(root, "bob") == "bob's"


def test_a_zip_files_times_are_local(root, tmp_path):
    entry = zipfile.ZipInfo("ada/x.ipynb", (2024, 2, 3, 4, 5, 6))
    take_in(root, pack(tmp_path / "up.zip", {entry: "{}"}))
    stamp = (root / "submitted/ada/ps1/timestamp.txt").read_text().strip()
    expected = datetime(2024, 2, 3, 4, 5, 6).astimezone(UTC).replace(tzinfo=None)
    assert parse_utc(stamp) == expected


def test_a_zip_file_writes_nowhere_else(root, tmp_path):
    names = ["../evil_x.ipynb", "../../evil/x.ipynb", "/tmp/evil_x.ipynb"]
    names += ["ada/../../evil.ipynb", "..\\evil_x.ipynb", "ada/x.ipynb/y.ipynb"]
    before = everything(tmp_path)
    file = pack(tmp_path / "up.zip", dict.fromkeys(names, "evil"))
    done = take_in(root, file)
    assert len(done.rejected) == len(names)
    file.unlink()
    assert everything(tmp_path) == before


def test_a_link_in_a_zip_file(root, tmp_path):
    entry = zipfile.ZipInfo("ada/x.ipynb")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    done = take_in(root, pack(tmp_path / "up.zip", {entry: "/etc/passwd"}))
    assert done.rejected == [("ada/x.ipynb", "a link or a special file")]


def test_a_bomb_is_not_unpacked(root, tmp_path):
    with zipfile.ZipFile(tmp_path / "up.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("ada/x.ipynb", "w", force_zip64=True) as file:
            for _ in range(200):
                file.write(bytes(1_000_000))
    done = take_in(root, tmp_path / "up.zip")
    assert done.rejected == [("ada/x.ipynb", "larger than 10 MB")]
    assert everything(root) == {}


def test_a_bomb_that_lies_about_its_size(root, tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ada/x.ipynb", bytes(50_000_000))
        archive.writestr("bob/x.ipynb", "bob's")
    data = packed.getvalue().replace(
        struct.pack("<I", 50_000_000), struct.pack("<I", 100)
    )
    (tmp_path / "up.zip").write_bytes(data)
    done = take_in(root, tmp_path / "up.zip")
    assert [path for path, _ in done.rejected] == ["ada/x.ipynb"]
    assert "cannot be unpacked" in done.rejected[0][1]
    assert list(done.taken) == ["bob"]


def test_an_encrypted_or_damaged_file_is_left_out(root, tmp_path):
    file = pack(tmp_path / "up.zip", {"ada/x.ipynb": "a" * 100, "bob/x.ipynb": "b"})
    data = bytearray(file.read_bytes())
    data[6] |= 1  # both of ada's headers: encrypted
    data[data.index(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(data)
    done = take_in(root, file)
    assert [path for path, _ in done.rejected] == ["ada/x.ipynb"]
    assert list(done.taken) == ["bob"]


@pytest.mark.parametrize("content", [None, b"", b"no zip", b"PK\x03\x04"])
def test_neither_a_folder_nor_a_zip_file(root, tmp_path, content):
    if content is not None:
        (tmp_path / "up.zip").write_bytes(content)
    with pytest.raises(CourseError, match="neither a folder nor a zip file"):
        take_in(root, tmp_path / "up.zip")


# The command, and the gradebook


def test_the_command(tmp_path):
    course = make_course(tmp_path / "course", TINY)
    up = tmp_path / "up"
    upload(up, "loveada_7_8_x.ipynb")
    upload(up, "Bob B_9_assignsubmission_file_/x.ipynb")
    upload(up, "Bob B_9_assignsubmission_file_/y.ipynb", saved=1)
    names = upload(tmp_path, "s.csv", "\ufeffid,first_name,email\n7,Ada,a@x.org\n8,,\n")
    command = ["grading", "collect", "ps1", str(up), "--students", str(names)]
    done = run(course, *command)
    assert "Students: 2 from" in done.stdout
    assert "ps1: 2 taken, 0 unchanged." in done.stdout
    assert "9: Bob B_9_assignsubmission_file_/x.ipynb counts, not" in done.stdout
    root = course / "_build" / "nbgrader"
    with Gradebook(f"sqlite:///{root}/gradebook.db", "batchnorm") as gradebook:
        known = {
            s.id: (s.first_name, s.last_name, s.email, s.lms_user_id)
            for s in gradebook.students
        }
    assert known == {
        "7": ("Ada", None, "a@x.org", "7"),  # the name from the file stays
        "8": (None, None, None, None),
        "9": (None, "Bob B", None, None),
    }

    upload(up, "\x1b[31mevil.txt")
    done = run(course, *command[:4], succeed=False)
    assert done.returncode == 3
    assert "Left out: evil.txt: not a notebook (.ipynb)" in done.stdout
    assert "\x1b" not in done.stdout

    done = run(course, "grading", "collect", "ps1", "nowhere", succeed=False)
    assert done.returncode == 1
    assert done.stderr == "Error: nowhere: neither a folder nor a zip file\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line must be id,first_name"),
        ("name\nada\n", "first line must be"),
        ("id,phone\nada,1\n", "first line must be"),
        ("id;email\nada;x\n", "first line must be"),
        ("id,email\nada\n", ":2: not as many cells"),
        ("id,email\nada,x,y\n", ":2: not as many cells"),
        ("id\nada\n../x\n", ":3: '../x' is not a student id"),
        ('id\n"ada\n', "not a CSV file"),
    ],
)
def test_a_wrong_list_of_students(tmp_path, text, message):
    file = upload(tmp_path, "s.csv", text)
    with pytest.raises(CourseError, match=message):
        enter_students(None, file, silent=True)


def test_a_list_of_students_in_another_encoding(tmp_path):
    Path(tmp_path / "s.csv").write_bytes("id,last_name\nada,Löve\n".encode("latin-1"))
    with pytest.raises(CourseError, match="not a CSV file in UTF-8"):
        enter_students(None, tmp_path / "s.csv", silent=True)


@pytest.mark.parametrize("student", ["x" * 64, "a@", "a-", "a_", "a.", "7", "a.b@c.de"])
def test_whom_it_takes_can_be_graded(student):
    assert re.fullmatch(STUDENT, student) and STUDENT_ID.fullmatch(student)
