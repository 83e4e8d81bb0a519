"""The capstone: its formulas, its network against PyTorch, its goals on other seeds."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d
from torch.nn.functional import cross_entropy as torch_cross_entropy

import bnlib
from experiments.capstone import (
    GOALS,
    STEPS,
    Conv,
    Network,
    Sgd,
    columns,
    cross_entropy,
    error,
    folded,
    gradients,
    held_out,
    image,
    train,
    twin,
    twin_gradients,
)
from experiments.data import digits

pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (11, 12)  # the chapter uses 0 to 2, and 100 to tune
SHAPES = [(3, 1), (3, 2), (1, 1), (1, 2), (5, 3)]


@pytest.fixture(scope="module")
def images():
    return digits(images=True)


def drawn(norm, seed, dtype=np.float64):
    """Return a network whose vectors are random, running statistics too."""
    network = Network(norm, seed=seed, dtype=dtype)
    rng = np.random.default_rng(seed)
    for layer in network.layers():
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(layer, name, None)
            if value is not None and value.ndim == 1:
                value[:] = rng.standard_normal(len(value))
                if name == "running_var":
                    value[:] = np.exp(value)
    return network


# Formulas


@pytest.mark.parametrize(("kernel", "stride"), SHAPES)
def test_columns_and_their_transpose(kernel, stride):
    rng = np.random.default_rng(kernel)
    x = rng.standard_normal((2, 3, 7, 6))
    cols = columns(x, kernel, stride)
    u = rng.standard_normal(cols.shape)
    back = image(u, x.shape, kernel, stride)
    assert back.shape == x.shape
    np.testing.assert_allclose((cols * u).sum(), (x * back).sum())


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), SHAPES)
def test_a_convolution_is_pytorch_s(kernel, stride, bias):
    rng = np.random.default_rng(0)
    conv = Conv(rng, 3, 4, kernel=kernel, stride=stride, dtype=np.float64)
    conv.bias = rng.standard_normal(4) if bias else None
    x = torch.tensor(rng.standard_normal((2, 3, 7, 6)), requires_grad=True)
    w = torch.tensor(conv.weight, requires_grad=True)
    b = torch.tensor(conv.bias, requires_grad=True) if bias else None
    expected = conv2d(x, w, b, stride=stride, padding=kernel // 2)
    y = conv.forward(x.detach().numpy())
    np.testing.assert_allclose(y, expected.detach(), atol=1e-12)
    # As printed: W times the columns
    cols = columns(x.detach().numpy(), kernel, stride)
    flat = conv.weight.reshape(4, -1)
    if not bias:
        np.testing.assert_allclose(y.reshape(2, 4, -1), flat @ cols)
    dy = torch.tensor(rng.standard_normal(y.shape))
    expected.backward(dy)
    np.testing.assert_allclose(conv.backward(dy.numpy()), x.grad, atol=1e-12)
    np.testing.assert_allclose(conv.grads["weight"], w.grad, atol=1e-12)
    rows = dy.numpy().reshape(2, 4, -1)
    printed = sum(a @ c.T for a, c in zip(rows, cols, strict=True))
    np.testing.assert_allclose(printed.reshape(w.shape), w.grad, atol=1e-12)
    if bias:
        np.testing.assert_allclose(conv.grads["bias"], b.grad, atol=1e-12)


def test_the_loss_and_its_gradient():
    rng = np.random.default_rng(0)
    z = torch.tensor(rng.standard_normal((5, 10)), requires_grad=True)
    y = torch.tensor(rng.integers(0, 10, 5))
    expected = torch_cross_entropy(z, y)
    expected.backward()
    loss, gradient = cross_entropy(z.detach().numpy(), y.numpy())
    assert loss == pytest.approx(expected.item())
    np.testing.assert_allclose(gradient, z.grad, atol=1e-15)
    printed = (z.softmax(1) - nn.functional.one_hot(y, 10)) / 5
    np.testing.assert_allclose(gradient, printed.detach(), atol=1e-15)
    assert np.isfinite(cross_entropy(1e4 * z.detach().numpy(), y.numpy())[0])


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_whole_gradient_is_pytorch_s(norm, seed, images):
    network = drawn(norm, seed)
    model = twin(network)
    x = images.x[:7].double().requires_grad_()
    expected = torch_cross_entropy(model(x), images.y[:7])
    expected.backward()
    loss, d = cross_entropy(network.forward(x.detach().numpy()), images.y[:7].numpy())
    dx = network.backward(d)
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(dx, x.grad, atol=1e-12)
    pairs = list(zip(gradients(network), twin_gradients(model), strict=True))
    assert len(pairs) > 20
    for ours, theirs in pairs:
        assert ours.any()
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_steps_are_pytorch_s(norm, images):
    network = Network(norm, seed=11, dtype=np.float64)
    model = twin(network).train()
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    reference = torch.optim.SGD(
        [{"params": matrices, "weight_decay": 0.01}, {"params": vectors}],
        lr=0.25,  # exact in float32
        momentum=0.9,
    )
    ours = Sgd(network, decay=0.01)
    for k in range(3):
        x, y = images.x[8 * k : 8 * k + 8].double(), images.y[8 * k : 8 * k + 8]
        reference.zero_grad()
        torch_cross_entropy(model(x), y).backward()
        reference.step()
        _, d = cross_entropy(network.forward(x.numpy()), y.numpy())
        network.backward(d)
        ours.step(0.25)
    x = images.x_test[:20].double()
    with torch.no_grad():
        expected = model.eval()(x)  # weights and running statistics
    logits = network.eval().forward(x.numpy())
    np.testing.assert_allclose(logits, expected, atol=1e-10)


def test_a_new_block_is_its_skip(images):
    network = Network("batch", seed=11)
    before = network.forward(images.x[:5].numpy())
    for block in network.blocks:
        block.branch[0].weight *= 7
    np.testing.assert_array_equal(before, network.forward(images.x[:5].numpy()))
    assert [bool(block.skip) for block in network.blocks] == [True, False, True]


def test_float32_stays(images):
    network = Network("group", seed=11)
    logits = network.forward(images.x[:4].numpy())
    _, d = cross_entropy(logits, images.y[:4].numpy())
    assert logits.dtype == network.backward(d).dtype == np.float32
    Sgd(network).step(0.1)
    for layer in network.layers():
        assert layer.weight.dtype == np.float32


# Folding


def test_folding_is_exact(images):
    network = drawn("batch", 11).eval()
    before = copy.deepcopy(network)
    deployed = folded(network)
    x = images.x_test[:50].double().numpy()
    np.testing.assert_allclose(deployed.forward(x), network.forward(x), rtol=1e-10)
    np.testing.assert_array_equal(network.forward(x), before.forward(x))
    assert not any(isinstance(one, bnlib.nn.Layer) for one in deployed.layers())
    # As printed
    norm, conv = network.stem[1], network.stem[0]
    s = norm.weight / np.sqrt(norm.running_var + norm.eps)
    np.testing.assert_allclose(
        deployed.stem[0].weight, s[:, None, None, None] * conv.weight
    )
    np.testing.assert_allclose(deployed.stem[0].bias, norm.bias - s * norm.running_mean)


def test_group_norm_cannot_be_folded():
    with pytest.raises(TypeError, match="GroupNorm computes its statistics"):
        folded(Network("group"))


# Training, on seeds that the chapter does not use


@pytest.fixture(scope="module")
def runs(images):
    rates = {
        ("batch", 64): 0.3,
        ("group", 64): 0.3,
        ("batch", 4): 0.1,
        ("group", 4): 0.1,
    }
    return {
        (norm, batch): [
            train(images, norm, rate=rate, batch=batch, steps=STEPS[batch], seed=seed)
            for seed in SEEDS
        ]
        for (norm, batch), rate in rates.items()
    }


def accuracies(runs, images):
    return {
        key: [100 - error(run.network, images.x_test, images.y_test) for run in two]
        for key, two in runs.items()
    }


def test_the_goals_are_reached(runs, images):
    reached = accuracies(runs, images)
    assert reached.keys() == GOALS.keys()
    for key, goal in GOALS.items():
        assert np.mean(reached[key]) >= goal, (key, reached[key])
    for batch in (64, 4):
        assert np.mean(reached["batch", batch]) > np.mean(reached["group", batch])


def test_evaluation_depends_on_no_company(runs, images):
    network = runs["batch", 64][0].network
    x = images.x_test.numpy()
    np.testing.assert_allclose(
        network.forward(x[:1]), network.forward(x)[:1], atol=1e-4
    )
    deployed = folded(network)
    one, other = network.forward(x), deployed.forward(x)
    assert abs(one - other).max() < 1e-5 * abs(one).max()
    assert (one.argmax(1) == other.argmax(1)).all()


def test_held_out_examples_are_not_trained_on(images):
    kept = held_out(images)
    assert len(kept.x) == 1100 and len(kept.x_test) == 300
    assert torch.equal(torch.cat([kept.x_test, kept.x]), images.x)


def test_training_is_reproducible_and_watched(images):
    how = {"rate": 0.1, "batch": 16, "steps": 5, "seed": 11}
    one = train(images, "batch", watch=lambda net: net.stem[1].training, every=2, **how)
    other = train(images, "batch", **how)
    assert one.loss == other.loss and len(one.loss) == len(one.seconds) == 5
    assert one.seen == [False, False] and not one.network.stem[1].training
