"""The chapter "A recipe": its formulas, its diagnosis, its claims on other seeds."""

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from experiments.data import digits
from experiments.recipe import (
    CHECK,
    add_bias,
    convolutions,
    inspect,
    network,
    sweep,
    with_gamma,
    zero_gamma,
)
from experiments.train_is_not_eval import norm_layers, recompute, shuffled
from experiments.training import accuracy, train

pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (11, 12)  # the chapter uses 0 to 2
CHAPTERS = Path(__file__).parent.parent / "chapters"


@pytest.fixture(scope="module")
def healthy(data):
    models = {seed: network(seed) for seed in SEEDS}
    for seed, model in models.items():
        train(model, data, rate=0.1, steps=200, seed=seed)
    return models


# Equations


@pytest.mark.parametrize("m", [0.001, 0.01, 0.1])
def test_what_is_left_of_the_start(m):
    layer = nn.BatchNorm1d(1, momentum=m)
    steps = int(2 / m) if m < 0.1 else 30
    for _ in range(steps):
        layer(torch.tensor([[1.0], [3.0]]))  # mean 2; the start is 0
    left = 1 - layer.running_mean.item() / 2
    assert left == pytest.approx((1 - m) ** steps, rel=1e-3)
    assert (1 - m) ** steps == pytest.approx(np.exp(-m * steps), rel=0.2)
    assert (1 - m) ** round(5 / m) < 0.01


@pytest.mark.parametrize("m", [0.1, 0.5, 1.0])
def test_the_noise_of_the_running_mean(m):
    rng = np.random.default_rng(0)
    means, running = rng.standard_normal((200, 20_000)), 0
    for mean in means:
        running = (1 - m) * running + m * mean
    assert running.var() == pytest.approx(m / (2 - m), rel=0.05)


# The diagnosis


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mode", [True, False])
def test_nothing_is_found_in_a_healthy_network(seed, mode, healthy, data):
    model = healthy[seed].train(mode)
    for size in (8, 32, 64, 300):
        for start in range(0, 900, 300):
            report = inspect(model, data.x[start : start + size])
            assert report.faults == []
    assert str(report).endswith("nothing found")
    assert 0 < report.gap < 0.3


def plant_few(seed, data):
    return network(seed), data.x[:4]


def plant_stale(seed, data):
    model = network(seed, momentum=0.001)
    train(model, data, rate=0.1, steps=200, seed=seed)
    return model, data.x[:64]


def plant_dead(seed, data):
    model = network(seed)
    with torch.no_grad():
        model[4].weight[:7] = 0.001
    return settled(model, data), data.x[:64]


def plant_bias(seed, data):
    return settled(add_bias(network(seed)), data), data.x[:64]


def plant_eps(seed, data):
    return settled(network(seed), data, 1e-3), 1e-3 * data.x[:64]


def plant_momentum(seed, data):
    return settled(network(seed, momentum=0.99), data), data.x[:64]


def plant_mode(seed, data):
    model = settled(network(seed), data)
    model[1].eval()
    return model, data.x[:64]


def plant_untracked(seed, data):
    return network(seed, track_running_stats=False), data.x[:64]


def settled(model, data, scale=1.0):
    """Give the layers the statistics of the training examples."""
    recompute(model, shuffled(scale * data.x))
    return model.train()


PLANTS = {
    "few values": plant_few,
    "stale statistics": plant_stale,
    "dead channels": plant_dead,
    "useless bias": plant_bias,
    "eps rules": plant_eps,
    "momentum": plant_momentum,
    "mixed modes": plant_mode,
    "no running statistics": plant_untracked,
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CHECK)
def test_a_planted_fault_is_named_and_no_other(name, seed, data):
    model, batch = PLANTS[name](seed, data)
    before = copy.deepcopy(model.state_dict())
    modes = [m.training for m in model.modules()]
    report = inspect(model, batch)
    assert report.names == {name}
    assert f": {name}: " in str(report) and CHECK[name] in str(report)
    # The model is as it was.
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert modes == [m.training for m in model.modules()]


def test_the_layer_is_named(data):
    model, batch = plant_mode(11, data)
    assert [layer for layer, _, _ in inspect(model, batch).faults] == ["1"]
    model, batch = plant_dead(11, data)
    assert inspect(model, batch).faults == [
        ("4", "dead channels", "|gamma| < 0.01 in 7 of 100")
    ]


def test_values_are_counted_in_every_layer():
    images = digits(images=True).x[:2]
    report = inspect(convolutions(11), images)
    assert [layer.count for layer in report.layers] == [128, 32, 8, 2]
    assert {layer for layer, name, _ in report.faults if name == "few values"} == {"10"}
    grouped = inspect(convolutions(11, group_last=True), images)
    assert len(grouped.layers) == 3 and "few values" not in grouped.names


def test_one_value_is_reported_and_does_not_stop_it(data):
    report = inspect(network(11), data.x[:1])
    assert "few values" in report.names
    assert report.layers[0].count == 1 and "M = 1" in str(report)


def test_the_distances_are_those_of_the_formulas():
    torch.manual_seed(0)
    layer = nn.BatchNorm1d(3).double()
    layer.running_mean += torch.tensor([0.5, -1.0, 0.0])
    layer.running_var *= torch.tensor([1.0, 4.0, 0.25])
    x = torch.randn(200, 3, dtype=torch.float64)
    [row] = inspect(nn.Sequential(nn.Identity(), layer), x).layers
    mu, sd = x.mean(0), (x.var(0, correction=0) + 1e-5).sqrt()
    running_sd = (layer.running_var + 1e-5).sqrt()
    off = ((layer.running_mean - mu) / sd).abs().mean()
    ratio = (running_sd / sd).log().abs().mean().exp()
    assert row.off == pytest.approx(off.item())
    assert row.ratio == pytest.approx(ratio.item())


def test_dropout_is_off_and_the_gap_is_that_of_the_modes(healthy, data):
    model = healthy[11]
    x = data.x[:64]
    noisy = nn.Sequential(nn.Dropout(0.0), *copy.deepcopy(model), nn.Dropout(0.9))
    assert inspect(noisy, x).gap == pytest.approx(inspect(model, x).gap)
    with torch.no_grad():
        one = copy.deepcopy(model).train()(x)
        other = copy.deepcopy(model).eval()(x)
    gap = (one - other).norm() / (one - one.mean(0)).norm()
    assert inspect(model, x).gap == pytest.approx(gap.item(), rel=1e-5)


def test_a_bias_elsewhere_is_not_reported(data):
    model = nn.Sequential(
        nn.Linear(64, 20), nn.ReLU(), nn.BatchNorm1d(20), nn.Linear(20, 10)
    )
    settled(model, data)
    assert "useless bias" not in inspect(model, data.x[:64]).names


# Claims, on seeds that the chapter does not use


@pytest.mark.parametrize("seed", SEEDS)
def test_the_planted_faults_cost_what_the_chapter_says(seed, healthy, data):
    def error(model, on=data):
        return 100 - accuracy(model, on.x_test, on.y_test)

    stale, _ = plant_stale(seed, data)
    assert inspect(stale, data.x[:64]).names == {"stale statistics"}
    before = error(stale)
    after = error(recompute(stale, shuffled(data.x)))
    assert before > 1.5 * after and after < 5
    assert inspect(stale, data.x[:64]).faults == []

    dead = zero_gamma(network(seed))
    train(dead, data, rate=0.1, steps=50, seed=seed)
    assert error(dead) > 80
    assert all((layer.weight == 0).all() for layer in norm_layers(dead).values())

    biased = add_bias(network(seed))
    history = train(biased, data, rate=0.1, steps=200, seed=seed)
    assert abs(error(biased) - error(healthy[seed])) < 0.6
    assert biased[0].bias.abs().max() < 1e-6 and history.loss[-1] < 0.3

    images = digits(images=True)
    few = {}
    for grouped in (False, True):
        few[grouped] = convolutions(seed, group_last=grouped)
        train(few[grouped], images, rate=0.03, steps=400, batch=2, seed=seed)
    assert error(few[False], images) > 2 * error(few[True], images)


def test_the_defaults_have_room(data):
    def errors(norm, values, rates=(0.1, 0.3)):
        return np.median(
            sweep(data, norm, values, rates=rates, seeds=SEEDS, steps=150), 1
        )

    eps = errors(lambda v: lambda w: nn.BatchNorm1d(w, eps=v), (1e-8, 1e-5, 0.1, 10.0))
    assert eps[:3].max() < 5 and eps[3] > 15
    momentum = errors(
        lambda v: lambda w: nn.BatchNorm1d(w, momentum=v), (0.001, 0.01, 1.0)
    )
    assert momentum[1:].max() < 6 and momentum[0] > 1.5 * momentum[1]
    assert errors(with_gamma, (0.01, 10.0)).max() < 9
    batch = [errors(lambda _: nn.BatchNorm1d, [0], [r])[0] for r in (0.03, 3.0)]
    plain = [errors(lambda _: None, [0], [r])[0] for r in (0.03, 3.0)]
    assert max(batch) < 10 and min(plain) > 12


# The page


def test_every_branch_links_to_its_evidence():
    text = (CHAPTERS / "recipe.md").read_text()
    section = text.split("## Which normalisation")[1].split("## ")[0]
    branches = re.split(r"^\d\. \*\*", section, flags=re.MULTILINE)[1:]
    assert len(branches) == 4
    for branch in branches:
        assert "{ref}`" in branch
        assert re.search(r"\{glue:text\}`\w+\.md::", branch)


def test_the_checklist_names_what_is_inspected():
    text = (CHAPTERS / "recipe.md").read_text()
    for name in ("few values", "stale statistics", "useless bias"):
        assert name in text and name in CHECK
    assert len(json.loads((CHAPTERS / "quiz/recipe.json").read_text())) >= 5
