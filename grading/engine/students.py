"""Find out who has handed in a problem set, in nbgrader's ``submitted/`` folder."""

import re
from pathlib import Path

from grading import CourseError

# A student's id names files, database rows and patterns, so it has no wildcard. All
# that `grading.collect` takes for an id is one.
STUDENT_ID = re.compile(r"\w([\w.@,'() -]{0,62}[\w.@)'-])?")


def submitted(root: Path, name: str, wanted: list[str]) -> tuple[list[str], list[str]]:
    """Return the students who handed in, and the folders that cannot be a student's.

    Parameters
    ----------
    root
        nbgrader's course.
    name
        The problem set.
    wanted
        Only these students; empty: all.

    Raises
    ------
    CourseError
        If there is nobody, or a wanted student has handed in nothing.
    """
    folders = [path.parent.name for path in root.glob(f"submitted/*/{name}")]
    folders = sorted(folder for folder in folders if not folder.startswith("."))
    students = [folder for folder in folders if STUDENT_ID.fullmatch(folder)]
    if missing := sorted(set(wanted) - set(students)):
        raise CourseError(f"no submission of {name} by {', '.join(missing)}")
    if not folders:
        raise CourseError(f"nobody has handed in {name}: {root}/submitted has none")
    return sorted(set(wanted)) or students, sorted(set(folders) - set(students))
