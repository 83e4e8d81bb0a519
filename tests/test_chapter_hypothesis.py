"""The chapter "The hypothesis": its equations, and its claims on other seeds."""

import copy
import itertools

import numpy as np
import pytest
import torch
from numpy.polynomial import Polynomial
from scipy.stats import wasserstein_distance
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from experiments.hypothesis import (
    batch_of,
    block_moves,
    centred_step,
    class_share,
    displacement,
    hidden_layers,
    layer_shifts,
    mean_drift,
    own_mean_step,
    path_lengths,
    shift_watch,
    sigmoid_network,
    spread_drift,
    step,
    step_response,
    typical_unit,
    until_loss,
    wasserstein,
)
from experiments.training import train

pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (11, 12)  # the chapter uses 0 to 2


def small(norm, seed=3):
    """A network in double precision, with gamma and beta that are not 1 and 0."""
    model = sigmoid_network(seed, norm=norm, widths=(6, 5, 7, 4, 3)).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.BatchNorm1d):
                layer.weight += 0.4 * torch.randn(
                    len(layer.weight), generator=generator
                )
                layer.bias += 0.4 * torch.randn(len(layer.bias), generator=generator)
    u = torch.randn(20, 6, generator=generator, dtype=torch.float64)
    return model, u, torch.randint(0, 3, (20,), generator=generator)


# Covariate shift


def gaussian(mean, sd):
    """Nodes and weights for expectations under a normal density."""
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    return mean + sd * node, weight / weight.sum()


def density(x, mean, sd):
    return np.exp(-(((x - mean) / sd) ** 2) / 2) / (sd * np.sqrt(2 * np.pi))


Q0, Q1 = (0.5, 0.5), (0.0, 0.3)


def population_fit(x, weight, degree):
    return Polynomial.fit(x, x**3 - x, degree, w=np.sqrt(weight)).convert().coef


def test_the_right_model_is_best_everywhere_and_a_wrong_one_is_not():
    cubic = [population_fit(*gaussian(*q), 3) for q in (Q0, Q1)]
    line = [population_fit(*gaussian(*q), 1) for q in (Q0, Q1)]
    for coefficients in cubic:
        np.testing.assert_allclose(coefficients, [0, -1, 0, 1], atol=1e-8)
    assert abs(line[0] - line[1]).max() > 0.3


def test_weights_turn_expectations_under_q0_into_those_under_q1():
    x, weight = gaussian(*Q0)
    ratio = density(x, *Q1) / density(x, *Q0)
    there, w = gaussian(*Q1)
    for f in (np.ones_like, np.square, np.cos):
        np.testing.assert_allclose(weight @ (ratio * f(x)), w @ f(there), rtol=1e-6)
    weighted = population_fit(x, weight * ratio, 1)
    np.testing.assert_allclose(weighted, population_fit(there, w, 1), atol=1e-9)


def test_effective_sample_size_is_about_that_of_the_paper():
    sizes = []
    for seed in range(300, 400):
        x = np.random.default_rng(seed).normal(*Q0, size=100)
        share = density(x, *Q1) / density(x, *Q0)
        share /= share.sum()
        sizes.append(np.exp(-np.sum(share * np.log(share))))
    low, high = np.quantile(sizes, [0.05, 0.95])
    assert low < 49.3 < high


# Inside a network


@pytest.mark.parametrize("norm", [False, True])
def test_the_upper_part_learns_as_if_it_stood_alone(norm):
    model, u, labels = small(norm)
    cross_entropy(model(u), labels).backward()
    together = [p.grad.clone() for p in model[-1].parameters()]
    model.zero_grad()
    alone = copy.deepcopy(model[-1])
    cross_entropy(alone(model[:-1](u).detach()), labels).backward()
    for a, b in zip(together, alone.parameters(), strict=True):
        torch.testing.assert_close(a, b.grad)


def test_what_a_value_means_depends_on_the_layers_below():
    u, q = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.9, 0.1, 0.5, 0.3])

    def q_given_x(threshold):  # x = 1 if u > threshold
        return q[u > threshold].mean()

    assert q_given_x(0.5) == pytest.approx(0.3) and q_given_x(1.5) == pytest.approx(0.4)


def parameters_below(model, place):
    return [n for n, _ in model.named_parameters() if int(n.split(".")[0]) < place]


@pytest.mark.parametrize("norm", [False, True])
def test_a_small_step_below_helps_the_layer_above(norm):
    model, u, labels = small(norm)
    now = {n: p.detach() for n, p in model.named_parameters()}
    place = len(model) - 1
    below = parameters_below(model, place)
    loss = cross_entropy(model(u), labels)
    grads = torch.autograd.grad(
        loss, [dict(model.named_parameters())[n] for n in below]
    )
    squared = sum(g.square().sum() for g in grads).item()
    rate = 1e-5
    shift = layer_shifts(model, u, labels, rate)[-1]
    assert shift.gain == pytest.approx(rate * squared, rel=1e-3)
    moved = {n: now[n] - rate * g for n, g in zip(below, grads, strict=True)}
    later = cross_entropy(functional_call(model, {**now, **moved}, (u,)), labels)
    assert shift.loss_later == pytest.approx(later.item(), rel=1e-12)


# The definitions


def test_moments():
    before = torch.tensor([[0.0], [2.0]])  # mean 1, sd 1
    after = torch.tensor([[1.0], [7.0]])  # mean 4, sd 3
    assert mean_drift(before, after).item() == pytest.approx(3)
    assert spread_drift(before, after).item() == pytest.approx(np.log(3))
    assert spread_drift(after, before).item() == pytest.approx(np.log(3))


def test_wasserstein_is_the_least_over_permutations():
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 6, 3, generator=generator)
    b = 2 * b + 1
    plans = [(b[list(p)] - a).abs().mean(0) for p in itertools.permutations(range(6))]
    torch.testing.assert_close(wasserstein(a, b), torch.stack(plans).min(0)[0])
    for j in range(3):
        expected = wasserstein_distance(a[:, j].numpy(), b[:, j].numpy())
        assert wasserstein(a, b)[j].item() == pytest.approx(expected, rel=1e-5)


def test_uncrossing_never_costs():
    rng = np.random.default_rng(2)
    (a, b), (c, d) = np.sort(rng.normal(size=(2, 2, 1000)), axis=1)
    crossed, straight = abs(a - d) + abs(b - c), abs(a - c) + abs(b - d)
    assert (straight <= crossed + 1e-12).all() and (straight < crossed - 0.1).any()


def test_mean_at_most_wasserstein_at_most_displacement():
    generator = torch.Generator().manual_seed(3)
    a, b = torch.randn(2, 50, 200, generator=generator)
    b = a * 0.5 + b
    mean = (b.mean(0) - a.mean(0)).abs()
    assert (mean <= wasserstein(a, b) + 1e-6).all()
    assert (wasserstein(a, b) <= displacement(a, b) + 1e-6).all()
    torch.testing.assert_close(wasserstein(a, a + 0.3), displacement(a, a + 0.3))
    shuffled = a[torch.randperm(50, generator=generator)]
    assert wasserstein(a, shuffled).max() < 1e-6 < displacement(a, shuffled).min()


@pytest.mark.parametrize("norm", [False, True])
def test_gradient_pairs_by_hand(norm):
    model, u, labels = small(norm)
    rate = 0.7
    updated = copy.deepcopy(model)
    optimiser = torch.optim.SGD(updated.parameters(), lr=rate)
    cross_entropy(updated(u), labels).backward()
    optimiser.step()
    places = [k for k, layer in enumerate(model) if isinstance(layer, nn.Linear)]
    shifts = layer_shifts(model, u, labels, rate)
    assert len(shifts) == len(places) - 1
    for place, shift in zip(places[1:], shifts, strict=True):
        mixed = nn.Sequential(
            *copy.deepcopy(updated)[:place], *copy.deepcopy(model)[place:]
        )
        mixed.zero_grad()
        cross_entropy(mixed(u), labels).backward()
        torch.testing.assert_close(shift.g_later, mixed[place].weight.grad)
        fresh = copy.deepcopy(model)
        fresh.zero_grad()
        cross_entropy(fresh(u), labels).backward()
        torch.testing.assert_close(shift.g, fresh[place].weight.grad)
        a, b = shift.g.flatten().numpy(), shift.g_later.flatten().numpy()
        assert shift.distance == pytest.approx(np.linalg.norm(b - a))
        assert shift.relative == pytest.approx(
            np.linalg.norm(b - a) / np.linalg.norm(a)
        )
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        assert shift.cosine == pytest.approx(cosine)


@pytest.mark.parametrize("norm", [False, True])
def test_the_change_of_a_gradient_is_curvature_times_step(norm):
    model, u, labels = small(norm)
    now = {n: p.detach() for n, p in model.named_parameters()}
    rate = 1e-6
    places = [k for k, layer in enumerate(model) if isinstance(layer, nn.Linear)]
    moved = step(model, u, labels, 1.0)
    shifts = layer_shifts(model, u, labels, rate)
    for place, shift in zip(places[1:], shifts, strict=True):
        below = parameters_below(model, place)
        name = f"{place}.weight"

        def gradient(*values, below=below, name=name):
            def loss(weight):
                mixed = {**now, **dict(zip(below, values, strict=True)), name: weight}
                buffers = {n: b.clone() for n, b in model.named_buffers()}
                logits = functional_call(model, {**mixed, **buffers}, (u,))
                return cross_entropy(logits, labels)

            weight = now[name].clone().requires_grad_()
            return torch.autograd.grad(loss(weight), weight, create_graph=True)[0]

        # A central difference along -G of everything below: the blocks of the Hessian.
        direction = [moved[n] - now[n] for n in below]
        width = 1e-4
        ahead, behind = (
            gradient(
                *[now[n] + s * width * d for n, d in zip(below, direction, strict=True)]
            )
            for s in (1, -1)
        )
        curvature = ((ahead - behind) / (2 * width)).detach()
        torch.testing.assert_close(
            (shift.g_later - shift.g) / rate, curvature, rtol=1e-3, atol=1e-5
        )


def test_scaled_weights_change_the_length_and_nothing_else():
    model, u, labels = small(True)
    before = layer_shifts(model, u, labels, 0.5)
    with torch.no_grad():
        model[3].weight *= 10
    after = layer_shifts(model, u, labels, 0.5)
    assert after[0].distance == pytest.approx(before[0].distance / 10, rel=1e-2)
    assert after[0].relative == pytest.approx(before[0].relative, rel=1e-2)
    assert after[0].cosine == pytest.approx(before[0].cosine, rel=1e-2)


@pytest.mark.parametrize("norm", [False, True])
def test_nothing_shifts_where_nothing_moves(norm):
    model, u, labels = small(norm)
    for shift in layer_shifts(model, u, labels, rate=0.0):
        assert shift.distance == 0 and shift.cosine == pytest.approx(1)


@pytest.mark.parametrize("norm", [False, True])
def test_a_unit_s_own_step_moves_its_mean_in_two_parts(norm):
    model, u, labels = small(norm)
    rate = 0.3
    parts = own_mean_step(model, u, labels, rate)
    moved = step(model, u, labels, rate)
    place = [k for k, layer in enumerate(model) if isinstance(layer, nn.Linear)][-2]
    alone = copy.deepcopy(model)
    own = {n: moved[n] for n in moved if int(n.split(".")[0]) == place}
    alone.load_state_dict(own, strict=False)
    before, after = (hidden_layers(m, u)[-1].x for m in (model, alone))
    torch.testing.assert_close(
        parts["common"] + parts["rest"], (after - before).mean(0)
    )
    torch.testing.assert_close(parts["sd"], before.std(0, correction=0))
    a = model[:place](u)
    mean = a.mean(0)
    torch.testing.assert_close(parts["offset"], mean @ mean + (0 if norm else 1))
    if norm:
        assert parts["common"].abs().max() < 1e-12 < 1e-6 < parts["rest"].abs().max()
    else:
        assert parts["common"].abs().min() > 1e-6


def test_share_of_variance_between_classes():
    labels = torch.tensor([0, 0, 1, 1, 1])
    all_between = labels[:, None].double() * 3 - 1
    none_between = torch.tensor([[1.0], [-1.0], [1.0], [-1.0], [0.0]])
    assert class_share(all_between, labels).item() == pytest.approx(1)
    assert class_share(none_between, labels).item() == pytest.approx(0)


def test_path_lengths_and_the_typical_unit():
    looks = [torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])]
    looks.append(looks[0] + torch.tensor([1.0, 5.0, 2.0]))
    looks.append(looks[0])
    torch.testing.assert_close(path_lengths(looks), torch.tensor([2.0, 10.0, 4.0]))
    assert typical_unit(looks) == 2


@pytest.mark.parametrize("norm", [False, True])
def test_what_is_read_in_the_hidden_layers_is_what_passes(norm):
    model, u, _ = small(norm)
    state = copy.deepcopy(model.state_dict())
    layers = hidden_layers(model, u)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name
    torch.testing.assert_close(model[-1](layers[-1].y.sigmoid()), model(u))
    if norm:
        for layer, bn in zip(layers, model[1::3], strict=False):
            mean, variance = layer.x.mean(0), layer.x.var(0, correction=0)
            expected = (layer.x - mean) / (variance + bn.eps).sqrt()
            torch.testing.assert_close(layer.x_hat, expected)
            torch.testing.assert_close(layer.y, bn.weight * expected + bn.bias)
    else:
        assert all(layer.x is layer.y for layer in layers)


@pytest.mark.parametrize("norm", [False, True])
def test_measuring_leaves_no_trace(norm, data):
    model = sigmoid_network(0, norm=norm)
    state = copy.deepcopy(model.state_dict())
    u, labels = batch_of(data, 60, 0)
    layer_shifts(model, u, labels, 1.0)
    shift_watch(data, 1.0, batch=60, seed=0)(model)
    own_mean_step(model, u, labels, 1.0)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_both_networks_start_from_the_same_weights():
    plain, bn = (sigmoid_network(5, norm=norm) for norm in (False, True))
    for a, b in zip(
        plain[::2], [m for m in bn if isinstance(m, nn.Linear)], strict=True
    ):
        assert torch.equal(a.weight, b.weight)


def test_a_loss_that_is_not_reached_is_an_error(data):
    with pytest.raises(ValueError, match="target"):
        until_loss(sigmoid_network(0, norm=False), data, 0.3, rate=0.1, steps=5)


# The claims, on seeds that the chapter does not use


@pytest.fixture(scope="module")
def runs(data):
    found = {}
    for norm, rate, seed in itertools.product((False, True), (1.0, 4.0), SEEDS):
        model = sigmoid_network(seed, norm=norm)
        watch = shift_watch(data, rate, batch=60, seed=seed)
        options = {"rate": rate, "steps": 800, "batch": 60, "seed": seed}
        history = train(model, data, watch=watch, every=40, **options)
        found[norm, rate, seed] = history
    return found


def typical(runs, key, norm, rate, seed, layer=None):
    values = np.array(runs[norm, rate, seed].seen[key])
    return np.median(values if layer is None else values[..., layer])


@pytest.mark.parametrize("seed", SEEDS)
def test_moments_stop_and_the_gradient_does_not_notice(runs, seed):
    def ratio(key, layer=None, rate=1.0):
        return np.divide(
            *(typical(runs, key, norm, rate, seed, layer) for norm in (True, False))
        )

    assert ratio("mean") < 0.03
    assert ratio("spread") < 0.2
    assert ratio("mean") < ratio("wasserstein") < 0.5
    assert ratio("wasserstein") < ratio("displacement") < 1
    assert ratio("x mean") < 0.3
    assert 0.4 < ratio("x spread") < 2.5
    assert 0.6 < ratio("relative", -1) < 1.7
    assert 0.8 < ratio("relative", -1, rate=4.0) < 4


@pytest.mark.parametrize("seed", SEEDS)
def test_plain_distributions_move_as_a_block(runs, seed):
    def of(key, norm):
        return typical(runs, key, norm, 1.0, seed)

    assert of("wasserstein", False) == pytest.approx(of("mean", False), rel=0.02)
    assert of("displacement", False) == pytest.approx(of("mean", False), rel=0.05)
    assert of("wasserstein", True) > 10 * of("mean", True)
    assert of("displacement", True) > 1.5 * of("wasserstein", True)
    assert of("x mean", True) > 4 * of("mean", True)
    assert of("x spread", True) > 8 * of("spread", True)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_shift_lowers_the_loss_that_asked_for_it(runs, seed):
    for norm, rate in itertools.product((False, True), (1.0, 4.0)):
        assert np.mean(np.array(runs[norm, rate, seed].seen["gain"]) > 0) > 0.95


@pytest.mark.parametrize("seed", SEEDS)
def test_figure_1_of_2015(runs, seed):
    def length(norm, rate):
        return path_lengths(runs[norm, rate, seed].seen["y"]).median()

    for rate in (1.0, 4.0):
        assert length(False, rate) > 2 * length(True, rate)
        assert np.mean(runs[True, rate, seed].loss) < np.mean(
            runs[False, rate, seed].loss
        )
    seen = runs[True, 4.0, seed].seen
    jumps = [wasserstein(a, b).median() for a, b in itertools.pairwise(seen["y"])]
    assert jumps[0] > 5 * max(jumps[1:])  # beta's, at the start


@pytest.mark.parametrize("seed", SEEDS)
def test_the_first_step(runs, seed):
    first = {norm: runs[norm, 1.0, seed].seen for norm in (False, True)}
    assert first[False]["wasserstein"][0] > 20 * first[True]["wasserstein"][0]
    ratio = np.divide(*(np.mean(first[n]["relative"][0], 0)[-1] for n in first))
    assert 0.4 < ratio < 2
    for norm in (False, True):
        assert first[norm]["share"][-1] > 1.5 * first[norm]["share"][0]


def test_learning_rates(data):
    def loss(norm, rate):
        def one(seed):
            model = sigmoid_network(seed, norm=norm)
            options = {"rate": rate, "steps": 400, "batch": 60, "seed": seed}
            return np.mean(train(model, data, **options).loss)

        return np.mean([one(seed) for seed in SEEDS])

    losses = {n: [loss(n, r) for r in (0.5, 1.0, 4.0, 8.0)] for n in (False, True)}
    for norm in (False, True):  # the best is not at the edge of the grid
        assert losses[norm][1] < min(losses[norm][0], losses[norm][2], losses[norm][3])
    assert losses[False][3] > 2  # chance is ln 10
    assert max(losses[True]) < min(losses[False])


def test_at_equal_loss(data):
    responses, shares, steps = {}, [], {}
    for norm, seed in itertools.product((False, True), SEEDS):
        options = {
            "rate": 1.0,
            "steps": 150 if norm else 600,
            "batch": 60,
            "seed": seed,
        }
        model, when = until_loss(sigmoid_network(seed, norm=norm), data, 0.3, **options)
        responses[norm, seed] = step_response(
            model, data, (0.1, 3.0, 10.0), batch=60, seed=seed
        )
        steps[norm, seed] = when
        if not norm:
            m = own_mean_step(model, *batch_of(data, 60, seed), 1.0)
            common, rest = m["common"].abs().sum(), m["rest"].abs().sum()
            shares.append(common / (common + rest))
    assert min(shares) > 0.9
    for seed in SEEDS:
        assert steps[False, seed] > 4 * steps[True, seed]
        (plain, plain_falls), (bn, bn_falls) = (
            responses[n, seed] for n in (False, True)
        )
        assert 0.5 < plain[0] / bn[0] < 3
        assert plain[2] > 1.5 * bn[2]
        assert bn_falls[1] > 0.9 > 0.6 > plain_falls[1]
        assert plain_falls[2] < 0.5 and bn_falls[2] < 0.5


def test_a_centred_step_is_the_step_of_centred_inputs():
    model, u, labels = small(False)
    rate = 0.3
    moved = centred_step(model, u, labels, rate)
    values, inputs = u, []
    for layer in model:
        if isinstance(layer, nn.Linear):
            inputs.append(values)
            values = layer(values)
            values.retain_grad()
            inputs[-1] = inputs[-1].detach(), values
        else:
            values = layer(values)
    cross_entropy(values, labels).backward()
    for place, (a, x) in zip((0, 2, 4), inputs, strict=False):
        expected = model[place].weight - rate * x.grad.T @ (a - a.mean(0))
        torch.testing.assert_close(moved[f"{place}.weight"], expected)
        torch.testing.assert_close(moved[f"{place}.bias"], model[place].bias)
    whole = step(model, u, labels, rate)
    for name in ("6.weight", "6.bias"):
        torch.testing.assert_close(moved[name], whole[name])


@pytest.mark.parametrize("seed", SEEDS)
def test_without_its_push_along_the_mean_the_block_stands(data, seed):
    options = {"rate": 1.0, "steps": 600, "batch": 60, "seed": seed}
    model, _ = until_loss(sigmoid_network(seed, norm=False), data, 0.3, **options)
    moves = block_moves(model, *batch_of(data, 60, seed), 1.0)
    assert moves["whole"][0] > 5 * moves["centred"][0]
    assert moves["whole"][1] > 2 * moves["centred"][1]
    assert moves["own"][0] < moves["whole"][0]
