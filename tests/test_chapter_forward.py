"""The chapter "The transform": its equations, and its claims on other seeds."""

import numpy as np
import pytest
import torch
from printed import printed
from torch import nn

import bnlib

pytestmark = pytest.mark.usefixtures("one_thread")
EPS = 1e-3


@pytest.fixture
def batch():
    """A batch, gamma of both signs, beta."""
    rng = np.random.default_rng(11)
    x = rng.normal(2, 3, size=(7, 4))
    return x, np.array([1.5, -0.7, 2.0, 0.3]), rng.normal(size=4)


# Equations


def test_the_transform_as_printed(batch):
    x, gamma, beta = batch
    N = len(x)
    mu = sum(x[n] for n in range(N)) / N
    v = sum((x[n] - mu) ** 2 for n in range(N)) / N
    x_hat = (x - mu) / np.sqrt(v + EPS)
    y = gamma * x_hat + beta
    found, cache = bnlib.batch_norm(x, gamma, beta, eps=EPS)
    np.testing.assert_allclose(found, y, rtol=1e-12)
    np.testing.assert_allclose(cache.mean, mu)
    np.testing.assert_allclose(cache.var, v)
    tensors = map(torch.tensor, (x, gamma, beta))
    xt, gt, bt = tensors
    other = nn.functional.batch_norm(xt, None, None, gt, bt, training=True, eps=EPS)
    np.testing.assert_allclose(other, y, rtol=1e-10)
    np.testing.assert_allclose(y.mean(0), beta, atol=1e-12)
    np.testing.assert_allclose(y.std(0), abs(gamma) * np.sqrt(v / (v + EPS)))


@pytest.mark.parametrize("ratio", [100, 1000])
def test_the_short_formula_loses_digits_as_printed(ratio):
    """Median error over seeds, in units of what the estimate says."""
    unit = np.finfo(np.float32).eps / 2
    errors = []
    for seed in range(40, 80):
        x = np.random.default_rng(seed).normal(ratio, 1, 1024).astype(np.float32)
        short = np.mean(x * x, dtype=np.float32) - np.mean(x, dtype=np.float32) ** 2
        exact = x.astype(np.float64).var()
        errors.append(abs(short - exact) / exact)
    assert 0.1 < np.median(errors) / (unit * ratio**2) < 10


def test_merging_as_printed():
    rng = np.random.default_rng(12)
    a, b = rng.normal(0, 1, 5), rng.normal(4, 2, 9)
    na, nb, n = 5, 9, 14
    delta = b.mean() - a.mean()
    mean = a.mean() + delta * nb / n
    var = (na * a.var() + nb * b.var()) / n + delta**2 * na * nb / n**2
    both = np.concatenate([a, b])
    assert mean == pytest.approx(both.mean()) and var == pytest.approx(both.var())
    assert mean == pytest.approx((na * a.mean() + nb * b.mean()) / n)
    around = na * a.var() + na * (a.mean() - both.mean()) ** 2
    assert ((a - both.mean()) ** 2).sum() == pytest.approx(around)
    assert a.mean() - both.mean() == pytest.approx(-delta * nb / n)
    assert b.mean() - both.mean() == pytest.approx(delta * na / n)
    moments = [(np.array([c.mean()]), np.array([c.var()]), len(c)) for c in (a, b)]
    for found, expected in zip(
        bnlib.merge_moments(*moments), (mean, var, n), strict=True
    ):
        assert float(np.squeeze(found)) == pytest.approx(expected)


@pytest.mark.parametrize(("name", "kurtosis"), [("normal", 3), ("exponential", 9)])
def test_noise_and_bias_of_the_statistics(name, kurtosis):
    M = 64
    draw = getattr(np.random.default_rng(13), f"standard_{name}")
    x = draw((40_000, M))
    assert x.mean(1).std() == pytest.approx(1 / np.sqrt(M), rel=0.03)
    v = x.var(1)
    assert v.std() == pytest.approx(np.sqrt((kurtosis - 1) / M), rel=0.05)
    assert v.mean() == pytest.approx((M - 1) / M, rel=0.01)


def test_running_statistics_as_printed():
    rng = np.random.default_rng(14)
    m, M = 0.2, 6
    r, s = np.zeros(3), np.ones(3)
    layer = nn.BatchNorm1d(3, momentum=m, dtype=torch.float64)
    means = []
    for _ in range(5):
        x = rng.normal(1, 2, size=(M, 3))
        layer(torch.tensor(x))
        means.append(x.mean(0))
        r, s = (1 - m) * r + m * x.mean(0), (1 - m) * s + m * M / (M - 1) * x.var(0)
    np.testing.assert_allclose(layer.running_mean, r)
    np.testing.assert_allclose(layer.running_var, s)
    t = len(means)
    unrolled = m * sum((1 - m) ** k * means[t - 1 - k] for k in range(t))
    np.testing.assert_allclose(r, unrolled)  # r starts at zero
    weights = m * (1 - m) ** np.arange(2000)
    assert (weights**2).sum() == pytest.approx(m / (2 - m))
    assert (weights * np.arange(2000)).sum() == pytest.approx((1 - m) / m)


def test_inference_is_affine_and_folds(batch):
    x, gamma, beta = batch
    rng = np.random.default_rng(15)
    r, s = rng.normal(size=4), rng.uniform(0.1, 2, 4)
    a = gamma / np.sqrt(s + EPS)
    c = beta - a * r
    found = bnlib.batch_norm_inference(x, gamma, beta, r, s, eps=EPS)
    np.testing.assert_allclose(found, a * x + c)
    W, b, u = rng.normal(size=(4, 3)), rng.normal(size=4), rng.normal(size=3)
    W2, b2 = np.diag(a) @ W, beta + a * (b - r)
    np.testing.assert_allclose(W2 @ u + b2, a * (W @ u + b) + c)
    folded = bnlib.fold_batch_norm(W, b, gamma, beta, r, s, eps=EPS)
    np.testing.assert_allclose(folded[0], W2)
    np.testing.assert_allclose(folded[1], b2)


def test_statistics_of_images_run_over_all_but_the_channel():
    x = np.random.default_rng(16).normal(size=(3, 2, 4, 5))
    _, cache = bnlib.batch_norm(x, None, None)
    M = 3 * 4 * 5
    for c in range(2):
        values = [x[n, c, h, w] for n in range(3) for h in range(4) for w in range(5)]
        mean = sum(values) / M
        assert len(values) == M and cache.mean[c] == pytest.approx(mean)
        assert cache.var[c] == pytest.approx(sum((v - mean) ** 2 for v in values) / M)


# Claims


@pytest.fixture(scope="module")
def spirals():
    """The chapter's experiment on two other seeds and fewer rates."""
    # The cell runs all it has: give it little at first.
    few = {"range": lambda *ends: [99] if ends == (8,) else range(*ends)}
    names = {"np": np, "torch": torch, **few}
    return printed("forward", "from itertools import pairwise", names=names)["train"]


def test_batch_norm_on_the_spirals(spirals):
    rates, seeds = [0.1, 0.3, 1.0], (21, 22)
    runs = {
        (name, bn): spirals(bn, activation, rates, seeds)[0]
        for name, activation in (("ReLU", torch.relu), ("tanh", torch.tanh))
        for bn in (False, True)
    }
    speed = {key: run.mean((0, 2)).max() for key, run in runs.items()}
    assert speed["ReLU", True] > speed["ReLU", False] + 5  # faster with ReLU
    assert speed["tanh", True] < speed["tanh", False]  # and not with tanh
    for name in ("ReLU", "tanh"):  # larger rates with both
        assert runs[name, True][-1, 2].mean() > runs[name, False][-1, 2].mean() + 20
    ends = [runs["ReLU", bn][-1].mean(1).max() for bn in (False, True)]
    assert abs(ends[0] - ends[1]) < 5  # higher accuracy: not supported


@pytest.mark.parametrize("seed", [31, 32])
def test_one_sample_depends_on_its_batch_in_training_only(seed):
    rng = np.random.default_rng(seed)
    spread = {}
    for size in (4, 256):
        x = rng.standard_normal((size, 400))
        x[0] = 1.0
        spread[size] = bnlib.batch_norm(x, None, None)[0][0].std()
    assert spread[4] > 4 * spread[256]
    mean, var = np.zeros(400), np.ones(400)
    y = bnlib.batch_norm_inference(x, None, None, mean, var)
    assert y[0].std() == 0
    shifted = rng.normal(1, 2, (2000, 400))  # one sd higher, twice as wide
    y = bnlib.batch_norm_inference(shifted, None, None, mean, var)
    assert y.mean() == pytest.approx(1, abs=0.1) and y.std() == pytest.approx(2, 0.05)
    y, _ = bnlib.batch_norm(shifted, None, None)
    assert abs(y.mean()) < 1e-6 and y.std() == pytest.approx(1, 1e-3)


@pytest.mark.parametrize("seed", [33, 34])
def test_a_small_momentum_is_smooth_and_late(seed):
    rng = np.random.default_rng(seed)
    error = {}
    for m in (0.5, 0.1, 0.01):
        r, s = np.zeros(200), np.ones(200)
        for t in range(400):
            _, cache = bnlib.batch_norm(rng.normal(2, 2, (32, 200)), None, None)
            r, s = bnlib.update_running(r, s, cache, momentum=m)
            if t == 29:
                error[m, "early"] = abs(r.mean() - 2)
        error[m, "noise"] = r.std()
    assert error[0.01, "early"] > 1 > 10 * error[0.1, "early"]
    assert error[0.5, "noise"] > 1.5 * error[0.1, "noise"] > 3 * error[0.01, "noise"]
