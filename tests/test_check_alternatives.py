"""PS4 and its checks: the set itself, the truth of the formulas, the mistakes.

But: what the checks say of wrong and right versions is in `test_versions`.
"""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jupytext
import mistakes
import numpy as np
import pytest
from versions import answer, message, ps4

import bnlib
from bnlib.check import alternatives as check
from bnlib.check.alternatives._choices import NORMS, SITUATIONS
from grading.notebooks import build

SOURCE = Path(__file__).parents[1] / "solutions" / "ps4_alternatives.md"


def wide(arguments):
    return (a.astype(float) if isinstance(a, np.ndarray) else a for a in arguments)


# The checks themselves


def layer(*arguments, eps=1e-5):
    return (bnlib.layer_norm(*wide(arguments), eps=eps)[0],)


def layer_backward(*arguments, eps=1e-5):
    dy, x, gamma = wide(arguments)
    _, cache = bnlib.layer_norm(x, gamma, gamma, eps=eps)
    return bnlib.layer_norm_backward(dy, cache)


def group(*arguments, eps=1e-5):
    *arrays, groups = wide(arguments)
    return (bnlib.group_norm(*arrays, num_groups=groups, eps=eps)[0],)


def group_backward(*arguments, eps=1e-5):
    dy, x, gamma, groups = wide(arguments)
    _, cache = bnlib.group_norm(x, gamma, gamma, num_groups=groups, eps=eps)
    return bnlib.group_norm_backward(dy, cache)


def rms(*arguments, eps=1e-5):
    return (bnlib.rms_norm(*wide(arguments), eps=eps)[0],)


def rms_backward(*arguments, eps=1e-5):
    dy, x, gamma = wide(arguments)
    _, cache = bnlib.rms_norm(x, gamma, eps=eps)
    return bnlib.rms_norm_backward(dy, cache)


def weight(*arguments):
    return (bnlib.weight_norm(*wide(arguments))[0],)


def weight_backward(*arguments):
    dw, v, g = wide(arguments)
    _, cache = bnlib.weight_norm(v, g)
    return bnlib.weight_norm_backward(dw, cache)


def standardisation(*arguments, eps=1e-5):
    (v,) = wide(arguments)
    return (bnlib.weight_standardisation(v, None, eps=eps)[0],)


def standardisation_backward(*arguments, eps=1e-5):
    dw, v = wide(arguments)
    _, cache = bnlib.weight_standardisation(v, None, eps=eps)
    return bnlib.weight_standardisation_backward(dw, cache)[:1]


def renorm(*arguments, momentum=0.1, eps=1e-5):
    x, gamma, beta, *running, r_max, d_max = wide(arguments)
    y, cache = bnlib.batch_renorm(
        x, gamma, beta, *running, r_max=r_max, d_max=d_max, eps=eps
    )
    moved = bnlib.update_running(*running, cache, momentum=momentum)
    return y, cache.r, cache.d, *moved


def renorm_backward(*arguments, eps=1e-5):
    dy, x, gamma, r, d = wide(arguments)
    # bnlib takes r and d from running statistics; given ones are put in its cache.
    _, cache = bnlib.batch_renorm(
        x, gamma, gamma, 0 * r, 1 + 0 * r, r_max=1.0, d_max=0.0, eps=eps
    )
    return bnlib.batch_renorm_backward(dy, replace(cache, r=r, d=d))


LIBRARY = {
    check.weight: weight,
    check.weight_backward: weight_backward,
    check.standardisation: standardisation,
    check.standardisation_backward: standardisation_backward,
    check.renorm: renorm,
    check.renorm_backward: renorm_backward,
    check.layer: layer,
    check.layer_backward: layer_backward,
    check.group: group,
    check.group_backward: group_backward,
    check.rms: rms,
    check.rms_backward: rms_backward,
}


@pytest.mark.parametrize("exercise", LIBRARY, ids=lambda e: e.name)
@pytest.mark.parametrize("seed", [0, 201])
def test_truth_is_the_librarys(exercise, seed):
    for case in exercise.cases(np.random.default_rng(seed)):
        truth = exercise.formula(*case.arguments, **case.options)
        ours = LIBRARY[exercise](*case.arguments, **case.options)
        for a, b in zip(truth, ours, strict=True):
            # Two ways to centre x in float64, where mean/std is 3000.
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * abs(b).max())


@pytest.mark.parametrize("exercise", LIBRARY, ids=lambda e: e.name)
def test_every_mistake_differs_from_the_truth(exercise):
    mistakes.differ_from_the_truth(exercise, rtol=1e-8)


@pytest.mark.parametrize("exercise", [*LIBRARY, check.choose], ids=lambda e: e.name)
def test_unwritten_exercises_say_so(exercise):
    assert mistakes.says_that_it_is_unwritten(exercise)


@pytest.mark.parametrize("exercise", [*LIBRARY, check.choose], ids=lambda e: e.name)
def test_a_message_ends_in_the_section_that_explains(exercise):
    page = exercise.page or exercise.section.partition("-")[0]
    chapter = (SOURCE.parents[1] / "chapters" / f"{page}.md").read_text()
    assert f"(sec:{exercise.section})=" in chapter
    link = f"chapters/{page}.html#sec-{exercise.section}"
    assert message(exercise, lambda *args, **options: None).endswith(link)


def test_inputs_let_nothing_hide():
    for exercise in LIBRARY:
        for case in exercise.cases(np.random.default_rng(1)):
            arrays = [a for a in case.arguments if isinstance(a, np.ndarray)]
            assert len({a.dtype for a in arrays}) == 1
            for a in arrays:
                assert a.size < 2 or np.ptp(a) > 0
    for exercise in (check.layer_backward, check.group_backward, check.rms_backward):
        for case in exercise.cases(np.random.default_rng(1)):
            gamma = case.arguments[2]
            assert (gamma < 0).any() and (gamma > 0).any()


@pytest.mark.parametrize("seed", range(20))
def test_renorms_bounds_are_reached_on_both_sides_and_not_everywhere(seed):
    case = check.renorm.cases(np.random.default_rng(seed))[0]
    r_max, d_max = case.arguments[5:]
    _, r, d, *_ = check.renorm.formula(*case.arguments)
    for bounds, values in (((1 / r_max, r_max), r), ((-d_max, d_max), d)):
        inside = (values > bounds[0]) & (values < bounds[1])
        assert bounds[0] in values and bounds[1] in values and inside.any()


def test_one_norm_in_another():
    """The special cases that the problem set speaks of."""
    rng = np.random.default_rng(0)
    x, (gamma, beta) = rng.normal(1.0, 2.0, (3, 4, 5, 2)), rng.normal(size=(2, 4))
    wide = (np.broadcast_to(a[:, None, None], x.shape[1:]) for a in (gamma, beta))
    for groups, (y, _) in (
        (1, bnlib.layer_norm(x, *wide, axis=1)),
        (4, bnlib.instance_norm(x, gamma, beta)),
    ):
        np.testing.assert_allclose(check.group.formula(x, gamma, beta, groups)[0], y)


# The choice


def test_choices_that_are_defended_are_right():
    for key, situation in SITUATIONS.items():
        assert situation.right and not situation.right & situation.against.keys(), key
        assert situation.right | situation.against.keys() == set(NORMS)


def test_no_reason_tells_the_answer():
    for key, situation in SITUATIONS.items():
        for name, reason in situation.against.items():
            for right in situation.right - {"batch"}:
                named = f"{right} norm" in reason.lower()
                assert not named, (key, name)


def test_three_right_choices_are_worth_a_point():
    right = answer(ps4.CHOOSE, "choose")
    some = right() | {"ward": "batch", "phone": "group"}
    assert message(check.choose, lambda: some, at_least=3) == ""
    assert "phone: not group norm" in message(check.choose, lambda: some)
    fewer = some | {"painter": "layer"}
    assert "2 of 5 are right" in message(check.choose, lambda: fewer, at_least=3)


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
    # Twelve functions, visible and three hidden seeds; the choice twice.
    assert capsys.readouterr().out.count("✓") == 12 * 4 + 2


def test_points_and_imports():
    cells = build(SOURCE).cells
    assert sum(c.metadata.get("nbgrader", {}).get("points", 0) for c in cells) == 24
    headings = re.findall(
        r"^## .*\((\d+) points, about \d+ minutes\)$", SOURCE.read_text(), re.M
    )
    assert len(headings) == 8 and sum(map(int, headings)) == 24
    code = [c.source for c in cells if c.cell_type == "code"]
    assert not any("torch" in s.partition("What goes wrong")[0] for s in code)
    assert not any("bnlib." in s.replace("bnlib.check", "") for s in code)


def test_the_checks_need_numpy_only():
    code = "import sys, bnlib.check.alternatives; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
