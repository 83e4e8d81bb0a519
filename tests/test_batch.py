"""Running statistics, inference, and what batch norm must not depend on."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from norms import (
    DTYPES,
    EPS,
    LAYOUTS,
    NORMS,
    assert_close,
    assert_like,
    both_signs,
    per_channel,
    tensor,
    torch_gradients,
)

import bnlib

BATCH = [n for n in NORMS if n.name.startswith("batch")]
every_batch = pytest.mark.parametrize("norm", BATCH, ids=str)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def running(channels, dtype, seed=0):
    rng = np.random.default_rng(seed)
    mean, var = rng.normal(size=channels), rng.uniform(0.3, 2, channels)
    return mean.astype(dtype), var.astype(dtype)


@every_batch
@every_dtype
@pytest.mark.parametrize("momentum", [0.1, 0.75])
def test_running_statistics(norm, dtype, momentum):
    """PyTorch's: momentum weighs the new value, the unbiased variance is stored."""
    dtype, tolerance = DTYPES[dtype]
    axis = norm.forward.keywords["axis"]
    mean, var = running(norm.shape[axis], dtype)
    expected = tensor(mean), tensor(var)
    for seed in range(3):
        x, parameters, _ = norm.inputs(dtype, seed=seed)
        _, cache = norm.forward(x, *parameters)
        old = mean.copy(), var.copy()
        new = bnlib.update_running(mean, var, cache, momentum=momentum)
        np.testing.assert_array_equal((mean, var), old)
        mean, var = new
        per_channel(
            tensor(x),
            axis,
            lambda t: F.batch_norm(t, *expected, training=True, momentum=momentum),
        )
    assert mean.dtype == var.dtype == dtype
    assert_close(mean, expected[0], 3 * tolerance)  # rounded at each of three steps
    assert_close(var, expected[1], 3 * tolerance)


def test_running_statistics_by_definition():
    x = np.array([[1.0, 10.0], [3.0, 20.0], [5.0, 60.0]])
    _, cache = bnlib.batch_norm(x, None, None)
    zeros, ones = np.zeros(2), np.ones(2)
    mean, var = bnlib.update_running(zeros, ones, cache, momentum=0.25)
    np.testing.assert_allclose(mean, 0.25 * np.array([3, 30]), rtol=1e-14)
    np.testing.assert_allclose(var, 0.75 + 0.25 * x.var(0, ddof=1), rtol=1e-14)
    _, var = bnlib.update_running(zeros, ones, cache, unbiased=False)
    np.testing.assert_allclose(var, 0.9 + 0.1 * x.var(0), rtol=1e-14)


@every_batch
@every_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_inference(norm, dtype, layout, offset):
    if offset and dtype in ("float16", "bfloat16"):
        offset = 4.0  # the input itself has no more digits
    dtype, tolerance = DTYPES[dtype]
    axis = norm.forward.keywords["axis"]
    x, (gamma, beta), dy = norm.inputs(dtype, offset)
    x, dy = LAYOUTS[layout](x), LAYOUTS[layout](dy)
    mean, var = running(norm.shape[axis], dtype)
    mean = (mean + offset).astype(dtype)
    copies = [a.copy() for a in (x, gamma, beta, mean, var, dy)]

    def reference(x, gamma, beta, mean, var):
        return per_channel(
            x, axis, lambda t: F.batch_norm(t, mean, var, gamma, beta, eps=EPS)
        )

    expected, gradients = torch_gradients(reference, dy, (x, gamma, beta), (mean, var))
    options = {"axis": axis, "eps": EPS}
    y = bnlib.batch_norm_inference(x, gamma, beta, mean, var, **options)
    assert_like(y, x)
    assert_close(y, expected, tolerance)
    results = bnlib.batch_norm_inference_backward(dy, x, gamma, mean, var, **options)
    for result, gradient, source in zip(
        results, gradients, (x, gamma, beta), strict=True
    ):
        assert_like(result, source)
        assert_close(result, gradient, tolerance)
    for a, copy in zip((x, gamma, beta, mean, var, dy), copies, strict=True):
        np.testing.assert_array_equal(a, copy)


def test_inference_without_parameters():
    rng = np.random.default_rng(6)
    x, dy = rng.normal(size=(2, 4, 3, 5))
    dy = dy.astype(np.float32)
    mean, var = running(3, np.float64)
    expected = (x - mean[:, None]) / np.sqrt(var[:, None] + 1e-5)
    y = bnlib.batch_norm_inference(x, None, None, mean, var)
    assert_close(y, expected, 1e-14)
    dx, dgamma, dbeta = bnlib.batch_norm_inference_backward(dy, x, None, mean, var)
    assert_close(dx, dy / np.sqrt(var[:, None] + 1e-5), 1e-14)
    assert dgamma is None
    assert_close(dbeta, dy.astype(np.float64).sum((0, 2)), 1e-14)


@pytest.mark.parametrize("samples", [0, 1])
def test_inference_of_few_samples(samples):
    """An empty batch and a single sample are fine: nothing is averaged."""
    mean, var = running(3, np.float32)
    x = np.ones((samples, 3), np.float32)
    assert bnlib.batch_norm_inference(x, None, None, mean, var).shape == x.shape
    dx, dgamma, _ = bnlib.batch_norm_inference_backward(x, x, mean, mean, var)
    assert dx.shape == x.shape and dgamma.shape == (3,)


def test_inference_is_the_limit_of_training():
    """With the batch's own statistics as running ones, both agree; gradients do not."""
    norm = BATCH[2]
    x, (gamma, beta), dy = norm.inputs()
    y, cache = norm.forward(x, gamma, beta)
    same = bnlib.batch_norm_inference(x, gamma, beta, cache.mean, cache.var, eps=EPS)
    assert_close(same, y, 1e-13)
    dx, *_ = norm.backward(dy, cache)
    constant, *_ = bnlib.batch_norm_inference_backward(
        dy, x, gamma, cache.mean, cache.var, eps=EPS
    )
    assert np.abs(dx - constant).max() > 0.1


shapes = st.tuples(st.integers(2, 9), st.integers(1, 5), st.integers(1, 6))
seeds = st.integers(0, 2**32 - 1)


def random(shape, seed):
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(size=(2, *shape))
    return rng, x, both_signs(rng, shape[1:2]), dy


@given(shapes, seeds)
def test_shift_and_scale_per_channel_do_not_matter(shape, seed):
    rng, x, gamma, dy = random(shape, seed)
    scale = rng.uniform(0.1, 10, (shape[1], 1))
    shift = rng.normal(0, 10, (shape[1], 1))
    y, cache = bnlib.batch_norm(x, gamma, gamma, eps=0)
    moved, moved_cache = bnlib.batch_norm(scale * x + shift, gamma, gamma, eps=0)
    assert_close(moved, y, 1e-9)
    dx, *_ = bnlib.batch_norm_backward(dy, cache)
    moved_dx, *_ = bnlib.batch_norm_backward(dy, moved_cache)
    np.testing.assert_allclose(moved_dx * scale, dx, rtol=0, atol=1e-8)


@given(shapes, seeds)
def test_dx_is_orthogonal_to_one_and_xhat(shape, seed):
    """The directions along which y does not change."""
    _, x, gamma, dy = random(shape, seed)
    xhat, cache = bnlib.batch_norm(x, None, None, eps=0)
    np.testing.assert_allclose(xhat.mean((0, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(xhat.var((0, 2)), 1, rtol=1e-12)
    _, cache = bnlib.batch_norm(x, gamma, None, eps=0)
    dx, *_ = bnlib.batch_norm_backward(dy, cache)
    size = np.abs(dx).max() + np.abs(dy).max()
    np.testing.assert_allclose(dx.sum((0, 2)), 0, atol=1e-10 * size)
    np.testing.assert_allclose((dx * xhat).sum((0, 2)), 0, atol=1e-10 * size)


@given(shapes, seeds)
def test_order_of_samples_does_not_matter(shape, seed):
    rng, x, gamma, dy = random(shape, seed)
    order = rng.permutation(shape[0])
    y, cache = bnlib.batch_norm(x, gamma, gamma)
    shuffled, shuffled_cache = bnlib.batch_norm(x[order], gamma, gamma)
    assert_close(shuffled, y[order], 1e-12)
    dx, *_ = bnlib.batch_norm_backward(dy, cache)
    shuffled_dx, *_ = bnlib.batch_norm_backward(dy[order], shuffled_cache)
    np.testing.assert_allclose(shuffled_dx, dx[order], atol=1e-10)


def test_constant_channel_gives_beta():
    """eps keeps a variance of 0 from dividing by 0, in float32 too."""
    x = np.full((4, 2), 1e4, np.float32)
    y, _ = bnlib.batch_norm(x, None, np.array([2, -3], np.float32))
    np.testing.assert_array_equal(y, np.tile(np.float32([2, -3]), (4, 1)))


def test_torch_refuses_one_value_per_channel_too():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        F.batch_norm(torch.ones(1, 3), None, None, training=True)
