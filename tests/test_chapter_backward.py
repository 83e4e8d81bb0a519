"""The chapter "The backward pass": its equations, and its claims on other seeds."""

import numpy as np
import pytest
import torch
from printed import printed

import bnlib

pytestmark = pytest.mark.usefixtures("one_thread")
EPS, GAMMA, BETA = 0.1, -1.7, 0.4


@pytest.fixture
def step():
    """Every value of the graph, and its gradient by automatic differentiation."""
    rng = np.random.default_rng(11)
    x, dy = (torch.tensor(a) for a in rng.normal(size=(2, 6)))
    values = {"x": (2 * x + 1).requires_grad_()}
    values["mu"] = values["x"].mean()
    values["c"] = values["x"] - values["mu"]
    values["v"] = (values["c"] ** 2).mean()
    values["s"] = (values["v"] + EPS).sqrt()
    values["x_hat"] = values["c"] / values["s"]
    values["gamma"] = torch.tensor(GAMMA, dtype=torch.float64, requires_grad=True)
    values["beta"] = torch.tensor(BETA, dtype=torch.float64, requires_grad=True)
    y = values["gamma"] * values["x_hat"] + values["beta"]
    gradients = torch.autograd.grad((y * dy).sum(), list(values.values()))
    grads = dict(zip(values, (g.numpy() for g in gradients), strict=True))
    plain = {name: value.detach().numpy() for name, value in values.items()}
    return plain | {"dy": dy.numpy(), "y": y.detach().numpy()}, grads


# Equations


def test_each_step_of_the_graph(step):
    at, grad = step
    M, s, x_hat, c = 6, at["s"], at["x_hat"], at["c"]
    close = np.testing.assert_allclose
    d = GAMMA * at["dy"]
    close(at["dy"].sum(), grad["beta"])
    close((at["dy"] * x_hat).sum(), grad["gamma"])
    close(d, grad["x_hat"])
    ds = -(d * c).sum() / s**2
    close(ds, grad["s"])
    close(ds, -(d * x_hat).sum() / s)
    dv = ds / (2 * s)
    close(dv, grad["v"])
    close(dv, -(d * x_hat).sum() / (2 * s**2))
    dc = d / s + 2 * c / M * dv
    close(dc, grad["c"])
    close(dc, (d - x_hat * (d * x_hat).mean()) / s)
    dmu = -dc.sum()
    close(dmu, grad["mu"])
    close(dmu, -M / s * d.mean())
    close(dc + dmu / M, grad["x"])


def test_the_one_line_and_the_kernels_line(step):
    at, grad = step
    s, x_hat, dy, M = at["s"], at["x_hat"], at["dy"], 6
    d = GAMMA * dy
    dx = (d - d.mean() - x_hat * (d * x_hat).mean()) / s
    np.testing.assert_allclose(dx, grad["x"])
    dbeta, dgamma = dy.sum(), (dy * x_hat).sum()
    kernel = GAMMA / s * (dy - dbeta / M - x_hat * dgamma / M)
    np.testing.assert_allclose(kernel, grad["x"])
    column = [a[:, None] for a in (at["x"], dy)]
    _, cache = bnlib.batch_norm(column[0], np.array([GAMMA]), np.array([BETA]), eps=EPS)
    found = bnlib.batch_norm_backward(column[1], cache)
    np.testing.assert_allclose(found[0][:, 0], dx)
    np.testing.assert_allclose([found[1][0], found[2][0]], [dgamma, dbeta])


def test_the_jacobian(step):
    at, grad = step
    M, s, x_hat = 6, at["s"], at["x_hat"]

    def normalise(x):
        c = x - x.mean()
        return c / ((c**2).mean() + EPS).sqrt()

    x = torch.tensor(at["x"])
    J = torch.autograd.functional.jacobian(normalise, x).numpy()
    one = np.ones(M)
    close = np.testing.assert_allclose
    printed_J = (np.eye(M) - np.outer(one, one) / M - np.outer(x_hat, x_hat) / M) / s
    close(J, printed_J, atol=1e-12)
    close(J @ (GAMMA * at["dy"]), grad["x"])
    of = {
        "mu": (lambda x: x.mean(), one / M),
        "v": (lambda x: x.var(correction=0), 2 * at["c"] / M),
        "s": (lambda x: (x.var(correction=0) + EPS).sqrt(), x_hat / M),
    }
    for function, expected in of.values():
        close(torch.autograd.functional.jacobian(function, x), expected, atol=1e-12)


def test_what_the_gradient_cannot_contain(step):
    at, grad = step
    M, s, v, x_hat, dx = 6, at["s"], at["v"], at["x_hat"], grad["x"]
    d = GAMMA * at["dy"]
    rho = (x_hat @ x_hat) / M
    assert rho == pytest.approx(v / (v + EPS))
    assert 1 - rho == pytest.approx(EPS / s**2)
    assert dx.sum() == pytest.approx(0, abs=1e-12)
    assert dx @ x_hat == pytest.approx(EPS / s**3 * (d @ x_hat))
    assert dx @ x_hat == pytest.approx(EPS * GAMMA * grad["gamma"] / s**3)


def test_losses_that_see_nothing(step):
    at, _ = step
    _, cache = bnlib.batch_norm(
        at["x"][:, None], np.array([GAMMA]), np.array([BETA]), eps=EPS
    )
    dx, *_ = bnlib.batch_norm_backward(np.ones((6, 1)), cache)
    np.testing.assert_allclose(dx, 0, atol=1e-12)
    dx, *_ = bnlib.batch_norm_backward(at["x_hat"][:, None], cache)
    expected = GAMMA * EPS / at["s"] ** 3 * at["x_hat"]
    np.testing.assert_allclose(dx[:, 0], expected)


def unit(seed, scale=1.0, eps=1e-12):
    """A linear unit under batch norm: weights, gradient, and what it passed on."""
    rng = np.random.default_rng(seed)
    u, target = rng.normal(size=(40, 5)), rng.normal(size=(40, 1))
    w = scale * rng.normal(size=(5, 1))
    h = u @ w
    y, cache = bnlib.batch_norm(h, np.array([1.5]), np.array([0.2]), eps=eps)
    dh, dgamma, _ = bnlib.batch_norm_backward((y - target) ** 3, cache)
    return w, u.T @ dh, y, h, dh, dgamma[0]


def test_scale_invariance():
    w, g, y, *_ = unit(12)
    _, g3, y3, *_ = unit(12, scale=3.0)
    np.testing.assert_allclose(y3, y, rtol=1e-9)
    assert (w * g).sum() == pytest.approx(0, abs=1e-9 * np.linalg.norm(g))
    np.testing.assert_allclose(g3, g / 3, rtol=1e-6)
    # With eps: how far from a right angle.
    w, g, _, h, dh, dgamma = unit(13, eps=EPS)
    expected = EPS * 1.5 * dgamma / (h.var() + EPS)
    assert (w * g).sum() == pytest.approx(expected)
    assert (h * dh).sum() == pytest.approx(expected)


def test_pythagoras_effective_rate_and_equilibrium():
    w, g, *_ = unit(14)
    eta, decay = 1e-3, 0.2
    new = (1 - eta * decay) * w - eta * g
    square = (1 - eta * decay) ** 2 * (w**2).sum() + eta**2 * (g**2).sum()
    assert (new**2).sum() == pytest.approx(square, rel=1e-12)
    size = np.linalg.norm(w)
    _, at_unit, *_ = unit(14, scale=1 / size)
    small = w - 1e-6 * g
    moved = (small / np.linalg.norm(small) - w / size) / 1e-6
    np.testing.assert_allclose(moved, -at_unit / size**2, rtol=1e-3, atol=1e-3)
    # The length that stays: a gradient of constant size at unit length.
    square, slope = 4.0, 3.0
    for _ in range(200_000):
        square = (1 - eta * decay) ** 2 * square + eta**2 * slope**2 / square
    turn = eta * slope / square  # eta |g| / |w|
    assert turn == pytest.approx(np.sqrt(2 * eta * decay), rel=1e-3)


def test_images_as_printed():
    rng = np.random.default_rng(15)
    x, dy = rng.normal(size=(2, 3, 2, 4, 5))
    gamma = np.array([1.5, -0.6])
    _, cache = bnlib.batch_norm(x, gamma, np.zeros(2))
    dx, dgamma, dbeta = bnlib.batch_norm_backward(dy, cache)
    for c in range(2):
        s = np.sqrt(x[:, c].var() + 1e-5)
        x_hat = (x[:, c] - x[:, c].mean()) / s
        db, dg = dy[:, c].sum(), (dy[:, c] * x_hat).sum()
        expected = gamma[c] / s * (dy[:, c] - db / 60 - x_hat * dg / 60)
        np.testing.assert_allclose(dx[:, c], expected, atol=1e-12)
        np.testing.assert_allclose([dgamma[c], dbeta[c]], [dg, db])


def test_evaluation_mode_has_no_projection():
    rng = np.random.default_rng(16)
    x, dy = (torch.tensor(a) for a in rng.normal(size=(2, 6, 1)))
    m, r = torch.tensor([0.7]).double(), torch.tensor([1.9]).double()
    gamma, beta = torch.tensor([GAMMA]).double(), torch.tensor([BETA]).double()
    leaves = [t.requires_grad_() for t in (x, gamma, beta)]
    y = torch.nn.functional.batch_norm(x, m, r, gamma, beta, eps=EPS)
    dx, dgamma, dbeta = torch.autograd.grad((y * dy).sum(), leaves)
    root = (r + EPS).sqrt()
    torch.testing.assert_close(dx, GAMMA * dy / root)
    torch.testing.assert_close(dgamma, (dy * (x - m) / root).sum(0))
    torch.testing.assert_close(dbeta, dy.sum(0))


def test_the_numerical_gradient_and_the_error_as_printed():
    rng = np.random.default_rng(17)
    x, dy = rng.normal(size=(2, 6, 1))
    gamma, beta = np.array([GAMMA]), np.array([BETA])

    def loss(x):
        return (bnlib.batch_norm(x, gamma, beta)[0] * dy).sum()

    h, numerical = 1e-5, np.zeros_like(x)
    for i in range(len(x)):
        e = np.zeros_like(x)
        e[i] = h
        numerical[i] = (loss(x + e) - loss(x - e)) / (2 * h)
    _, cache = bnlib.batch_norm(x, gamma, beta)
    a, *_ = bnlib.batch_norm_backward(dy, cache)
    norm = np.linalg.norm

    def error(a, n):
        return norm(a - n) / (norm(a) + norm(n))

    assert error(a, numerical) < 1e-8
    assert error(GAMMA * dy / x.std(), numerical) > 0.01  # statistics as constants


# Claims


@pytest.fixture(scope="module")
def runs():
    """The chapter's training runs, on two seeds that it does not use."""
    names = {"np": np, "torch": torch, "print": lambda *_: None}
    # The cell runs all it has: give it one step at first.
    found = printed("backward", "def train(weight_decay", names=names | {"range": few})
    found["range"] = lambda *ends: (21, 22) if ends == (2,) else range(*ends)
    return {decay: found["train"](decay, seeds=2, steps=2000) for decay in (0.0, 4e-3)}


def few(*ends):
    """Return a range, but at most eight numbers."""
    return range(*ends)[:8]


def test_without_decay_the_weights_only_grow(runs):
    norms, *_ = runs[0.0]
    assert (np.diff(norms, axis=0) > -1e-4).all()
    assert (norms[-1] > 1.2 * norms[0]).all()


def test_decay_settles_at_the_turning_angle_and_does_not_lower_the_loss(runs):
    _, angles, losses = runs[4e-3]
    turn = angles[-20:].mean(axis=0) / np.sqrt(2 * 4e-3)
    assert (abs(turn - 1) < 0.15).all()
    assert losses[-20:].mean() > runs[0.0][2][-20:].mean()
