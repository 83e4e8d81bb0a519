"""The chapter "Why normalise": its equations, and its claims on other seeds."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from printed import printed
from scipy import integrate, stats

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def page():
    """What the chapter's cells define."""
    return printed("why_normalise", "rng = np.random.default_rng(0)\nmix", names=BASE)


BASE = {"np": np, "torch": torch}


@pytest.fixture
def regression():
    """Correlated inputs of several units with means, and targets."""
    rng = np.random.default_rng(11)
    x = rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4)) + [3, 0, -1, 2]
    return x, rng.normal(size=60)


def loss(w, x, y):
    return ((x @ w - y) ** 2).sum() / (2 * len(x))


# Equations


def test_the_hessian_is_made_of_inputs(regression):
    x, y = regression
    w = torch.randn(4, dtype=torch.float64)
    found = torch.autograd.functional.hessian(
        lambda w: loss(w, torch.tensor(x), torch.tensor(y)), w
    )
    np.testing.assert_allclose(found, x.T @ x / len(x), rtol=1e-10)


def test_errors_shrink_along_eigenvectors(regression, page):
    x, y = regression
    hessian = x.T @ x / len(x)
    values, q = np.linalg.eigh(hessian)
    minimum = np.linalg.solve(hessian, x.T @ y / len(x))
    rate = 1.5 / values[-1]
    errors = page["descend"](x, y, rate, 7) - minimum
    expected = (1 - rate * values) ** 7 * (q.T @ errors[0])
    np.testing.assert_allclose(q.T @ errors[7], expected, rtol=1e-8, atol=1e-12)


def test_the_largest_stable_and_the_best_rate(regression, page):
    x, y = regression
    x = page["standardise"](x)
    values = np.linalg.eigvalsh(x.T @ x / len(x))
    low, high = values[0], values[-1]
    minimum = np.linalg.lstsq(x, y, rcond=None)[0]
    ends = [
        np.linalg.norm(page["descend"](x, y, f * 2 / high, 4000)[-1] - minimum)
        for f in (0.99, 1.01)
    ]
    assert ends[0] < 1e-3 < 1e3 < ends[1]
    best, kappa = 2 / (high + low), high / low
    rates = np.linspace(0.2, 1.0, 2001) * 2 / high
    factors = np.abs(1 - rates[:, None] * values).max(axis=1)
    assert rates[factors.argmin()] == pytest.approx(best, rel=1e-3)
    rho = (kappa - 1) / (kappa + 1)
    assert factors.min() == pytest.approx(rho, rel=1e-3)
    assert 1 - best * low == pytest.approx(rho)


@pytest.mark.parametrize("kappa", [10, 100, 1000])
def test_steps_go_with_the_condition_number(kappa):
    rho = (kappa - 1) / (kappa + 1)
    exact = np.log(100) / -np.log(rho)
    assert kappa / 2 * np.log(100) == pytest.approx(exact, rel=0.01)


def test_a_mean_is_one_large_eigenvalue(regression):
    x, _ = regression
    mean, sigma = x.mean(0), np.cov(x.T, bias=True)
    hessian = x.T @ x / len(x)
    np.testing.assert_allclose(hessian, sigma + np.outer(mean, mean), atol=1e-12)
    old, new = np.linalg.eigvalsh(sigma), np.linalg.eigvalsh(hessian)
    square = mean @ mean
    assert square + mean @ sigma @ mean / square <= new[-1] <= square + old[-1]
    assert (old <= new + 1e-12).all() and (new[:-1] <= old[1:] + 1e-12).all()


def test_standardised_inputs_have_the_correlations_as_hessian(regression, page):
    x, _ = regression
    x_hat = page["standardise"](x)
    np.testing.assert_allclose(x_hat.T @ x_hat / len(x), np.corrcoef(x.T), atol=1e-12)
    two = page["standardise"](x[:, :2])
    r = np.corrcoef(two.T)[0, 1]
    values = np.linalg.eigvalsh(two.T @ two / len(two))
    assert values[1] / values[0] == pytest.approx((1 + abs(r)) / (1 - abs(r)))


def test_both_whitenings_whiten(regression, page):
    x, _ = regression
    sigma = np.cov(x.T, bias=True)
    values, u = np.linalg.eigh(sigma)
    pca = np.diag(values**-0.5) @ u.T
    zca = u @ np.diag(values**-0.5) @ u.T
    for w in (pca, zca):
        np.testing.assert_allclose(w @ sigma @ w.T, np.eye(4), atol=1e-10)
        np.testing.assert_allclose(w.T @ w, np.linalg.inv(sigma), rtol=1e-8)
    np.testing.assert_allclose(zca @ zca, np.linalg.inv(sigma), rtol=1e-8)
    np.testing.assert_allclose(page["whiten"](x), (x - x.mean(0)) @ zca.T, atol=1e-10)


def test_whitening_from_a_batch_spoils_new_data():
    d, m = 300, 1200
    values = np.linalg.eigvalsh(
        np.cov(np.random.default_rng(12).normal(size=(m, d)).T, bias=True)
    )
    root = np.sqrt(d / m)
    law = ((1 + root) / (1 - root)) ** 2
    assert values[-1] / values[0] == pytest.approx(law, rel=0.1)


@pytest.mark.parametrize("count", [50, 500])
def test_a_standard_deviation_is_known_to_one_over_root_2m(count):
    sds = np.random.default_rng(13).normal(size=(20_000, count)).std(axis=1)
    assert sds.std() == pytest.approx(1 / np.sqrt(2 * count), rel=0.03)


def test_moments_after_a_relu():
    sigma = 1.7
    density = stats.norm(0, sigma).pdf
    first, second = (
        integrate.quad(lambda z, p=p: z**p * density(z), 0, 40)[0] for p in (1, 2)
    )
    assert first == pytest.approx(sigma / np.sqrt(2 * np.pi))
    assert second == pytest.approx(sigma**2 / 2)
    assert first**2 / (second - first**2) == pytest.approx(1 / (np.pi - 1))


def test_a_layer_multiplies_the_second_moment():
    generator = torch.Generator().manual_seed(14)
    n, variance = 32, 0.1
    z = torch.randn(200, n, generator=generator)
    w = variance**0.5 * torch.randn(2000, n, 8, generator=generator)
    after = (z.relu() @ w).square().mean()
    assert after / z.square().mean() == pytest.approx(n * variance / 2, rel=0.05)


def test_subtracting_the_mean_centres_the_inputs_implicitly():
    rng = np.random.default_rng(15)
    a, w = rng.normal(2, 1, size=(30, 5)), rng.normal(size=5)
    np.testing.assert_allclose(a @ w - (a @ w).mean(), (a - a.mean(0)) @ w)


# Claims


@pytest.mark.parametrize("seed", [21, 22])
def test_three_bowls_on_other_data(page, seed):
    rng = np.random.default_rng(seed)
    raw = [3.0, 1.0] + rng.normal(size=(400, 2)) @ page["mix"].T * [2.0, 0.7]
    y = raw @ [0.5, -0.6] + 0.3 * rng.normal(size=400)
    steps, kappa, rates = {}, {}, {}
    inputs = {
        "raw": raw,
        "standardised": page["standardise"](raw),
        "whitened": page["whiten"](raw),
    }
    for name, x in inputs.items():
        target = y if name == "raw" else y - y.mean()
        hessian = x.T @ x / len(x)
        low, *_, high = np.linalg.eigvalsh(hessian)
        kappa[name], rates[name] = high / low, 2 / (high + low)
        best = np.linalg.solve(hessian, x.T @ target / len(x))
        for rate in ("own", "raw"):
            eta = rates[name if rate == "own" else "raw"]
            error = page["descend"](x, target, eta, 1500) - best
            excess = np.einsum("ti,ij,tj->t", error, hessian, error)
            steps[name, rate] = np.argmax(excess < 1e-4 * excess[0])
    assert kappa["raw"] > 5 * kappa["standardised"] > 5 * kappa["whitened"]
    assert steps["whitened", "own"] == 1
    assert steps["raw", "own"] > 4 * steps["standardised", "own"]
    # At one common rate little is left of the gain.
    assert steps["standardised", "raw"] > 2 * steps["standardised", "own"]


def test_centring_and_scaling_pay_and_whitening_adds_little():
    found = printed("why_normalise", "SEEDS, D, HIDDEN", names=BASE)
    original, found["SEEDS"] = found["make_data"], 1  # the cell runs all it has
    found = printed("why_normalise", "def run(how, widest_only", names=found)
    found["SEEDS"] = 3
    found["make_data"] = lambda seed, widest: original(seed + 31, widest)
    runs = {
        how: found["run"](how, False) for how in ("raw", "standardised", "whitened")
    }
    end = {how: np.median(run["curves"][-1]) for how, run in runs.items()}
    assert runs["standardised"]["rate"] >= 4 * runs["raw"]["rate"]
    assert end["raw"] > 2 * end["standardised"]
    assert end["standardised"] < 2 * end["whitened"]
    assert (runs["raw"]["test"] > runs["standardised"]["test"]).all()


@pytest.mark.parametrize("seed", [41, 42])
def test_he_keeps_the_second_moment_and_not_the_spread_of_a_unit(seed):
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(512, 20, generator=generator)
    sizes, rms, sd = [20] + [64] * 10, [], []
    for inputs, outputs in pairwise(sizes):
        nets = [
            torch.randn(inputs, outputs, generator=generator) * (2 / inputs) ** 0.5
            for _ in range(8)
        ]
        z = a @ torch.stack(nets)
        rms.append(z.square().mean((1, 2)).sqrt().median())
        sd.append(z.std(1, correction=0).mean(1).median())
        a = z.relu()
    assert 0.5 < rms[-1] / rms[0] < 2
    assert sd[-1] < 0.7 * sd[0]
