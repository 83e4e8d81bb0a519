"""Build, release and grade the problem sets with stock nbgrader.

The text in ``solutions/`` is the only source. `notebooks` turns it into nbgrader's
source notebooks, `course` runs nbgrader on them, `sample_class` plays a class that
submits, and `table` reads the grades. ``python -m grading`` is the command line.
"""


class CourseError(Exception):
    """A mistake in the course's files; its message is one line for a person."""
