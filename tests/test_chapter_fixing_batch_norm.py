"""The chapter "Fixing batch norm": its equations, and its claims on other seeds."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

import bnlib
from experiments import fixing_batch_norm as fixing
from experiments.data import digits
from experiments.fixing_batch_norm import (
    BatchRenorm2d,
    FilterResponseNorm2d,
    GhostBatchNorm2d,
)
from experiments.models import cnn
from experiments.side_by_side import train_many

pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (11, 12)  # the chapter uses 0 to 3
CHANNELS = (8, 16, 16)


@pytest.fixture(scope="module")
def data():
    return digits(images=True)


@pytest.fixture(scope="module")
def tasks():
    return [digits(images=True, seed=seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def features(data):
    torch.manual_seed(11)
    body = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1))
    with torch.no_grad():
        return body(data.x).double().numpy()


# Equations: what is broken


def test_the_gap_is_noise_and_modes():
    rng = np.random.default_rng(0)
    x, others = 5.0, rng.gamma(2.0, size=(4000, 3))
    y = np.array([bnlib.batch_norm(np.array([[x], *b[:, None]]), None, None)[0][0, 0]
                  for b in others])  # fmt: skip
    evaluation = (x - 2) / np.sqrt(2)
    gap = np.mean((y - evaluation) ** 2)
    assert gap == pytest.approx(np.var(y) + (np.mean(y) - evaluation) ** 2)
    assert (np.mean(y) - evaluation) ** 2 > 0.02 * gap


@pytest.mark.parametrize("x_hat", [-1.0, 0.0, 2.5])
def test_noise_of_a_normalised_value(x_hat):
    count, law = 400, stats.gamma(2.0)
    mean, var, skew, excess = law.stats("mvsk")
    x = float(mean + x_hat * np.sqrt(var))
    others = law.rvs((4000, count - 1), random_state=0)
    batch = np.concatenate([np.full((4000, 1), x), others], axis=1).T
    y, _ = bnlib.batch_norm(batch, None, None)
    expected = (1 + skew * x_hat + (excess + 2) / 4 * x_hat**2) / count
    assert y[0].var() == pytest.approx(expected, rel=0.12)


@pytest.mark.parametrize("size", [4, 16])
def test_an_example_pulls_the_mean_of_its_batches(features, size):
    rng = np.random.default_rng(1)
    own, population = features[3].mean((1, 2)), features.mean((0, 2, 3))
    means = [
        features[[3, *rng.choice(len(features), size - 1)]].mean((0, 2, 3))
        for _ in range(4000)
    ]
    expected = (1 - 1 / size) * population + own / size
    error = np.std(means, axis=0) / np.sqrt(4000)
    assert (abs(np.mean(means, axis=0) - expected) < 4.5 * error).all()
    assert (abs(population - expected) > 10 * error).any()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_weighted_statistics_are_a_mixture_s(share):
    rng = np.random.default_rng(2)
    own, rest = rng.normal(1, 2, 6), rng.normal(-1, 1, 50)
    mean, var = fixing.merge_share(
        own.mean(), own.var(), rest.mean(), rest.var(), share
    )
    weights = np.r_[np.full(6, share / 6), np.full(50, (1 - share) / 50)]
    values = np.r_[own, rest]
    assert mean == pytest.approx(weights @ values)
    assert var == pytest.approx(weights @ (values - mean) ** 2)


def test_weighing_nothing_is_evaluation(data):
    torch.manual_seed(0)
    model = cnn(CHANNELS)
    model(data.x[:64])
    expected = model.eval()(data.x_test)
    actual = fixing.weigh_examples(model, 0.0)(data.x_test)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
    other = fixing.weigh_examples(model, 0.3)(data.x_test)
    assert (other - expected).abs().max() > 0.01


def test_which_repair_removes_what(features):
    left = {
        name: fixing.defects(repair, features, 4, seed=11)
        for name, repair in fixing.repairs(features, 4).items()
    }
    plain = left["batch norm"]
    assert min(plain.values()) > 0.03
    for name in ("frozen", "group norm", "filter response"):
        assert max(left[name].values()) < 1e-12
    renorm = left["renorm, no bounds"]
    assert max(renorm["noise"], renorm["modes"]) < 1e-12
    assert renorm["coupling"] == pytest.approx(plain["coupling"], rel=0.1)
    weighted = left["example weighted"]
    assert weighted["modes"] < plain["modes"] / 4
    assert weighted["noise"] == pytest.approx(plain["noise"], rel=0.1)
    bounded = left["renorm, 1.1 and 0.1"]
    assert 0 < bounded["noise"] < plain["noise"]
    # A quarter of four examples is one: instance normalisation.
    assert left["ghost, a quarter"]["noise"] < 1e-12
    assert left["ghost, a quarter"]["modes"] > 2 * plain["modes"]
    many = fixing.repairs(features, 64)["batch norm"]
    many = fixing.defects(many, features, 64, seed=11)
    assert 2.5 < plain["noise"] / many["noise"] < 6  # the root of 16
    assert plain["modes"] / many["modes"] > 6  # 16


# Equations: the repairs


def test_merging_all_at_once():
    rng = np.random.default_rng(3)
    parts = [rng.normal(k, 1 + k, n) for k, n in enumerate((2, 5, 1))]
    n, mu, v = (np.array([f(p) for p in parts]) for f in (len, np.mean, np.var))
    mean = (n / 8) @ mu
    assert mean == pytest.approx(np.concatenate(parts).mean())
    var = (n / 8) @ (v + (mu - mean) ** 2)
    assert var == pytest.approx(np.concatenate(parts).var())


@pytest.mark.parametrize("counts", [(4, 4), (1, 2, 5), (3, 1, 1, 3)])
def test_synchronised_is_batch_norm(counts):
    rng = np.random.default_rng(4)
    parts = [rng.normal(k, 1 + k, (n, 3)) for k, n in enumerate(counts)]
    gradients = [rng.normal(size=p.shape) for p in parts]
    y, cache = bnlib.batch_norm(np.concatenate(parts), None, None)
    dx, *_ = bnlib.batch_norm_backward(np.concatenate(gradients), cache)
    x_hats, inv_std, count = fixing.synchronised_norm(parts)
    np.testing.assert_allclose(np.concatenate(x_hats), y, atol=1e-12)
    dxs = fixing.synchronised_norm_backward(gradients, x_hats, inv_std, count)
    np.testing.assert_allclose(np.concatenate(dxs), dx, atol=1e-12)
    # The second message is what every device has as its own dbeta and dgamma.
    total = sum((d * h).sum(0) for d, h in zip(gradients, x_hats, strict=True))
    gamma = np.ones(3)
    _, cache = bnlib.batch_norm(np.concatenate(parts), gamma, None)
    _, dgamma, _ = bnlib.batch_norm_backward(np.concatenate(gradients), cache)
    np.testing.assert_allclose(total, dgamma, atol=1e-12)


def test_a_ghost_network_s_gradient_is_the_accumulated_one(data):
    torch.manual_seed(0)
    ghost = cnn(CHANNELS, norm=partial(GhostBatchNorm2d, size=4)).double()
    x, y = data.x[:12].double(), data.y[:12]
    loss = nn.functional.cross_entropy
    loss(ghost(x), y).backward()
    plain = cnn(CHANNELS).double()
    plain.load_state_dict(ghost.state_dict(), strict=False)
    for part, classes in zip(x.split(4), y.split(4), strict=True):
        (loss(plain(part), classes) / 3).backward()
    for a, b in zip(ghost.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    dys = torch.randn(12, 8, 8, 8).double()
    z, cache = bnlib.ghost_batch_norm(dys.numpy(), None, None, ghost_size=4)
    layer = GhostBatchNorm2d(8, size=4).double()
    np.testing.assert_allclose(layer(dys).detach().numpy(), z, atol=1e-12)
    np.testing.assert_allclose(layer.running_var, 0.9 + 0.1 * cache.var.mean(0))
    expected = bnlib.batch_norm_inference(
        dys.numpy(), None, None, layer.running_mean.numpy(), layer.running_var.numpy()
    )
    np.testing.assert_allclose(layer.eval()(dys).detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("bounds", [(1.0, 0.0), (1.125, 0.125), (3.0, 5.0), (1e9, 1e9)])
def test_renormalisation_is_bnlib_s(bounds):
    rng = np.random.default_rng(5)
    x, dy = rng.normal(1, 2, size=(2, 6, 3, 4, 5))
    gamma, beta, mean = rng.normal(size=(3, 3))
    var = rng.uniform(0.5, 5, 3)
    layer = BatchRenorm2d(3, r_max=bounds[0], d_max=bounds[1]).double()
    state = {"weight": gamma, "bias": beta, "running_mean": mean, "running_var": var}
    layer.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=False)
    t = torch.tensor(x, requires_grad=True)
    y = layer(t)
    y.backward(torch.tensor(dy))
    expected, cache = bnlib.batch_renorm(
        x, gamma, beta, mean, var, r_max=bounds[0], d_max=bounds[1]
    )
    dx, dgamma, dbeta = bnlib.batch_renorm_backward(dy, cache)
    for actual, value in (
        (y.detach(), expected), (t.grad, dx), (layer.weight.grad, dgamma),
        (layer.bias.grad, dbeta),
    ):  # fmt: skip
        np.testing.assert_allclose(actual, value, atol=1e-10)
    new = bnlib.update_running(mean, var, cache, unbiased=False)
    np.testing.assert_allclose(layer.running_mean, new[0])
    np.testing.assert_allclose(layer.running_var, new[1])
    out = bnlib.batch_norm_inference(x, gamma, beta, *new)
    np.testing.assert_allclose(layer.eval()(t).detach(), out, atol=1e-10)
    if bounds[0] > 1e8:
        # The gradient, as printed.
        g, column = dy * gamma[:, None, None], (slice(None), None, None)
        x_hat, _ = bnlib.batch_norm(x, None, None)
        axes = {"axis": (0, 2, 3), "keepdims": True}
        bracket = g - g.mean(**axes) - x_hat * (g * x_hat).mean(**axes)
        printed = bracket / np.sqrt(var + 1e-5)[column]
        np.testing.assert_allclose(dx, printed, atol=1e-5)
        assert abs(dx.sum((0, 2, 3))).max() < 1e-10  # a bias receives nothing


def test_without_the_stop_gradient_it_is_an_affine_map():
    layer = BatchRenorm2d(3, r_max=1e9, d_max=1e9, constant=False).double()
    layer.running_var.fill_(4.0)
    t = torch.randn(6, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    dy = torch.randn(6, 3, 2, 2, dtype=torch.float64)
    layer(t).backward(dy)
    torch.testing.assert_close(t.grad, dy / np.sqrt(4 + 1e-5))


def test_the_bounds_widen():
    layer = BatchRenorm2d(2, start=10, end=30)
    seen = []
    for step in (0, 10, 20, 30, 99):
        layer.step.fill_(step)
        seen.append([b.item() for b in layer.bounds()])
    assert seen == [[1, 0], [1, 0], [2, 2.5], [3, 5], [3, 5]]


def test_a_bias_runs_and_its_effect_does_not():
    for step, momentum in ((0.01, 0.1), (-0.2, 0.5)):
        left = fixing.lag(step, momentum, 300)
        np.testing.assert_allclose(left[1:] - (1 - momentum) * left[:-1], step)
        assert left[-1] == pytest.approx(step / momentum)


@pytest.mark.parametrize("positions", [1, 6])
def test_filter_response_as_printed(positions):
    rng = np.random.default_rng(6)
    x, dy = rng.normal(size=(2, 4, 3, positions, 1))
    gamma, beta = rng.normal(size=(2, 3, 1, 1))
    eps = rng.uniform(0.1, 1, (3, 1, 1))
    square = (x**2).mean((2, 3), keepdims=True) + eps
    x_hat = x / np.sqrt(square)
    layer = FilterResponseNorm2d(3, learn_eps=True).double()
    values = {"weight": gamma, "bias": beta, "eps": -eps}  # its absolute value counts
    layer.load_state_dict({k: torch.tensor(v.ravel()) for k, v in values.items()})
    t = torch.tensor(x, requires_grad=True)
    y = layer(t)
    np.testing.assert_allclose(y.detach(), gamma * x_hat + beta)
    y.backward(torch.tensor(dy))
    d = gamma * dy
    dx = (d - x_hat * (d * x_hat).mean((2, 3), keepdims=True)) / np.sqrt(square)
    np.testing.assert_allclose(t.grad, dx, atol=1e-12)
    deps = -0.5 * ((d * x_hat).sum((2, 3), keepdims=True) / square).sum((0, 2, 3))
    np.testing.assert_allclose(layer.eps.grad, -deps)  # d|eps| / deps = -1
    if positions == 1:
        slope = eps / (x**2 + eps) ** 1.5
        np.testing.assert_allclose(dx, d * slope, atol=1e-12)
    fixed = FilterResponseNorm2d(3, eps=0.25).double()
    expected, _ = bnlib.filter_response_norm(x, None, None, eps=0.25)
    np.testing.assert_allclose(fixed(t).detach(), expected, atol=1e-12)


def test_threshold():
    layer = FilterResponseNorm2d(2, threshold=True).double()
    layer.threshold.data = torch.tensor([-0.5, 0.3]).double()
    x = torch.randn(5, 2, 3, 3).double()
    y, _ = bnlib.filter_response_norm(x.numpy(), None, None, eps=1e-6)
    tau = np.array([-0.5, 0.3])[:, None, None]
    z = layer(x)
    np.testing.assert_allclose(z.detach(), np.maximum(y - tau, 0) + tau, atol=1e-7)
    z.sum().backward()
    at_the_floor = (y < tau).sum((0, 2, 3))
    np.testing.assert_allclose(layer.threshold.grad, at_the_floor)


@pytest.mark.parametrize(
    "make",
    [
        partial(FilterResponseNorm2d, threshold=True, learn_eps=True),
        partial(BatchRenorm2d, start=1, end=3),
        partial(GhostBatchNorm2d, size=2),
    ],
    ids=["filter response", "renorm", "ghost"],
)
def test_side_by_side_is_one_by_one(make):
    """Under vmap: outputs, gradients and buffers."""
    layers = [make(3) for _ in range(2)]
    x = torch.randn(2, 4, 3, 2, 2)
    parameters, buffers = stack_module_state(layers)

    def loss(parameters, buffers, x):
        out = functional_call(layers[0], (parameters, buffers), (x,))
        return (out**3).sum()

    for _ in range(2):
        gradients = vmap(grad(loss))(parameters, buffers, x)
    for k, layer in enumerate([make(3) for _ in range(2)]):
        for _ in range(2):
            layer.zero_grad()
            (layer(x[k]) ** 3).sum().backward()
        for name, p in layer.named_parameters():
            torch.testing.assert_close(gradients[name][k], p.grad)
        for name, b in layer.named_buffers():
            torch.testing.assert_close(buffers[name][k], b)


# Claims


def test_features_drift_without_the_stop_gradient(data):
    ends = {}
    for constant in (True, False):
        loss, sd = fixing.drift(
            data, constant=constant, rate=0.1, seeds=SEEDS, steps=60
        )
        ends[constant] = loss[:, -15:].mean(1), sd[:, -1]
    assert (ends[False][1] > 3 * ends[True][1]).all()
    assert ends[False][0].mean() > ends[True][0].mean()


def test_old_outputs_mislead_and_old_inputs_do_not(data):
    for seed in SEEDS:
        errors = fixing.window_errors(
            data, rate=0.01, windows=(1, 16), seed=seed, steps=60
        )
        assert errors["naive"][1] > 0.9 * errors["naive"][0]
        assert errors["compensated"][1] < 0.6 * errors["compensated"][0]
        assert errors["compensated"][1] < 0.5 * errors["naive"][1]


def test_bounds_and_schedule_help_at_a_high_rate(tasks):
    def accuracy(**limits):
        make = partial(cnn, CHANNELS, norm=partial(BatchRenorm2d, **limits))
        how = {"rates": (0.5,), "seeds": SEEDS, "steps": 40, "batch": 32}
        return train_many(make, tasks, **how).accuracy.mean()

    assert accuracy(start=10, end=20) > accuracy(r_max=1e6, d_max=1e6) + 10


def test_renorm_and_the_threshold_help_at_batch_4(tasks):
    tlu = partial(FilterResponseNorm2d, threshold=True)
    makers = {
        "batch": partial(cnn, CHANNELS),
        "renorm": partial(
            cnn, CHANNELS, norm=partial(BatchRenorm2d, start=60, end=120)
        ),
        "TLU": partial(cnn, CHANNELS, norm=tlu, activation=nn.Identity),
        "ReLU": partial(cnn, CHANNELS, norm=FilterResponseNorm2d),
    }
    how = {"rates": (0.01,), "seeds": SEEDS, "steps": 240, "batch": 4}
    runs = {name: train_many(make, tasks, **how) for name, make in makers.items()}
    mean = {name: run.accuracy.mean() for name, run in runs.items()}
    assert mean["renorm"] > mean["batch"] > mean["TLU"] > mean["ReLU"]
    # Counting the example at evaluation does not help these networks.
    models = fixing.networks(makers["batch"], runs["batch"])
    for model, task in zip(models, tasks, strict=True):
        with torch.no_grad():
            loss = [
                nn.functional.cross_entropy(
                    fixing.weigh_examples(model, a)(task.x_test), task.y_test
                )
                for a in (0.0, 0.25)
            ]
        assert loss[0] < loss[1]


def test_a_single_position_needs_a_larger_eps(tasks):
    tlu = partial(FilterResponseNorm2d, threshold=True)

    def accuracy(**options):
        make = partial(
            cnn, (*CHANNELS, 16), norm=partial(tlu, **options), activation=nn.Identity
        )
        how = {"rates": (0.03,), "seeds": SEEDS, "steps": 40, "batch": 32}
        return train_many(make, tasks, **how).accuracy

    assert (accuracy(eps=1e-6) < 20).all()
    assert accuracy(eps=1e-4, learn_eps=True).mean() > 30
