"""PS3 and its checks: the set itself, the truth of the formulas, the margins.

But: what the checks say of wrong and right versions is in `test_versions`.
"""

import subprocess
import sys
from pathlib import Path

import jupytext
import mistakes
import numpy as np
import pytest
from versions import answer, edited, message, ps3

import bnlib
from bnlib.check import effects as check
from bnlib.check.effects import _growth
from bnlib.check.effects._chain import layer_gradients
from bnlib.check.effects._draws import Normal, Uniform, fits, margin
from bnlib.check.effects._losses import invariant_ones, other_ones
from bnlib.check.effects._network import Network, draw_examples

SOURCE = Path(__file__).parents[1] / "solutions" / "ps3_effects.md"
SEEDS = 20  # 200 were tried when the margins were chosen; all passed

COMPARED = (
    check.moments,
    check.wasserstein,
    check.wasserstein_equal,
    check.noise_backward,
    check.walk,
    check.lengths,
    check.chain,
)
EXERCISES = (*COMPARED, check.noise, check.invariance, check.growth)


def cases(exercise, seed):
    return exercise.cases(np.random.default_rng(seed))


# The truth of the formulas


@pytest.mark.parametrize("seed", [0, 201])
def test_distance_is_that_of_split_grains(seed):
    for case in cases(check.wasserstein, seed):
        before, after = (a.astype(np.float64) for a in case.arguments)
        n, m = len(before), len(after)
        a, b = (
            np.sort(np.repeat(sample, times, axis=0), axis=0)
            for sample, times in ((before, m), (after, n))
        )
        [truth] = check.wasserstein.formula(before, after)
        np.testing.assert_allclose(truth, np.abs(a - b).mean(axis=0), rtol=1e-9)


def test_noise_backward_is_the_librarys():
    for case in cases(check.noise_backward, 1):
        dy, x, gamma, scale = (a.astype(np.float64) for a in case.arguments)
        _, cache = bnlib.batch_norm(x, gamma, gamma, **case.options)
        ours = bnlib.batch_norm_backward(scale * dy, cache)
        truth = check.noise_backward.formula(*case.arguments, **case.options)
        for a, b in zip(truth, ours, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_smoothness_of_a_quadratic_does_not_depend_on_the_step():
    curvature = np.diag([1.0, 4.0, 9.0])

    def loss_and_gradient(w):
        return w @ curvature @ w / 2, curvature @ w

    w = np.array([1.0, -2.0, 0.5])
    g = curvature @ w
    spread, change, smooth = check.walk.formula(loss_and_gradient, w, [0.1, 0.2])
    expected = np.linalg.norm(curvature @ g) / np.linalg.norm(g)
    assert smooth == pytest.approx(expected)
    assert change == pytest.approx(0.2 * np.linalg.norm(curvature @ g))
    losses = [loss_and_gradient(w - eta * g)[0] for eta in (0.1, 0.2)]
    assert spread == pytest.approx(abs(losses[0] - losses[1]))


@pytest.mark.parametrize(("lr", "decay"), [(0.5, 0.2), (2.0, 0.3), (0.1, 0.05)])
def test_lengths_settle_where_it_says(lr, decay):
    rng = np.random.default_rng(0)
    w, g = rng.normal(size=(2, 5))
    g -= w * (w @ g) / (w @ w)
    _, after, settled = check.lengths.formula(w[:, None], g[:, None], lr, decay)
    assert np.sum(((1 - lr * decay) * w - lr * g) ** 2) == pytest.approx(after[0])
    u, unit = w @ w, (w @ w) * (g @ g)
    for _ in range(3000):
        u = (1 - lr * decay) ** 2 * u + lr**2 * unit / u
    assert u == pytest.approx(settled[0])


def test_chain_is_autograds():
    torch = pytest.importorskip("torch")
    for case in cases(check.chain, 2):
        x, weights, dy = case.arguments
        a, zs = torch.relu(torch.tensor(x)), []
        for w in weights:
            z = a @ torch.tensor(w)
            zs.append(z.requires_grad_())
            var, mean = torch.var_mean(z, 0, correction=0)
            a = torch.relu((z - mean) / torch.sqrt(var + 1e-5))
        gradients = torch.autograd.grad(a, zs, torch.tensor(dy))
        [truth] = check.chain.formula(x, weights, dy)
        expected = [g.square().sum().item() for g in gradients]
        np.testing.assert_allclose(truth, expected, rtol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_losses_are_what_they_are_called(seed):
    rng = np.random.default_rng(seed)
    for ones, invariant in ((invariant_ones(rng), True), (other_ones(rng), False)):
        for planted in ones:
            losses = [planted(a * planted.w)[0] for a in (0.1, 0.5, 1.0, 2.0, 10.0)]
            assert (np.ptp(losses) < 1e-9 * abs(losses[2])) == invariant, planted.what
            # The gradient is that of the loss.
            loss, g = planted(1.5 * planted.w)
            step = 1e-6 * rng.normal(size=g.shape)
            ahead, _ = planted(1.5 * planted.w + step)
            back, _ = planted(1.5 * planted.w - step)
            rounding = 1e-12 * abs(loss) * (1e3 if planted.large else 1)
            assert (ahead - back) / 2 == pytest.approx(
                np.sum(g * step), rel=1e-4, abs=rounding
            )


# Margins


def network_squares(shape, seed, **knobs):
    rng = np.random.default_rng(seed)
    size = (shape.width, shape.width)
    weights = [rng.normal(size=size) / shape.width**0.5 for _ in range(shape.depth)]
    x, dy = rng.normal(size=(2, shape.batch, shape.width))
    return layer_gradients(x, weights, dy, **knobs)[0]


def measured_growth(shape, count, **knobs):
    squares = [network_squares(shape, seed, **knobs) for seed in range(count)]
    return np.array([np.log(s[0] / s[-1]) for s in squares]) / (shape.depth - 1)


@pytest.mark.parametrize("shape", _growth.SHAPES, ids=lambda s: f"depth {s.depth}")
def test_growth_is_what_networks_have(shape):
    found = measured_growth(shape, 40)
    sd = found.std(ddof=1)
    assert abs(found.mean() - np.log(shape.growth)) < 4 * sd / np.sqrt(40)
    assert shape.margin > 5 * sd / np.sqrt(shape.count)


def test_growth_of_other_networks():
    for knobs, wanted, _ in _growth.OTHERS:
        for shape, value in zip(_growth.SHAPES, wanted, strict=True):
            found = measured_growth(shape, 6, **knobs)
            assert abs(found.mean() - np.log(value)) < 1.5 * shape.margin


def test_draws_fit_their_own_distribution_and_no_other():
    laws = {
        "uniform": (Uniform(-1, 1), lambda rng: rng.uniform(-1, 1, 2000)),
        "normal": (Normal(0, 0.1), lambda rng: 0.1 * rng.normal(size=2000)),
        "shorter": (Uniform(-0.8, 0.8), lambda rng: rng.uniform(-0.8, 0.8, 2000)),
    }
    for seed in range(50):
        rng = np.random.default_rng(seed)
        for name, (_, draw) in laws.items():
            sample = draw(rng)
            for other, (law, _) in laws.items():
                assert fits(sample, law) == (name == other)
    assert margin(2000) == pytest.approx(np.sqrt(np.log(2e9) / 4000))


def solution(name):
    versions = [v for v in ps3.RIGHT if v.exercise == name]
    return versions[0].source


@pytest.mark.parametrize("name", ["noise", "growth", "invariance", "chain"])
def test_a_right_answer_passes_with_every_seed(name):
    exercise = getattr(check, name)
    function = answer(solution(name), exercise.name)
    failed = [
        s for s in range(1000, 1000 + SEEDS) if message(exercise, function, seed=s)
    ]
    assert failed == []


# What the checks say


@pytest.mark.parametrize("exercise", COMPARED, ids=lambda e: e.name)
def test_every_mistake_differs_from_the_truth(exercise):
    mistakes.differ_from_the_truth(exercise, cases(exercise, 3))


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_unwritten_exercises_say_so(exercise):
    assert mistakes.says_that_it_is_unwritten(exercise)


def test_an_unwritten_function_that_is_called_is_named():
    source = ps3.GROWTH.replace(
        "    a, kept = np.maximum(x, 0), []", "    raise NotImplementedError"
    )
    text = message(check.growth, answer(source, check.growth.name))
    assert "gradient_growth calls layer_gradients, which is still to be written" in text


def test_equal_sizes_are_worth_a_point_alone():
    source = edited(
        ps3.WASSERSTEIN, "    levels =", "    raise ValueError\n    levels ="
    )
    function = answer(source, "wasserstein")
    assert message(check.wasserstein_equal, function) == ""
    assert "some have to be split" in " ".join(
        message(check.wasserstein, function).split()
    )


# The experiments


def written(name, source):
    return answer(source, name)


def test_noise_experiment_shows_what_the_text_says(capsys):
    rates = {"plain": 0.3, "moving noise": 1.0, "frozen noise": 1.0}
    check.noise_experiment(
        written("noisy_batch_norm", ps3.NOISE),
        written("noisy_batch_norm_backward", ps3.NOISE_BACKWARD),
        written("wasserstein", ps3.WASSERSTEIN),
        seeds=(3, 4),
        rates=rates,
    )
    rows = capsys.readouterr().out.splitlines()[1:4]
    shift, loss = (
        [float(row[14 + 5 :].replace("(", " ").split()[k]) for row in rows]
        for k in (0, 4)
    )
    plain, moving, frozen = range(3)
    assert shift[moving] > shift[plain] > shift[frozen]
    assert loss[frozen] < loss[moving] < loss[plain]


def test_landscape_experiment_is_the_same_walk_in_other_units(capsys):
    check.landscape_experiment(written("along_gradient", ps3.WALK), steps=20)
    rows = capsys.readouterr().out.splitlines()
    trained, longer = (np.array(rows[k].split()[-3:], dtype=float) for k in (4, 6))
    np.testing.assert_allclose(trained / longer, [1, 4, 16], rtol=0.02)


def test_experiments_wait_for_what_is_unwritten(capsys):
    def wasserstein(*arguments):
        raise NotImplementedError

    check.noise_experiment(
        written("noisy_batch_norm", ps3.NOISE),
        written("noisy_batch_norm_backward", ps3.NOISE_BACKWARD),
        wasserstein,
    )
    check.landscape_experiment(wasserstein)
    said = capsys.readouterr().out.splitlines()
    assert said == ["Write wasserstein first."] * 2


@pytest.mark.parametrize("norm", [False, True])
def test_networks_gradient_is_that_of_its_loss(norm):
    net = Network(0, norm=norm, depth=2, width=5)
    x, y = draw_examples(np.random.default_rng(1), 20)
    function, w = net.as_function(x, y)
    _, g = function(w)
    step = 1e-6 * np.random.default_rng(2).normal(size=w.shape)
    slope = (function(w + step)[0] - function(w - step)[0]) / 2
    assert slope == pytest.approx(g @ step, rel=1e-4)


# The set itself


def code_cells():
    notebook = jupytext.read(SOURCE, fmt="md:myst")
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("secret", ["", "spring"])
def test_solutions_pass_their_own_checks(secret, capsys, monkeypatch):
    monkeypatch.setenv("BNLIB_CHECK_SECRET", secret)
    names = {}
    for cell in code_cells():
        if "_experiment(" not in cell.source:
            exec(cell.source, names)
    assert capsys.readouterr().out.count("✓") == 10 * 4  # visible, and three hidden


def test_points_and_imports():
    cells = jupytext.read(SOURCE, fmt="md:myst").cells
    points = [c.metadata.get("nbgrader", {}).get("points", 0) for c in cells]
    by_hand = [p for p, c in zip(points, cells, strict=True) if c.cell_type != "code"]
    assert sum(points) == 20 and sum(by_hand) == 4
    assert not any("torch" in c.source for c in cells)
    assert not any(
        "bnlib." in c.source.replace("bnlib.check", "") for c in code_cells()
    )


def test_import_needs_numpy_only():
    code = (
        "import sys; from bnlib.check import effects; "
        "print({'torch', 'scipy', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
