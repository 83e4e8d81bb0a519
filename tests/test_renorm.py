"""Batch renormalisation between batch norm and inference."""

import numpy as np
import pytest
from norms import EPS, SMALL, assert_close, torch_gradients

import bnlib


@pytest.fixture
def case():
    norm = SMALL["renorm"]
    x, parameters, dy = norm.inputs()
    return (x, *parameters, *(c.astype(float) for c in norm.constants)), dy


def test_no_correction_is_batch_norm(case):
    inputs, dy = case
    y, cache = bnlib.batch_renorm(*inputs, r_max=1, d_max=0)
    plain, plain_cache = bnlib.batch_norm(*inputs[:3])
    assert_close(y, plain, 1e-14)
    for actual, expected in zip(
        bnlib.batch_renorm_backward(dy, cache),
        bnlib.batch_norm_backward(dy, plain_cache),
        strict=True,
    ):
        assert_close(actual, expected, 1e-13)


def test_no_bounds_is_inference(case):
    inputs, _ = case
    y, _ = bnlib.batch_renorm(*inputs, r_max=np.inf, d_max=np.inf)
    assert_close(y, bnlib.batch_norm_inference(*inputs), 1e-13)


def test_bounds_are_reached_in_some_channels_only(case):
    """Otherwise the comparison with PyTorch would not see a wrong bound."""
    inputs, _ = case
    _, cache = bnlib.batch_renorm(*inputs, r_max=2, d_max=0.5, eps=EPS)
    for value, low, high in ((cache.r, 0.5, 2), (cache.d, -0.5, 0.5)):
        assert value.shape == (5,)
        assert value.min() == low and value.max() == high
        assert ((low < value) & (value < high)).any()


def test_near_running_statistics_with_large_mean():
    """mu - mu_r cancels: both are 1e4 in float32."""
    norm = SMALL["renorm"]
    x, parameters, dy = norm.inputs(np.float32, offset=1e4)
    mean, var = (c.astype(np.float32) for c in norm.constants)
    mean += np.float32(1e4)
    constants = (mean, var)
    y, cache = norm.forward(x, *parameters, *constants)
    results = [y, *bnlib.batch_renorm_backward(dy, cache)]
    expected, gradients = torch_gradients(
        norm.reference, dy, (x, *parameters), constants
    )
    for actual, value in zip(results, [expected, *gradients], strict=True):
        assert_close(actual, value, 1e-5)


def test_update_running_takes_the_batch_statistics(case):
    inputs, _ = case
    _, cache = bnlib.batch_renorm(*inputs, r_max=2, d_max=0.5)
    _, plain = bnlib.batch_norm(*inputs[:3])
    new = bnlib.update_running(*inputs[3:], cache)
    for actual, expected in zip(
        new, bnlib.update_running(*inputs[3:], plain), strict=True
    ):
        assert_close(actual, expected, 1e-15)
