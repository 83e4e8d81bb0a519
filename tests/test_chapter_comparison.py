"""What *Side by side* prints is true, and its experiments hold on other seeds."""

from dataclasses import replace
from math import comb, sqrt

import numpy as np
import pytest
import torch
from scipy.stats import t
from torch.nn.functional import cross_entropy, selu

import bnlib
from experiments import comparison as cp
from experiments.comparison import METHODS, Networks, Protocol, run
from experiments.one_picture import contrast
from experiments.training import batches
from experiments.without_normalisation import clip_by_unit

pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (11, 12)  # the chapter uses 0 to 4
PLAN = Protocol(rates=(0.12, 0.36), seeds=SEEDS, steps=40, batch=32)
ONE = {"steps": 8, "batch": 8}


def images(copies, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(8, copies, 8, 8, generator=generator)


def perturb(model, seed=0):
    """Move all parameters away from where they start, zeros and ones included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    return model


def test_every_layer_is_bnlibs():
    found = cp.against_bnlib(seed=5)
    own = {n for n, m in METHODS.items() if m.norm or m.kind != "plain"}
    assert set(found) == own
    assert found.pop("batch renorm") < 1e-6  # its bounds are float32
    assert max(found.values()) < 1e-13


def test_a_wrong_layer_is_noticed(monkeypatch):
    wrong = replace(METHODS["group"], norm=METHODS["layer"].norm)
    monkeypatch.setitem(METHODS, "group", wrong)
    assert cp.against_bnlib(seed=5)["group"] > 0.1


@pytest.mark.parametrize("name", METHODS)
def test_copies_do_not_see_each_other(name):
    """Each copy in a wide network is what it is alone, with its gradients."""
    wide = Networks(METHODS[name], [1, 2, 1], **ONE).double().train()
    alone = Networks(METHODS[name], [2], **ONE).double().train()
    perturb(wide)
    with torch.no_grad():
        for p, q in zip(alone.parameters(), wide.parameters(), strict=True):
            p.copy_(q.unflatten(0, (3, -1))[1])
        for p, q in zip(alone.buffers(), wide.buffers(), strict=True):
            p.copy_(q if q.ndim == 0 else q.unflatten(0, (3, -1))[1])
    x, y = images(3).double(), torch.arange(8) % 10
    loss = cp.losses(wide(x), y[:, None].expand(-1, 3))
    own = cp.losses(alone(x[:, 1:2]), y[:, None])
    torch.testing.assert_close(loss[1:2], own)
    own.backward()
    loss.sum().backward()
    for p, q in zip(alone.parameters(), wide.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad.unflatten(0, (3, -1))[1])


def test_copies_with_one_seed_start_alike_whatever_the_method():
    first = Networks(METHODS["batch"], [3, 4, 3], **ONE)
    other = Networks(METHODS["weight"], [3], **ONE)
    kernels = first.convs[1].v.unflatten(0, (3, -1))
    assert (kernels[0] == kernels[2]).all() and (kernels[0] != kernels[1]).any()
    assert (other.convs[1].v == kernels[0]).all()


def branch(model, h, k):
    """f of eq:comparison-block, as printed."""
    phi, norms = model.method.activation, getattr(model, "norms", None)
    n1, n2 = norms[2 * k : 2 * k + 2] if norms else (torch.nn.Identity(),) * 2
    w1, w2 = model.convs[2 * k], model.convs[2 * k + 1]
    return w2(phi(n2(w1(phi(n1(h))))))


@pytest.mark.parametrize(
    "name", ["none", "batch", "instance", "dynamic tanh", "SELU", "SkipInit", "NF"]
)
def test_the_block_as_printed(name):
    """eq:comparison-block and eq:comparison-sums."""
    model = perturb(Networks(METHODS[name], [1, 2], **ONE)).double().eval()
    h = torch.randn(4, 16, 4, 4, dtype=torch.float64)
    for k in (0, 1):
        alpha = getattr(model, "gains", None)
        beta = sqrt(1 + 0.04 * k)
        printed = {
            "SELU": lambda k=k: (h + branch(model, h, k)) / 2**0.5,
            "SkipInit": lambda k=k, a=alpha: h + a[k](branch(model, h, k)),
            "NF": lambda k=k, b=beta: h + 0.2 * branch(model, h / b, k),
        }.get(name, lambda k=k: h + branch(model, h, k))
        torch.testing.assert_close(model._block(h, k), printed())
    assert (METHODS["SELU"].activation is selu) and METHODS["NF"].clip == 0.16


def test_starts_that_are_printed():
    h = torch.randn(4, 16, 4, 4)
    for name in ("SkipInit", "Fixup"):
        model = Networks(METHODS[name], [1, 2], **ONE)
        assert all((model._block(h, k) == h).all() for k in (0, 1))
    fixup, none = (Networks(METHODS[n], [1], **ONE) for n in ("Fixup", "none"))
    torch.testing.assert_close(fixup.convs[0].v, none.convs[0].v * 2**-0.5)
    assert (fixup(images(1)) == 0).all()
    gains = Networks(METHODS["weight"], [1], **ONE).convs[0]
    torch.testing.assert_close(gains.weight(), none.convs[0].weight())


def test_ghosts_are_a_quarter_of_the_batch():
    sizes = {b: METHODS["ghost batches"].norm(1, 8, 1, b).part for b in (32, 4)}
    assert sizes == {32: 8, 4: 2}


def test_training_is_gradient_descent_with_momentum():
    """The wide loop against torch.optim.SGD, one network, with NF's clipping."""
    plan = Protocol(rates=(0.01, 0.2), seeds=(4, 3), steps=6, batch=16)
    found = run(METHODS["NF"], plan)
    data = cp.task(4)
    model = Networks(METHODS["NF"], [4], steps=6, batch=16).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    kept = replace(data, x=data.x[300:], y=data.y[300:])
    for step, (x, y) in zip(range(6), batches(kept, 16, 4), strict=False):
        optimiser.param_groups[0]["lr"] = 0.2 * (1 - step / 6)
        loss = cross_entropy(model(x)[:, 0], y)
        assert loss.item() == pytest.approx(found.loss[step, 1, 0], abs=2e-5)
        optimiser.zero_grad()
        loss.backward()
        for name, p in model.named_parameters():
            if not name.startswith("head"):
                p.grad = clip_by_unit(p.grad, p.detach(), cp.CLIP, stacked=False)
        optimiser.step()
    with torch.no_grad():
        model.eval()
        held = (model(data.x[:300])[:, 0].argmax(1) == data.y[:300]).float().mean()
        test = (model(data.x_test)[:, 0].argmax(1) == data.y_test).float().mean()
    assert found.validation[1, 0] == pytest.approx(100 * held.item(), abs=0.4)
    assert found.best == 1
    assert found.accuracy[0] == pytest.approx(100 * test.item(), abs=0.2)


def test_the_best_rate_and_no_other_is_tested():
    result = cp.Result(
        rates=(1.0, 2.0, 3.0, 4.0),
        validation=np.array([[50, 50], [90, 92], [89, 90], [80, 99]]),
        accuracy=np.zeros(2),
        loss=np.zeros(0),
    )
    assert (result.best, result.rate, result.at_edge) == (1, 2.0, False)
    assert result.working() == (2.0, 3.0, 4.0)
    assert result.working(1.0) == (2.0,)
    result.validation[0] = 100
    assert result.at_edge
    found = run(METHODS["none"], replace(PLAN, steps=2))
    assert found.accuracy.shape == (2,) and found.validation.shape == (2, 2)


def test_ranks_and_reversals():
    accuracy = {
        "a": np.array([9.0, 9, 9]),
        "b": np.array([8.0, 9, 10]),
        "c": np.array([1.0, 1, 2]),
    }
    places = cp.ranks(accuracy)
    assert places["a"].tolist() == [1, 1.5, 2]
    assert places["b"].tolist() == [2, 1.5, 1]
    assert places["c"].tolist() == [3, 3, 3]
    back = cp.reversals(accuracy)
    assert back["a", "c"] == back["b", "c"] == 0
    assert back["a", "b"] == pytest.approx(0.5)


def test_signs_that_agree_by_luck():
    """eq:comparison-signs, and 8.5 of 136 pairs."""
    rng = np.random.default_rng(0)
    signs = rng.normal(size=(200_000, 5)) > 0
    agree = (signs.all(1) | ~signs.any(1)).mean()
    assert agree == pytest.approx(2 * 2**-5, abs=2e-3)
    assert comb(len(METHODS), 2) == 136 and 136 / 16 == 8.5
    assert (rng.random((100_000, 5)) < 0.5).sum(1).__ge__(3).mean() == pytest.approx(
        0.5, abs=0.01
    )


def test_the_interval_covers():
    """eq:comparison-paired: 95% of intervals hold the true mean, with t, not 1.96."""
    d = 3.0 + 2.0 * np.random.default_rng(1).normal(size=(40_000, 5))
    half = d.std(1, ddof=1) / sqrt(5)
    inside = abs(d.mean(1) - 3) <= t.ppf(0.975, 4) * half
    narrow = abs(d.mean(1) - 3) <= 1.96 * half
    assert inside.mean() == pytest.approx(0.95, abs=0.005) and narrow.mean() < 0.9


def test_synchronised_is_batch_norm_of_the_merged_batch():
    """eq:comparison-sync, as printed, for three devices."""
    rng = np.random.default_rng(2)
    counts = (2, 5, 1)
    parts = [rng.normal(k, 1 + k, (n, 3)) for k, n in enumerate(counts)]
    x, dy, gamma = np.concatenate(parts), rng.normal(size=(8, 3)), rng.normal(size=3)
    means, variances = ([f(p, 0) for p in parts] for f in (np.mean, np.var))
    total = sum(counts)
    mean = sum(n * m for n, m in zip(counts, means, strict=True)) / total
    var = (
        sum(
            n * (v + (m - mean) ** 2)
            for n, m, v in zip(counts, means, variances, strict=True)
        )
        / total
    )
    inv_std = 1 / np.sqrt(var + 1e-5)
    hat, d = (x - mean) * inv_std, gamma * dy
    dx = inv_std * (d - d.sum(0) / total - hat * (d * hat).sum(0) / total)
    y, cache = bnlib.batch_norm(x, gamma, None)
    np.testing.assert_allclose(gamma * hat, y, atol=1e-13)
    np.testing.assert_allclose(dx, bnlib.batch_norm_backward(dy, cache)[0], atol=1e-12)


def test_costs():
    kept = {name: cp.saved(METHODS[name]) for name in ("none", "batch", "weight")}
    assert kept["none"] == kept["weight"] < kept["batch"]
    # Batch norm keeps the input of each of its five layers: 8 channels, 16 positions.
    assert kept["batch"] - kept["none"] == pytest.approx(5 * 8 * 16, abs=10)
    none, batch = (cp.parameters(METHODS[n]) for n in ("none", "batch"))
    assert batch - none == 5 * 16 - 4 * 8  # gamma and beta, but no bias
    times = cp.milliseconds([METHODS["none"], METHODS["batch renorm"]], repeats=5)
    assert times.shape == (2,) and (times > 0).all()


# -- Directions, on other seeds --------------------------------------------------------


@pytest.fixture(scope="module")
def results():
    names = ("none", "batch", "instance", "SELU", "Fixup", "dynamic tanh")
    return {name: run(METHODS[name], PLAN) for name in names}


def test_batch_norm_is_ahead_of_none_and_of_slow_starters(results):
    lead = results["batch"].accuracy
    for name in ("none", "Fixup", "dynamic tanh"):
        assert (lead > results[name].accuracy + 1).all()


def test_instance_norm_is_with_batch_norm(results):
    gap = results["batch"].accuracy - results["instance"].accuracy
    assert abs(gap.mean()) < 4
    assert (results["instance"].accuracy > results["none"].accuracy).all()


def test_instance_norm_falls_where_maps_are_averaged():
    found = {
        name: run(METHODS[name], PLAN, pool=1).accuracy
        for name in ("batch", "instance")
    }
    assert (found["batch"] > found["instance"] + 10).all()


def test_ranges_that_work():
    """At the largest rate batch norm works, SELU and Fixup do not."""
    plan = replace(PLAN, rates=(1.1,))
    found = {n: run(METHODS[n], plan).validation for n in ("batch", "SELU", "Fixup")}
    assert found["batch"].min() > 75
    assert max(found["SELU"].max(), found["Fixup"].max()) < 30


def test_fixup_catches_up():
    plan = replace(PLAN, rates=(0.12,))
    gaps = [
        run(METHODS["batch"], replace(plan, steps=steps)).accuracy
        - run(METHODS["Fixup"], replace(plan, steps=steps)).accuracy
        for steps in (40, 120)
    ]
    assert (gaps[0] > gaps[1] + 2).all() and (gaps[1] < 5).all()


def test_small_batches_do_not_break_batch_norm_here():
    plan = Protocol(rates=(0.09,), seeds=SEEDS, steps=90, batch=4)
    batch, group = (run(METHODS[n], plan).accuracy for n in ("batch", "group"))
    assert batch.mean() > group.mean() and batch.min() > 60


def test_skips_carry_contrast_past_instance_norm():
    plan = Protocol((0.12,), SEEDS, steps=40, batch=32, task=contrast, classes=2)
    assert run(METHODS["instance"], plan).accuracy.min() > 90
