"""What the CUDA tier takes, returns and leaves to the reference, on the emulator."""

import subprocess
import sys

import numpy as np
import pytest
from cuda_cases import channels_last, close, data, parameters, wide

import bnlib
from bnlib import _formula, emulator
from bnlib.batch import _per_channel
from bnlib.cuda import takes, tier
from bnlib.cuda.emulated import Emulated

pytestmark = [
    pytest.mark.usefixtures("emulator_cache"),
    pytest.mark.skipif(emulator.compiler() is None, reason="no C++ compiler"),
]
SHAPE = (3, 4, 8)
X, DY = data(SHAPE, (0, 2))
GAMMA, BETA = parameters(4)


def forward(x, gamma=GAMMA, beta=BETA, eps=1e-3, norm="batch_norm", **options):
    index = _per_channel(x.shape, 1)
    options = {"meaning": "one a channel", "shape": (x.shape[1],), **options}
    return tier.forward(Emulated(), norm, x, gamma, beta, index, eps, **options)


def test_the_cache_is_the_references():
    y, cache = forward(X)
    want, reference = bnlib.batch_norm(X, GAMMA, BETA, eps=1e-3)
    assert repr(cache) == repr(reference) and cache.x is X and cache.gamma is GAMMA
    assert (cache.mean.shape, cache.mean.dtype) == ((4,), np.float32)
    close(y, wide(want), 2e-6, "y")


def test_either_backward_follows_either_forward():
    want = bnlib.batch_norm_backward(DY, bnlib.batch_norm(X, GAMMA, BETA, eps=1e-3)[1])
    _, cache = forward(X)
    for got, exact in zip(
        _formula.backward("batch_norm", DY, cache), want, strict=True
    ):
        close(got, wide(exact), 5e-6, "reference after kernel")
    _, cache = bnlib.batch_norm(X, GAMMA, BETA, eps=1e-3)
    got = tier.backward(Emulated(), "batch_norm", DY, cache)
    for one, exact in zip(got, want, strict=True):
        close(one, wide(exact), 5e-6, "kernel after reference")


def test_parameters_of_another_dtype():
    x = X.astype(np.float16)
    gamma, beta = GAMMA.astype(np.float64), BETA.astype(np.float16)
    y, cache = forward(x, gamma, beta)
    assert y.dtype == np.float16
    _, dgamma, dbeta = tier.backward(Emulated(), "batch_norm", DY.astype("e"), cache)
    assert (dgamma.dtype, dbeta.dtype) == (np.float64, np.float16)


def test_one_parameter_alone():
    y, cache = forward(X, None, BETA)
    close(y, wide(bnlib.batch_norm(X, None, BETA, eps=1e-3)[0]), 2e-6, "y")
    _, dgamma, dbeta = tier.backward(Emulated(), "batch_norm", DY, cache)
    assert dgamma is None and dbeta.shape == (4,)


def test_out_is_written_to():
    out = np.empty_like(X)
    y, cache = forward(X, out=out)
    assert y is out
    close(out, wide(forward(X)[0]), 0, "y")
    dx, *_ = tier.backward(Emulated(), "batch_norm", DY, cache, out=out)
    assert dx is out
    last = channels_last(X)
    out = np.empty_like(last)
    y, _ = forward(last, out=out)
    assert y is out and out.strides == last.strides
    close(out, wide(forward(X)[0]), 2e-6, "y")


@pytest.mark.parametrize(
    ("x", "options"),
    [
        (X.astype(np.float64), {}),
        (np.concatenate([X, X], axis=2)[:, :, ::2], {}),
        (X, {"eps": 0.0}),
        (X, {"eps": 1e-60}),
        (X, {"norm": "group_norm"}),
        (X, {"out": np.empty((3, 8, 4), np.float32).transpose(0, 2, 1)}),
    ],
)
def test_what_is_left_to_the_reference(x, options):
    assert forward(x, **options) is None


@pytest.mark.parametrize(
    "dy", [DY.astype(np.float64), channels_last(DY), np.repeat(DY, 2, 2)[:, :, ::2]]
)
def test_gradients_that_are_left_to_the_reference(dy):
    assert tier.backward(Emulated(), "batch_norm", dy, forward(X)[1]) is None


def test_takes_dtypes_and_sizes():
    assert takes(X, DY) and takes(X.astype(np.float16))
    assert not takes(X, DY.astype(np.float16))
    assert not takes(X.astype(np.float64)) and not takes(X.astype(np.int32))
    assert not takes(np.empty((0, 3), np.float32))
    assert not takes(np.broadcast_to(np.float32(1), (2**31,)))


def test_wrong_parameters_are_named():
    with pytest.raises(ValueError, match=r"gamma has shape \(3,\); expected \(4,\)"):
        forward(X, GAMMA[:3])
    with pytest.raises(TypeError, match="beta has dtype int64"):
        forward(X, beta=np.arange(4))
    with pytest.raises(TypeError, match="gamma is a list"):
        forward(X, [1.0] * 4)


def test_a_layer_of_one_feature_is_beta():
    x, (gamma, beta) = X.reshape(-1, 1), parameters((1,))
    index = bnlib.layer.trailing(x, gamma, beta, 1)
    options = {"meaning": "", "shape": (1,)}
    device = Emulated()
    y, cache = tier.forward(
        device, "layer_norm", x, gamma, beta, index, 1e-3, **options
    )
    np.testing.assert_array_equal(y, np.broadcast_to(beta, x.shape))
    dx, *_ = tier.backward(device, "layer_norm", DY.reshape(-1, 1), cache)
    np.testing.assert_array_equal(dx, 0)


def test_import_needs_no_gpu():
    code = "import bnlib.cuda, sys; assert 'cupy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import bnlib, sys; assert 'bnlib.cuda' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
