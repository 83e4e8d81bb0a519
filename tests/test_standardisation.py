"""Weight standardisation: what a row forgets, and its length."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import bnlib


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 100), st.floats(-100, 100))
def test_scale_and_shift_of_a_row_do_not_matter(seed, scale, shift):
    rng = np.random.default_rng(seed)
    v, dw = rng.normal(size=(2, 4, 3, 5))
    gamma = rng.normal(size=4)
    w, cache = bnlib.weight_standardisation(v, gamma, eps=0)
    np.testing.assert_allclose(w.mean((1, 2)), 0, atol=1e-14)
    np.testing.assert_allclose(w.std((1, 2)), np.abs(gamma))
    other, _ = bnlib.weight_standardisation(scale * v + shift, gamma, eps=0)
    np.testing.assert_allclose(other, w, atol=1e-10)
    dv, _ = bnlib.weight_standardisation_backward(dw, cache)
    np.testing.assert_allclose((dv * v).sum((1, 2)), 0, atol=1e-11)
    np.testing.assert_allclose(dv.sum((1, 2)), 0, atol=1e-11)


def test_centred_rows_have_the_direction_of_weight_norm():
    v = np.random.default_rng(1).normal(size=(4, 6))
    v -= v.mean(1, keepdims=True)
    w, _ = bnlib.weight_standardisation(v, None, eps=0)
    expected, _ = bnlib.weight_norm(v, np.full(4, 6**0.5))
    np.testing.assert_allclose(w, expected, atol=1e-14)
