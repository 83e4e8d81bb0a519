"""Spectral norm: exact, by power iteration, and as PyTorch has it."""

import numpy as np
import pytest
import torch
from torch.nn.utils.parametrizations import spectral_norm

import bnlib


@pytest.fixture
def w():
    return np.random.default_rng(3).normal(size=(5, 3, 2, 4))


def largest(w):
    return np.linalg.norm(w.reshape(len(w), -1), 2)


def test_the_largest_singular_value_is_one(w):
    y, cache = bnlib.spectral_norm(7 * w)
    assert largest(y) == pytest.approx(1)
    assert cache.sigma == pytest.approx(7 * largest(w))
    for vector in (cache.u, cache.v):
        assert np.linalg.norm(vector) == pytest.approx(1)


def test_power_iteration_comes_from_below_and_arrives(w):
    u, found = np.ones(5), []
    for _ in range(100):
        y, cache = bnlib.spectral_norm(w, u)
        u = cache.u
        found.append(float(cache.sigma))
    assert np.all(np.diff(found) > -1e-12) and found[0] < 0.99 * largest(w)
    exact, _ = bnlib.spectral_norm(w)
    np.testing.assert_allclose(y, exact, rtol=1e-9)


def test_length_of_the_estimate_does_not_matter(w):
    u = np.arange(1.0, 6)
    np.testing.assert_allclose(
        bnlib.spectral_norm(w, u)[0], bnlib.spectral_norm(-9 * w, u / 7)[0] * -1
    )


def test_gradient_does_not_lengthen_the_longest_direction(w):
    _, cache = bnlib.spectral_norm(w)
    dw = bnlib.spectral_norm_backward(np.cos(w), cache)
    assert abs((dw * w).sum()) < 1e-12  # scale invariance
    dy = np.outer(cache.u, cache.v).reshape(w.shape)
    along = bnlib.spectral_norm_backward(dy, cache)
    assert abs((along * dy).sum()) < 1e-12


def test_a_step_of_pytorchs_parametrisation():
    """PyTorch begins a step with v where the paper begins with u: W transposed."""
    rng = np.random.default_rng(4)
    w, dy = rng.normal(size=(2, 5, 7))
    layer = torch.nn.Linear(7, 5, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(w))
    torch.manual_seed(0)
    spectral_norm(layer)
    hidden = layer.parametrizations.weight
    start = hidden[0]._v.numpy().copy()
    expected = layer.weight  # training mode: one step of power iteration
    expected.backward(torch.tensor(dy))
    y, cache = bnlib.spectral_norm(w, start, axis=1)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(cache.v, hidden[0]._u.numpy(), rtol=1e-10)
    gradient = bnlib.spectral_norm_backward(dy, cache)
    np.testing.assert_allclose(gradient, hidden.original.grad.numpy(), rtol=1e-10)
