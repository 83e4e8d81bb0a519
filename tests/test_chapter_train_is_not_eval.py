"""The chapter "Train is not eval": its equations, and its claims on other seeds."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import bnlib
from experiments import train_is_not_eval as modes
from experiments.train_is_not_eval import (
    batch_predictions,
    compare_modes,
    network,
    recompute,
    share_right,
    shuffled,
    trained,
)
from experiments.training import accuracy

pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (11, 12)  # the chapter uses 0 to 2
EPS = 1e-5


@pytest.fixture(scope="module")
def healthy(data):
    return [trained(seed, data, rate=0.1) for seed in SEEDS]


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


# Equations


def moments():
    x = 3 + 2 * normal(30, 4)
    mu, v = x.mean(0), x.var(0, correction=0)
    r, s = mu + normal(4, seed=1), v * normal(4, seed=2).exp()
    return x, mu, v, r, s


def test_the_modes_differ_by_a_shift_and_a_gain():
    x, mu, v, r, s = moments()
    train, _ = bnlib.batch_norm(x.numpy(), None, None)
    evaluated = bnlib.batch_norm_inference(x.numpy(), None, None, r.numpy(), s.numpy())
    d = (r - mu) / (v + EPS).sqrt()
    rho = ((v + EPS) / (s + EPS)).sqrt()
    np.testing.assert_allclose(evaluated, rho * (torch.tensor(train) - d), atol=1e-10)


def test_compare_modes_measures_them_and_leaves_the_model_alone():
    x, mu, v, r, s = moments()
    layer = nn.BatchNorm1d(4, dtype=torch.float64)
    layer.running_mean, layer.running_var = r, s
    model = nn.Sequential(layer, nn.Dropout(0.5)).train()
    before = copy.deepcopy(model.state_dict())
    ((d, gain),) = compare_modes(model, x).values()
    assert d == pytest.approx(((r - mu) / (v + EPS).sqrt()).abs().mean().item())
    log = ((v + EPS) / (s + EPS)).log() / 2
    assert gain == pytest.approx(log.abs().mean().item())
    assert all(torch.equal(before[k], w) for k, w in model.state_dict().items())
    assert model.training and layer.training


def test_compare_modes_takes_images_and_reports_each_layer_by_itself():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)
    ).double()
    x = normal(8, 2, 5, 5)
    for layer in modes.norm_layers(model).values():
        layer.momentum = 1.0
    model.train()(x)  # the statistics of this very batch
    rows = list(compare_modes(model, x).values())
    bessel = np.log(200 / 199) / 2  # of 8·5·5 values; up to eps
    np.testing.assert_allclose(rows, [(0, bessel)] * 2, atol=1e-4)
    model[0].running_mean += 1  # only the first layer is wrong
    first, second = compare_modes(model, x).values()
    assert first[0] > 0.5 and second[0] < 1e-6


def test_gap_by_chance():
    rng = np.random.default_rng(0)
    m, training, test, repeats = 0.1, 64, 100, 4000
    r = np.zeros(repeats)
    for _ in range(120):
        means = rng.normal(size=repeats) / np.sqrt(training)
        r = (1 - m) * r + m * means
    x = rng.normal(size=(test, repeats))
    d = (r - x.mean(0)) / x.std(0)
    expected = 1 / test + m / (2 - m) / training
    assert np.mean(d**2) == pytest.approx(expected, rel=0.08)
    assert np.mean(abs(d)) == pytest.approx(np.sqrt(2 / np.pi * expected), rel=0.05)


def test_the_error_of_a_running_mean_splits_into_start_and_lag():
    m, steps, start, now = 0.03, 25, 0.7, 1.9
    means = np.random.default_rng(1).normal(1.0, 1.0, size=steps)
    r = start
    for mean in means:
        r = (1 - m) * r + m * mean
    lag = m * sum((1 - m) ** k * (means[-1 - k] - now) for k in range(steps))
    assert r - now == pytest.approx((1 - m) ** steps * (start - now) + lag)


def test_removing_the_start_leaves_the_weighted_mean_of_the_batches():
    m, steps = 0.05, 12
    layer = nn.BatchNorm1d(3, momentum=m, dtype=torch.float64)
    parts = [2 + 3 * normal(10, 3, seed=k) for k in range(steps)]
    for part in parts:
        layer(part)
    (corrected,) = modes.without_start(nn.Sequential(layer), steps).children()
    weight = np.array([(1 - m) ** (steps - 1 - k) for k in range(steps)])
    means = np.average([p.mean(0).numpy() for p in parts], axis=0, weights=weight)
    variances = np.average([p.var(0).numpy() for p in parts], axis=0, weights=weight)
    np.testing.assert_allclose(corrected.running_mean, means)
    np.testing.assert_allclose(corrected.running_var, variances)


def test_recompute_averages_batches_and_keeps_the_rest():
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.BatchNorm1d(3))
    model = model.double()
    parts = [1 + normal(10, 3, seed=k) for k in range(5)]
    model.train()(7 * parts[0])  # what was there before must not count
    recompute(model, parts)
    means = torch.stack([p.mean(0) for p in parts]).mean(0)
    variances = torch.stack([p.var(0) for p in parts]).mean(0)
    torch.testing.assert_close(model[0].running_mean, means)
    torch.testing.assert_close(model[0].running_var, variances)
    assert model[2].running_mean.abs().max() < 1e-12  # no dropout in between
    assert model[0].momentum == 0.1 and not any(m.training for m in model.modules())


@pytest.mark.parametrize("a, same", [(0.3, True), (3.0, True), (-1.0, False)])
def test_batch_statistics_cancel_contrast_and_patterns(a, same):
    model = network(0).double()
    for layer in modes.norm_layers(model).values():
        layer.eps = 1e-12
    x, pattern = normal(20, 64), 2 * normal(64, seed=1)
    one, other = (batch_predictions(model, z) for z in (x, a * x + pattern))
    assert torch.allclose(one, other, atol=1e-6) == same


def test_other_changes_are_not_cancelled():
    model = network(0).double()
    x = normal(20, 64)
    one = batch_predictions(model, x)
    gains = normal(64, seed=3).exp()
    for z in (gains * x, x + 0.3 * normal(20, 64, seed=4)):
        assert (batch_predictions(model, z) - one).abs().max() > 0.01


def test_evaluation_mode_meets_the_shift_in_full():
    a, e = 0.4, 1.3
    z = 2 + 3 * normal(50, 1)
    mu, v = z.mean(0), z.var(0, correction=0)
    layer = nn.BatchNorm1d(1, dtype=torch.float64, eps=1e-12)
    layer.running_mean, layer.running_var = mu, v
    d, gain = next(iter(compare_modes(nn.Sequential(layer), a * z + e).values()))
    assert gain == pytest.approx(abs(np.log(a)))
    assert d == pytest.approx(abs((mu - a * mu - e) / (a * v.sqrt())).item())


def test_blend():
    x = 1 + 2 * normal(6, 3)
    layer = nn.BatchNorm1d(3, dtype=torch.float64)
    layer.running_mean, layer.running_var = normal(3, seed=5), normal(3, seed=6).exp()
    r, s, n = layer.running_mean.clone(), layer.running_var.clone(), len(x)
    model = nn.Sequential(layer).eval()
    for prior in (0, 4, 1e12):
        mean = (prior * r + n * x.mean(0)) / (prior + n)
        var = (prior * s + n * x.var(0, correction=0)) / (prior + n)
        output = modes.blended_predictions(model, x, n, prior)
        torch.testing.assert_close(output, (x - mean) / (var + EPS).sqrt())
    torch.testing.assert_close(layer.running_mean, r)
    full = modes.blended_predictions(model, x, n, 0)
    torch.testing.assert_close(full, batch_predictions(model, x))


def test_neighbours_act_by_the_printed_derivative():
    x = normal(7)
    v = x.var(correction=0)

    def normalise(z):
        return (z - z.mean()) / (z.var(correction=0) + EPS).sqrt()

    jacobian = torch.autograd.functional.jacobian(normalise, x)
    x_hat = normalise(x)
    formula = -(1 + x_hat[0] * x_hat) / (7 * (v + EPS).sqrt())
    torch.testing.assert_close(jacobian[0, 1:], formula[1:])


def test_a_batch_of_two_is_a_comparison():
    x = np.array([[0.3], [0.9]])
    x_hat, _ = bnlib.batch_norm(x, None, None)
    half = (x[0] - x[1]) / 2
    np.testing.assert_allclose(x_hat[0], half / np.sqrt(half**2 + EPS))
    np.testing.assert_allclose(x_hat[:, 0], [-1, 1], atol=1e-4)
    u = np.linspace(0, 1, 10001)
    assert np.mean(np.maximum(u, 1 - u)) == pytest.approx(0.75, abs=1e-3)


def test_the_variance_of_all_is_larger_than_that_within_classes():
    groups = [normal(20, seed=k) * (1 + k) + 3 * k for k in range(3)]
    means = torch.stack([g.mean() for g in groups])
    within = torch.stack([g.var(correction=0) for g in groups]).mean()
    between = ((means - means.mean()) ** 2).mean()
    torch.testing.assert_close(torch.cat(groups).var(correction=0), within + between)


# Claims


def test_a_forgotten_eval_makes_the_result_depend_on_the_batch(data, healthy):
    x, y = data.x_test, data.y_test
    for model in healthy:
        small, large = (share_right(batch_predictions(model, x, k), y) for k in (2, 64))
        assert small < 75 < 95 < large
        assert modes.neighbour_effect(model.train(), x[:8]) > 1e-3
        assert modes.neighbour_effect(model.eval(), x[:8]) == 0
        victim = copy.deepcopy(model).train()
        with torch.no_grad():
            for part in (x + 2).split(64)[:6]:
                victim(part)
        assert accuracy(victim, x, y) < accuracy(model, x, y) - 3


def test_a_batch_of_one():
    with pytest.raises(ValueError):
        nn.BatchNorm1d(4)(torch.randn(1, 4))
    x = torch.randn(1, 4, 6, 6)
    torch.testing.assert_close(
        nn.BatchNorm2d(4)(x), nn.InstanceNorm2d(4)(x), atol=1e-5, rtol=1e-4
    )


def test_stale_statistics_are_repaired_without_training(data):
    x, y = data.x_test, data.y_test
    for seed in SEEDS:
        model = trained(seed, data, rate=0.1, steps=20, momentum=0.01)
        stale = accuracy(model, x, y)
        start = accuracy(modes.without_start(model, 20), x, y)
        fresh = accuracy(recompute(copy.deepcopy(model), shuffled(data.x)), x, y)
        assert stale < min(start, fresh) - 1
        for d, gain in compare_modes(model, x).values():  # in every layer
            assert d > 0.15 and gain > 0.3


def test_frozen_weights_with_moving_statistics_spoil_the_old_task(data):
    old = modes.only(data, range(0, 5))
    new = modes.changed(modes.only(data, range(5, 10)), lambda x: x + 2)
    for seed in SEEDS:
        body = trained(seed, old, rate=0.1)
        before = accuracy(body, old.x_test, old.y_test)
        after = {}
        for frozen in ("weights", "all"):
            tuned = modes.fine_tune(body, new, frozen=frozen, seed=seed)
            assert accuracy(tuned, new.x_test, new.y_test) > 85
            for p, q in zip(*(m[:-1].parameters() for m in (body, tuned)), strict=True):
                assert torch.equal(p, q)
            tuned[-1] = body[-1]
            after[frozen] = accuracy(tuned, old.x_test, old.y_test)
        assert after["all"] == before
        assert after["weights"] < before - 5


def test_frozen_stays_in_evaluation_mode():
    body = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    model = nn.Sequential(modes.Frozen(body), nn.Linear(3, 2)).train()
    before = body[1].running_mean.clone()
    model(torch.randn(8, 3))
    assert model[1].training and not body[1].training
    assert torch.equal(before, body[1].running_mean)
    assert not any(p.requires_grad for p in body.parameters())


def test_shifted_digits(data, healthy):
    x, y = data.x_test, data.y_test
    for seed, model in zip(SEEDS, healthy, strict=True):
        plain = trained(seed, data, rate=0.3, norm=False)
        changes = modes.shifts(seed)
        dim = changes["contrast × 0.3"](x)
        assert accuracy(model, dim, y) < 75 < accuracy(plain, dim, y)
        for name in ("contrast × 0.3", "brightness + 2", "a pattern added"):
            moved = changes[name](x)
            assert share_right(batch_predictions(model, moved), y) > 97
            assert accuracy(model, moved, y) < 90
        for name in ("noise", "inverted", "turned by 90°"):
            assert share_right(batch_predictions(model, changes[name](x)), y) < 85
        bright = x + 2
        by_class = y.argsort()
        mixed = share_right(batch_predictions(model, bright, 32), y)
        order = share_right(batch_predictions(model, bright[by_class], 32), y[by_class])
        assert order < 40 < accuracy(model, bright, y) + 25 < mixed + 25
        first, second = compare_modes(model, bright).values()
        assert first[0] > 1 and second[0] < 0.05


def test_standardised_images_do_not_know_contrast():
    x = normal(5, 64)
    torch.testing.assert_close(
        modes.standardise_each(3 * x + 2), modes.standardise_each(x)
    )


def test_the_comparator_answers_in_training_mode_only():
    tests = [pair for pair, _ in zip(modes.pairs(778), range(500), strict=False)]
    x, larger = (torch.cat(part) for part in zip(*tests, strict=True))
    for seed in SEEDS:
        for norm in (True, False):
            net = modes.comparator(seed, norm=norm)
            modes.train_on(net, modes.pairs(seed), rate=0.05, steps=800)
            assert 65 < share_right(net.eval()(x), larger) < 80
            if norm:
                assert share_right(batch_predictions(net, x, 2), larger) > 99


def test_sorted_batches_teach_the_network_to_read_the_batch(data):
    for seed in SEEDS:
        net = network(seed)
        modes.train_on(net, modes.sorted_batches(data, 64, seed), rate=0.3, steps=500)
        stream = zip(modes.sorted_batches(data, 64, 5), range(20), strict=False)
        pure = [share_right(batch_predictions(net, a), b) for (a, b), _ in stream]
        assert np.mean(pure) > 70
        assert accuracy(net, data.x, data.y) < 30
        recompute(net, shuffled(data.x))
        assert accuracy(net, data.x, data.y) < 30  # beyond repair


def test_two_domains_need_one_average_or_two(data):
    other = modes.changed(data, lambda x: 0.5 * x + 1)
    for seed in SEEDS:
        shared = {}
        for mixed in (True, False):
            net = network(seed)
            stream = modes.domain_batches(data, other, mixed=mixed, seed=seed)
            modes.train_on(net, stream, rate=0.1, steps=300)
            shared[mixed] = accuracy(net, other.x_test, data.y_test)
        own = accuracy(recompute(net, shuffled(other.x)), other.x_test, data.y_test)
        assert shared[False] < min(own, shared[True])


def test_a_discriminator_of_separate_batches_cannot_see_brightness(data):
    for seed in SEEDS:
        told = {
            mixed: modes.discriminator(
                data, lambda x: 0.5 * x + 1, mixed=mixed, seed=seed
            )
            for mixed in (True, False)
        }
        assert told[True] > 95 and told[False] < 65
