"""Copies of a course's folder in which nbgrader may do as it likes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[1]
TINY = REPO / "tests" / "tiny_course"


def make_course(folder: Path, sources: Path, timeout: int = 20) -> Path:
    """Set up a course with the problem sets of `sources`/solutions."""
    folder.mkdir()
    (folder / "exercises").mkdir()
    shutil.copytree(sources / "solutions", folder / "solutions")
    config = (REPO / "nbgrader_config.py").read_text()
    config += f"\nc.IsolatedExecute.timeout = {timeout}\n"
    (folder / "nbgrader_config.py").write_text(config)
    return folder


def run(course: Path, *arguments: str, succeed: bool = True):
    """Run ``python -m`` with these arguments in the course's folder."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=course,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    if succeed:
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        assert done.returncode != 0, done.stdout
    return done
