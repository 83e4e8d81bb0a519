"""Choose a submission for each student, and put it where nbgrader looks for it."""

import os
import shutil
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import track

from grading import CourseError
from grading.collect.names import Owner, find_owner
from grading.collect.uploads import FILE_LIMIT, Rejected, Upload, open_uploads
from grading.notebooks import ProblemSet

TOTAL_LIMIT = 2_000_000_000  # bytes of all submissions


@dataclass
class Collected:
    """What became of the uploads.

    Attributes
    ----------
    taken, unchanged : dict
        The path of each student's submission; ``unchanged`` was there already.
    owners : list of Owner
        Their students.
    older : list of tuple
        ``(path, student)`` of files that do not count, as a newer one does.
    rejected : list of tuple
        ``(path, why)``.
    replaced : Path or None
        Where the submissions are that were there before.
    """

    taken: dict[str, str] = field(default_factory=dict)
    unchanged: dict[str, str] = field(default_factory=dict)
    owners: list[Owner] = field(default_factory=list)
    older: list[tuple[str, str]] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    replaced: Path | None = None


def collect(
    root: Path, problem_set: ProblemSet, source: Path, silent: bool = True
) -> Collected:
    """Take the uploads in `source` for a problem set of the course at `root`.

    Raises
    ------
    CourseError
        If `source` is neither a folder nor a zip file, or too large (then nothing was
        taken), or the disk is full.
    """
    collected = Collected()
    now = datetime.now(UTC)
    old = root / "submitted-old" / f"{now:%Y-%m-%dT%H%M%S.%f}"
    with open_uploads(source) as uploads:
        chosen = _choose(uploads, problem_set, collected)
        for upload, owner in track(
            chosen, "Collecting", transient=True, disable=silent
        ):
            try:
                _store(root, problem_set, upload, owner, old, collected)
            except Rejected as why:
                collected.rejected.append((upload.path, str(why)))
            except OSError as error:
                raise CourseError(
                    f"{owner.student}: cannot be stored ({error.strerror}); "
                    "mend that and run it again"
                ) from error
    return collected


def _choose(
    uploads: list[Upload], problem_set: ProblemSet, collected: Collected
) -> list[tuple[Upload, Owner]]:
    """Return the submission of each student; note the other uploads."""
    of_student = defaultdict(list)
    for upload in uploads:
        try:
            owner = find_owner(upload, problem_set.notebook)
            if not upload.regular:
                raise Rejected("a link or a special file")
            if upload.size > FILE_LIMIT:
                raise Rejected(f"larger than {FILE_LIMIT / 1e6:g} MB")
        except Rejected as why:
            collected.rejected.append((upload.path, str(why)))
        else:
            rank = owner.version, upload.time, upload.path
            of_student[owner.student].append((rank, upload, owner))

    chosen = []
    for student in sorted(of_student):
        *older, (_, upload, owner) = sorted(of_student[student], key=lambda u: u[0])
        collected.older += [(other.path, student) for _, other, _ in older]
        chosen.append((upload, owner))
    if sum(upload.size for upload, _ in chosen) > TOTAL_LIMIT:
        raise CourseError(
            f"more than {TOTAL_LIMIT / 1e9:g} GB of notebooks: nothing was taken"
        )
    return chosen


def _store(
    root: Path,
    problem_set: ProblemSet,
    upload: Upload,
    owner: Owner,
    old: Path,
    collected: Collected,
) -> None:
    """Put an upload in its place, and what was there into `old`."""
    # Nobody hands in before 1970 or in the future, whatever a file says.
    saved = datetime.fromtimestamp(min(max(upload.time, 0), time.time()), UTC)
    files = {
        f"{problem_set.notebook}.ipynb": upload.read(),
        "timestamp.txt": f"{saved:%Y-%m-%d %H:%M:%S} UTC\n".encode(),
    }
    place = root / "submitted" / owner.student / problem_set.name
    if place.parent.is_symlink():
        raise Rejected(f"{place.parent} is a link; remove it first")
    collected.owners.append(owner)
    if _holds(place, files):
        collected.unchanged[owner.student] = upload.path
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        new = Path(folder, problem_set.name)
        new.mkdir()
        for name, content in files.items():
            (new / name).write_bytes(content)
        if os.path.lexists(place):
            kept = old / owner.student / problem_set.name
            kept.parent.mkdir(parents=True)
            shutil.move(place, kept)
            collected.replaced = old
        new.rename(place)
    collected.taken[owner.student] = upload.path


def _holds(place: Path, files: dict[str, bytes]) -> bool:
    """Whether the folder `place` holds these files and nothing else."""
    if place.is_symlink() or not place.is_dir():
        return False
    found = {path.name: path for path in place.iterdir()}
    return found.keys() == files.keys() and all(
        path.is_file() and not path.is_symlink() and path.read_bytes() == files[name]
        for name, path in found.items()
    )
