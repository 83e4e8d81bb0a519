"""What nbgrader lays beside a notebook that is handed in: a time stamp and a secret.

The secret, which only the learner knows, names the feedback in nbgrader's exchange.
Both go with the notebook to the feedback, so that it can be released there.

The files may be a student's own: a link, a pipe, or a time zone that is a path, is not
read, and what does not look as nbgrader writes it is left out.
"""

import os
import re
import stat
from datetime import datetime
from pathlib import Path

from nbgrader.utils import parse_utc

TIMESTAMP, SECRET = FILES = "timestamp.txt", "submission_secret.txt"
LIKE_A_TIME = re.compile(r"[0-9A-Za-z:.+ -]+")
LIKE_A_SECRET = re.compile(r"[0-9a-f]{128}")


def read_receipt(folder: Path) -> dict[str, str]:
    """Return the texts of those of `FILES` that are in `folder`, by their names."""
    found = {}
    stamp, secret = read_timestamp(folder), _read(folder / SECRET)
    if stamp is not None:
        found[TIMESTAMP] = f"{stamp:%Y-%m-%d %H:%M:%S.%f} UTC\n"
    if LIKE_A_SECRET.fullmatch(secret):
        found[SECRET] = secret
    return found


def read_timestamp(folder: Path) -> datetime | None:
    """Return when the work in `folder` was handed in, if ``timestamp.txt`` says it."""
    text = _read(folder / TIMESTAMP).strip()
    try:
        return parse_utc(text) if LIKE_A_TIME.fullmatch(text) else None
    except (ValueError, OverflowError):
        return None


def _read(path: Path) -> str:
    """Return the beginning of a small file; "" if it is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return ""
        return os.read(handle, 200).decode("ascii", "replace")
    finally:
        os.close(handle)
