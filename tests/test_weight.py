"""Weight norm: length and direction."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import bnlib


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_only_the_direction_of_v_matters(seed, scale):
    rng = np.random.default_rng(seed)
    v, dw = rng.normal(size=(2, 4, 3, 5))
    g = rng.normal(size=4)
    w, cache = bnlib.weight_norm(v, g)
    np.testing.assert_allclose(np.linalg.norm(w, axis=(1, 2)), np.abs(g))
    np.testing.assert_allclose(bnlib.weight_norm(scale * v, g)[0], w)
    dv, _ = bnlib.weight_norm_backward(dw, cache)
    np.testing.assert_allclose((dv * v).sum((1, 2)), 0, atol=1e-11)
