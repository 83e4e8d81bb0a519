"""The Makefile's messages for a machine that lacks something."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

NO_VENV = """#!/bin/sh
case "$*" in *ensurepip*) exit 1;; *--version*) echo "Python 3.11.2";; esac
"""
TOO_OLD = """#!/bin/sh
case "$*" in *--version*) echo "Python 3.8.10";; *) exit 1;; esac
"""


def run_make(folder, *arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
    )


@pytest.fixture
def clone(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bnlib").mkdir()
    return tmp_path


@pytest.mark.parametrize("target", ["course", "test"])
@pytest.mark.parametrize(
    ("script", "message"),
    [
        (TOO_OLD, "needs Python 3.11 or newer; './python' is Python 3.8.10"),
        (NO_VENV, "venv module is missing"),
        (None, "needs Python 3.11 or newer; './python' is missing"),
    ],
)
def test_a_missing_or_old_tool_gets_one_line(clone, target, script, message):
    if script:
        (clone / "python").write_text(script)
        (clone / "python").chmod(0o755)
    done = run_make(clone, target, "PYTHON=./python")
    assert done.returncode != 0
    assert message in done.stdout
    assert len(done.stdout.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert not (clone / ".venv").exists()


def test_help_lists_every_command(clone):
    listed = run_make(clone, "help").stdout
    for command in ("course", "test", "serve", "lab", "lint", "clean", "help"):
        assert f"make {command} " in listed
