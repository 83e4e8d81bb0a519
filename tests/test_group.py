"""Group norm between layer norm (one group) and instance norm (a group a channel)."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from norms import both_signs

import bnlib


@given(
    st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(2, 5)),
    st.integers(0, 2**32 - 1),
)
def test_extremes(shape, seed):
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(size=(2, *shape))
    gamma, beta = both_signs(rng, shape[1:2]), rng.normal(size=shape[1])

    def run(forward, backward, *parameters, **options):
        y, cache = forward(x, *parameters, **options)
        return y, *backward(dy, cache)

    grouped = bnlib.group_norm, bnlib.group_norm_backward, gamma, beta
    finest = run(*grouped, num_groups=shape[1])
    instance = run(bnlib.instance_norm, bnlib.instance_norm_backward, gamma, beta)
    for a, b in zip(finest, instance, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11)

    coarsest = run(*grouped, num_groups=1)
    wide = [np.repeat(p[:, None], shape[2], 1) for p in (gamma, beta)]
    y, dx, dgamma, dbeta = run(
        bnlib.layer_norm, bnlib.layer_norm_backward, *wide, axis=1
    )
    for a, b in zip(coarsest, (y, dx, dgamma.sum(1), dbeta.sum(1)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11)


def test_groups_are_neighbours():
    """Channels 0, 1 and 2, 3 belong together, not 0, 2 and 1, 3."""
    x = np.array([[0.0, 2.0, 10.0, 12.0]])
    y, cache = bnlib.group_norm(x, None, None, num_groups=2, eps=0)
    np.testing.assert_array_equal(cache.mean, [[1, 11]])
    np.testing.assert_array_equal(y, [[-1, 1, -1, 1]])


def test_single_value_gives_beta():
    """As in PyTorch's layer norm: no variance, but eps."""
    x, beta = np.ones((2, 3)), np.array([1.0, -2.0, 3.0])
    y, _ = bnlib.group_norm(x, None, beta, num_groups=3)
    np.testing.assert_array_equal(y, np.tile(beta, (2, 1)))
    y, _ = bnlib.layer_norm(x[..., None], None, beta[:1])
    np.testing.assert_array_equal(y, np.ones((2, 3, 1)))
