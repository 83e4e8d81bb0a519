"""The chapter "Across weights": its equations, and its claims on other seeds."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm, conv2d, cross_entropy
from torch.nn.utils import parametrizations

import bnlib
from experiments.across_weights import (
    METHODS,
    WIDTHS,
    Networks,
    compare,
    fit,
    lipschitz,
    power_step,
    relu_signal,
    spectral_norm,
    standardise_rows,
    stretch_directions,
    test_accuracy,
    unit_rows,
)

test_accuracy.__test__ = False
pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (11, 12)  # the chapter uses 0 to 4


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


# Weight normalisation


def test_gradient_of_weight_norm_is_the_projection():
    v, g, dw = draw(7), draw(1, seed=1).item(), draw(7, seed=2)
    v.requires_grad_()
    length = torch.tensor(g, dtype=torch.float64, requires_grad=True)
    (length * v / v.norm()).backward(dw)
    unit = v.detach() / v.detach().norm()
    projection = torch.eye(7, dtype=torch.float64) - torch.outer(unit, unit)
    torch.testing.assert_close(length.grad, dw @ unit)
    torch.testing.assert_close(v.grad, g / v.detach().norm() * projection @ dw)
    step = v.detach() - 0.3 * v.grad
    squares = v.detach().norm() ** 2 + 0.09 * v.grad.norm() ** 2
    torch.testing.assert_close(step.norm() ** 2, squares)


def test_a_step_of_weight_norm_has_two_rates():
    v, g, dw, eta = draw(7).numpy(), 1.7, draw(7, seed=2).numpy(), 1e-6
    w, cache = bnlib.weight_norm(v[None], np.array([g]))
    dv, dg = bnlib.weight_norm_backward(dw[None], cache)
    after, _ = bnlib.weight_norm(v[None] - eta * dv, np.array([g]) - eta * dg)
    unit = v / np.linalg.norm(v)
    along = unit * (unit @ dw)
    predicted = -eta * (along + g**2 / (v @ v) * (dw - along))
    np.testing.assert_allclose((after - w)[0], predicted, rtol=1e-4, atol=1e-12)


def test_weight_norm_is_batch_norm_on_whitened_inputs_only():
    x = draw(50, 6) @ draw(6, 6, seed=1) + 1
    centred = x - x.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / 50)
    v = draw(4, 6, seed=2)
    for inputs, equal in ((centred @ vectors / values.sqrt(), True), (x, False)):
        t = inputs @ unit_rows(v).T
        same = batch_norm(t, None, None, training=True, eps=1e-20)
        assert torch.allclose(t, same, atol=1e-10) == equal


def test_variance_of_a_random_direction():
    values = torch.tensor([5.0, 2.0, 1.0, 0.5, 0.1], dtype=torch.float64)
    r2 = (unit_rows(draw(200_000, 5)).square() * values).sum(1)
    trace, square = values.sum(), values.square().sum()
    assert r2.mean().item() == pytest.approx((trace / 5).item(), rel=0.01)
    predicted = 2 / 35 * (square - trace**2 / 5)
    assert r2.var().item() == pytest.approx(predicted.item(), rel=0.02)
    assert 0.1 <= r2.min() and r2.max() <= 5


def test_data_dependent_start_makes_mean_zero_and_variance_one(data):
    for method in ("plain, data", "weight, data"):
        nets, pre = Networks(method, SEEDS), []
        x = data.x[:200].expand(nets.size, -1, -1)
        nets.start_from(x)
        nets(x, pre=pre)
        for z in pre:
            assert z.mean(1).abs().max() < 1e-4
            torch.testing.assert_close(
                z.var(1, correction=0), torch.ones(2, 48), atol=1e-3, rtol=0
            )


def test_mean_only_gradient_is_centred():
    t, d = draw(9).requires_grad_(), draw(9, seed=1)
    (t - t.mean()).backward(d)
    torch.testing.assert_close(t.grad, d - d.mean())


# Weight standardisation


def test_gradient_of_weight_standardisation():
    w, d = draw(3, 20), draw(3, 20, seed=1)
    w.requires_grad_()
    hat = standardise_rows(w)
    hat.backward(d)
    hat = hat.detach()
    sd = w.detach().std(1, correction=0, keepdim=True)
    by_hand = d - d.mean(1, keepdim=True) - hat * (d * hat).mean(1, keepdim=True)
    torch.testing.assert_close(w.grad, by_hand / sd)
    torch.testing.assert_close(hat.norm(dim=1), torch.full((3,), 20**0.5).double())


def test_moments_of_a_relu_and_the_gain():
    z = torch.linspace(-12, 12, 400_001, dtype=torch.float64)
    density = torch.exp(-z * z / 2) / (2 * math.pi) ** 0.5
    first = torch.trapezoid(z.relu() * density, z).item()
    second = torch.trapezoid(z.relu() ** 2 * density, z).item()
    assert first == pytest.approx((2 * math.pi) ** -0.5)
    variance = second - first**2
    assert variance == pytest.approx((1 - 1 / math.pi) / 2)
    gain = (2 / (1 - 1 / math.pi)) ** 0.5
    assert gain == pytest.approx(variance**-0.5)
    w = gain * standardise_rows(draw(1, 64)) / 8
    a = draw(400_000, 64, seed=3).relu()
    z = a @ w.T
    assert abs(z.mean().item()) < 0.01
    assert z.var().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("seed", SEEDS)
def test_scaled_standardisation_keeps_the_signal_and_the_others_do_not(seed):
    kept = {}
    for kind in ("He", "rows", "scaled", "plain gain"):
        offset, sd = relu_signal(kind, seed)
        kept[kind] = sd[-1] / sd[0], offset[-1] / sd[-1]
    assert 0.9 < kept["scaled"][0] < 1.1 and kept["scaled"][1] < 0.2
    for kind in ("He", "rows"):
        assert kept[kind][0] < 0.5 and kept[kind][1] > 1
    assert kept["plain gain"][0] < 0.1


# Spectral normalisation


def test_gradient_of_spectral_norm_is_pytorchs():
    torch.manual_seed(0)
    linear = nn.Linear(20, 8, bias=False).double()
    W = linear.weight.detach().clone()
    layer = parametrizations.spectral_norm(linear, n_power_iterations=300)
    d = draw(8, 20)
    layer.weight.backward(d)
    U, S, Vh = torch.linalg.svd(W)
    by_hand = (d - (d * W / S[0]).sum() * torch.outer(U[:, 0], Vh[0])) / S[0]
    got = layer.parametrizations.weight.original.grad
    torch.testing.assert_close(got, by_hand, atol=1e-8, rtol=1e-6)
    assert abs((W * by_hand).sum()) < 1e-12


def test_power_iteration_converges_from_below_at_the_stated_rate():
    U, V = (torch.linalg.qr(draw(5, 5, seed=s))[0] for s in (1, 2))
    values = torch.tensor([1.0, 0.8, 0.3, 0.2, 0.1], dtype=torch.float64)
    w, u, errors = U @ torch.diag(values) @ V.T, unit_rows(draw(5)), []
    for _ in range(12):
        u, v = power_step(w, u)
        errors.append((1 - u @ w @ v).item())
    assert min(errors) > 0
    assert errors[-1] / errors[-2] == pytest.approx(0.8**4, rel=0.02)


def test_spectral_norm_of_unit_rows():
    for rows, columns in ((6, 10), (10, 6)):
        for seed in SEEDS:
            w = unit_rows(draw(rows, columns, seed=seed))
            low = (rows / min(rows, columns)) ** 0.5
            assert low <= torch.linalg.matrix_norm(w, 2) <= rows**0.5
    equal = unit_rows(draw(1, 6)).expand(4, 6)
    assert torch.linalg.matrix_norm(equal, 2).item() == pytest.approx(2)
    orthogonal = torch.linalg.qr(draw(6, 4))[0].T
    assert torch.linalg.matrix_norm(orthogonal, 2).item() == pytest.approx(1)


def test_spectral_norm_of_a_convolution_by_fourier_transform():
    kernel = draw(2, 3, 3, 3)
    spectrum = torch.fft.fft2(kernel, s=(5, 5)).permute(2, 3, 0, 1)
    basis = torch.eye(75, dtype=torch.float64).view(75, 3, 5, 5)
    padded = nn.functional.pad(basis, (1, 1, 1, 1), mode="circular")
    matrix = conv2d(padded, kernel).flatten(1).T
    torch.testing.assert_close(
        torch.linalg.matrix_norm(spectrum, 2).max(), torch.linalg.matrix_norm(matrix, 2)
    )
    flat = torch.linalg.matrix_norm(kernel.flatten(1), 2)
    assert torch.linalg.matrix_norm(matrix, 2) <= 3 * flat


def test_spectral_norm_of_what_is_not_finite_is_nan():
    w = torch.eye(3).repeat(2, 1, 1)
    w[1, 0, 0] = torch.inf
    assert spectral_norm(w)[0] == 1 and spectral_norm(w)[1].isnan()


# The networks of the comparison


def by_torch(nets, at=0):
    """The same network, of PyTorch's modules."""
    layers = []
    for k, (v, b) in enumerate(zip(nets.v, nets.b, strict=True)):
        linear = nn.Linear(v.shape[2], v.shape[1])
        linear.weight.data, linear.bias.data = v[at].detach().clone(), b[at].detach()
        layers.append(linear)
        if k == len(nets.v) - 1:
            break
        if "weight" in nets.method:
            parametrizations.weight_norm(linear)
            linear.parametrizations.weight.original0.data = nets.g[k][at].detach()[
                :, None
            ]
        elif nets.method == "spectral":
            parametrizations.spectral_norm(linear, n_power_iterations=100)
        elif nets.method == "standard":
            linear.weight.data = standardise_rows(linear.weight.data)
            layers.append(nn.GroupNorm(nets.groups, v.shape[1]))
        elif nets.method == "batch":
            layers.append(nn.BatchNorm1d(v.shape[1]))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


@pytest.mark.parametrize("method", METHODS)
def test_networks_are_pytorchs(method, data):
    nets = Networks(method, SEEDS, (0.1, 0.3), widths=(64, 12, 8, 10), groups=2)
    x = data.x[:20]
    if "data" in method:
        nets.start_from(x.expand(nets.size, -1, -1))
    if method == "spectral":
        for _ in range(100):
            nets(x.expand(nets.size, -1, -1), training=True)
    torch.manual_seed(0)
    same = by_torch(nets, at=1)
    got = nets(x.expand(nets.size, -1, -1), training=True)[1]
    torch.testing.assert_close(got, same(x), atol=1e-4, rtol=1e-3)
    same.eval()  # running statistics, too
    got = nets(x.expand(nets.size, -1, -1))[1]
    torch.testing.assert_close(got, same(x), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_networks_side_by_side_train_as_if_alone(method, data):
    pair = Networks(method, SEEDS, (0.01, 0.05), widths=(64, 12, 10), groups=2)
    together, _ = fit(pair, data, SEEDS, steps=10, batch=16)
    one = Networks(method, SEEDS[1:], (0.05,), widths=(64, 12, 10), groups=2)
    alone, _ = fit(one, data, SEEDS[1:], steps=10, batch=16)
    torch.testing.assert_close(together[:, 3:], alone, atol=1e-4, rtol=1e-3)


def test_bound_lies_above_every_slope(data):
    nets = Networks("plain", SEEDS)
    upper, lower = lipschitz(nets, data.x_test[:20])
    x = data.x_test[3].clone().requires_grad_()
    jacobian = torch.autograd.functional.jacobian(
        lambda x: nets(x.expand(2, 1, -1))[0, 0], x
    )
    slope = torch.linalg.matrix_norm(jacobian, 2)
    assert slope <= lower[0] * (1 + 1e-5) and lower[0] <= upper[0]
    with pytest.raises(ValueError, match="batch"):
        lipschitz(Networks("batch", SEEDS), data.x_test)


# What the chapter claims, on other seeds


@pytest.fixture(scope="module")
def large(data):
    rates = (0.1, 0.3)

    @torch.no_grad()
    def shortfall(nets):
        return torch.stack(
            [1 - nets.sigma(k) / spectral_norm(nets.v[k]) for k in range(4)]
        ).amax(0)

    return compare(
        data, SEEDS, rates, steps=200, batch=64, watch={"spectral": shortfall}
    )


def test_batch_64(large, data):
    at_tenth = {m: run["loss"][0] for m, run in large.items()}
    for method in ("plain", "weight"):  # the start helps both
        assert (at_tenth[f"{method}, data"] < 0.7 * at_tenth[method]).all()
    worst = max(
        run["loss"].min(0)[0].max() for m, run in large.items() if m != "spectral"
    )
    assert large["spectral"]["loss"].min() > 2 * worst
    bounds = {
        m: lipschitz(large[m]["nets"], data.x_test, large[m]["at"])
        for m in ("plain", "spectral")
    }
    upper, lower = bounds["plain"]
    assert (upper / lower > 4).all()
    assert (bounds["spectral"][1] < lower / 2).all()


def test_one_round_is_enough_for_small_steps_only(large):
    seen = torch.stack(large["spectral"]["seen"]).view(-1, 2, len(SEEDS))[1:]
    assert seen.min() > -1e-4
    assert seen[:, 1].amax() > 2 * seen[:, 0].amax() > 0


def test_batch_4(data):
    runs = compare(
        data,
        SEEDS,
        (0.01, 0.03, 0.1),
        steps=400,
        batch=4,
        methods=("plain", "batch", "weight", "standard"),
    )
    worst = max(runs[m]["loss"].mean(1).min() for m in ("plain", "weight", "standard"))
    assert runs["batch"]["loss"].mean(1).min() > 2 * worst


def test_short_vectors_grow_and_ordinary_ones_do_not(data):
    nets = Networks("weight", SEEDS, (0.1, 0.1))
    x = data.x[:9].expand(4, -1, -1)
    before = nets(x)
    stretch_directions(nets, torch.tensor([0.1, 0.1, 1.0, 1.0]))
    torch.testing.assert_close(nets(x), before, atol=1e-4, rtol=1e-4)
    start = nets.v[1].norm(dim=-1).mean(-1)
    fit(nets, data, SEEDS, steps=60, batch=64)
    growth = nets.v[1].norm(dim=-1).mean(-1) / start
    assert (growth[:2] > 3).all() and (growth[2:] < 1.1).all()


def test_cross_entropy_is_per_network(data):
    nets = Networks("plain", SEEDS)
    first, _ = fit(Networks("plain", SEEDS), data, SEEDS, steps=1, batch=8)
    generator = torch.Generator().manual_seed(1000 + SEEDS[0])
    index = torch.randperm(len(data.x), generator=generator)[:8]
    scores = nets(data.x[index].expand(2, -1, -1))[0]
    torch.testing.assert_close(
        first[0, 0], cross_entropy(scores, data.y[index]).detach()
    )
    assert len(WIDTHS) == 6
