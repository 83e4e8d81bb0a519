"""The critiques: equations as printed, and what the experiments show on other seeds."""

import numpy as np
import pytest
import torch
from torch import nn

import bnlib
from experiments import critiques as lab

WIDTHS = (64, *[32] * 8, 10)
pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (11, 12)  # not those of the chapter


def module(nets, which, normalised):
    """One of the networks, as a torch module."""
    layers = []
    for k, (w, shift) in enumerate(zip(nets.weights, nets.shifts, strict=True)):
        linear = nn.Linear(*w.shape[1:])
        linear.weight.data = w[which].detach().T.clone()
        last = k == len(nets.weights) - 1
        bias = shift[which, 0].detach().clone()
        linear.bias.data = torch.zeros_like(bias) if normalised and not last else bias
        layers.append(linear)
        if last:
            return nn.Sequential(*layers)
        if normalised:
            norm = nn.BatchNorm1d(len(bias))
            norm.weight.data = nets.scales[k][which, 0].detach().clone()
            norm.bias.data = bias
            layers.append(norm)
        layers.append(nn.ReLU())


def perturbed(normalised, seeds=SEEDS, widths=(64, 12, 11, 10)):
    """Small networks with gammas and betas other than ones and zeros."""
    nets = lab.start(widths, seeds, normalised=normalised)
    source = torch.Generator().manual_seed(5)
    for p in nets.shifts + nets.scales:
        p += 0.3 * torch.randn(p.shape, generator=source)
    return nets


@pytest.mark.parametrize("normalised", [False, True])
def test_networks_side_by_side_are_torchs(data, normalised):
    nets = perturbed(normalised)
    x, y = data.x[:40].expand(2, -1, -1), data.y[:40].expand(2, -1)
    loss, gradients = lab.gradient(nets, x, y)
    for k in range(2):
        model = module(nets, k, normalised)
        expected = nn.functional.cross_entropy(model(x[k]), y[k])
        assert loss[k].item() == pytest.approx(expected.item(), rel=1e-5)
        expected.backward()
        linear = [layer for layer in model if isinstance(layer, nn.Linear)]
        for ours, layer in zip(gradients, linear, strict=False):
            torch.testing.assert_close(
                ours[k], layer.weight.grad.T, rtol=1e-3, atol=1e-6
            )


def test_training_is_plain_gradient_descent(data):
    nets = lab.start((64, 12, 10), [3], normalised=True, copies=2)
    model = module(nets, 1, True)
    history, _ = lab.train(nets, data, rates=[0.1, 0.4], seeds=[3], steps=5)
    source = torch.Generator().manual_seed(1003)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.4)
    for loss in history[0, 1]:
        rows = torch.randint(len(data.x), (64,), generator=source)
        expected = nn.functional.cross_entropy(model(data.x[rows]), data.y[rows])
        assert loss == pytest.approx(expected.item(), rel=1e-4)
        optimiser.zero_grad()
        expected.backward()
        optimiser.step()


def test_noise():
    """eq:critiques-noise."""
    noise = lab.MovingNoise(0.8)
    zeros, ones = torch.zeros(2, 4000, 50), torch.ones(2, 4000, 50)
    noise.step()
    shift = noise(0, zeros).mean(1)
    scale = noise(0, ones).mean(1) - shift
    assert -0.81 < shift.min() < -0.6 and 0.6 < shift.max() < 0.81
    assert 0.98 < scale.min() < 1.1 and 1.3 < scale.max() < 1.42
    assert noise(0, zeros).std(1).mean() == pytest.approx(0.1, rel=0.02)
    torch.testing.assert_close(noise(0, zeros).mean(1), shift, atol=0.02, rtol=0)
    noise.step()
    assert (noise(0, zeros).mean(1) - shift).abs().mean() > 0.2
    frozen = lab.MovingNoise(0.8, frozen=True)
    before = frozen(0, zeros).mean(1)
    frozen.step()
    torch.testing.assert_close(frozen(0, zeros).mean(1), before, atol=0.02, rtol=0)


def test_shift():
    """eq:critiques-shift, and that it is a Wasserstein distance."""
    rng = np.random.default_rng(0)
    mean, sd = rng.normal(size=(2, 1, 1, 7)), rng.uniform(0.5, 2, (2, 1, 1, 7))
    levels = (np.arange(20000) + 0.5) / 20000
    quantiles = np.sqrt(2) * torch.erfinv(torch.tensor(2 * levels - 1)).numpy()
    squares = [
        np.mean((mean[1, 0, 0, j] - mean[0, 0, 0, j] + d * quantiles) ** 2)
        for j, d in enumerate((sd[1] - sd[0])[0, 0])
    ]
    expected = np.sqrt(np.sum(squares) / np.sum(sd[0] ** 2))
    assert lab.shift({"mean": mean, "sd": sd})[0, 0, 0] == pytest.approx(
        expected, rel=1e-3
    )


def test_moments_with_batch_statistics_are_beta_and_gamma(data):
    nets = perturbed(True, widths=(64, 12, 12, 10))
    seen = lab.moments(nets, data.x[:100])
    np.testing.assert_allclose(seen["mean"][:, 0], nets.shifts[0][:, 0], atol=1e-4)
    alive = seen["sd"][:, 0] > 0.05  # constant pixels leave eps a say
    gamma = nets.scales[0][:, 0].abs().numpy()
    np.testing.assert_allclose(seen["sd"][:, 0][alive], gamma[alive], rtol=1e-2)


@pytest.mark.parametrize("normalised", [False, True])
def test_landscape(data, normalised):
    """eq:critiques-range, eq:critiques-predictive, eq:critiques-beta."""
    nets = perturbed(normalised)
    x, y = data.x[:40].expand(2, -1, -1), data.y[:40].expand(2, -1)
    etas = torch.tensor([[0.05, 0.05], [0.2, 0.3]])
    found = lab.landscape(nets, x, y, etas)
    model = module(nets, 1, normalised)
    bias = [m.bias for m in model[:-1] if isinstance(m, nn.Linear) and normalised]
    moving = [p for p in model.parameters() if not any(p is b for b in bias)]
    start = [p.detach().clone() for p in moving]

    def look():
        loss = nn.functional.cross_entropy(model(x[1]), y[1])
        return loss.item(), torch.autograd.grad(loss, moving)

    loss, g = look()
    length = sum(part.square().sum() for part in g).sqrt().item()
    assert found["start"][1] == pytest.approx(loss, rel=1e-5)
    assert found["slope"][1] == pytest.approx(length, rel=1e-4)
    for point, eta in enumerate(etas[:, 1].tolist()):
        for p, begin, part in zip(moving, start, g, strict=True):
            p.data = begin - eta * part
        there, new = look()
        change = (
            sum((a - b).square().sum() for a, b in zip(new, g, strict=True))
            .sqrt()
            .item()
        )
        assert found["loss"][1, point] == pytest.approx(there, rel=1e-4)
        assert found["change"][1, point] == pytest.approx(change, rel=1e-3)
        assert found["distance"][1, point] == pytest.approx(eta * length, rel=1e-4)


def test_effective_smoothness_of_a_quadratic_does_not_depend_on_the_step():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(6, 6))
    hessian = a @ a.T
    theta = rng.normal(size=6)
    g = hessian @ theta
    for eta in (0.01, 1.0, 100.0):
        change = hessian @ (theta - eta * g) - g
        b = np.linalg.norm(change) / (eta * np.linalg.norm(g))
        assert b == pytest.approx(np.linalg.norm(hessian @ g) / np.linalg.norm(g))
        assert b <= np.linalg.eigvalsh(hessian)[-1] + 1e-9


def test_sharpness(data):
    nets = perturbed(True, widths=(64, 4, 10))
    x, y = data.x[:50].expand(2, -1, -1), data.y[:50].expand(2, -1)
    sizes = [p[:1].shape for p in nets.parameters]

    def loss(flat):
        parts = flat.split([size.numel() for size in sizes])
        p = [part.view(size) for part, size in zip(parts, sizes, strict=True)]
        return lab.losses(
            lab.forward(lab.Nets(p[:2], p[2:4], p[4:]), x[:1]).logits, y[:1]
        )[0]

    flat = torch.cat([p[0].flatten() for p in nets.parameters])
    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat))
    found = lab.sharpness(nets, x, y, 60)[0]
    assert found == pytest.approx(values.abs().max().item(), rel=0.02)


def test_rescaling():
    """eq:critiques-rescale, in float64 and without eps."""
    rng = torch.Generator().manual_seed(0)
    u = torch.randn(20, 3, generator=rng, dtype=torch.float64)
    target = torch.randn(20, generator=rng, dtype=torch.float64)
    w = torch.randn(3, generator=rng, dtype=torch.float64)

    def loss(w):
        h = u @ w
        h = (h - h.mean()) / h.std(correction=0)
        return ((h - target) ** 4).mean()

    for c in (0.3, 2.0):
        torch.testing.assert_close(loss(c * w), loss(w))
        slopes = torch.autograd.functional.jacobian
        torch.testing.assert_close(slopes(loss, c * w), slopes(loss, w) / c)
        bends = torch.autograd.functional.hessian
        torch.testing.assert_close(bends(loss, c * w), bends(loss, w) / c**2)


@pytest.mark.parametrize("eps", [1e-12, 1e-3, 1.0, 30.0])
def test_theorem(eps):
    """eq:critiques-exact and eq:critiques-theorem, against bnlib's backward pass."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        M = int(rng.integers(3, 40))
        x, dy = rng.normal(1.0, 2.0, (M, 1)), rng.normal(0.3, 1.0, (M, 1))
        gamma, beta = rng.normal(size=1), rng.normal(size=1)
        _, cache = bnlib.batch_norm(x, gamma, beta, eps=eps)
        dx, _, _ = bnlib.batch_norm_backward(dy, cache)
        s = np.sqrt(x.var() + eps)
        rho, xhat = x.var() / s**2, (x - x.mean()) / s
        p, q = dy.mean(), (xhat * dy).mean()
        factor = (gamma / s).item() ** 2
        exact = factor * ((dy**2).sum() - M * p**2 - (2 - rho) * M * q**2)
        bound = factor * ((dy**2).sum() - M * p**2 - M * q**2)
        assert (dx**2).sum() == pytest.approx(exact)
        assert (dx**2).sum() <= bound * (1 + 1e-9)
        np.testing.assert_allclose(dx, gamma / s * (dy - p - q * xhat), atol=1e-12)
        if eps == 1.0:
            assert exact < bound


def test_quiz_answer():
    xhat, dy = np.array([1, 1, -1, -1]), np.array([3, 1, 1, -1])
    dx = 2 * (dy - dy.mean() - xhat * (xhat * dy).mean())
    assert dx @ dx == 16


def test_what_arrives(data):
    """The removed share and the factor are those of the theorem."""
    nets = perturbed(True)
    x, y = data.x[:40].expand(2, -1, -1), data.y[:40].expand(2, -1)
    found = lab.arriving(nets, x, y)
    model = module(nets, 0, True)
    kept, before = {}, model[3](model[2](model[1](model[0](x[0])))).detach()
    before.requires_grad_()
    y2 = model[4](before)
    y2.register_hook(lambda g: kept.update(dy=g))
    nn.functional.cross_entropy(model[6](model[5](y2)), y[0]).backward()
    dy, dx = kept["dy"].numpy(), before.grad.numpy()
    h = before.detach().numpy()
    xhat = (h - h.mean(0)) / h.std(0)
    inside = (dy.sum(0) ** 2 + (xhat * dy).sum(0) ** 2).sum() / 40
    assert found["removed"][0, 1] == pytest.approx(inside / (dy**2).sum(), rel=1e-3)
    gamma = model[4].weight.detach().numpy()
    assert found["factor"][0, 1] == pytest.approx((gamma**2 / h.var(0)).mean(), 1e-3)
    bound = gamma**2 / h.var(0) * ((dy**2).sum(0) - (dy.sum(0) ** 2) / 40)
    assert ((dx**2).sum(0) <= bound * (1 + 1e-4)).all()


def test_depth():
    """eq:critiques-depth."""
    assert (1 + 0.01) ** 16 == pytest.approx(np.exp(16 * 0.01), rel=1e-3)


def test_tails(data):
    nets = lab.start((64, 32, 10), SEEDS, normalised=True)
    x, y = data.x[:50].expand(2, -1, -1), data.y[:50].expand(2, -1)
    w = lab.gradient(nets, x, y)[1][0][1].flatten().numpy().astype(float)
    z = (w - w.mean()) / w.std()
    assert lab.tails(nets, x, y)[1, 0] == pytest.approx((z**4).mean(), rel=1e-4)


# Length and direction: eq:critiques-decoupled to eq:critiques-step.


@pytest.fixture
def linear():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5))
    x -= x.mean(0)
    y = x @ rng.normal(size=5) + rng.normal(size=200)
    return x, y, x.T @ x / 200, x.T @ y / 200, rng.normal(size=5)


def rayleigh(v, S, u):
    return -((u @ v) ** 2) / (2 * v @ S @ v)


def slope(f, v, h=1e-6):
    return np.array([(f(v + h * e) - f(v - h * e)) / (2 * h) for e in np.eye(len(v))])


def test_batch_norm_of_a_linear_model(linear):
    x, y, S, u, v = linear
    g = 1.3
    out, _ = bnlib.batch_norm((x @ v)[:, None], np.array([g]), np.zeros(1), eps=1e-14)
    w = g * v / np.sqrt(v @ S @ v)
    np.testing.assert_allclose(out[:, 0], x @ w)
    loss = ((x @ w - y) ** 2).mean() / 2
    printed = (y**2).mean() / 2 - g * u @ v / np.sqrt(v @ S @ v) + g**2 / 2
    assert loss == pytest.approx(printed)
    best = u @ v / np.sqrt(v @ S @ v)
    w = best * v / np.sqrt(v @ S @ v)
    loss = ((x @ w - y) ** 2).mean() / 2
    assert loss == pytest.approx((y**2).mean() / 2 + rayleigh(v, S, u))


def test_only_the_angle_matters(linear):
    _, _, S, u, v = linear
    values, vectors = np.linalg.eigh(S)
    root = vectors * np.sqrt(values) @ vectors.T
    z, b = root @ v, np.linalg.solve(root, u)
    cosine = b @ z / np.linalg.norm(b) / np.linalg.norm(z)
    assert rayleigh(v, S, u) == pytest.approx(-(b @ b) / 2 * cosine**2)
    least = rayleigh(np.linalg.solve(S, u), S, u)
    assert least == pytest.approx(-(b @ b) / 2)


def test_descent_on_the_direction_is_gradient_descent(linear):
    _, _, S, u, v = linear
    c = u @ v / (v @ S @ v)
    numeric = slope(lambda v: rayleigh(v, S, u), v)
    np.testing.assert_allclose(c * (S @ (c * v) - u), numeric, rtol=1e-5)
    assert abs(numeric @ v) < 1e-6 * np.linalg.norm(numeric) * np.linalg.norm(v)
    eta, w = 0.7, c * v
    after = v - eta * numeric
    rate = eta * (w @ w) / (v @ v)
    np.testing.assert_allclose(c * after, w - rate * (S @ w - u), rtol=1e-5)
    stepped = lab.descend_direction(S, u, v, eta, 1)
    best = u @ after / (after @ S @ after) * after
    np.testing.assert_allclose(stepped, best, rtol=1e-5)
    rates = []
    lab.descend_direction(S, u, v, eta, 3, rates)
    assert rates[0] == pytest.approx(rate) and len(rates) == 3


def test_descent_on_both_is_gradient_descent(linear):
    _, _, S, u, v = linear

    def f(p):  # length and direction, up to a constant
        return -p[0] * u @ p[1:] / np.sqrt(p[1:] @ S @ p[1:]) + p[0] ** 2 / 2

    start = np.concatenate([[1.0], v])
    after = start - 0.3 * slope(f, start)
    weights = after[0] * after[1:] / np.sqrt(after[1:] @ S @ after[1:])
    np.testing.assert_allclose(lab.descend_both(S, u, v, 0.3, 1), weights, rtol=1e-5)


def test_any_rate_of_the_direction_is_stable():
    for seed in SEEDS:
        S, u, v = lab.least_squares(seed)
        solution = np.linalg.solve(S, u)

        def error(way, eta, S=S, u=u, v=v, solution=solution):
            with np.errstate(all="ignore"):
                e = way(S, u, v, eta, 300) - solution
                return (e @ S @ e) / (u @ solution)

        for eta in (0.1, 10.0, 1e4):
            assert error(lab.descend_direction, eta) < 1
        assert not error(lab.descend_weights, 2.1) < 1
        assert not error(lab.descend_both, 10.0) < 1
        assert error(lab.descend_both, 1.0) < 1e-2


# What the experiments show, on other seeds and in less time.


def run(data, normalised, rate, steps=100, noise=None):
    nets = lab.start(WIDTHS, SEEDS, normalised=normalised)
    history, seen = lab.train(
        nets, data, rates=[rate], seeds=SEEDS, steps=steps, noise=noise,
        watch=lambda nets, x, y: lab.moments(nets, data.x[:100], noise),
    )  # fmt: skip
    return history[:, 0].mean(1), np.median(lab.shift(seen), axis=(0, 2)), nets


def test_more_shift_and_faster_all_the_same(data):
    plain, plain_shift, _ = run(data, False, 2.0**-4)
    noisy, noisy_shift, _ = run(data, True, 0.5, noise=lab.MovingNoise(1.0))
    still, still_shift, _ = run(data, True, 0.5, noise=lab.MovingNoise(1, frozen=True))
    clean, clean_shift, _ = run(data, True, 0.5)
    strong, _, _ = run(data, True, 0.5, noise=lab.MovingNoise(2.0))
    shaken, _, _ = run(data, False, 2.0**-6, noise=lab.MovingNoise(1.0))
    assert (noisy_shift > 2 * plain_shift).all() and (noisy < plain).all()
    assert (still_shift < plain_shift / 2).all() and (still < 1.25 * clean).all()
    assert (clean_shift < plain_shift / 5).all()
    assert (clean < noisy).all() and (noisy < strong).all() and (plain < shaken).all()


def test_smoother_in_training_but_not_at_the_start(data):
    etas = torch.tensor([0.05, 0.1, 0.2, 0.4])[:, None].expand(-1, 2)
    found = {}
    for normalised, rate in ((False, 2.0**-4), (True, 0.5)):
        nets = lab.start(WIDTHS, SEEDS, normalised=normalised)
        _, seen = lab.train(
            nets, data, rates=[rate], seeds=SEEDS, steps=120, every=10,
            watch=lambda nets, x, y: lab.landscape(nets, x, y, etas),
        )  # fmt: skip
        found[normalised] = np.stack(
            [
                np.ptp(seen["loss"], axis=2),
                seen["change"].max(2),
                (seen["change"] / seen["distance"]).max(2),
            ]
        )  # measures, looks, seeds
    start = np.median(found[True][:, 0], axis=1) / np.median(found[False][:, 0], axis=1)
    assert (start > 0.5).all()  # no advantage like the later one
    later = {k: np.median(v[:, 5:], axis=(1, 2)) for k, v in found.items()}
    assert (later[True] < [later[False] / [5, 5, 1.5]]).all()


def test_edge_of_stability(data):
    rates = np.array([2.0**-6, 2.0**-5, 2.0**-4])
    x, y = data.x[:128].expand(6, -1, -1), data.y[:128].expand(6, -1)
    found = {}
    for normalised in (False, True):
        nets = lab.start(WIDTHS, SEEDS, normalised=normalised, copies=3)
        lab.train(nets, data, rates=rates, seeds=SEEDS, steps=250)
        found[normalised] = lab.sharpness(nets, x, y).reshape(2, 3).mean(0)
    assert (abs(np.log2(found[False] * rates / 2)) < 1.2).all()
    assert (found[True] < found[False] / 2)[:2].all()  # later at the edge too
    assert found[True][0] < 0.25 * 2 / rates[0]


def test_projection_is_small_and_factor_exceeds_one_at_the_start(data):
    x, y = data.x[:64].expand(2, -1, -1), data.y[:64].expand(2, -1)
    begun = {k: lab.start(WIDTHS, SEEDS, normalised=k) for k in (False, True)}
    first = {k: lab.arriving(nets, x, y) for k, nets in begun.items()}
    assert (np.median(first[False]["removed"], axis=1) < 0.2).all()
    assert (np.median(first[True]["removed"], axis=1) < 2 / 64 * 1.5).all()
    assert (np.median(first[True]["factor"], axis=1) > 1.2).all()
    _, _, trained = run(data, True, 0.5, steps=150)
    after = lab.arriving(trained, x, y)["factor"]
    assert (np.median(after, axis=1) < 1).all()


def test_the_usable_rate_falls_with_depth_without_batch_norm(data):
    rates = 2.0 ** np.arange(-5, 3.5)
    usable = {}
    for depth in (1, 12):
        for normalised in (False, True):
            nets = lab.start(
                (64, *[32] * depth, 10), SEEDS, normalised=normalised, copies=len(rates)
            )
            history, _ = lab.train(nets, data, rates=rates, seeds=SEEDS, steps=60)
            usable[depth, normalised] = lab.largest_rate(history, rates)
    assert (usable[1, False] >= 4 * usable[12, False]).all()
    assert (usable[1, True] <= 4 * usable[12, True]).all()
    shallow = usable[1, True] / usable[1, False]
    assert (usable[12, True] / usable[12, False] > 2 * shallow).all()


def test_no_advantage_at_a_small_common_rate(data):
    rates = [2.0**-6, 2.0**-3, 0.5]
    loss, accuracy = {}, {}
    for normalised in (False, True):
        nets = lab.start(WIDTHS, SEEDS, normalised=normalised, copies=3)
        history, _ = lab.train(nets, data, rates=rates, seeds=SEEDS, steps=250)
        loss[normalised] = lab.average(history, 20)
        accuracy[normalised] = lab.test_accuracy(nets, data).reshape(2, 3)
    assert (loss[True][:, 0] > loss[False][:, 0]).all()
    assert accuracy[True][:, 0].mean() < accuracy[False][:, 0].mean()
    best = [accuracy[k].mean(0).max() for k in (False, True)]
    assert best[0] < best[1]


def test_plain_gradients_have_heavy_tails_and_plain_layers_explode(data):
    deep = (64, *[32] * 16, 10)
    x, y = data.x[:256].expand(2, -1, -1), data.y[:256].expand(2, -1)
    ends = {}
    for normalised in (False, True):
        nets = lab.start(deep, SEEDS, normalised=normalised)
        ends[normalised] = np.median(lab.tails(nets, x, y), axis=1)
        _, seen = lab.train(
            nets, data, rates=[4.0], seeds=SEEDS, steps=2,
            watch=lambda nets, x, y: lab.moments(nets, data.x[:200]),
        )  # fmt: skip
        with np.errstate(all="ignore"):
            rms = np.sqrt((seen["mean"] ** 2 + seen["sd"] ** 2).mean(-1))
            ratio = rms[2, :, -1] / rms[2, :, 0]
        assert (ratio < 2).all() if normalised else not (ratio < 100).any()
    assert (ends[False] > 2 * ends[True]).all()


def test_fast_decay_costs_less_with_batch_norm(data):
    final = {}
    for normalised, rate in ((False, 2.0**-3), (True, 1.0)):
        for half in (40, 10):
            nets = lab.start(WIDTHS, SEEDS, normalised=normalised)
            history, _ = lab.train(
                nets, data, rates=[rate], seeds=SEEDS, steps=120, half_life=half
            )
            final[normalised, half] = lab.average(history, 20).mean()
    cost = {k: final[k, 10] - final[k, 40] for k in (False, True)}
    assert cost[True] < cost[False] / 2


def test_layers_disturb_one_another_less(data):
    share = {}
    for normalised, rate in ((False, 2.0**-4), (True, 0.5)):
        nets = lab.start(WIDTHS, SEEDS, normalised=normalised)
        _, seen = lab.train(
            nets, data, rates=[rate], seeds=SEEDS, steps=120, every=10,
            watch=lambda nets, x, y: lab.one_by_one(nets, x, y, torch.full((2,), 0.1)),
        )  # fmt: skip
        for how in ("alone", "together"):
            share[normalised, how] = np.median((seen[how] / seen["predicted"])[4:])
    assert share[False, "alone"] > 0.5 and share[True, "alone"] > 0.5
    assert share[False, "together"] < share[True, "together"] - 0.3
