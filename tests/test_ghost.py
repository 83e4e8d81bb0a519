"""Ghost batch norm next to batch norm on each part."""

import numpy as np
import pytest
from norms import assert_close

import bnlib


def data():
    return np.random.default_rng(7).normal(size=(2, 12, 5, 3))


def test_whole_batch_is_batch_norm():
    x, dy = data()
    y, cache = bnlib.ghost_batch_norm(x, None, None, ghost_size=12)
    whole, whole_cache = bnlib.batch_norm(x, None, None)
    assert_close(y, whole, 1e-13)
    dx, *_ = bnlib.ghost_batch_norm_backward(dy, cache)
    assert_close(dx, bnlib.batch_norm_backward(dy, whole_cache)[0], 1e-12)


def test_running_statistics_count_each_ghost_batch():
    x, _ = data()
    running = np.linspace(-1, 1, 5), np.linspace(0.5, 2, 5)
    _, cache = bnlib.ghost_batch_norm(x, None, None, ghost_size=4)
    assert cache.mean.shape == cache.var.shape == (3, 5)
    at_once = bnlib.update_running(*running, cache, momentum=0.3)
    for part in np.split(x, 3):
        _, cache = bnlib.batch_norm(part, None, None)
        running = bnlib.update_running(*running, cache, momentum=0.3)
    for actual, expected in zip(at_once, running, strict=True):
        assert_close(actual, expected, 1e-14)


@pytest.mark.parametrize("axis", [-2, 2])
def test_negative_axis(axis):
    x, _ = data()
    x = np.moveaxis(x, 1, -1)[..., None]
    y, _ = bnlib.ghost_batch_norm(x, None, None, ghost_size=3, axis=axis)
    expected = [bnlib.batch_norm(p, None, None, axis=2)[0] for p in np.split(x, 4)]
    assert_close(y, np.concatenate(expected), 1e-13)
