"""The chapter on mechanisms: its equations, and what its experiments claim."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import digamma
from torch import nn

import bnlib
from experiments import mechanisms as lab
from experiments.data import digits
from experiments.models import mlp

pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (101, 202)  # the chapter uses small numbers


def loss_of_weights(rng):
    """A loss of one unit's weights before bnlib's batch norm, and its gradient."""
    u, target = rng.normal(size=(64, 6)), rng.normal(size=(64, 1))
    gamma, beta = np.array([1.7]), np.array([-0.3])

    def loss(w):
        y, cache = bnlib.batch_norm(u @ w[:, None], gamma, beta, eps=1e-12)
        dh, _, _ = bnlib.batch_norm_backward((y - target) ** 3, cache)
        return ((y - target) ** 4).sum() / 4, (u.T @ dh)[:, 0]

    return loss


class TestEquations:
    def test_invariance_and_its_derivatives(self):
        """Equations invariance and euler."""
        rng = np.random.default_rng(0)
        loss, w = loss_of_weights(rng), rng.normal(size=6)
        value, grad = loss(w)
        for a in (0.2, 5.0):
            scaled, scaled_grad = loss(a * w)
            assert scaled == pytest.approx(value)
            np.testing.assert_allclose(scaled_grad, grad / a)
        assert abs(w @ grad) < 1e-9 * np.linalg.norm(w) * np.linalg.norm(grad)

    @pytest.mark.parametrize("c", [0.3, 4.0])
    def test_other_units(self, c):
        """Equation rescale."""
        rng = np.random.default_rng(1)
        loss, w = loss_of_weights(rng), rng.normal(size=6)
        rate, decay, other = 0.01, 0.5, c * w
        for _ in range(30):
            w = (1 - rate * decay) * w - rate * loss(w)[1]
            other = (1 - rate * decay) * other - c**2 * rate * loss(other)[1]
        np.testing.assert_allclose(other, c * w, rtol=1e-6)
        assert (c**2 * rate) * (decay / c**2) == pytest.approx(rate * decay)

    def test_decay_is_a_rising_rate(self):
        """Equation rising."""
        rng = np.random.default_rng(2)
        loss, w = loss_of_weights(rng), rng.normal(size=6)
        v, rate, decay = w, 0.01, 0.5
        alpha = 1 - rate * decay
        for t in range(40):
            w = alpha * w - rate * loss(w)[1]
            v = v - rate * alpha ** (-2 * t - 1) * loss(v)[1]
            np.testing.assert_allclose(w, alpha ** (t + 1) * v, rtol=1e-6)

    def test_the_fourth_power(self):
        """Equations fourth and adagrad, from the exact recursion pythagoras."""
        rate, decay, drive = 0.1, 0.02, 3.0
        square, path = 4.0, []
        for _ in range(3000):
            path.append(square**2)
            square = (1 - rate * decay) ** 2 * square + rate**2 * drive / square
        limit = rate * drive / (2 * decay)
        steps = np.arange(3000)
        closed = limit + (16 - limit) * np.exp(-4 * rate * decay * steps)
        np.testing.assert_allclose(path, closed, rtol=0.03)
        square, squares = 0.5, np.random.default_rng(3).uniform(0.1, 2, 20000)
        for one in squares:
            square += rate**2 * one / square
        assert rate / square == pytest.approx(1 / np.sqrt(2 * squares.sum()), rel=0.01)

    @pytest.mark.parametrize("z", [0.0, 0.7, -1.5])
    def test_noise_and_shift(self, z):
        """Equations variance and shift, by simulation."""
        rng, size = np.random.default_rng(4), 200
        batch = rng.standard_normal((60000, size))
        batch[:, 0] = z
        xhat = (z - batch.mean(1)) / batch.std(1)
        assert size * xhat.var() == pytest.approx(1 + z**2 / 2, rel=0.04)
        error = 3 * xhat.std() / 60000**0.5 * size
        shift = size * (xhat.mean() - z)
        assert shift == pytest.approx(0.75 * z - z**3 / 2, abs=error + 0.06)

    def test_noise_of_a_skewed_feature(self):
        """Equation variance with skewness 2 and kurtosis 9."""
        rng, size, z = np.random.default_rng(5), 400, -0.5
        batch = rng.standard_exponential((20000, size)) - 1
        batch[:, 0] = z
        xhat = (z - batch.mean(1)) / batch.std(1)
        assert size * xhat.var() == pytest.approx(1 + 2 * z + 2 * z**2, rel=0.06)

    def test_the_penalty(self):
        """Equation penalty: exact for a loss that is quadratic in y."""
        rng = np.random.default_rng(6)
        noise = 0.2 * rng.standard_normal(200000)
        gamma, z = 1.3, 0.4
        mean = ((gamma * (z + noise) - 2) ** 2).mean()
        taylor = (gamma * z - 2) ** 2 + gamma**2 * noise.var()  # l'' = 2
        assert mean == pytest.approx(taylor, rel=0.01)

    def test_rate_of_relu_and_of_straight_lines(self):
        """Equations rate, relu, hermite."""
        z = np.linspace(-12, 12, 200001)
        weight = np.exp(-(z**2) / 2)
        weight /= weight.sum()

        def rate(value):
            slope = np.gradient(value, z)
            variance = weight @ value**2 - (weight @ value) ** 2
            return weight @ slope**2 / variance

        assert rate(np.maximum(z, 0)) == pytest.approx(np.pi / (np.pi - 1), rel=1e-3)
        assert rate(3 * z - 1) == pytest.approx(1)
        for degree, h in ((2, z**2 - 1), (3, z**3 - 3 * z)):
            assert rate(h) == pytest.approx(degree, rel=1e-3)
        for value in (np.tanh(z), np.sin(5 * z), np.exp(-z * z)):
            assert rate(value) > 1

    @pytest.mark.parametrize("size", [6, 10, 40])
    def test_linear_layers_with_a_finite_batch(self, size):
        """Equation linear: one layer, isotropic pre-activations and gradients."""
        rng = np.random.default_rng(7)
        n = 40000  # units
        h = rng.standard_normal((size, n))
        h = h - h.mean(0)
        h *= np.sqrt(size / (size - 1))  # mean square of the next layer: 1
        d = rng.standard_normal((size, n))
        d -= d.mean(0)
        _, cache = bnlib.batch_norm(h, None, None, eps=1e-12)
        dx, _, _ = bnlib.batch_norm_backward(d, cache)
        growth = (dx**2).sum() / (d**2).sum()
        assert growth == pytest.approx((size - 2) / (size - 3), rel=0.03)

    def test_the_quoted_rate_tends_to_the_derived_one(self):
        """Equation finite, second part."""
        for size, bound in ((100, 0.03), (10000, 3e-4)):
            c = -1 / (size - 1)
            slope = (np.pi - np.arccos(c)) / np.pi
            kernel = np.sqrt(1 - c**2) / np.pi + slope * c
            rate = ((size - 1 + slope) / (1 - kernel) - 1) / (size - 3)
            assert 0 < rate - np.pi / (np.pi - 1) < bound

    def test_residual_product(self):
        """Equation product: its power law has the exponent pi / (pi - 1)."""
        growth = 1 - 1 / np.pi
        v = 1 + growth * np.arange(20001)
        logs = np.cumsum(np.log1p(1 / v[:-1]))
        slope = (logs[-1] - logs[200]) / np.log(v[20000] / v[201])
        assert slope == pytest.approx(np.pi / (np.pi - 1), rel=2e-3)

    def test_rank_bound(self):
        """Equation rank, for the output of bnlib's batch norm."""
        rng = np.random.default_rng(8)
        for latent in (1, 3, 20):
            x = rng.normal(size=(50, latent)) @ rng.normal(size=(latent, 20))
            x += 0.05 * rng.normal(size=x.shape)
            h = bnlib.batch_norm(x, None, None, eps=1e-12)[0].T
            values = np.linalg.eigvalsh(h @ h.T / 50)
            assert values.sum() == pytest.approx(20)
            for tau in (0.1, 0.5, 0.9):
                bound = (1 - tau) ** 2 * lab.soft_rank(h)
                assert (values >= tau).sum() >= bound
        assert lab.soft_rank(np.outer(range(1, 4), range(5))) == pytest.approx(1)
        assert lab.soft_rank(np.eye(6)) == pytest.approx(6)

    def test_lyapunov_gap(self):
        """Equation lyapunov, with many small networks."""
        slopes, width = [], 8
        for seed in range(40):
            options = dict(width=width, depth=120, norm=False, looks=(20, 120))
            _, values = lab.ranks(seed, **options)
            ratio = np.log(values[:, 1] / values[:, 0])
            slopes.append((ratio[1] - ratio[0]) / 100)
        expected = -(digamma(width / 2) - digamma((width - 1) / 2)) / 2
        error = np.std(slopes) / len(slopes) ** 0.5
        assert np.mean(slopes) == pytest.approx(expected, abs=3 * error)
        assert error < 0.1 * abs(expected)
        for d, close in ((8, 0.25), (200, 0.01)):
            gap = -(digamma(d / 2) - digamma((d - 1) / 2)) / 2
            assert gap == pytest.approx(-1 / (2 * d), rel=close)


class TestExperiments:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_decay_and_its_substitutes_train_alike(self, seed):
        run = partial(lab.trajectory, [seed], steps=60)
        alpha = 1 - 0.2 * 0.02
        loss, norm = run(rate=0.2, decay=0.02)
        rising, grown = run(rate=lambda t: 0.2 * alpha ** (-2 * t - 1))
        units, _ = run(rate=3.2, decay=0.00125, scale=4)
        neither, _ = run(rate=0.2)
        np.testing.assert_allclose(rising, loss, rtol=1e-10)
        np.testing.assert_allclose(units, loss, rtol=1e-10)
        assert abs(neither - loss).max() > 1e-3
        np.testing.assert_allclose(norm, alpha ** np.arange(60) * grown)

    def test_lengths_settle_where_predicted_and_grow_without_decay(self):
        settings = (0.5, 2e-2, 0.5), (0.5, 2e-2, 2.0), (0.5, 0.0, 1.0)
        *runs, free = lab.norm_dynamics(SEEDS, settings, steps=500)
        ends = []
        for run in runs:
            late = {name: run[name][:, -20:].mean(1) for name in ("fourth", "drive")}
            expected = 0.5 * late["drive"] / (2 * 2e-2)
            np.testing.assert_allclose(late["fourth"], expected, rtol=0.3)
            ends.append(late["fourth"])
        np.testing.assert_allclose(*ends, rtol=0.3)
        assert (np.diff(free["fourth"], axis=1) > 0).all()

    def test_initial_scale_matters_less(self):
        scales, rates = (0.1, 1, 10), (0.1, 1.0)
        plain, bn = (
            lab.initial_scales(SEEDS, scales, rates, norm=norm, steps=120)
            .mean(2)
            .max(axis=1)
            for norm in (False, True)
        )
        assert plain[1] > 85 and plain[0] < 30 and plain[2] < 30
        assert bn.min() > 80

    def test_noise_helps_against_wrong_labels_only(self):
        gain = {}
        for wrong in (0.0, 0.3):
            best = []
            for size in (4, 64):
                options = dict(wrong=wrong, width=48, steps=200)
                found = lab.ghost_accuracy(SEEDS, (0.03, 0.1, 0.3), size, **options)
                best.append(found["test"][found["validation"].mean(1).argmax()].mean())
            gain[wrong] = best[0] - best[1]
        assert gain[0.3] > 2
        assert abs(gain[0.0]) < 2

    @pytest.mark.parametrize("seed", SEEDS)
    def test_gradients_explode_with_batch_norm_only(self, seed):
        relu = partial(lab.explosion_rate, seed, activation=torch.relu)
        assert relu() == pytest.approx(np.pi / (np.pi - 1), rel=0.05)
        assert relu(norm=False) == pytest.approx(1, abs=0.06)
        assert relu(batch=8) == pytest.approx(1.79, rel=0.06)
        linear = lab.explosion_rate(seed, activation=lambda z: z, batch=8)
        assert linear == pytest.approx(6 / 5, rel=0.06)
        sigmoid = partial(lab.explosion_rate, seed, activation=torch.sigmoid, gain=1)
        assert sigmoid(norm=False) < 0.1 and 0.97 < sigmoid() < 1.1

    @pytest.mark.parametrize("seed", SEEDS)
    def test_residual_growth(self, seed):
        square, variance, slope = lab.residual_growth(seed, blocks=30)
        v = 1 + (1 - 1 / np.pi) * np.arange(31)
        assert square[-1] == pytest.approx(31, rel=0.1)
        np.testing.assert_allclose(variance, v, rtol=0.1)
        assert slope[0] == pytest.approx(np.prod(1 + 1 / v[:-1]), rel=0.15)
        square, _, slope = lab.residual_growth(seed, blocks=30, norm=False)
        assert np.log2([square[-1], slope[0]]) == pytest.approx([30, 30], abs=3)

    def test_which_deep_networks_train(self):
        def best(**kind):
            rates = (0.03, 0.1, 0.3)
            return lab.trainable_depth(SEEDS, rates, 30, steps=70, **kind).mean(1).max()

        bn_alone = best(norm=True, residual=False)
        assert best(norm=False, residual=False) < 50
        assert best(norm=False, residual=True) < 30
        assert best(norm=True, residual=True) > max(90, bn_alone + 20)
        assert best(norm=False, residual=True, branch=30**-0.5) > 85

    @pytest.mark.parametrize("seed", SEEDS)
    def test_rank(self, seed):
        options = dict(width=24, depth=240, looks=(240,))
        for relu in (False, True):
            assert lab.ranks(seed, norm=False, relu=relu, **options)[0][0] < 1.2
            for spread in (None, 1e-3):
                run = lab.ranks(seed, norm=True, relu=relu, spread=spread, **options)
                assert run[0][0] > 0.7 * 24**0.5
        options = dict(width=24, depth=240, norm=True, looks=(3, 240))
        soft, _ = lab.ranks(seed, spread=0.0, **options)
        assert soft[0] == pytest.approx(1)
        assert soft[1] > 0.7 * 24**0.5  # from rounding errors

    def test_gamma_and_beta_beat_as_many_random_weights(self):
        rates = (1.0, 3.0, 10.0)
        found = {
            which: lab.few_parameters(SEEDS, rates, which, steps=200)
            for which in ("affine", "random")
        }
        assert found["affine"]["count"] == found["random"]["count"] == 2 * 3 * 64
        best = {name: run["train"].mean(1).max() for name, run in found.items()}
        assert best["affine"] > best["random"] > 40


class TestExperimentCode:
    def test_standardise_is_batch_norm_and_ghost_batch_norm(self):
        z = torch.randn(3, 12, 5, dtype=torch.float64)
        for k in range(3):
            whole, _ = bnlib.batch_norm(z[k].numpy(), None, None)
            parts, _ = bnlib.ghost_batch_norm(z[k].numpy(), None, None, ghost_size=4)
            first, _ = bnlib.batch_norm(z[k, :7].numpy(), None, None)
            np.testing.assert_allclose(lab.standardise(z)[k], whole)
            np.testing.assert_allclose(lab.standardise(z, group=4)[k], parts)
            other = lab.standardise(z, reference=7)[k, :7]
            np.testing.assert_allclose(other, first)

    def test_a_stacked_network_is_a_network(self):
        runs = lab.initialise((64, 16, 16, 10), [3, 4])
        data = digits()
        model = mlp((64, 16, 16, 10))
        linear = [layer for layer in model if isinstance(layer, nn.Linear)]
        with torch.no_grad():
            for layer, w in zip(linear, runs.weights, strict=True):
                layer.weight.copy_(w[1].T)
            linear[-1].bias.zero_()
            expected = model(data.x[:50])
            found = lab.network(data.x[:50], runs)[1]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)

    def test_each_run_learns_with_its_own_rate(self):
        data = digits()
        runs = lab.initialise((64, 8, 10), [5, 6], copies=2)
        before = [w.clone() for w in runs.weights]
        lab.train_many(data, runs, (0.0, 0.1), [5, 6], steps=3, batch=16)
        for w, old in zip(runs.weights, before, strict=True):
            assert torch.equal(w[:2], old[:2]) and not torch.equal(w[2:], old[2:])
        alone = lab.initialise((64, 8, 10), [6])
        lab.train_many(data, alone, (0.1,), [6], steps=3, batch=16)
        torch.testing.assert_close(alone.weights[0][0], runs.weights[0][3])
