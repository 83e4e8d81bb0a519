"""Filter response norm beside instance norm and RMS norm."""

import numpy as np
from norms import assert_close

import bnlib


def test_centred_input_gives_instance_norm():
    x = np.random.default_rng(11).normal(size=(3, 4, 5, 2))
    x -= x.mean((2, 3), keepdims=True)
    y, cache = bnlib.filter_response_norm(x, None, None)
    assert_close(y, bnlib.instance_norm(x, None, None)[0], 1e-13)
    assert cache.mean is None


def test_positions_in_a_row_are_rms_norm():
    x, dy = np.random.default_rng(12).normal(size=(2, 3, 4, 5, 2))
    y, cache = bnlib.filter_response_norm(x, None, None)
    rms, rms_cache = bnlib.rms_norm(x, None, axis=2)
    assert_close(y, rms, 1e-14)
    dx, *_ = bnlib.filter_response_norm_backward(dy, cache)
    assert_close(dx, bnlib.rms_norm_backward(dy, rms_cache)[0], 1e-14)


def test_one_position_is_a_smoothed_sign():
    x = np.array([-2.0, -1e-3, 0, 0.5]).reshape(1, 4, 1)
    y, _ = bnlib.filter_response_norm(x, None, None, eps=1e-12)
    assert_close(y.ravel(), [-1, -1, 0, 1], 1e-6)
