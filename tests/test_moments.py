"""Merged moments are those of the union."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bnlib


def moments(x):
    return x.mean(0), x.var(0), len(x)


@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=5),
    st.sampled_from([0.0, 1e6]),
    st.integers(0, 2**32 - 1),
)
def test_any_split_gives_the_whole(sizes, offset, seed):
    rng = np.random.default_rng(seed)
    means = rng.normal(offset, 2, (len(sizes), 3))
    parts = [rng.normal(m, 1, (n, 3)) for n, m in zip(sizes, means, strict=True)]
    merged = moments(parts[0])
    for part in parts[1:]:
        merged = bnlib.merge_moments(merged, moments(part))
    mean, var, n = moments(np.concatenate(parts))
    np.testing.assert_allclose(merged[0], mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(merged[1], var, rtol=1e-8)
    assert merged[2] == n and isinstance(merged[2], int)


def test_numbers():
    mean, var, n = bnlib.merge_moments((1.0, 0.0, 1), (4, 0, 2))
    assert (mean, n) == (pytest.approx(3.0), 3)
    assert var == pytest.approx(2.0)


@pytest.mark.parametrize("swap", [False, True])
def test_empty_set_adds_nothing(swap):
    empty, full = (np.full(2, np.nan), np.full(2, np.nan), 0), (*np.ones((2, 2)), 5)
    pair = (full, empty) if swap else (empty, full)
    mean, var, n = bnlib.merge_moments(*pair)
    assert (mean == 1).all() and (var == 1).all() and n == 5


def test_half_precision_is_widened():
    """300² exceeds the largest float16."""
    zeros = np.zeros(1, np.float16)
    a, b = (zeros - 300, zeros, 4), (zeros + 300, zeros, np.int64(4))
    mean, var, n = bnlib.merge_moments(a, b)
    assert (mean, var, n) == (0, 90000, 8)
    assert mean.dtype == var.dtype == np.float32
