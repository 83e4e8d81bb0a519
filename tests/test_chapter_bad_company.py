"""The chapter "Bad company": its equations, and its claims on other seeds."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import pad

import bnlib
from experiments import bad_company as company
from experiments.data import Data, digits
from experiments.distributed import network, run_on_ranks, together
from experiments.models import cnn, mlp
from experiments.side_by_side import train_many
from experiments.train_is_not_eval import batch_predictions, recompute, shuffled
from experiments.training import accuracy, batches

pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (11, 12)  # the chapter uses 0 to 4
EPS = 1e-5


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


# Dropout


@pytest.mark.parametrize("keep", [0.3, 0.8])
def test_variance_of_one_feature_under_dropout(keep):
    x = 0.7 + 2 * normal(2_000_000)
    torch.manual_seed(99)  # another stream than that of x
    z = nn.functional.dropout(x, 1 - keep)
    m, var = x.mean(), x.var()
    printed = 1 / keep + (1 / keep - 1) * m**2 / var
    assert z.mean().item() == pytest.approx(m.item(), rel=0.02)
    assert (z.var() / var).item() == pytest.approx(printed.item(), rel=0.01)


def test_variance_behind_a_layer_with_correlated_features():
    x = 0.5 + normal(300_000, 4) @ normal(4, 4, seed=1)
    w = normal(3, 4, seed=2)
    torch.manual_seed(99)
    measured = (nn.functional.dropout(x, 0.4) @ w.T).var(0) / (x @ w.T).var(0)
    printed = 1 + (1 / 0.6 - 1) * (w**2 * (x**2).mean(0)).sum(1) / (x @ w.T).var(0)
    torch.testing.assert_close(
        company.dropout_ratio(x, w, 0.6), printed, rtol=1e-4, atol=0
    )
    torch.testing.assert_close(measured, printed, rtol=0.03, atol=0)


def test_rectified_normal_has_the_ratio_in_the_text():
    x = normal(1_000_000).relu()
    share = (x.mean() ** 2 / x.var()).item()
    assert share == pytest.approx(1 / (np.pi - 1), rel=0.01)
    assert 2 + 1 / (np.pi - 1) == pytest.approx(2.47, abs=0.005)


@pytest.mark.parametrize("seed", SEEDS)
def test_dropout_before_falsifies_statistics_and_after_the_last_does_not(seed, data):
    result = {}
    for where in ("before", "last"):
        net = company.trained(
            lambda where=where: company.dropout_network(
                where, 0.5, (64, 40, 40, 40, 40, 40, 10)
            ),
            data, seed, rate=0.03, steps=200,
        )  # fmt: skip
        ratios = company.stored_over_met(net, data.x)
        stale = accuracy(net, data.x_test, data.y_test)
        recompute(net, shuffled(data.x))
        fresh = accuracy(net, data.x_test, data.y_test)
        result[where] = ratios, stale, fresh
        again = company.stored_over_met(net, data.x)
        assert again == pytest.approx([1] * 5, abs=0.1)
    ratios, stale, fresh = result["before"]
    assert ratios[-1] > 3 and ratios[1] > 1.5 and abs(ratios[0] - 1) < 0.1
    assert fresh > stale + 3
    ratios, stale, fresh = result["last"]
    assert ratios == pytest.approx([1] * 5, abs=0.15)
    assert stale > 85 and abs(fresh - stale) < 2
    assert stale > result["before"][2] + 10  # recomputing does not repair it all


def test_dropout_stands_where_it_should():
    def place(where):
        net = company.dropout_network(where, 0.5, (64, 8, 8, 10))
        return [k for k, m in enumerate(net) if isinstance(m, nn.Dropout)]

    assert place("nowhere") == []
    assert place("before") == [3]  # linear, norm, ReLU, dropout; then the next norm
    assert place("last") == [6]


# Decay


def test_inner_gamma_and_beta_are_scale_free_together():
    def two_layers(c):
        x = normal(30, 6).numpy()
        x_hat, _ = bnlib.batch_norm(x, None, None, eps=0)
        gamma, beta = normal(6, seed=1).numpy(), normal(6, seed=2).numpy()
        hidden = np.maximum(c * gamma * x_hat + c * beta, 0)
        z = hidden @ normal(6, 4, seed=3).numpy()
        return bnlib.batch_norm(z, None, None, eps=0)[0]

    np.testing.assert_allclose(two_layers(0.01), two_layers(1), atol=1e-9)
    np.testing.assert_allclose(two_layers(30), two_layers(1), atol=1e-9)


def test_decay_collapses_inner_gamma_and_spares_the_last(data):
    sizes, right = {}, {}
    for norms in (True, False):
        for seed in SEEDS:
            net = company.trained(
                lambda: mlp((64, 64, 64, 64, 10)),
                company.with_wrong_labels(data, 0.2, seed),
                seed, rate=0.3, steps=150,
                groups=lambda m, norms=norms: company.decay_groups(
                    m, 0.03, norms=norms
                ),
            )  # fmt: skip
            row = [net[k].weight.abs().mean().item() for k in (1, 4, 7)]
            sizes.setdefault(norms, []).append(row)
            right.setdefault(norms, []).append(accuracy(net, data.x_test, data.y_test))
    inner, last = np.mean(sizes[True], 0)[1:]
    assert inner < 0.5 < np.mean(sizes[False], 0)[1]
    assert last > 1.5 * inner
    assert abs(np.mean(right[True]) - np.mean(right[False])) < 6


def test_groups_hold_every_parameter_once():
    model = cnn((4, 8))
    for norms, vectors in ((True, 0.1), (False, 0.0)):
        groups = company.decay_groups(model, 0.1, norms=norms)
        held = [id(p) for group in groups for p in group["params"]]
        assert sorted(held) == sorted(id(p) for p in model.parameters())
        assert {p.ndim for p in groups[1]["params"]} == {1}
        assert [group["weight_decay"] for group in groups] == [0.1, vectors]


# Bias


def test_gradient_of_a_bias_before_batch_norm_is_zero():
    x, dy = (normal(9, 4, seed=k).numpy() for k in (0, 1))
    _, cache = bnlib.batch_norm(x, normal(4, seed=2).numpy(), None)
    dx, _, _ = bnlib.batch_norm_backward(dy, cache)
    assert abs(dx).max() > 0.1
    np.testing.assert_allclose(dx.sum(0), 0, atol=1e-12)


def test_only_decay_acts_on_it():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()
    start = net[0].bias.detach().clone()
    optimiser = torch.optim.SGD(net.parameters(), 0.1, weight_decay=0.2)
    x, y = normal(16, 5), torch.arange(16) % 3
    company.fit(net, [(x, y)] * 7, optimiser, 7)
    torch.testing.assert_close(net[0].bias.detach(), (1 - 0.1 * 0.2) ** 7 * start)


@pytest.mark.parametrize("seed", SEEDS)
def test_adam_moves_a_dead_bias(seed, data):
    way = {}
    for name, make in (
        ("SGD", lambda p: torch.optim.SGD(p, 0.1)),
        ("Adam", lambda p: torch.optim.Adam(p, 0.01)),
    ):
        torch.manual_seed(seed)
        net = mlp((64, 32, 10))
        net[0] = nn.Linear(64, 32)
        start = net[0].bias.detach().clone()
        company.fit(net, batches(data, 64, seed), make(net.parameters()), 60)
        way[name] = (net[0].bias - start).abs().mean().item()
    assert way["SGD"] < 1e-7
    assert way["Adam"] > 1e5 * way["SGD"]


def test_a_bias_before_a_frozen_layer_learns():
    layer = nn.BatchNorm1d(3).double().eval()
    layer.running_var.fill_(4)
    b = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    layer(normal(8, 3) + b)[0].sum().backward()
    torch.testing.assert_close(b.grad, torch.full_like(b, 1 / (4 + EPS) ** 0.5))


# Placement


def test_after_the_activation_is_on_the_input_but_for_the_ends():
    after = [type(m).__name__ for m in company.plain("after", layers=3)]
    on_input = [type(m).__name__ for m in company.plain("input", layers=3)]
    assert after[2:-1] == [*on_input[3:-1], "BatchNorm1d"]
    assert company.plain("before")[0].bias is None


def test_order_makes_little_difference_in_a_plain_network():
    tasks = [digits(seed=seed) for seed in SEEDS]
    best = {}
    for order in ("before", "after"):
        runs = train_many(
            lambda order=order: company.plain(order), tasks,
            rates=(0.1, 0.3), seeds=SEEDS, steps=80, batch=64, momentum=0.0,
        )  # fmt: skip
        best[order] = runs.accuracy
    assert abs(best["after"].mean() - best["before"].mean()) < 4


def test_residual_blocks_pass_the_input_on():
    x = torch.randn(16, 8)
    zero = company.Block("original", 8, zero_gamma=True)
    torch.testing.assert_close(zero(x.relu()), x.relu())
    for kind in ("original", "pre-activation", "after sum"):
        block = company.Block(kind, 8)
        nn.init.zeros_(block.two.weight)
        kept = torch.allclose(block(x), x)
        assert kept == (kind == "pre-activation"), kind


def test_a_skip_path_kept_clear_starts_faster():
    tasks = [digits(seed=seed) for seed in SEEDS]
    loss = {
        (kind, zero): train_many(
            lambda kind=kind, zero=zero: company.residual(
                kind, blocks=16, zero_gamma=zero
            ),
            tasks, rates=(0.3,), seeds=SEEDS, steps=25, batch=64, momentum=0.0,
        ).loss[-5:].mean()
        for kind, zero in (
            ("after sum", False), ("pre-activation", False), ("original", True),
        )
    }  # fmt: skip
    assert loss["pre-activation", False] < 0.8 * loss["after sum", False]
    assert loss["original", True] < 0.8 * loss["after sum", False]


# Data parallel


@pytest.fixture(scope="module")
def two_ranks(data):
    """One start of two processes for all tests."""
    whole, dy = 2 + 3 * normal(8, 3, 4), normal(8, 3, 4, seed=1)
    layer = nn.BatchNorm1d(3, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.5, -0.7, 0.3]))
    state = copy.deepcopy(layer.state_dict())
    train = {
        "x": [data.x[::2], 0.5 * data.x[1::2] + 1],
        "y": [data.y[::2], data.y[1::2]],
        "seeds": SEEDS[:1],
        "steps": 80,
        "rate": 0.3,
        "batch": 32,
    }
    ranks = run_on_ranks(
        "experiments.distributed:layer_and_training",
        layer={"x": [whole[:5], whole[5:]], "dy": [dy[:5], dy[5:]], "state": state},
        trainings=[train | {"ways": [(False, True), (False, False), (True, True)]}],
    )
    x = whole.clone().requires_grad_()
    y = layer(x)
    y.backward(dy)
    seed = train.pop("seeds")[0]
    single = together(train.pop("x"), train.pop("y"), seed, **train)
    return ranks, (x, y, layer), single, seed


def test_synchronised_layer_is_the_layer_of_the_whole_batch(two_ranks):
    (first, second), (x, y, layer) = [rank[0] for rank in two_ranks[0]], two_ranks[1]
    exact = {"rtol": 0, "atol": 1e-12}
    torch.testing.assert_close(torch.cat([first["y"], second["y"]]), y, **exact)
    torch.testing.assert_close(torch.cat([first["dx"], second["dx"]]), x.grad, **exact)
    for name, whole in (("dgamma", layer.weight.grad), ("dbeta", layer.bias.grad)):
        torch.testing.assert_close(first[name] + second[name], whole, **exact)
    for rank in (first, second):
        for name in ("running_mean", "running_var"):
            torch.testing.assert_close(rank[name], getattr(layer, name), **exact)
    one_way = torch.cat([first["one way"], second["one way"]])
    assert (one_way - x.grad).norm() > 0.05 * x.grad.norm()
    assert "expected input tensor to be on GPU" in first["error"]


def test_synchronised_training_is_that_of_one_process(two_ranks):
    ranks, _, single, seed = two_ranks
    for rank in ranks:
        run = rank[1][True, True, seed]
        for name, value in single["state"].items():
            torch.testing.assert_close(
                run["state"][name], value, rtol=1e-3, atol=1e-4, msg=name
            )
    plain = ranks[0][1][False, True, seed]["gradient"]
    off = (plain - single["gradient"]).norm() / single["gradient"].norm()
    assert off > 0.3


def test_rank_0_s_statistics_survive(two_ranks, data):
    ranks, _, single, seed = two_ranks
    name = "1.running_mean"

    def mean(rank, broadcast):
        return ranks[rank][1][False, broadcast, seed]["state"][name]

    # Not sent out: two different averages. Sent out: rank 1 has rank 0's, but for what
    # it added in the last step.
    apart = (mean(0, False) - mean(1, False)).norm()
    torch.testing.assert_close(mean(0, True), mean(0, False))
    assert (mean(0, True) - mean(1, True)).norm() < 0.2 * apart

    def on_rank_1_s_scanner(state):
        net = network(0)
        net.load_state_dict(state)
        return accuracy(net, 0.5 * data.x_test + 1, data.y_test)

    plain = on_rank_1_s_scanner(ranks[0][1][False, True, seed]["state"])
    assert plain < on_rank_1_s_scanner(single["state"]) - 10


def test_a_rank_that_fails_ends_the_others():
    state = nn.BatchNorm1d(3, dtype=torch.float64).state_dict()
    one = [normal(4, 3)]  # rank 1 finds nothing, while rank 0 waits for its sums
    with pytest.raises(RuntimeError, match=r"rank \d failed"):
        run_on_ranks(
            "experiments.distributed:one_layer", x=one, dy=one, state=state, timeout=60
        )


# Half precision


def spacing(value, bits):
    return 2.0 ** (np.floor(np.log2(value)) - bits + 1)


@pytest.mark.parametrize("dtype, bits", [(torch.float16, 11), (torch.bfloat16, 8)])
def test_running_mean_stalls(dtype, bits):
    true = 300.0
    layer = nn.BatchNorm1d(1).to(dtype)
    for part in (true + normal(200, 128, 1)).to(dtype):
        layer(part)
    left = true - layer.running_mean.item()
    stall = spacing(true, bits) / (2 * 0.1)
    assert 0.5 * stall < left < 2 * stall


def test_one_pass_variance_dies_where_the_chapter_says():
    x = normal(20_000)
    limits = {torch.bfloat16: 16, torch.float16: 45, torch.float32: 4096}
    for (dtype, limit), bits in zip(limits.items(), (8, 11, 24), strict=True):
        assert limit == pytest.approx(2 ** (bits / 2), abs=0.5)
        for mean, works in ((limit / 8, True), (4 * limit, False)):
            z = (mean + x).to(dtype)
            naive = ((z * z).mean() - z.mean() ** 2).item()
            assert (abs(naive - 1) < 0.2) == works, (dtype, mean, naive)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_keeps_statistics_in_float32(dtype):
    net = cnn((4, 8)).train()
    seen = []
    net[1].register_forward_hook(lambda m, i, o: seen.extend([i[0].dtype, o.dtype]))
    with torch.autocast("cpu", dtype=dtype):
        net(torch.randn(4, 1, 8, 8))
    assert seen == [dtype, dtype]
    tensors = [*net[1].parameters(), net[1].running_mean, net[1].running_var]
    assert {t.dtype for t in tensors} == {torch.float32}


# Attackers


def test_fgsm_moves_each_pixel_uphill(data):
    torch.manual_seed(0)
    net = mlp((64, 16, 10)).eval()
    x, y = data.x_test[:50], data.y_test[:50]
    moved = company.fgsm(net, x, y, 0.05)
    assert (moved - x).abs().max().item() == pytest.approx(0.05, rel=1e-4)
    loss = nn.functional.cross_entropy
    assert loss(net(moved), y) > loss(net(x), y)
    assert not net.training and not any(p.grad is not None for p in net.parameters())


def test_batch_norm_at_the_same_rate_is_ahead_clean_and_behind_attacked(data):
    kept = company.held_out(data)
    right = {}
    for norm in (nn.BatchNorm1d, None):
        for seed in SEEDS:
            net = company.trained(
                lambda norm=norm: mlp((64, 64, 64, 10), norm=norm),
                kept, seed, rate=0.3, steps=200,
            )  # fmt: skip
            moved = company.fgsm(net, data.x_test, data.y_test, 0.3)
            row = [accuracy(net, x, data.y_test) for x in (data.x_test, moved)]
            right.setdefault(norm, []).append(row)
    (clean, attacked) = np.mean(right[nn.BatchNorm1d], 0) - np.mean(right[None], 0)
    assert clean > 0
    assert attacked < 0


# Folding and export


@pytest.fixture(scope="module")
def trained_cnn():
    images = digits(images=True)
    net = company.trained(lambda: cnn((4, 8)), images, 11, rate=0.3, steps=20)
    return net, images.x_test[:40]


@torch.no_grad()
def test_fold(trained_cnn):
    net, x = trained_cnn
    folded = company.fold(net)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded)
    torch.testing.assert_close(folded(x), net(x), rtol=1e-4, atol=1e-4)
    dense = company.plain("before").eval()
    dense[1].running_mean.normal_()
    z = torch.randn(5, 64)
    torch.testing.assert_close(company.fold(dense)(z), dense(z), rtol=1e-4, atol=1e-5)
    late = company.plain("after").eval()
    assert len(company.fold(late)) == len(late)  # nothing to fold behind a ReLU


@torch.no_grad()
def test_folding_forwards_is_wrong_at_the_border_and_mended_by_padding():
    torch.manual_seed(0)
    bn = nn.BatchNorm2d(2).double().eval()
    for tensor in (bn.running_mean, bn.weight, bn.bias):
        tensor.normal_()
    bn.running_var.uniform_(0.5, 2)
    conv = nn.Conv2d(2, 3, 3, padding=1).double()
    x = normal(4, 2, 6, 7)
    one = company.fold_forwards(bn, conv)
    off = (one(x) - conv(bn(x))).abs().amax((0, 1))
    assert off[1:-1, 1:-1].max() < 1e-12
    border = torch.ones_like(off, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    assert off[border].min() > 1e-3
    value = bn.running_mean - bn.bias / bn.weight * (bn.running_var + bn.eps).sqrt()
    one.padding = (0, 0)
    padded = torch.stack(
        [pad(x[:, c], (1, 1, 1, 1), value=v.item()) for c, v in enumerate(value)], 1
    )
    torch.testing.assert_close(one(padded), conv(bn(x)))


def test_export_from_training_mode(trained_cnn):
    net, x = trained_cnn
    before = copy.deepcopy(net.state_dict())
    program, warned = company.export(net.train(), x[:4])
    net.eval()
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert any("training mode" in message for message in warned)
    proto = program.model_proto
    assert "BatchNormalization" in company.operators(proto)
    with torch.no_grad():
        expected = net(x).numpy()
    np.testing.assert_allclose(company.run_onnx(proto, x), expected, atol=1e-4)
    drifting = company.in_training_mode(proto)
    alone, batched = (company.run_onnx(drifting, part) for part in (x[:8], x))
    assert abs(alone[0] - batched[0]).max() > 1e-2
    with torch.no_grad():
        batch = batch_predictions(net, x).numpy()
    np.testing.assert_allclose(batched, batch, atol=1e-3)
    program.optimize()
    folded = program.model_proto
    assert "BatchNormalization" not in company.operators(folded)
    np.testing.assert_allclose(company.run_onnx(folded, x), expected, atol=1e-4)


# Helpers


def test_held_out_and_wrong_labels(data):
    kept = company.held_out(data, 200)
    assert len(kept.x) == len(data.x) - 200 and len(kept.x_test) == 200
    assert torch.equal(torch.cat([kept.x_test, kept.x]), data.x)
    wrong = company.with_wrong_labels(data, 0.5, 0)
    share = (wrong.y != data.y).double().mean().item()
    assert share == pytest.approx(0.45, abs=0.05)  # a tenth is right by chance
    assert isinstance(wrong, Data) and torch.equal(wrong.y_test, data.y_test)
