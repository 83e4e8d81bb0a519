"""A folded layer computes what layer and batch norm at inference compute."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from norms import DTYPES, EPS, assert_close, both_signs, tensor

import bnlib

LAYERS = {  # function, shape of x, shape of w
    "linear": (F.linear, (7, 4), (5, 4)),
    "conv1d": (F.conv1d, (3, 4, 9), (5, 4, 3)),
    "conv2d": (F.conv2d, (2, 3, 9, 8), (5, 3, 2, 4)),
}


def parameters(channels, seed, dtype=np.float64):
    """Return bias, gamma, beta, running mean and running variance."""
    rng = np.random.default_rng(seed)
    return [
        a.astype(dtype)
        for a in (
            rng.normal(size=channels),
            both_signs(rng, (channels,)),
            rng.normal(size=channels),
            rng.normal(size=channels),
            rng.uniform(0.2, 3, channels),
        )
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("absent", [(), (0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("layer", LAYERS)
def test_torch(layer, absent, dtype):
    function, shape, w_shape = LAYERS[layer]
    dtype, tolerance = DTYPES[dtype]
    rng = np.random.default_rng(8)
    w = rng.normal(size=w_shape).astype(dtype)
    given = parameters(w_shape[0], 9, dtype)
    for i in absent:
        given[i] = None
    copies = [w.copy(), *(a if a is None else a.copy() for a in given)]

    w2, b2 = bnlib.fold_batch_norm(w, *given, eps=EPS)
    assert w2.dtype == b2.dtype == dtype
    assert w2.shape == w.shape and b2.shape == (w_shape[0],)
    for array, copy in zip((w, *given), copies, strict=True):
        assert (array is None) or (array == copy).all()

    x = torch.from_numpy(rng.normal(size=shape))
    b, gamma, beta, mean, var = (a if a is None else tensor(a) for a in given)
    expected = F.batch_norm(function(x, tensor(w), b), mean, var, gamma, beta, eps=EPS)
    actual = function(x, tensor(w2), tensor(b2))
    # Rounded weights meet in a sum.
    assert_close(actual, expected, tolerance * (1 if dtype == np.float64 else 3))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_fold_equals_unfolded(outputs, inputs, seed):
    rng = np.random.default_rng(seed)
    w, x = rng.normal(size=(outputs, inputs)), rng.normal(size=(7, inputs))
    b, *norm = parameters(outputs, seed)
    w2, b2 = bnlib.fold_batch_norm(w, b, *norm)
    unfolded = bnlib.batch_norm_inference(x @ w.T + b, *norm)
    np.testing.assert_allclose(x @ w2.T + b2, unfolded, atol=1e-12)


def test_default_eps():
    given = np.ones((2, 3)), *parameters(2, 10)
    for actual, expected in zip(
        bnlib.fold_batch_norm(*given),
        bnlib.fold_batch_norm(*given, eps=1e-5),
        strict=True,
    ):
        np.testing.assert_array_equal(actual, expected)
