"""What is in a folder or a zip file of uploads, none of which is to be trusted."""

import itertools
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from grading import CourseError

FILE_LIMIT = 10_000_000  # bytes of a notebook
COUNT_LIMIT = 50_000  # files in an upload
HIDDEN = re.compile(r"(^|/)(\.[^./]|__MACOSX/)")


class Rejected(Exception):
    """An upload cannot be taken; the message says why."""


@dataclass
class Upload:
    """A file that somebody uploaded.

    Attributes
    ----------
    path : str
        Its path in the upload, with ``/``. It only tells whose it is: nothing is ever
        written to a place of this name.
    size : int
        In bytes, as the folder or the zip file says.
    time : float
        When it was saved, in seconds since 1970.
    regular : bool
        Whether it is a file, not a link or a device.
    read : callable
        Returns the content, or raises `Rejected`.
    """

    path: str
    size: int
    time: float
    regular: bool
    read: Callable[[], bytes]


@contextmanager
def open_uploads(source: Path) -> Iterator[list[Upload]]:
    """Open a folder or a zip file; its uploads can be read inside ``with``.

    Files that systems make, with names like ``.DS_Store``, are not among them.

    Raises
    ------
    CourseError
        If `source` is neither, or holds too many files.
    """
    if source.is_dir():
        yield _limited_list(_in_folder(source))
        return
    try:
        archive = zipfile.ZipFile(source)
    except (OSError, zipfile.BadZipFile) as error:
        raise CourseError(f"{source}: neither a folder nor a zip file") from error
    with archive:
        yield _limited_list(_in_zip(archive, source))


def _limited_list(uploads: Iterator[Upload]) -> list[Upload]:
    found = list(itertools.islice(uploads, COUNT_LIMIT + 1))
    if len(found) > COUNT_LIMIT:
        raise CourseError(f"more than {COUNT_LIMIT:,} files: nothing was taken")
    return [upload for upload in found if not HIDDEN.search(upload.path)]


def _in_folder(folder: Path) -> Iterator[Upload]:
    for place, folders, files in os.walk(folder):
        for name in sorted(folders + files):
            path = Path(place, name)
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode):
                yield Upload(
                    path.relative_to(folder).as_posix(),
                    found.st_size,
                    found.st_mtime,
                    stat.S_ISREG(found.st_mode),
                    lambda path=path: _read_file(path),
                )


def _read_file(path: Path) -> bytes:
    """Read a file; never through a link, or what would wait for ever."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(file, "rb") as stream:
            return _limited_read(stream)
    except OSError as error:
        raise Rejected(f"cannot be read: {error.strerror}") from error


def _in_zip(archive: zipfile.ZipFile, source: Path) -> Iterator[Upload]:
    """Yield the files in a zip file; a top folder of the same name is left out."""
    for entry in archive.infolist():
        if entry.is_dir():
            continue
        try:
            saved = datetime(*entry.date_time).timestamp()
        except (ValueError, OverflowError):  # the format can hold a month 0
            saved = source.stat().st_mtime
        path = PurePosixPath(entry.filename.replace("\\", "/")).as_posix()
        yield Upload(
            path.removeprefix(f"{source.stem}/"),
            entry.file_size,
            saved,
            not stat.S_ISLNK(entry.external_attr >> 16),
            lambda entry=entry: _read_entry(archive, entry),
        )


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(entry) as stream:
            return _limited_read(stream)
    except Rejected:
        raise
    except Exception as error:  # zlib, lzma, bz2 and zipfile each have their own
        raise Rejected(f"cannot be unpacked: {error}") from error


def _limited_read(stream) -> bytes:
    """Read no more than a notebook may have, whatever size was promised."""
    content = stream.read(FILE_LIMIT + 1)
    if len(content) > FILE_LIMIT:
        raise Rejected(f"larger than {FILE_LIMIT / 1e6:g} MB")
    return content
