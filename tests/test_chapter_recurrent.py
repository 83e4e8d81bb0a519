"""The chapter "Recurrent networks": its equations, and its claims on other seeds."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm, cross_entropy

from experiments.data import Data
from experiments.recurrent import (
    Lstm,
    Padded,
    StepNorm,
    extend,
    glimpses,
    padded,
    rnn_gradients,
    sequences,
    share,
    side_by_side,
    step_norms,
    train_side_by_side,
)
from experiments.training import accuracy, train

pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (11, 12)  # the chapter uses 0 to 2


@pytest.fixture(scope="module")
def rows(data):
    return sequences(data)


def fit(model, data, rate, seed, batch=64, steps=100):
    history = train(
        model, data, rate=rate, steps=steps, batch=batch, seed=seed, momentum=0.9
    )
    return np.mean(history.loss[-30:])


@pytest.fixture(scope="module")
def trained(rows):
    """Batch-normalised networks, trained with statistics per step."""
    nets = {}
    for seed in SEEDS:
        nets[seed] = Lstm(8, 32, 10, norm="step", steps=8, gamma=1.0, seed=seed)
        fit(nets[seed], rows, 0.3, seed)
    return nets


@pytest.fixture(scope="module")
def readers(data):
    nets = {}
    for seed in SEEDS:
        nets[seed] = Lstm(16, 32, 10, norm="step", steps=12, gamma=1.0, seed=seed)
        fit(nets[seed], glimpses(data, 12, copies=4, seed=seed), 0.3, seed)
    return nets


def test_moments_of_a_linear_recurrence():
    rng = np.random.default_rng(0)
    a, m, s, h = 0.8, 0.5, 1.3, np.zeros(200_000)
    for t in range(1, 9):
        h = a * h + rng.normal(m, s, size=h.shape)
        assert h.mean() == pytest.approx(m * (1 - a**t) / (1 - a), abs=0.02)
        variance = s**2 * (1 - a ** (2 * t)) / (1 - a**2)
        assert h.var() == pytest.approx(variance, rel=0.02)


def test_a_shared_running_mean_favours_the_last_steps():
    means = torch.tensor([3.0, -1.0, 4.0, 1.5, -5.0])
    norm = nn.BatchNorm1d(1)
    for _ in range(100):
        for mean in means:
            norm(mean + torch.tensor([[-1.0], [1.0]]))
    weight = 0.1 * 0.9 ** torch.arange(4, -1, -1.0) / (1 - 0.9**5)
    assert weight.sum() == pytest.approx(1.0, abs=1e-6)
    assert norm.running_mean.item() == pytest.approx((weight @ means).item(), abs=1e-4)


def test_share_is_what_a_shared_norm_settles_at():
    generator = torch.Generator().manual_seed(0)
    batches = torch.randn(5, 16, 3, generator=generator)
    batches *= torch.arange(1.0, 6).view(5, 1, 1)
    own, shared = StepNorm(3, steps=5), StepNorm(3, steps=1)
    for _ in range(200):
        for t, z in enumerate(batches):
            assert torch.equal(own(z, t), shared(z, t))  # training is the same
    copied = step_norms(share(nn.ModuleList([own]), places=(0,)))[0]
    torch.testing.assert_close(copied.running_mean, shared.running_mean)
    torch.testing.assert_close(copied.running_var, shared.running_var)


def test_pooled_statistics_are_those_of_all_steps_together():
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(4, 1000, 2, generator=generator) + torch.arange(4.0).view(4, 1, 1)
    norm = StepNorm(2, steps=4, momentum=1.0)
    for t in range(4):
        norm(z[t], t)
    pooled = step_norms(share(nn.ModuleList([norm]), pooled=True, places=(0,)))[0]
    torch.testing.assert_close(pooled.running_mean[0], z.flatten(0, 1).mean(0))
    torch.testing.assert_close(
        pooled.running_var[0], z.flatten(0, 1).var(0), rtol=2e-3, atol=0
    )


def test_the_cell_is_the_equation_and_each_step_torchs_batch_norm():
    torch.manual_seed(0)
    model = Lstm(3, 4, 5, norm="step", steps=6).double()
    for norm in step_norms(model):
        nn.init.normal_(norm.gamma)
    nn.init.normal_(model.norm_c.beta)
    x = torch.randn(7, 6, 3, dtype=torch.double)
    out = model(x)
    h = c = torch.zeros(7, 4, dtype=torch.double)
    for t in range(6):

        def bn(z, norm):
            return batch_norm(z, None, None, norm.gamma, norm.beta, True)

        gates = (
            bn(h @ model.w_h, model.norm_h)
            + bn(x[:, t] @ model.w_x, model.norm_x)
            + model.bias
        )
        i, f, o, g = gates.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        mean, var = c.mean(0), c.var(0)
        torch.testing.assert_close(model.norm_c.running_mean[t], 0.1 * mean)
        torch.testing.assert_close(model.norm_c.running_var[t], 0.9 + 0.1 * var)
        h = o.sigmoid() * bn(c, model.norm_c).tanh()
    torch.testing.assert_close(out, model.readout(h))


def test_gammas_are_shared_and_the_gates_have_no_beta():
    model = Lstm(3, 4, 5, norm="step", steps=6)
    assert model.norm_h.gamma.shape == (16,)
    assert model.norm_h.beta is None and model.norm_x.beta is None
    assert model.norm_c.beta.shape == (4,)


def test_plain_cell_is_torchs_lstm():
    model = Lstm(3, 4, 5, norm="plain", seed=1)
    nn.init.normal_(model.bias)
    reference = nn.LSTM(3, 4, batch_first=True)
    order = [0, 1, 3, 2]  # torch: i, f, g, o

    def arranged(w):
        return torch.cat([w.chunk(4, -1)[k] for k in order], -1)

    with torch.no_grad():
        reference.weight_ih_l0.copy_(arranged(model.w_x).T)
        reference.weight_hh_l0.copy_(arranged(model.w_h).T)
        reference.bias_ih_l0.copy_(arranged(model.bias))
        reference.bias_hh_l0.zero_()
    x = torch.randn(6, 5, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(x), model.readout(reference(x)[0][:, -1]))


def test_layer_norm_needs_neither_batch_nor_clock():
    model = Lstm(3, 4, 5, norm="layer")
    x = torch.randn(6, 9, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(x)[:1], model(x[:1]))
    z = torch.randn(2, 16)
    mean = z.mean(1, keepdim=True)
    var = (z - mean).square().mean(1, keepdim=True)
    wanted = (z - mean) / (var + 1e-5).sqrt()
    torch.testing.assert_close(model.norm_h(z, 3), wanted)


def test_sequence_wise_statistics_are_over_batch_and_time():
    model = Lstm(3, 4, 5, norm="input")
    x = torch.randn(6, 9, 3, generator=torch.Generator().manual_seed(0))
    model(x)
    z = x @ model.w_x
    mean, sd = z.mean((0, 1)), z.std((0, 1), correction=0)
    torch.testing.assert_close(model.over_time.running_mean[0], 0.1 * mean)
    normed = model.over_time(z.flatten(0, 1), 0).view_as(z)
    torch.testing.assert_close(normed, (z - mean) / sd, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("norm", ["plain", "input", "step", "layer"])
def test_side_by_side_is_one_after_the_other(rows, norm):
    def make(seed):
        return Lstm(8, 4, 10, norm=norm, steps=8, gamma=0.7, seed=seed).double()

    rows = Data(rows.x.double(), rows.y, rows.x_test.double(), rows.y_test)
    many, x = side_by_side([make(s) for s in SEEDS]), rows.x[:18].view(2, 9, 8, 8)
    for seed, together, own in zip(SEEDS, many(x), x, strict=True):
        torch.testing.assert_close(together, make(seed)(own))
    models = [make(seed) for seed in SEEDS]
    runs = train_side_by_side(
        models, [rows] * 2, rates=(0.02, 0.1), seeds=SEEDS, steps=5, batch=8
    )
    for (rate, seed), (net, loss) in runs.items():
        alone = make(seed)
        wanted = fit(alone, rows, rate, seed, batch=8, steps=5)
        assert loss == pytest.approx(wanted, rel=1e-4)
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(
                net.state_dict()[name], value, rtol=1e-3, atol=1e-4
            )


Z = torch.linspace(-9, 9, 20001, dtype=torch.double)
P = torch.exp(-Z.square() / 2) / torch.exp(-Z.square() / 2).sum()


def gain_mix(gamma):
    y = torch.tanh(gamma * Z)
    return (gamma * (P @ (1 - y**2) ** 2).sqrt() / (P @ y**2).sqrt()).item()


def test_expansions_in_gamma():
    for gamma in (0.05, 0.1):
        mean = (P @ (1 - torch.tanh(gamma * Z) ** 2)).item()
        assert mean == pytest.approx(1 - gamma**2 + 2 * gamma**4, abs=8 * gamma**6)
        wanted = 1 + 2 / 3 * gamma**4
        assert gain_mix(gamma) == pytest.approx(wanted, abs=8 * gamma**6)
    for gamma in (0.01, 0.3, 1.0, 3.0):
        assert gain_mix(gamma) >= 1
        alone = gamma / np.cosh(gamma) ** 2 / np.tanh(gamma)
        assert alone == pytest.approx(2 * gamma / np.sinh(2 * gamma))
        assert alone < 1


@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_grow_with_mixing_and_vanish_without(seed):
    blank = torch.zeros(256, 64, 1)
    mix = rnn_gradients(blank, 1.0, mix=True, units=64, seed=seed)
    assert (mix[20] / mix[50]) ** (1 / 30) == pytest.approx(gain_mix(1.0), abs=0.01)
    alone = rnn_gradients(blank, 1.0, mix=False, units=64, seed=seed)
    assert (alone[51] / alone[61]) ** 0.1 == pytest.approx(2 / np.sinh(2), abs=0.03)
    assert alone.min() < 1e-6
    for mixing in (True, False):
        small = rnn_gradients(blank, 0.1, mix=mixing, units=64, seed=seed)
        assert 0.8 < small[0] < 1.3


@pytest.mark.parametrize("seed", SEEDS)
def test_input_that_differs_keeps_the_gradient_alive(data, seed):
    pixels = sequences(data, size=1).x[:256]
    fed = rnn_gradients(pixels, 1.0, mix=False, units=64, seed=seed)
    assert fed.min() > 1e-3


def test_separate_norms_forget_half_of_the_variance_each_step():
    generator = torch.Generator().manual_seed(0)
    w = nn.init.orthogonal_(torch.empty(200, 200), generator=generator)
    h = torch.randn(4000, 200, generator=generator)
    first = h / h.std()
    scale = torch.full((200,), 0.1)
    for _ in range(3):
        x = torch.randn(h.shape, generator=generator)
        z = batch_norm(h @ w, None, None, scale, None, True)
        h = torch.tanh(z + batch_norm(x, None, None, scale, None, True))
    start = first @ w @ w @ w
    share_of_start = (h * start).mean() / h.std() / start.std()
    assert share_of_start == pytest.approx(0.5**1.5, abs=0.02)


@pytest.mark.parametrize("seed", SEEDS)
def test_shared_statistics_fail_in_evaluation_only(trained, rows, seed):
    net = trained[seed]
    with torch.no_grad():
        own, shared, pooled = (
            cross_entropy(n.eval()(rows.x_test), rows.y_test)
            for n in (copy.deepcopy(net), share(net), share(net, pooled=True))
        )
    assert shared > 1.1 * own
    assert pooled > 1.1 * own
    with torch.no_grad():
        for other in (share(net), share(net, pooled=True)):
            a, b = copy.deepcopy(net).train(), other.train()
            torch.testing.assert_close(a(rows.x_test), b(rows.x_test))


def test_small_batches_hurt_only_inside_the_recurrence(rows):
    scores = {}
    for norm, rate in (("step", 0.1), ("layer", 0.03), ("input", 0.03)):
        models = [Lstm(8, 32, 10, norm=norm, steps=8, seed=seed) for seed in SEEDS]
        runs = train_side_by_side(
            models, [rows] * 2, rates=(rate,), seeds=SEEDS, batch=4
        )
        scores[norm] = [
            accuracy(net, rows.x_test, rows.y_test) for net, _ in runs.values()
        ]
    assert max(scores["step"]) < min(scores["layer"])
    assert max(scores["step"]) < min(scores["input"])


@pytest.mark.parametrize("seed", SEEDS)
def test_beyond_training_the_last_statistics_serve(readers, data, seed):
    test = glimpses(data, 24, seed=99)
    score = {
        how: accuracy(extend(readers[seed], 24, how), test.x_test, test.y_test)
        for how in ("last", "again", "fresh")
    }
    assert score["last"] > score["fresh"] + 10
    short = glimpses(data, 12, seed=99)
    known = accuracy(readers[seed], short.x_test, short.y_test)
    assert score["last"] > known - 6
    one_more = glimpses(data, 13, seed=99)
    again, last = (
        accuracy(extend(readers[seed], 24, how), one_more.x_test, one_more.y_test)
        for how in ("again", "last")
    )
    assert again < last
    same = extend(readers[seed], 24, "last")
    with torch.no_grad():
        torch.testing.assert_close(
            same.eval()(test.x_test), readers[seed].eval()(test.x_test)
        )


def test_padding_in_the_statistics():
    z = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0)) * 2 + 0.7
    mean, var = z[:1000].mean(), z[:1000].var(correction=0)
    z[1000:] = 0  # p = 3/4
    assert z.mean() == pytest.approx(mean.item() / 4, rel=1e-4)
    wanted = var / 4 + 3 / 16 * mean**2
    assert z.var(correction=0) == pytest.approx(wanted.item(), rel=1e-4)


def test_masked_statistics_ignore_padding():
    generator = torch.Generator().manual_seed(0)
    z, alive = torch.randn(10, 3, generator=generator), torch.arange(10) < 6
    with_mask, without = StepNorm(3, steps=2), StepNorm(3, steps=2)
    out = with_mask(z, 1, alive)
    torch.testing.assert_close(out[:6], without(z[:6], 1))
    assert (out[6:] == 0).all()
    torch.testing.assert_close(with_mask.running_var, without.running_var)


def test_a_padded_sequence_is_a_shorter_one():
    model = Padded(Lstm(3, 4, 5, norm="step", steps=6), masked=True)
    x = torch.randn(8, 6, 3, generator=torch.Generator().manual_seed(0))
    model(x)
    model.eval()
    cut = x.clone()
    cut[:, 4:] = 0
    torch.testing.assert_close(model(cut), model.model(x[:, :4]))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mask_unties_answers_from_the_neighbours_padding(data, seed):
    looks = padded(glimpses(data, 12, copies=2, seed=seed), 3, seed=seed)
    full = glimpses(data, 12, seed=99).x_test
    mixed = padded(Data(full, data.y_test, full, data.y_test), 3).x
    mixed[:40] = full[:40]
    change = {}
    for masked in (True, False):
        net = Lstm(16, 32, 10, norm="step", steps=12, gamma=1.0, seed=seed)
        net = Padded(net, masked=masked)
        fit(net, looks, 0.3, seed, steps=40)
        with torch.no_grad():
            alone, among = net(full)[:40], net(mixed)[:40]
        change[masked] = ((among - alone).abs().mean() / alone.std()).item()
    assert change[False] > 1.5 * change[True]
