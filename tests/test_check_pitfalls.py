"""PS5 and its checks: the set itself, the truth of the formulas, the bug hunt.

But: what the checks say of wrong and right versions is in `test_versions`.
"""

import re
from pathlib import Path

import jupytext
import mistakes
import numpy as np
import pytest
from versions import answer, message, ps5

import bnlib
from bnlib.check import pitfalls as check

SOURCE = Path(__file__).parents[1] / "solutions" / "ps5_pitfalls.md"
HUNT = (
    "validation",
    "momentum",
    "frozen",
    "single",
    "ordered",
    "checkpoint",
    "decay",
    "lost",
)
EXERCISES = tuple(getattr(check, name) for name in check.__all__)


def code_cells():
    notebook = jupytext.read(SOURCE, fmt="md:myst")
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


# The checks themselves


def test_the_variances_are_those_of_many_batches():
    rng = np.random.default_rng(0)
    for m, draw, var, kurtosis in (
        (4, rng.normal, 1.0, 3.0),
        (3, rng.exponential, 1.0, 9.0),
    ):
        x = draw(size=(400_000, m))
        of_mean, of_var = check.estimates.formula(m, np.array([var]), kurtosis)
        np.testing.assert_allclose(x.mean(1).var(), of_mean[0], rtol=0.02)
        np.testing.assert_allclose(x.var(1).var(), of_var[0], rtol=0.05)


def test_ghost_is_the_librarys():
    for case in check.ghost.cases(np.random.default_rng(1)):
        x, gamma, beta, size = case.arguments
        if len(x) % size or len(x) == size:
            continue
        x, gamma, beta = (a.astype(np.float64) for a in (x, gamma, beta))
        y, _ = bnlib.ghost_batch_norm(x, gamma, beta, ghost_size=size, **case.options)
        (truth,) = check.ghost.formula(*case.arguments, **case.options)
        scale = 1e-8 * abs(truth).max() * max(1, abs(x).max())
        np.testing.assert_allclose(y, truth, atol=scale)


def test_workers_and_precise_are_those_of_everything_together():
    rng = np.random.default_rng(2)
    parts = [rng.normal(k, 1 + k, size=(n, 3)) for k, n in enumerate((5, 1, 9))]
    x = np.concatenate(parts)
    counts = np.array([len(p) for p in parts])
    means, variances = ([f(p, axis=0) for p in parts] for f in (np.mean, np.var))
    merged = check.workers.formula(counts, np.array(means), np.array(variances))
    np.testing.assert_allclose(merged[0], x.mean(0))
    np.testing.assert_allclose(merged[1], x.var(0))
    exact = check.precise.formula(parts)
    np.testing.assert_allclose(exact, (x.mean(0), x.var(0, ddof=1)))


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_every_mistake_differs_from_the_truth(exercise):
    if exercise.mistakes:
        mistakes.differ_from_the_truth(exercise)


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_unwritten_exercises_say_so(exercise):
    assert mistakes.says_that_it_is_unwritten(exercise)


# The bug hunt


@pytest.mark.parametrize("name", HUNT)
def test_a_script_as_it_was_found_runs_and_shows_its_symptom(name):
    exercise = getattr(check, name)
    script = answer(ps5.faulty(name), exercise.name)
    text = message(exercise, script)
    assert re.search(r"The fault is still there: \w", text)
    repaired = answer(ps5.repaired(name), exercise.name)
    assert message(exercise, repaired) == ""


def test_several_repairs_are_right_where_several_are_sensible():
    repairs = [v for v in ps5.RIGHT if v.exercise in ("single", "ordered")]
    for repair in repairs:
        exercise = getattr(check, repair.exercise)
        script = answer(repair.source, exercise.name)
        for seed in range(40, 60):
            assert message(exercise, script, seed=seed) == "", repair.style


# The set itself


@pytest.mark.parametrize("secret", ["", "spring", "autumn"])
def test_solutions_pass_their_own_checks(secret, capsys, monkeypatch):
    monkeypatch.setenv("BNLIB_CHECK_SECRET", secret)
    names = {}
    for cell in code_cells():
        exec(cell.source, names)
    assert capsys.readouterr().out.count("✓") == 16 * 4  # visible, and three hidden


def test_the_fold_is_equal_where_it_runs():
    names = {}
    for cell in code_cells():
        if "check." not in cell.source:
            exec(cell.source, names)
    net = check.folding.cases(np.random.default_rng(4))[0].arguments[0]
    folded = names["fold_network"](net)
    assert names["largest_difference"](net, folded) < 1e-12
    x = np.random.default_rng(5).normal(size=(3, 2, 4, 6))
    once = names["cnn"](folded, x, training=True)
    np.testing.assert_array_equal(once, names["cnn"](folded, x, training=False))


def test_points_and_imports():
    cells = code_cells()
    points = [c.metadata["nbgrader"].get("points", 0) for c in cells]
    assert sum(points) == 24
    assert not any("import torch" in c.source for c in cells)
    assert not any("bnlib." in c.source.replace("bnlib.check", "") for c in cells)
