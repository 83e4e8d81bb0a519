"""Whose an upload is, by its name: the rule is in the package's docstring."""

import re
from dataclasses import dataclass

from grading.collect.uploads import Rejected, Upload

STUDENT = r"(?P<student>[A-Za-z0-9][A-Za-z0-9._@-]{0,63})"
SHORT = STUDENT.replace("_@", "@")  # without "_", which ends it
NUMBER = r"\d{1,19}"
ANY = r"[^/]*?(?:-(?P<version>\d{1,9}))?\.ipynb"
RULES = [
    # Canvas says LATE after the name; where grading is anonymous, a code is the id.
    rf"(?P<student>anon_[A-Za-z0-9]+)(?:_LATE)?_{NUMBER}_{ANY}",
    rf"(?P<name>[^_/]+)(?:_LATE)?_(?P<canvas>{NUMBER})_{NUMBER}_{ANY}",
    rf"(?P<name>[^/]+?)_(?P<student>{NUMBER})_assignsubmission_file_?[/_][^/]+\.ipynb",
    rf"{STUDENT}/[^/]+\.ipynb",
    rf"{SHORT}_[^/]+\.ipynb",
]


@dataclass
class Owner:
    """Whose an upload is.

    ``name`` and ``lms_user_id`` are "" where the file's name does not say; ``version``
    counts how often Canvas got a file of this name.
    """

    student: str
    name: str = ""
    lms_user_id: str = ""
    version: int = 0


def find_owner(upload: Upload, notebook: str) -> Owner:
    """Find out whose `upload` is; `notebook` is the released one's name."""
    if not upload.path.endswith(".ipynb"):
        raise Rejected("not a notebook (.ipynb)")
    matches = (re.fullmatch(rule, upload.path, re.ASCII) for rule in RULES)
    match = next(filter(None, matches), None)
    if not match or upload.path == f"{notebook}.ipynb":
        raise Rejected("its name does not say whose it is; <student>/x.ipynb would")
    found = match.groupdict()
    canvas = found.get("canvas") or ""
    return Owner(
        student=found.get("student") or canvas,
        name=(found.get("name") or "").strip(),
        lms_user_id=canvas,
        version=int(found.get("version") or 0),
    )
