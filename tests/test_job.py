"""One submission, from file to record."""

import nbformat
import pytest
from course_folder import TINY
from sandboxes import needs

from grading.isolation.sandbox import Limits, Sandbox
from grading.job import grade, make_job
from grading.notebooks import build, grade_id
from grading.records import GRADED, NOT_GRADED


@pytest.fixture
def release():
    notebook = build(TINY / "solutions" / "ps1_tiny.md")
    return nbformat.writes(notebook)


@pytest.fixture
def submitted(tmp_path, release):
    folder = tmp_path / "submitted" / "ada" / "ps1"
    folder.mkdir(parents=True)
    notebook = nbformat.reads(release, as_version=4)
    for cell in notebook.cells:
        if grade_id(cell) == "double":
            cell.source = "def double(x): return 2 * x"
    path = folder / "ps1_tiny.ipynb"
    nbformat.write(notebook, path)
    return path


def job(path, release, **options):
    root = path.parents[3]
    return make_job(root, "ps1", "ps1_tiny", "ada", release=release, **options)


def test_right(submitted, release):
    record = grade(job(submitted, release))
    assert record["status"] == GRADED and record["remarks"] == []
    assert [cell["points"] for cell in record["cells"]] == [2, 1, None]


def test_without_a_sandbox_every_grade_says_so(submitted, release):
    record = grade(job(submitted, release, sandbox="none"))
    assert record["sandbox"] == "none (unsafe)"
    assert record["remarks"] == ["graded without a sandbox: not safe from the student"]


def test_a_sandbox_that_does_not_start_is_no_zero(submitted, release, monkeypatch):
    needs("bubblewrap")
    monkeypatch.setattr(Sandbox, "rlimits", lambda *_: {"RLIMIT_NONE": 1})
    record = grade(job(submitted, release, sandbox="bubblewrap"))
    assert record["status"] == NOT_GRADED and record["digest"] == ""
    assert "sandbox could not be started" in record["reason"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: path.unlink(), "There is no ps1_tiny.ipynb"),
        (lambda path: path.write_text(""), "empty"),
        (lambda path: path.write_bytes(bytes(11 << 20)), "11 MB; at most 10 MB"),
        (lambda path: (path.unlink(), path.mkdir()), "not a file"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/passwd")), "symbolic link"),
    ],
)
def test_what_is_no_file_is_not_read(submitted, release, change, reason):
    change(submitted)
    record = job(submitted, release)
    assert record.status == NOT_GRADED and reason in record.reason


def test_a_linked_folder_is_not_followed(submitted, release, tmp_path):
    folder = submitted.parent
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in job(submitted, release).reason


def test_the_digest_is_of_all_that_counts(submitted, release):
    first = job(submitted, release)["digest"]
    assert job(submitted, release)["digest"] == first
    others = [
        job(submitted, release + " ")["digest"],
        job(submitted, release, secret="x")["digest"],
        job(submitted, release, limits=Limits(cell=1))["digest"],
        job(submitted, release, sandbox="none")["digest"],
    ]
    submitted.write_text(submitted.read_text() + "\n")
    others.append(job(submitted, release)["digest"])
    assert len({first, *others}) == 6
