"""A folder for the temporary files of workers, which may be killed at any time."""

import os
import shutil
import tempfile
from pathlib import Path

import psutil


def scratch_folder() -> tempfile.TemporaryDirectory:
    """Make the folder; remove those of runs that were killed themselves."""
    for old in Path(tempfile.gettempdir()).glob("grading-*-*"):
        pid = old.name.split("-")[1]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    folder = tempfile.TemporaryDirectory(
        prefix=f"grading-{os.getpid()}-", ignore_cleanup_errors=True
    )
    os.chmod(folder.name, 0o711)  # a sandbox with a user of its own gets to its part
    return folder
