"""Dynamic tanh: close to a line for small inputs, bounded for large ones."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import bnlib


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 3))
def test_line_in_the_middle_and_bounds_outside(seed, steepness):
    rng = np.random.default_rng(seed)
    x, (gamma, beta) = rng.normal(size=(6, 4)), rng.normal(size=(2, 4))
    alpha = np.array([steepness])
    small, _ = bnlib.dynamic_tanh(1e-6 * x, gamma, beta, alpha)
    np.testing.assert_allclose(
        small - beta, steepness * 1e-6 * x * gamma, rtol=1e-6, atol=1e-14
    )
    large, cache = bnlib.dynamic_tanh(1e12 * np.sign(x), gamma, beta, alpha)
    np.testing.assert_allclose(large, gamma * np.sign(x) + beta)
    dx, *_ = bnlib.dynamic_tanh_backward(np.ones_like(x), cache)
    assert not dx.any()


def test_steepness_and_scale_of_x_are_one_thing():
    """Scaling x is undone by alpha, not by the function."""
    x = np.random.default_rng(1).normal(size=(5, 3))
    alpha = np.array([0.5])
    y, _ = bnlib.dynamic_tanh(x, None, None, alpha)
    np.testing.assert_allclose(bnlib.dynamic_tanh(4 * x, None, None, alpha / 4)[0], y)
    assert np.abs(bnlib.dynamic_tanh(4 * x, None, None, alpha)[0] - y).max() > 0.1
