"""RMS norm beside layer norm."""

import numpy as np
from norms import assert_close

import bnlib


def test_centred_input_gives_layer_norm():
    x, dy = np.random.default_rng(11).normal(size=(2, 5, 7))
    x -= x.mean(1, keepdims=True)
    y, cache = bnlib.rms_norm(x, None)
    layer, layer_cache = bnlib.layer_norm(x, None, None)
    assert_close(y, layer, 1e-13)
    assert cache.mean is None
    dx, _ = bnlib.rms_norm_backward(dy, cache)
    expected, *_ = bnlib.layer_norm_backward(dy, layer_cache)
    # Layer norm's gradient has no mean, this one keeps it.
    assert_close(dx - dx.mean(1, keepdims=True), expected, 1e-12)
    assert np.abs(dx.mean(1)).max() > 0.01
