"""The report counts what it should, shows each miss, and fails when a target is missed.

But: the versions themselves are held to it in `test_versions`.
"""

import io
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import grader_report
import numpy as np
import pytest
from rich.console import Console
from versions import Right, Wrong, answer, edited, message, ps1

from grading import CourseError
from grading.isolation.sandbox import choose

WRONG = [version for version in ps1.WRONG if version.exercise == "running"][:4]
RIGHT = [version for version in ps1.RIGHT if version.exercise == "running"][:4]
MANY = RIGHT * 8  # more than 30
LISTED = next(version for version in WRONG if version.listed)


def reported(wrong, right, judge=grader_report.judge_here):
    sets = {"ps1": SimpleNamespace(CHECKS=ps1.CHECKS, WRONG=wrong, RIGHT=right)}
    text = io.StringIO()
    met = grader_report.report(judge(sets), Console(file=text, width=100))
    return met, text.getvalue()


def row(text, name):
    [line] = [line for line in text.splitlines() if re.match(rf" *{name} ", line)]
    return [int(number) for number in re.findall(r"\b\d+\b", line.partition(name)[2])]


def test_all_targets_met():
    met, text = reported(WRONG, MANY)
    listed = sum(bool(version.listed) for version in WRONG)
    assert row(text, "ps1 running") == [4, 4, 4, listed, listed, 32, 32]
    assert row(text, "all") == row(text, "ps1 running")
    assert met and text.count("✓") == 4 and "✗" not in text


def test_a_wrong_version_that_is_accepted():
    missed = Wrong("running", RIGHT[0].source, ("anything",), (34,))
    met, text = reported([*WRONG, missed], MANY)
    assert not met
    assert "ps1 running, expected: anything" in text and "got: accepted" in text
    assert "✗ Wrong versions rejected: 4 of 5" in text


def test_a_listed_version_that_is_not_named():
    missed = Wrong("running", LISTED.source, ("quite another thing",), LISTED.listed)
    met, text = reported([*WRONG, missed], MANY)
    assert not met
    assert "expected: quite another thing" in text and "✗ update_running" in text
    assert "✓ Wrong versions rejected: 5 of 5" in text
    assert "✗ Listed ones named rightly" in text


def test_one_of_many_listed_versions_may_go_without_its_name():
    missed = Wrong("running", LISTED.source, ("quite another thing",), LISTED.listed)
    met, text = reported([LISTED] * 19 + [missed], MANY)
    assert met and "Listed ones named rightly: 95.0%" in text
    assert "quite another thing" in text


def test_a_right_version_that_is_rejected():
    missed = Right("running", LISTED.source, "taken for right")
    met, text = reported(WRONG, [*MANY, missed])
    assert not met
    assert "ps1 running, taken for right" in text and "✗ update_running" in text
    assert "✗ Right versions accepted: 32 of 33" in text


def test_too_few_right_versions():
    met, text = reported(WRONG, RIGHT)
    assert not met and "✗ Right versions tried: 4, at least 30" in text


def test_hidden_seeds_count():
    """A version that is right on the inputs that learners see, and only there."""
    cases = ps1.CHECKS.running.cases(np.random.default_rng(0))
    seen = {float(case.arguments[2][0]) for case in cases}
    source = edited(ps1.UPDATE, "(count - 1)", f"(count - (float(mean[0]) in {seen}))")
    assert message(ps1.CHECKS.running, answer(source, "update_running")) == ""
    met, text = reported([Wrong("running", source, ("biased variance",))], MANY)
    assert met, text


def test_the_sandbox_finds_the_same():
    try:
        choose("auto")
    except CourseError as error:
        pytest.skip(str(error))
    wrong = [next(v for v in ps1.WRONG if v.exercise == e) for e in ("layer", "fold")]
    missed = Right("running", LISTED.source, "taken for right")
    right = [RIGHT[0], missed]
    met, text = reported(wrong, right, grader_report.judge_in_sandbox)
    assert not met
    assert row(text, "all") == row(reported(wrong, right)[1], "all")
    assert "taken for right" in text and "✗ update_running" in text


def test_an_unknown_set():
    script = Path(grader_report.__file__)
    done = subprocess.run(
        [sys.executable, script, "ps99"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "no versions of ps99" in done.stderr
