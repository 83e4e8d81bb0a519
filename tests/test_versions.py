"""Every wrong version is rejected and named, every right one accepted, in every set.

But: in this process. `grader_report.py --sandbox` sends them through the grader.
"""

import pytest
import versions

from bnlib.check.kernels._kernel import Kernel

VISIBLE = 0  # the seed that learners see
HIDDEN = (111, 122, 133, 171, 201, 202)
SETS = versions.find_sets()


def rows(kind, label):
    return [
        pytest.param(
            getattr(problem_set.CHECKS, version.exercise),
            version,
            id=f"{name}-{version.exercise}-{k}-{label(version)[:30]}",
        )
        for name, problem_set in SETS.items()
        for k, version in enumerate(getattr(problem_set, kind))
    ]


@pytest.mark.parametrize(
    ("exercise", "version"), rows("WRONG", lambda version: version.says[0])
)
def test_a_wrong_version_is_rejected_and_named(exercise, version):
    for seed in (VISIBLE, *HIDDEN):
        function = versions.answer(version.source, exercise.name)
        text = versions.message(exercise, function, seed=seed)
        assert text, f"accepted with seed {seed}"
        assert version.is_named_by(text), text


@pytest.mark.parametrize(
    ("exercise", "version"), rows("RIGHT", lambda version: version.style)
)
def test_a_right_version_is_accepted(exercise, version):
    if "import torch" in version.source:
        pytest.importorskip("torch")
    function = versions.answer(version.source, exercise.name)
    many = 4 if isinstance(exercise, Kernel) else 30  # a kernel takes its time
    for seed in (*range(many), *HIDDEN):
        assert versions.message(exercise, function, seed=seed) == ""


@pytest.mark.parametrize("name", SETS)
def test_no_version_is_there_twice(name):
    for kind in (SETS[name].WRONG, SETS[name].RIGHT):
        sources = [(version.exercise, version.source) for version in kind]
        assert len(set(sources)) == len(sources)
