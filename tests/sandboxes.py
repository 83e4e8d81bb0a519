"""The sandboxes that tests run in."""

import os

import pytest

from grading import CourseError
from grading.isolation.sandbox import choose

SANDBOXES = ("bubblewrap", "sandlock")


def needs(name: str) -> None:
    """Skip a test whose sandbox does not work here; where all is tested, fail."""
    try:
        choose(name)
    except CourseError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
