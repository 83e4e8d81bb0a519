"""PS7 and its checks: the reference network, the goals, the norms that are brought.

But: what the checks say of wrong and right versions is in `test_versions`.
"""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import jupytext
import mistakes
import numpy as np
import pytest
from versions import answer, edited, message, ps7

from bnlib.check import CheckFailed
from bnlib.check import capstone as check
from bnlib.check.capstone import _network as right
from bnlib.check.capstone import _reach
from bnlib.check.capstone._bring import _definitions

SOURCE = Path(__file__).parents[1] / "solutions" / "ps7_capstone.md"
FORMULAS = ("norm", "image", "conv", "block", "loss", "step")
NOTEBOOKS = {
    "ps1/ps1_forward.ipynb": ("batch_norm_nd", "update_running"),
    "ps2/ps2_backward.ipynb": ("batch_norm_backward_nd",),
    "ps4/ps4_alternatives.ipynb": ("group_norm", "group_norm_backward"),
}


def code_cells():
    notebook = jupytext.read(SOURCE, fmt="md:myst")
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def names_of_the_solution(**replaced):
    """Return what the solution defines, cells of some grade ids replaced."""
    names = {}
    for cell in code_cells():
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if not name.startswith("test_") and "if digits:" not in cell.source:
            exec(replaced.get(name, cell.source), names)
    return names


@pytest.fixture(scope="module")
def solution():
    return names_of_the_solution()


# The reference network


def numeric(f, value, rng, count=4, h=1e-6):
    """Return some entries of the gradient of f with respect to an array in place."""
    found = {}
    for _ in range(count):
        at = tuple(rng.integers(0, n) for n in value.shape)
        before = value[at]
        value[at] = before + h
        up = f()
        value[at] = before - h
        down = f()
        value[at] = before
        found[at] = (up - down) / (2 * h)
    return found


@pytest.mark.parametrize("groups", [0, 4])
def test_the_reference_has_the_gradient_of_its_loss(solution, groups):
    rng = np.random.default_rng(0)
    made = solution["Network"](3, groups)
    for layer in made.layers():
        if hasattr(layer, "gamma"):  # a zero would hide half of the network
            layer.gamma = rng.normal(size=len(layer.gamma))
            layer.beta = rng.normal(size=len(layer.beta))
    network = right.read(made)
    x, y = rng.normal(size=(5, 1, 8, 8)), rng.integers(0, 10, 5)

    def loss():
        return right.cross_entropy(network.forward(x), y)[0]

    logits = network.forward(x)
    np.testing.assert_allclose(logits, made.forward(x), atol=1e-12)
    grads = network.backward(right.cross_entropy(logits, y)[1])
    checked = 0
    for layer, gs in zip(network.layers(), grads, strict=True):
        for name, gradient in gs.items():
            for at, want in numeric(loss, layer[name], rng).items():
                np.testing.assert_allclose(gradient[at], want, rtol=1e-4, atol=1e-7)
            checked += 1
    assert checked == 20  # arrays


def test_image_is_the_transpose_of_columns():
    rng = np.random.default_rng(1)
    for kernel, stride in ((3, 1), (3, 2), (1, 2), (5, 3)):
        x = rng.normal(size=(2, 3, 7, 6))
        cols = right.columns(x, kernel, stride)
        u = rng.normal(size=cols.shape)
        back = right.image(u, x.shape, kernel, stride)
        np.testing.assert_allclose((cols * u).sum(), (x * back).sum())


@pytest.mark.parametrize("name", FORMULAS)
def test_every_mistake_differs_from_the_truth(name):
    mistakes.differ_from_the_truth(getattr(check, name))


@pytest.mark.parametrize("name", [*FORMULAS, "training"])
def test_unwritten_exercises_say_so(name):
    assert mistakes.says_that_it_is_unwritten(getattr(check, name))


# The digits, and the goals


def test_the_digits_are_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets")
    pixels, classes = datasets.load_digits(return_X_y=True)
    x, y, x_held, y_held = check.digits()
    images = np.concatenate([x_held, x]).reshape(-1, 64)
    order = np.random.default_rng(0).permutation(len(pixels))
    np.testing.assert_array_equal(np.concatenate([y_held, y]), classes[order])
    scale = (pixels[order] - images * pixels[order[397:]].std())[0, 0]
    restored = images * pixels[order[397:]].std() + scale
    np.testing.assert_allclose(restored, pixels[order], atol=1e-9)


def test_another_seed_has_other_digits_and_classes():
    x, y, x_held, y_held = check.digits(5)
    assert x.shape == (1400, 1, 8, 8) and x_held.shape == (397, 1, 8, 8)
    assert abs(x.mean()) < 1e-12 and abs(x.std() - 1) < 1e-12
    images, first = np.concatenate([x, x_held]), np.concatenate(check.digits()[::2])
    ranks = {
        np.unique(i, return_inverse=True)[1].tobytes(): k for k, i in enumerate(first)
    }
    found = [
        ranks.get(np.unique(i.T, return_inverse=True)[1].tobytes()) for i in images
    ]
    assert None not in found  # each is one of the plain ones, turned
    plain = np.concatenate(check.digits()[1::2])[found]
    pairs = set(zip(plain.tolist(), np.concatenate([y, y_held]).tolist(), strict=True))
    assert len(pairs) == 10 and any(a != b for a, b in pairs)


def reached(exercise, train, plan):
    out = io.StringIO()
    try:
        with redirect_stdout(out):
            exercise(train, plan, seed=1)
    except CheckFailed as failure:
        return " ".join(str(failure).split())
    return out.getvalue()


def test_a_plan_is_looked_at_before_anything_is_trained():
    def train(*_):
        raise AssertionError("trained")

    reach = check.reach_batch_64
    assert "from 1 to 80" in reached(reach, train, lambda g, b: (101, 0.3))
    assert "from 1 to 80" in reached(reach, train, lambda g, b: (0, 0.3))
    assert "whole number" in reached(reach, train, lambda g, b: (1.5, 0.3))
    assert "more than 0" in reached(reach, train, lambda g, b: (5, -0.3))
    assert "two numbers" in reached(reach, train, lambda g, b: 5)


class Known:
    """Stands for a network: it knows the classes of some of the digits."""

    def __init__(self, share=1.0, *, company=0.0, batch_share=None):
        _, _, x_held, y_held = check.digits(1)
        self.known = {i.tobytes(): k for i, k in zip(x_held, y_held, strict=True)}
        self.shares, self.company = (share, batch_share or share), company
        self.training = True

    def set_training(self, training):
        self.training = training

    def forward(self, x):
        share = self.shares[self.training]
        logits = np.zeros((len(x), 10))
        for n, i in enumerate(x):
            k = self.known[i.tobytes()]
            logits[n, k if n < share * len(x) else (k + 1) % 10] = 5
        return logits + self.company * len(x)


def judged(network, losses=(1.0, 0.1), exercise=check.reach_batch_64):
    return reached(exercise, lambda *_: (network, list(losses)), lambda g, b: (9, 0.3))


def test_the_verdict_on_a_network():
    assert "✓ train with batch norm, batches of 64: 100.0%" in judged(Known())
    assert "✓" in judged(Known(0.95)) and "goal is 93%" in judged(Known(0.92))
    assert "three times as large" in judged(Known(0.5))
    assert "hardly less than ln 10" in judged(Known(0.1), [2.3] * 20)
    assert "not finite after 1 steps" in judged(Known(), [2.3, np.nan, np.nan])
    assert "other logits alone" in judged(Known(company=1.0))
    assert "running statistics" in judged(Known(0.2, batch_share=1.0))
    group = judged(Known(0.2, batch_share=1.0), exercise=check.reach_group_64)
    assert "goal is 88%" in group and "running statistics" not in group


def test_a_run_has_ten_seconds(monkeypatch):
    clock = iter([0.0, 11.0, 0.0, 9.0])
    monkeypatch.setattr(_reach, "process_time", lambda: next(clock))
    assert "takes 11 CPU seconds; at most 10" in judged(Known())
    assert "✓" in judged(Known())


def test_the_solution_reaches_a_goal_and_a_frozen_norm_does_not(solution):
    """The others take as long again; `make grades` trains all four."""
    said = reached(check.reach_batch_4, solution["train"], solution["plan"])
    assert said.startswith("✓ train with batch norm, batches of 4")
    moved = "self.running_mean, self.running_var = update"
    norm = edited(ps7.cell("norm"), moved, "update")
    wrong = names_of_the_solution(norm=norm)
    short = reached(check.reach_batch_64, wrong["train"], lambda g, b: (30, 0.3))
    assert "running statistics are not those of the data" in short


# Norms that are brought


def write_notebooks(folder, **cells):
    """Write a learner's notebooks, whose cells are those of the solution of PS7."""
    for name, functions in NOTEBOOKS.items():
        sources = [
            cells.get(function) or _definitions(ps7.NORMS)[function]
            for function in functions
        ]
        sources = ["%matplotlib inline\nx = 1", "import numpy as np", *sources]
        path = folder / name
        path.parent.mkdir()
        found = [{"cell_type": "code", "source": s.splitlines(True)} for s in sources]
        path.write_text(json.dumps({"cells": found}))


def brought(folder):
    out = io.StringIO()
    with redirect_stdout(out):
        check.bring(folder)
    return out.getvalue()


def test_what_is_brought_runs(tmp_path):
    helped = (
        "def unused():\n    pass\n\n\ndef shape_of(x):\n    return x.shape\n\n\n"
        + edited(
            _definitions(ps7.NORMS)["group_norm"],
            "N, C, H, W = x.shape",
            "N, C, H, W = shape_of(x)",
        )
    )
    write_notebooks(tmp_path, group_norm=helped)
    text = brought(tmp_path)
    assert "unused" not in text and text.count("def ") == 7  # mean is within another
    x = np.random.default_rng(0).normal(size=(2, 4, 3, 3))
    y = answer(text, "group_norm")(x, np.ones(4), np.zeros(4), 2)
    z = y.reshape(2, 2, -1)
    np.testing.assert_allclose(z.mean(2), 0, atol=1e-12)


def test_what_cannot_be_brought(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"ps1_forward.ipynb is not there; .*by hand"
    ):
        check.bring(tmp_path)
    blank = (
        "def update_running(a):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    )
    write_notebooks(tmp_path, update_running=blank)
    with pytest.raises(ValueError, match="update_running is still to be written"):
        check.bring(tmp_path)
    path = tmp_path / "ps1" / "ps1_forward.ipynb"
    path.write_text(json.dumps({"cells": []}))
    with pytest.raises(ValueError, match="defines no batch_norm_nd"):
        check.bring(tmp_path)


# The set itself


@pytest.mark.parametrize("secret", ["", "spring", "autumn"])
def test_solutions_pass_their_own_checks(secret, capsys, monkeypatch):
    monkeypatch.setenv("BNLIB_CHECK_SECRET", secret)
    names = {}
    for cell in code_cells():
        if "check.reach" not in cell.source and "if digits:" not in cell.source:
            exec(cell.source, names)
    assert capsys.readouterr().out.count("✓") == 15 + 6 * 4 + 3 * 3


@pytest.mark.parametrize("name", ["accuracy", "folding"])
@pytest.mark.parametrize("method", ["conv", "block"])
def test_what_is_missing_in_the_network_is_named(solution, name, method):
    first = {"conv": "        outputs, _, kernel", "block": "        self.skip = []"}
    line = first[method]
    blank = edited(ps7.cell(method), line, f"        raise NotImplementedError\n{line}")
    network = names_of_the_solution(**{method: blank})["Network"]
    exercise = getattr(check, name)
    said = message(ps7.WithNetwork(exercise), (solution[exercise.name], network))
    where = {"conv": "`forward`", "block": "`__init__`"}[method]
    assert f"needs a network, in which {where} is still to be" in said


def test_points_and_imports():
    cells = code_cells()
    points = [c.metadata.get("nbgrader", {}).get("points", 0) for c in cells]
    assert sum(points) + 6 == 34  # a person gives six, for the report
    assert not any("torch" in c.source or "sklearn" in c.source for c in cells)
