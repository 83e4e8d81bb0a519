"""What the chapter *One picture* prints is true, and its experiments hold elsewhere."""

from pathlib import Path

import numpy as np
import pytest
import torch
from printed import printed
from torch import nn
from torch.nn import functional as F

import bnlib
from experiments import one_picture as op
from experiments.data import Data, digits
from experiments.models import cnn
from experiments.training import accuracy, train

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (11, 12)  # the chapter uses 0 to 4
SHAPE = N, C, H, W = 5, 6, 3, 4
G = 2


@pytest.fixture(scope="module")
def page():
    """The functions that the chapter prints, by name."""
    cells = ("def normalise", "NOTHING, NEVER", "def contiguous")
    return printed("one_picture", *cells, names={"np": np})


def random_input(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(1.0, 2.0, size=SHAPE), *rng.normal(size=(2, C, 1, 1))


def references(x, gamma, beta):
    """Each norm by PyTorch."""
    t, g, b = (torch.tensor(v) for v in (x, gamma.ravel(), beta.ravel()))
    last = t.movedim(1, -1)
    wide = [torch.tensor(np.broadcast_to(v, SHAPE[1:]).copy()) for v in (gamma, beta)]
    return {
        "batch": F.batch_norm(t, None, None, g, b, training=True),
        "instance": F.instance_norm(t, weight=g, bias=b),
        "group": F.group_norm(t, G, g, b),
        "layer (C, H, W)": F.layer_norm(t, SHAPE[1:], *wide),
        "layer (C)": F.layer_norm(last, (C,), g, b).movedim(-1, 1),
        "RMS (C)": (F.rms_norm(last, (C,), g, 1e-5) + b).movedim(-1, 1),
    }


# eq:one-picture-sets, as predicates of two indices (n, c, h, w)
SETS = {
    "batch": lambda i, k: k[1] == i[1],
    "instance": lambda i, k: k[:2] == i[:2],
    "group": lambda i, k: k[0] == i[0] and k[1] * G // C == i[1] * G // C,
    "layer (C, H, W)": lambda i, k: k[0] == i[0],
    "layer (C)": lambda i, k: (k[0], k[2:]) == (i[0], i[2:]),
    "RMS (C)": lambda i, k: (k[0], k[2:]) == (i[0], i[2:]),
}


@pytest.mark.parametrize("norm", SETS)
def test_the_printed_function_is_the_norm(page, norm):
    x, gamma, beta = random_input()
    y = page["normalise"](x, gamma, beta, *page["norms"](*SHAPE, G)[norm])
    wanted = references(x, gamma, beta)[norm].numpy()
    np.testing.assert_allclose(y, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("norm", SETS)
def test_the_sets_and_the_formula(norm):
    x, gamma, beta = random_input(1)
    wanted = references(x, gamma, beta)[norm].numpy()
    indices = list(np.ndindex(SHAPE))
    for i in [(0, 0, 0, 0), (1, 2, 1, 3), (2, 3, 0, 1), (4, 5, 2, 3)]:
        values = np.array([x[k] for k in indices if SETS[norm](i, k)])
        mean = 0.0 if norm.startswith("RMS") else values.mean()
        variance = np.mean((values - mean) ** 2)
        xhat = (x[i] - mean) / np.sqrt(variance + 1e-5)
        y = gamma[i[1], 0, 0] * xhat + beta[i[1], 0, 0]
        assert y == pytest.approx(wanted[i], abs=1e-12)


def test_group_norm_interpolates():
    x, *_ = random_input(2)
    one, _ = bnlib.group_norm(x, None, None, num_groups=1)
    all_, _ = bnlib.group_norm(x, None, None, num_groups=C)
    np.testing.assert_allclose(one, bnlib.layer_norm(x, None, None, axis=1)[0])
    np.testing.assert_allclose(all_, bnlib.instance_norm(x, None, None)[0])
    assert abs(one - all_).max() > 0.1


@pytest.mark.parametrize("M", [2, 5, 9])
def test_two_degrees_of_freedom_are_lost(M):
    """The rank of the Jacobian is M - 2, or M - 1 without a mean."""
    x = torch.tensor(np.random.default_rng(M).normal(size=M))
    layer = torch.autograd.functional.jacobian(
        lambda v: F.layer_norm(v, (M,), eps=0.0), x
    )
    rms = torch.autograd.functional.jacobian(lambda v: v * v.square().mean() ** -0.5, x)
    assert torch.linalg.matrix_rank(layer, atol=1e-8) == M - 2
    assert torch.linalg.matrix_rank(rms, atol=1e-8) == M - 1


def test_a_norm_forgets_a_scale_and_a_shift_and_nothing_else():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4, 7))
    a, b = rng.uniform(0.2, 5, size=(4, 1)), rng.normal(size=(4, 1))

    def layer(x):
        return bnlib.layer_norm(x, None, None, eps=0.0)[0]

    def rms(x):
        return bnlib.rms_norm(x, None, eps=0.0)[0]

    np.testing.assert_allclose(layer(a * x + b), layer(x), atol=1e-12)
    np.testing.assert_allclose(layer(-a * x + b), -layer(x), atol=1e-12)
    np.testing.assert_allclose(rms(a * x), rms(x), atol=1e-12)
    assert abs(rms(x + b) - rms(x)).max() > 0.01
    assert abs(layer(x**3) - layer(x)).max() > 0.01
    # Only if: from equal outputs, x' = sigma'/sigma (x - mu) + mu'.
    other = layer(x) * a + b
    rebuilt = other.std(axis=1, keepdims=True) / x.std(axis=1, keepdims=True)
    rebuilt = rebuilt * (x - x.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(rebuilt + other.mean(axis=1, keepdims=True), other)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_unnoticed(page, seed):
    measured = op.invariance(seed)
    assert set(page["ACTS"]) == set(op.TRANSFORMATIONS)
    for change in page["ACTS"]:
        for norm in page["FIXES"]:
            small = measured[change, norm] < 1e-12
            assert small == page["unnoticed"](change, norm), (change, norm)
            assert small or measured[change, norm] > 0.01
        assert measured[change, "batch, inference"] > 0.01
        assert (measured[change, "weight"] < 1e-12) == (
            change in ("all weights × s", "one filter × s", "a group of filters × s")
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_the_tables_of_the_papers(seed):
    changes = (
        "all weights × s", "every filter + f", "one filter × s", "whole input × s",
        "whole input + b", "one example × s",
    )  # fmt: skip
    papers = {  # Ba et al. 2016, table 1; Zhang and Sennrich 2019, table 1
        "batch": (True, False, True, True, True, False),
        "weight": (True, False, True, False, False, False),
        "layer (C, H, W)": (True, True, False, True, False, True),
        "RMS (C)": (True, False, False, True, False, True),
    }
    measured = op.invariance(seed, dense=True)
    for norm, entries in papers.items():
        assert tuple(measured[c, norm] < 1e-12 for c in changes) == entries


def test_convolve_is_a_convolution():
    rng = np.random.default_rng(4)
    x, w = rng.normal(size=(2, 3, 6, 5)), rng.normal(size=(4, 3, 3, 3))
    wanted = F.conv2d(torch.tensor(x), torch.tensor(w)).numpy()
    np.testing.assert_allclose(op.convolve(x, w), wanted, atol=1e-12)


@pytest.mark.parametrize("norm", SETS)
def test_the_backward_formula(page, norm):
    x, gamma, _ = random_input(5)
    dy = np.random.default_rng(6).normal(size=SHAPE)
    t = torch.tensor(x, requires_grad=True)
    g = torch.tensor(gamma, requires_grad=True)
    shape, axes, centre = page["norms"](*SHAPE, G)[norm]
    view = t.reshape(shape)
    if centre:
        view = view - view.mean(dim=axes, keepdim=True)
    s = (view.square().mean(dim=axes, keepdim=True) + 1e-5).sqrt()
    y = g * (view / s).reshape(SHAPE)
    y.backward(torch.tensor(dy))

    s, xhat = s.detach().numpy(), (view / s).detach().numpy()
    d = (gamma * dy).reshape(shape)
    dx = d - xhat * (d * xhat).mean(axis=axes, keepdims=True)
    if centre:
        dx = dx - d.mean(axis=axes, keepdims=True)
    np.testing.assert_allclose((dx / s).reshape(SHAPE), t.grad, atol=1e-12)
    dgamma = (dy * xhat.reshape(SHAPE)).sum(axis=(0, 2, 3))
    np.testing.assert_allclose(dgamma, g.grad.ravel(), atol=1e-12)


def test_costs(page):
    cost, norms = page["cost"], page["norms"](*SHAPE, G)
    x, *_ = random_input()
    for name, cache in {
        "batch": bnlib.batch_norm(x, None, None)[1],
        "instance": bnlib.instance_norm(x, None, None)[1],
        "group": bnlib.group_norm(x, None, None, num_groups=G)[1],
        "layer (C, H, W)": bnlib.layer_norm(x, None, None, axis=1)[1],
        "layer (C)": bnlib.layer_norm(np.moveaxis(x, 1, -1), None, None)[1],
    }.items():
        found = cost(*norms[name])
        assert found["M"] == cache.count
        assert found["statistics"] == cache.mean.size + cache.var.size
    assert cost(*norms["RMS (C)"])["statistics"] == N * H * W
    runs = {name: cost(*layout)["neighbours"] for name, layout in norms.items()}
    assert (runs["batch"], runs["layer (C, H, W)"], runs["layer (C)"]) == (12, 72, 1)


def test_an_outlier_shrinks_the_others():
    M, rng = 64, np.random.default_rng(7)
    for t in (0.0, 3.0, np.sqrt(3 * M), 1e4):
        others = rng.normal(size=M - 1)
        others = (others - others.mean()) / others.std()
        y, _ = bnlib.layer_norm(np.append(others, t)[None], None, None, eps=0.0)
        wanted = np.sqrt(M / (M - 1)) * (1 + t**2 / M) ** -0.5
        assert y[0, :-1].std() == pytest.approx(wanted)
        assert y[0, -1] <= np.sqrt(M - 1)
    assert y[0, -1] == pytest.approx(np.sqrt(M - 1), rel=1e-3)


@pytest.mark.parametrize("ratio", [0.0, 0.5, 4.0])
def test_rms_norm_keeps_the_mean(ratio):
    x = np.random.default_rng(8).normal(size=50)
    x = 3.0 * ((x - x.mean()) / x.std() + ratio)
    y, _ = bnlib.rms_norm(x[None], None, eps=0.0)
    assert y.mean() == pytest.approx(ratio / np.sqrt(1 + ratio**2))
    assert y.std() == pytest.approx(1 / np.sqrt(1 + ratio**2))
    if ratio == 0:
        np.testing.assert_allclose(y, bnlib.layer_norm(x[None], None, None, eps=0.0)[0])


def test_batch_norm_of_one_example_is_instance_norm():
    x, *_ = random_input(9)
    one, _ = bnlib.batch_norm(x[:1], None, None)
    np.testing.assert_allclose(one, bnlib.instance_norm(x[:1], None, None)[0])


def test_rms_norm_of_images():
    x = torch.randn(4, 6, 3, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(op.RMSNorm2d(6)(x), F.rms_norm(x, (6, 3, 5), eps=1e-5))


@pytest.mark.parametrize("norm", ["none", "batch", "instance", "RMS"])
def test_runs_side_by_side_are_runs_one_by_one(norm):
    seed, rates = SEEDS[0], (0.02, 0.1)
    data = digits(images=True, seed=seed)
    many = op.compare(
        op.NORMS[norm], batch=16, steps=12, rates=rates, seeds=[seed], channels=(4, 8)
    )
    kept = Data(data.x[300:], data.y[300:], data.x[:300], data.y[:300])
    for k, rate in enumerate(rates):
        torch.manual_seed(seed)
        model = cnn((4, 8), norm=op.NORMS[norm])
        history = train(
            model, kept, rate=rate, steps=12, batch=16, seed=seed, momentum=0.9
        )
        np.testing.assert_allclose(many.loss[:, k, 0], history.loss, rtol=1e-3)
        for found, x, y in (
            (many.test, data.x_test, data.y_test),
            (many.validation, kept.x_test, kept.y_test),
        ):
            assert found[k, 0] == pytest.approx(accuracy(model, x, y), abs=0.6)


def test_contrast():
    data = op.contrast(SEEDS[0])
    whole = digits(images=True, seed=SEEDS[0])
    assert data.x.min() == 0 and 0.45 < data.y.float().mean() < 0.55
    factor = torch.where(data.y == 1, 0.5, 1.0).view(-1, 1, 1, 1)
    torch.testing.assert_close(data.x, factor * (whole.x - whole.x.min()))


def test_who_sees_contrast():
    found = {
        name: op.compare(
            norm, batch=32, steps=40, rates=(0.03, 0.1), seeds=SEEDS,
            task=op.contrast, channels=(4, 8), classes=2,
        ).accuracy
        for name, norm in op.NORMS.items()
    }  # fmt: skip
    assert found["batch"].min() > 90
    assert np.median(found["none"]) > 90
    for name in ("layer", "group", "instance", "RMS"):
        assert 40 < found[name].min() and found[name].max() < 60, name


def test_no_norm_and_instance_norm_in_the_last_layer_are_worse():
    def not_last(channels):
        if channels == 16:
            return nn.Identity()
        return op.NORMS["instance"](channels)

    plan = {"batch": 32, "steps": 100, "seeds": SEEDS, "channels": (4, 8, 16)}
    everywhere = op.compare(op.NORMS["instance"], rates=(0.1, 0.3), **plan).accuracy
    spared = op.compare(not_last, rates=(0.1, 0.3), **plan).accuracy
    batch = op.compare(op.NORMS["batch"], rates=(0.1, 0.3), **plan).accuracy
    none = op.compare(None, rates=(0.1, 0.3), **plan).accuracy
    assert (spared > everywhere + 2).all() and (batch > everywhere + 2).all()
    assert batch.mean() > none.mean() + 2


def test_batch_norm_learns_with_batches_of_four():
    plan = {"batch": 4, "steps": 160, "seeds": SEEDS, "channels": (4, 8, 16)}
    found = {
        name: op.compare(op.NORMS[name], rates=(0.016, 0.064), **plan).accuracy
        for name in ("batch", "layer", "instance")
    }
    assert found["batch"].min() > 60
    assert abs(found["batch"].mean() - found["layer"].mean()) < 10
    assert found["instance"].max() < min(found["batch"].min(), found["layer"].min())
