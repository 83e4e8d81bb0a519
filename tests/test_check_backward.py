"""PS2 and its checks: the set itself, the truth of the formulas, the mistakes.

But: what the checks say of wrong and right versions is in `test_versions`.
"""

from pathlib import Path

import jupytext
import mistakes
import numpy as np
import pytest
from versions import answer, edited, message, ps2

import bnlib
from bnlib.check import backward as check

SOURCE = Path(__file__).parents[1] / "solutions" / "ps2_backward.md"


# The checks themselves


@pytest.mark.parametrize("seed", [0, 201])
def test_truth_is_the_librarys(seed):
    def trained(dy, x, gamma, axis=1, eps=1e-5):
        dy, x, gamma = (a.astype(np.float64) for a in (dy, x, gamma))
        _, cache = bnlib.batch_norm(x, gamma, gamma, axis=axis, eps=eps)
        return bnlib.batch_norm_backward(dy, cache)

    def trained_columns(dy, x, gamma, eps=1e-5):
        return trained(dy, x, gamma, 1, eps)

    def evaluated(*arguments, eps=1e-5):
        arguments = (a.astype(np.float64) for a in arguments)
        return bnlib.batch_norm_inference_backward(*arguments, eps=eps)

    for exercise, library in (
        (check.simplified, trained_columns),
        (check.convolutional, trained),
        (check.evaluation, evaluated),
    ):
        for case in exercise.cases(np.random.default_rng(seed)):
            truth = exercise.formula(*case.arguments, **case.options)
            ours = library(*case.arguments, **case.options)
            for a, b in zip(truth, ours, strict=True):
                # Two ways to centre x in float64, where mean/std is 1000.
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * abs(b).max())
    for case in check.staged.cases(np.random.default_rng(seed)):
        dbeta, dgamma, *_, dx = check.staged.formula(*case.arguments, **case.options)
        ours = trained_columns(*case.arguments, **case.options)
        for a, b in zip((dx, dgamma, dbeta), ours, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * abs(b).max())


EXERCISES = (
    check.staged,
    check.simplified,
    check.convolutional,
    check.evaluation,
    check.numerical,
    check.error,
)


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_every_mistake_differs_from_the_truth(exercise):
    mistakes.differ_from_the_truth(exercise)


def test_inputs_let_nothing_hide():
    for exercise in (check.simplified, check.convolutional, check.evaluation):
        for case in exercise.cases(np.random.default_rng(1)):
            dy, x, gamma = case.arguments[:3]
            assert np.ptp(dy) > 0.1
            assert (gamma < 0).any() and (gamma > 0).any()
            assert dy.dtype == x.dtype == gamma.dtype


@pytest.mark.parametrize("exercise", [*EXERCISES, check.detector], ids=lambda e: e.name)
def test_unwritten_exercises_say_so(exercise):
    assert mistakes.says_that_it_is_unwritten(exercise)


def test_staged_counts_what_is_right_so_far():
    def said(old, new, **options):
        source = edited(ps2.STAGED, old, new)
        function = answer(source, check.staged.name)
        return " ".join(message(check.staged, function, **options).split())

    assert said(ps2.DC, "dxhat / s", until="dv") == ""
    text = said(ps2.DC, "dxhat / s")
    assert "Right so far: dbeta, dgamma, dxhat, ds, dv, dq." in text
    text = said('g["dxhat"]', "return g\n    h", until="dv")
    assert "Next: dxhat" in text


# The set itself


def code_cells():
    notebook = jupytext.read(SOURCE, fmt="md:myst")
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("secret", ["", "spring", "autumn"])
def test_solutions_pass_their_own_checks(secret, capsys, monkeypatch):
    monkeypatch.setenv("BNLIB_CHECK_SECRET", secret)
    names = {}
    for cell in code_cells():
        exec(cell.source, names)
    assert capsys.readouterr().out.count("✓") == 8 * 4  # visible, and three hidden
    assert names["backward_is_right"](names["batch_norm_backward"])
    assert not names["backward_is_right"](lambda dy, *_: (dy, dy.sum(0), dy.sum(0)))


def test_points_and_imports():
    cells = code_cells()
    points = [c.metadata["nbgrader"].get("points", 0) for c in cells]
    assert sum(points) == 20
    assert not any("torch" in c.source for c in cells)
    assert not any("bnlib." in c.source.replace("bnlib.check", "") for c in cells)
