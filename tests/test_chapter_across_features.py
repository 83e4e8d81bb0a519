"""What *Across features* prints is true, and its experiments hold elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import bnlib
from experiments import across_features as af

pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (11, 12)  # the chapter uses 0 to 4
THEORY = af.Design(
    layers=10, width=64, hidden=64, length=16, inputs=64, outputs=64,
    causal=False, uniform=True, gain=1.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def text():
    return af.python_help()


def token(seed=0, d=7):
    return np.random.default_rng(seed).normal(1.0, 2.0, size=(4, d))


def test_the_formulas():
    x, gamma, beta, _ = token()
    d, eps = len(x), 1e-5
    mean = x.sum() / d
    var = ((x - mean) ** 2).sum() / d
    layer = gamma * (x - mean) / np.sqrt(var + eps) + beta
    rms = gamma * x / np.sqrt((x**2).sum() / d + eps)
    t, g, b = map(torch.tensor, (x, gamma, beta))
    for found in (
        bnlib.layer_norm(x[None], gamma, beta)[0][0],
        F.layer_norm(t, (d,), g, b).numpy(),
    ):
        np.testing.assert_allclose(layer, found, rtol=1e-12)
    for found in (
        bnlib.rms_norm(x[None], gamma)[0][0],
        F.rms_norm(t, (d,), g, 1e-5).numpy(),
    ):
        np.testing.assert_allclose(rms, found, rtol=1e-12)


def test_geometry_and_invariance():
    x = token(1)[0]
    d = len(x)
    P = np.eye(d) - np.ones((d, d)) / d

    def layer(x):
        return bnlib.layer_norm(x[None], None, None, eps=0.0)[0][0]

    def rms(x):
        return bnlib.rms_norm(x[None], None, eps=0.0)[0][0]

    np.testing.assert_allclose(rms(x), np.sqrt(d) * x / np.linalg.norm(x))
    np.testing.assert_allclose(layer(x), rms(P @ x))
    np.testing.assert_allclose(layer(3 * x + 5), layer(x))
    np.testing.assert_allclose(rms(3 * x), rms(x))
    assert abs(rms(x + 5) - rms(x)).max() > 0.1


@pytest.mark.parametrize("eps", [0.0, 1e-5, 0.5])
def test_the_jacobian(eps):
    x = token(2)[0]
    d = len(x)
    P = np.eye(d) - np.ones((d, d)) / d
    t = torch.tensor(x)
    cases = (
        (P, lambda v: F.layer_norm(v, (d,), eps=eps), d - 2),
        (np.eye(d), lambda v: v / (v.square().mean() + eps).sqrt(), d - 1),
    )
    for projection, function, rank in cases:
        centred = projection @ x
        s = np.sqrt((centred**2).mean() + eps)
        xhat = centred / s
        J = (projection - np.outer(xhat, xhat) / d) / s
        wanted = torch.autograd.functional.jacobian(function, t).numpy()
        np.testing.assert_allclose(J, wanted, atol=1e-12)
        values = np.linalg.eigvalsh(J * s)
        assert (abs(values - 1) < 1e-9).sum() == rank
        assert values == pytest.approx(
            [0.0] * (d - 1 - rank) + [eps / s**2] + [1.0] * rank, abs=1e-9
        )


def test_the_gradient_and_where_gamma_stands():
    rng = np.random.default_rng(0)
    (x, dy), (gamma, beta), d = rng.normal(size=(2, 5, 7)), rng.normal(size=(2, 7)), 7
    _, cache = bnlib.layer_norm(x, gamma, beta)
    dx, dgamma, dbeta = bnlib.layer_norm_backward(dy, cache)
    c = x - x.mean(1, keepdims=True)
    s = np.sqrt((c**2).mean(1) + 1e-5)
    xhat = c / s[:, None]
    P = np.eye(d) - np.ones((d, d)) / d
    J = [(P - np.outer(h, h) / d) / k for h, k in zip(xhat, s, strict=True)]
    inside = np.stack([j @ (gamma * g) for j, g in zip(J, dy, strict=True)])
    outside = np.stack([gamma * (j @ g) for j, g in zip(J, dy, strict=True)])
    np.testing.assert_allclose(dx, inside, atol=1e-12)
    assert abs(dx - outside).max() > 0.1
    np.testing.assert_allclose(dgamma, (dy * xhat).sum(0))
    np.testing.assert_allclose(dbeta, dy.sum(0))
    assert abs((dx * c).sum(1)).max() < 1e-3  # at right angles to the input
    assert abs(dx.sum(1)).max() < 1e-12


def test_norms_for_stacked_runs():
    x = torch.randn(2, 12, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(af.Norm("layer", 2, 6)(x), F.layer_norm(x, (6,)))
    torch.testing.assert_close(af.Norm("simple", 2, 6)(x), F.layer_norm(x, (6,)))
    torch.testing.assert_close(af.Norm("RMS", 2, 6)(x), F.rms_norm(x, (6,), eps=1e-5))
    torch.testing.assert_close(af.Norm("detach", 2, 6)(x), F.layer_norm(x, (6,)))
    assert af.Norm("none", 2, 6)(x) is x
    batch, wanted = af.Norm("batch", 2, 6), nn.BatchNorm1d(6)
    torch.testing.assert_close(batch(x)[1], wanted(x[1]))
    torch.testing.assert_close(batch.running_mean[1, 0], wanted.running_mean)
    batch.eval()
    assert not torch.allclose(batch(x)[1], wanted(x[1]))
    assert list(af.Norm("simple", 2, 6).parameters()) == []
    assert len(list(af.Norm("RMS", 2, 6).parameters())) == 1


def test_detach_changes_the_gradient_only():
    x = torch.randn(1, 3, 6, generator=torch.Generator().manual_seed(1))
    x.requires_grad_()
    dy = torch.randn(1, 3, 6, generator=torch.Generator().manual_seed(2))
    [found] = torch.autograd.grad(af.Norm("detach", 1, 6)(x), x, dy)
    s = (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(found, dy / s)


@pytest.mark.parametrize("place", ["pre", "post"])
def test_the_network_is_a_transformer(place):
    """The same weights in PyTorch's own encoder layer give the same stream."""
    design = af.Design(place=place, layers=1, length=5)
    model = af.Transformer(design, [0, 1])
    watch = []
    x = torch.randn(2, 3, 5, design.inputs, generator=torch.Generator().manual_seed(0))
    model(x, watch)
    theirs = nn.TransformerEncoderLayer(
        16, 1, 32, dropout=0.0, batch_first=True, norm_first=place == "pre"
    )
    layer = model.layers[0]
    with torch.no_grad():
        attention = theirs.self_attn
        parts = (layer.query, layer.key, layer.value)
        attention.in_proj_weight.copy_(torch.cat([p.weight[1].T for p in parts]))
        attention.in_proj_bias.zero_()
        for ours, other in (
            (layer.out, attention.out_proj),
            (layer.up, theirs.linear1),
            (layer.down, theirs.linear2),
        ):
            other.weight.copy_(ours.weight[1].T)
            other.bias.zero_()
        mask = torch.ones(5, 5, dtype=torch.bool).triu(1)
        wanted = theirs(watch[0][1].view(3, 5, 16), src_mask=mask)
    torch.testing.assert_close(watch[1][1].view(3, 5, 16), wanted, atol=1e-5, rtol=1e-5)


def test_runs_do_not_meet(text):
    """A run among others is what it is alone."""
    plan = {"steps": 5, "warm": 2}
    design = af.Design(layers=1)
    alone = af.train(design, text, rates=(1e-2,), seeds=SEEDS[1:], **plan)
    many = af.train(design, text, rates=(1e-3, 1e-2), seeds=SEEDS, **plan)
    np.testing.assert_allclose(alone.loss[:, 0, 0], many.loss[:, 1, 1], rtol=1e-4)
    assert many.score.shape == (2,)


def test_the_step_is_adams(text):
    design = af.Design(layers=1)
    ours = af.train(design, text, rates=(1e-2,), seeds=(11,), steps=3)
    model = af.Transformer(design, [11])
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2, betas=(0.9, 0.98))
    generator = torch.Generator().manual_seed(11)
    for step in range(3):
        x, y = text.train(16, generator)
        loss = af.losses(model(x[None]), y[None])
        assert loss.item() == pytest.approx(ours.loss[step, 0, 0], rel=1e-4)
        optimiser.param_groups[0]["lr"] = 1e-2 * (3 - step) / 4
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()


def test_the_mean_tells_the_future():
    x = np.random.default_rng(3).normal(size=(8, 2))
    mean = x.mean(0)
    np.testing.assert_allclose(8 * mean - x[:3].sum(0), x[3:].sum(0))
    two, _ = bnlib.batch_norm(x[:2], None, None, eps=0.0)
    np.testing.assert_allclose(two[0], np.sign(x[0] - x[1]))
    future = np.triu_indices(6, 1)
    assert af.influence("layer")[:6, :6][future].max() == 0
    assert af.influence("layer")[:6, 6:].max() == 0
    assert af.influence("batch").min() > 0.01


def test_coins():
    plan = {"rates": (1e-2,), "seeds": SEEDS, "steps": 150, "warm": 40, "batch": 1}
    small = af.Design(layers=2, inputs=2, outputs=2)
    layer = af.train(small, af.coins(), **plan)
    batch = af.train(replace(small, norm="batch"), af.coins(), **plan)
    assert (layer.loss[-40:].mean(0) > 0.68).all()
    assert (batch.loss[-40:].mean(0) < 0.66).all()
    assert (batch.score > 0.75).all() and (layer.score < 0.72).all()


def test_without_mean():
    design = af.Design(layers=2)
    model = af.Transformer(design, SEEDS).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator))
    twin = af.without_mean(model)
    kinds = {part.kind for part in twin.modules() if isinstance(part, af.Norm)}
    assert kinds == {"RMS"}
    x = torch.randn(2, 3, 8, 29, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(twin(x), model(x), atol=2e-5, rtol=1e-5)
    watch = []
    twin(x, watch)
    assert max(stream.mean(-1).abs().max() for stream in watch) < 1e-5


@pytest.fixture(scope="module")
def begin():
    kinds = {"pre": {}, "post": {"place": "post"}, "none": {"norm": "none"}}
    return {k: af.start(replace(THEORY, **v), range(11, 19)) for k, v in kinds.items()}


def test_the_stream(begin):
    pre, none = begin["pre"], begin["none"]
    grown = 1 + np.cumsum((pre.alike + 0.5).mean(0))
    np.testing.assert_allclose(pre.stream.mean(0)[1:], grown, rtol=0.12)
    factor = (none.stream[:, 1:] / none.stream[:, :-1]).mean(0)
    np.testing.assert_allclose(factor, 1.5 * (1 + none.alike).mean(0), rtol=0.2)
    places = np.arange(THEORY.layers + 1)
    mean = pre.stream.mean(0)
    assert (mean >= 1 + places / 2 - 0.05).all() and (mean <= 1.05 + 1.5 * places).all()
    assert begin["post"].stream[:, 1:] == pytest.approx(1, abs=1e-3)
    assert (np.diff(begin["post"].alike.mean(0)) > 0).all()


def test_the_gradient_by_depth(begin):
    post, pre = begin["post"], begin["pre"]
    measured = (post.gradient[:, :-1] ** 2 / post.gradient[:, 1:] ** 2).mean(0)
    predicted = (1 + post.gradient_alike) / (1 + post.alike)
    np.testing.assert_allclose(measured, predicted.mean(0), rtol=0.25)
    assert measured[-1] < 0.7
    measured = (pre.gradient[:, :-1] ** 2 / pre.gradient[:, 1:] ** 2).mean(0)
    predicted = (1 + pre.gradient_alike / pre.stream[:, :-1]) * (
        1 + 0.5 / (pre.stream[:, :-1] + pre.alike)
    )
    np.testing.assert_allclose(measured, predicted.mean(0), rtol=0.1)


def test_the_gradient_of_the_last_matrix():
    depths = (4, 8, 16, 32)
    slopes = {}
    for place in ("pre", "post"):
        designs = [replace(THEORY, place=place, layers=n) for n in depths]
        found = [af.start(d, range(11, 17)).weight[:, -1].mean() for d in designs]
        slopes[place] = np.polyfit(np.log(depths), np.log(found), 1)[0]
    assert -0.75 < slopes["pre"] < -0.3
    assert -0.15 < slopes["post"] < 0.3


def test_likeness():
    same = torch.ones(1, 4, 3)
    assert af.likeness(same, 4).item() == pytest.approx(1)
    assert af.likeness(torch.eye(4)[None], 4).item() == pytest.approx(1 / 4)


def test_warm_up(text):
    plan = {"seeds": SEEDS, "steps": 150, "rates": (1e-2,)}
    deep = af.Design(place="post")
    cold = af.train(deep, text, **plan).score
    warm = af.train(deep, text, warm=50, **plan).score
    shallow = af.train(replace(deep, layers=2), text, **plan).score
    pre = af.train(replace(deep, place="pre", layers=4), text, **plan).score
    assert warm.mean() < cold.mean() - 0.03
    assert shallow.mean() < cold.mean() - 0.1 and pre.mean() < cold.mean() - 0.1


def test_norms_in_a_transformer(text):
    plan = {"seeds": SEEDS, "steps": 90, "warm": 30, "rates": (3e-2,)}
    found = {
        norm: af.train(af.Design(norm=norm), text, **plan).score.mean()
        for norm in ("layer", "RMS", "detach", "batch")
    }
    assert found["detach"] > found["layer"] > found["batch"]
    assert abs(found["RMS"] - found["layer"]) < 0.05


def test_text_does_not_vary_more(text):
    plan = {"rates": (1e-2,), "seeds": SEEDS, "steps": 50, "warm": 10}
    small = af.Design(norm="batch", layers=2)
    digits = replace(small, inputs=8, outputs=10, causal=False, pool=True)
    last = []
    for design, task in ((small, text), (digits, af.digit_rows())):
        model = af.train(design, task, **plan).model
        last.append(af.fluctuation(model, task, batch=16)[1, :, -1])
    assert (last[0] < last[1]).all()


def test_keys():
    square = np.array([[0.0, 0.0], [1, 1], [1, -1], [-1, 1], [-1, -1]])
    assert af.unselectable(square) == 0.2

    def keys(seed, d):
        return np.random.default_rng(seed).normal(size=(25, d))

    many, few = (np.mean([af.unselectable(keys(s, d)) for s in SEEDS]) for d in (2, 6))
    assert many > 0.4 > few
    normed, _ = bnlib.rms_norm(keys(11, 3), None, eps=0.0)
    scores = normed @ normed.T
    assert scores.diagonal() == pytest.approx(3)
    assert (scores.argmax(1) == np.arange(25)).all()
    assert af.unselectable(normed) == 0
    layer, _ = bnlib.layer_norm(keys(11, 3), None, None)
    assert abs(layer.sum(1)).max() < 1e-12  # a query of ones sees all alike
