"""The chapter "Without normalisation": its equations, and its claims on other seeds."""

from math import gamma as gamma_function

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from scipy.special import ndtr
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

import bnlib
from experiments.data import digits
from experiments.side_by_side import train_many
from experiments.without_normalisation import (
    METHODS,
    RELU_GAIN,
    DyT,
    ScaledStdConv2d,
    ScaledStdLinear,
    Transformer,
    at_norms,
    clip_by_unit,
    clipping,
    first_step,
    largest_stable,
    plain,
    residual,
    selu_constants,
    selu_moments,
    selu_path,
    selu_signal,
    signal,
)

pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (11, 12)  # the chapter uses 0 to 4


@pytest.fixture(scope="module")
def tasks():
    return [digits(seed=seed) for seed in SEEDS]


def gaussian_mean(function, mean=0.0, sd=1.0):
    """Integrate, cut where SELU has its kink."""
    density = stats.norm(mean, sd).pdf
    return sum(
        integrate.quad(lambda z: function(z) * density(z), *ends, epsabs=1e-12)[0]
        for ends in ((mean - 12 * sd, 0), (0, mean + 12 * sd))
    )


# SELU


def test_constants_as_printed_are_those_of_torch():
    alpha, scale = selu_constants()
    one, two = np.sqrt(np.e) * ndtr(-1), np.e**2 * ndtr(-2)
    assert alpha == pytest.approx(1 / np.sqrt(2 * np.pi) / (0.5 - one))
    assert scale**-2 == pytest.approx(0.5 + alpha**2 * (two - 2 * one + 0.5))
    z = torch.linspace(-3, 3, 13, dtype=torch.float64)
    ours = scale * torch.where(z > 0, z, alpha * torch.expm1(z))
    torch.testing.assert_close(ours, nn.functional.selu(z))


@pytest.mark.parametrize("mean, var", [(0, 1), (0.3, 0.5), (-1, 4), (0, 0.01)])
def test_moments_are_the_integrals(mean, var):
    def f(z):
        return nn.functional.selu(torch.tensor(z, dtype=torch.float64)).item()

    first = gaussian_mean(f, mean, var**0.5)
    second = gaussian_mean(lambda z: f(z) ** 2, mean, var**0.5)
    assert selu_moments(mean, var) == pytest.approx((first, second - first**2))
    assert selu_moments(0, 1) == pytest.approx((0, 1))


def test_the_fixed_point_attracts_within_the_range_of_weights():
    alpha, scale = selu_constants()
    low, high = 2 / (scale**2 * (1 + alpha**2)), 2 / scale**2
    assert (low, high) == pytest.approx((0.48, 1.81), abs=0.005)
    for start in ((0.5, 0.3), (-0.5, 1), (0, 4)):
        assert selu_path(*start, depth=60)[-1] == pytest.approx((0, 1), abs=1e-4)

    def change(tau, var):  # of the mean square, in one layer
        mean, after = selu_moments(0, tau * var)
        return (after + mean**2) / var

    for tau, side in ((0.95, -1), (1.05, 1)):
        assert np.sign(change(tau * low, 1e-7) - 1) == side
        assert np.sign(change(tau * high, 1e7) - 1) == side
    e = 1e-5
    base, mean, var = (np.array(selu_moments(0, v)) for v in (1, 1 + e * e, 1 + e))
    jacobian = np.stack([mean - base, var - base], 1) / e
    assert np.linalg.norm(jacobian, 2) == pytest.approx(0.7877, abs=2e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks_follow_the_path(seed):
    _, var, gradient = selu_signal(seed, 0.5, 0.3)
    predicted = np.array([v for _, v in selu_path(0.5, 0.3)])
    np.testing.assert_allclose(var, predicted, rtol=0.2)
    alpha, scale = selu_constants()
    slope = scale**2 * (0.5 + alpha**2 * np.e**2 * ndtr(-2))
    assert slope == pytest.approx(1.07, abs=0.005)
    square = gaussian_mean(
        lambda z: scale**2 * (1 if z > 0 else alpha**2 * np.exp(2 * z))
    )
    assert slope == pytest.approx(square)
    assert 4 < gradient[0] < 25


def test_selu_trains_a_deep_plain_network(tasks):
    best = {
        kind: train_many(
            lambda kind=kind: plain(kind, 24), tasks, rates=(rate,), seeds=SEEDS,
            steps=40, batch=32,
        ).accuracy
        for kind, rate in (("SELU", 0.003), ("ReLU", 0.01), ("batch", 0.1))
    }  # fmt: skip
    assert best["SELU"].min() > max(best["ReLU"].max(), best["batch"].max())


# Residual branches


@pytest.mark.parametrize(
    "layers, power, exponent", [(2, 0, 1), (2, 0.5, 0), (3, 0.25, 0), (3, 0.5, -1)]
)
def test_exponent_of_the_first_step(layers, power, exponent):
    assert exponent == 1 - (2 * layers - 2) * power
    counts = (4, 16, 64)
    moved = [[first_step(s, n, layers, power) for n in counts] for s in SEEDS]
    slope = np.polyfit(np.log(counts), np.log(moved).T, 1)[0]
    np.testing.assert_allclose(slope, exponent, atol=0.25)


def test_a_gate_keeps_the_signal_and_not_the_step():
    counts = (4, 16, 64)
    moved = [[first_step(s, n, 2, 0, gate=True) for n in counts] for s in SEEDS]
    slope = np.polyfit(np.log(counts), np.log(moved).T, 1)[0].mean()
    assert 0.35 < slope < 1.1
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
    run = signal("SkipInit", 11, 6, x)
    assert run["gradient"] == pytest.approx(1)
    np.testing.assert_allclose(run["variance"], run["variance"][0], rtol=1e-5)


def test_gate_as_printed():
    """One step from zero moves the skip path by the sum over branches."""
    generator = torch.Generator().manual_seed(3)
    branches = [torch.randn(8, 5, generator=generator) for _ in range(4)]
    delta = torch.randn(8, 5, generator=generator)
    gates = torch.zeros(4, requires_grad=True)
    path = sum(a * f for a, f in zip(gates, branches, strict=True))
    (slope,) = torch.autograd.grad((path * delta).sum(), gates)
    moved = sum(-0.1 * g * f for g, f in zip(slope, branches, strict=True))
    expected = -0.1 * sum((f * delta).sum() * f for f in branches)
    torch.testing.assert_close(moved, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_variance_is_predicted_and_the_mean_does_not_shift(seed):
    x = torch.randn(256, 64, generator=torch.Generator().manual_seed(seed))
    runs = {m: signal(m, seed, 12, x) for m in ("none", "batch", "NF", "Fixup", "DyT")}
    index = np.arange(13)
    start = runs["NF"]["variance"][0]
    np.testing.assert_allclose(
        runs["NF"]["variance"], start * (1 + 0.04 * index), rtol=0.15
    )
    np.testing.assert_allclose(
        runs["batch"]["variance"],
        runs["batch"]["variance"][0] + (1 - 1 / np.pi) * index,
        rtol=0.25,
    )
    assert runs["none"]["variance"][-1] > 100
    offset = {method: run["offset"] for method, run in runs.items()}
    assert offset["batch"] < 1e-6 < offset["NF"] < 0.05 < offset["DyT"] < offset["none"]
    assert runs["batch"]["company"] > 0.1
    assert all(run["company"] < 1e-4 for m, run in runs.items() if m != "batch")


# Normaliser-free networks


def test_books_as_printed():
    network = residual("NF", 4)
    for index in range(4):
        block = network[1 + index]
        assert block.divide**2 == pytest.approx(1 + 0.2**2 * index)
        h = torch.randn(3, 32)
        torch.testing.assert_close(block(h), h + 0.2 * block.branch(h / block.divide))


def test_scaled_standardisation_is_that_of_bnlib_and_ignores_length_and_mean():
    assert RELU_GAIN == pytest.approx(np.sqrt(2 / (1 - 1 / np.pi)))
    layer = ScaledStdLinear(20, 6).double()
    x = torch.randn(4, 20, dtype=torch.float64)
    rows = layer.weight.detach().numpy().T
    w, _ = bnlib.batch_norm(rows, None, None, eps=1e-15)
    expected = x.numpy() @ w * RELU_GAIN / 20**0.5
    y = layer(x) - layer.bias
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-6)
    image = torch.randn(2, 3, 5, 5)
    convolution = ScaledStdConv2d(3, 4, 3, padding=1)
    before = convolution(image)
    with torch.no_grad():
        convolution.weight.mul_(7).add_(2)
    torch.testing.assert_close(convolution(image), before, rtol=1e-4, atol=1e-5)
    assert before.shape == (2, 4, 5, 5)


@pytest.mark.parametrize("method", METHODS)
def test_length_of_weights(method):
    """It does not matter before a norm that averages, nor to standardised weights."""
    torch.manual_seed(11)
    network = residual(method, 2)
    x = torch.randn(64, 64)
    if method in ("Fixup", "SkipInit"):  # let the branches take part
        with torch.no_grad():
            for name, p in network.named_parameters():
                if name.endswith(("branch.7.weight", "branch.8.value")):
                    p.add_(0.3)
    before = network(x)
    with torch.no_grad():
        for name, p in network.named_parameters():
            if name.endswith("branch.3.weight"):
                p.mul_(3)
    change = ((network(x) - before).norm() / before.norm()).item()
    if method in ("batch", "layer", "NF"):
        assert change < 1e-3
    elif method != "Fixup":
        assert change > 0.01


def test_clipping_as_printed():
    generator = torch.Generator().manual_seed(4)
    g, w = torch.randn(2, 5, 3, 4, 2, 2, generator=generator)
    w[:, 1] = 0
    limit = 0.7
    clipped = clip_by_unit(g, w, limit)
    for run in range(5):
        alone = clip_by_unit(g[run], w[run], limit, stacked=False)
        torch.testing.assert_close(alone, clipped[run])
        for unit in range(3):
            length, size = g[run, unit].norm(), w[run, unit].norm().clamp(min=1e-3)
            expected = min(1, limit * size / length) * g[run, unit]
            torch.testing.assert_close(clipped[run, unit], expected)
    vector = clip_by_unit(g[:, :, 0, 0, 0], torch.zeros(5, 3), limit)
    assert vector.abs().max() <= limit * 1e-3 * (1 + 1e-6)
    scalar = clip_by_unit(g[:, 0, 0, 0, 0], torch.ones(5), limit)
    assert scalar.shape == (5,)
    assert scalar.abs().max() <= limit * (1 + 1e-6)


def test_brake_of_batch_norm_as_printed():
    """A step on weights before batch norm: r' = r / (1 + r²) for the same gradient."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(64, 6, generator=generator, dtype=torch.float64)
    w = torch.randn(6, generator=generator, dtype=torch.float64)
    target = torch.randn(64, generator=generator, dtype=torch.float64)

    def gradient(w):
        w = w.clone().requires_grad_()
        z = x @ w
        y = (z - z.mean()) / z.std(correction=0)
        return torch.autograd.grad((y * target).mean(), w)[0]

    g = gradient(w)
    rate = 2 * w.norm() / g.norm()
    r = rate * g.norm() / w.norm()
    longer = w - rate * g
    assert longer.norm() / w.norm() == pytest.approx((1 + r.item() ** 2) ** 0.5)
    # At the old direction with the new length the gradient is the old one, shortened.
    same = w * longer.norm() / w.norm()
    after = rate * gradient(same).norm() / same.norm()
    assert after == pytest.approx((r / (1 + r**2)).item())


def test_clipping_allows_larger_rates(tasks):
    stable = {}
    for name, method, limit in (
        ("batch", "batch", None),
        ("SkipInit", "SkipInit", None),
        ("NF", "NF", None),
        ("clipped", "NF", 0.01),
    ):
        runs = train_many(
            lambda method=method: residual(method, 4), tasks,
            rates=(0.12, 0.25, 0.5, 1.0, 2.0), seeds=SEEDS, steps=40, batch=128,
            adjust=clipping(limit, head="6."),
        )  # fmt: skip
        stable[name] = largest_stable(runs)
    assert stable["SkipInit"] < stable["batch"]
    assert stable["SkipInit"] <= stable["NF"] < stable["clipped"]


# Dynamic tanh


def test_dyt_is_bnlibs_under_vmap_too():
    torch.manual_seed(1)
    layers = [DyT(3), DyT(3)]
    with torch.no_grad():
        for layer in layers:
            for p in layer.parameters():
                p.normal_()
    for shape in ((5, 3), (5, 3, 4, 2)):
        x = torch.randn(shape)
        stacked, _ = stack_module_state(layers)
        together = vmap(
            lambda p, x: functional_call(layers[0], p, (x,)), in_dims=(0, None)
        )(stacked, x)
        for layer, out in zip(layers, together, strict=True):
            gamma, beta, alpha = (
                p.detach().numpy() for p in (layer.weight, layer.bias, layer.alpha)
            )
            y, _ = bnlib.dynamic_tanh(x.numpy(), gamma, beta, alpha, axis=1)
            np.testing.assert_allclose(out.detach().numpy(), y, rtol=1e-5, atol=1e-6)


def test_line_and_curve_as_printed():
    rng = np.random.default_rng(6)
    sigma = rng.uniform(0.5, 2, (20_000, 1))
    z = rng.standard_normal((20_000, 16))
    x, y = (sigma * z).ravel(), z.ravel()
    left = np.mean((y - (x @ y) / (x @ x) * x) ** 2)
    c = sigma.std() / sigma.mean()
    assert left == pytest.approx(c**2 / (1 + c**2), rel=0.02)
    assert c**2 / (1 + c**2) == pytest.approx(1 - sigma.mean() ** 2 / np.mean(sigma**2))
    # The mean of 1/sigma given x, by integrating over w = 1/sigma².
    for a, b, value in ((1, 1, 0.7), (3, 2, 2.5)):
        printed = gamma_function(a + 1) / gamma_function(a + 0.5)
        printed *= value / np.sqrt(b + value**2 / 2)
        assert mean_output(a, b, value) == pytest.approx(printed, rel=1e-6)


def mean_output(a, b, x):
    """Average over scales, w = 1/sigma², with the weight that x gives to each."""
    prior = stats.gamma(a, scale=1 / b).pdf

    def moment(power):
        def integrand(w):
            return w ** (power + 0.5) * prior(w) * np.exp(-w * x**2 / 2)

        return integrate.quad(integrand, 0, np.inf)[0]

    return x * moment(0.5) / moment(0)


def test_layer_norm_is_nearly_a_line_in_the_small_transformer(tasks):
    accuracy = {}
    for name, norm in (("layer", nn.LayerNorm), ("tanh", lambda c: DyT(c, axis=-1))):
        runs = train_many(
            lambda norm=norm: Transformer(norm), tasks, rates=(0.03,), seeds=SEEDS,
            steps=60, batch=32,
        )  # fmt: skip
        accuracy[name] = runs.accuracy
        if name == "layer":
            state = {key: value[0, 0] for key, value in runs.state.items()}
    assert min(a.min() for a in accuracy.values()) > 85
    assert abs(accuracy["layer"].mean() - accuracy["tanh"].mean()) < 5
    network = Transformer(nn.LayerNorm)
    network.load_state_dict(state)
    left = []
    for tokens in at_norms(network, tasks[0].x_test):
        sd, mean = torch.std_mean(tokens, -1, correction=0, keepdim=True)
        x, y = tokens.flatten(), ((tokens - mean) / sd).flatten()
        left.append((1 - (x @ y) ** 2 / (x @ x) / (y @ y)).item())
    assert left[-1] < 0.06
    assert left[-1] < left[0] < 0.2


# All of them


def test_something_is_needed_and_any_of_them_will_do(tasks):
    rates = {"none": 0.01, "batch": 0.1, "Fixup": 0.1, "SkipInit": 0.03, "NF": 0.01}
    for method, rate in (rates | {"DyT": 0.03}).items():
        accuracy = train_many(
            lambda method=method: residual(method, 12), tasks, rates=(rate,),
            seeds=SEEDS, steps=50, batch=32,
        ).accuracy  # fmt: skip
        if method == "none":
            assert accuracy.max() < 40
        else:
            assert accuracy.min() > 70
