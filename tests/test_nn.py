"""Layers next to their PyTorch namesakes, over training and evaluation."""

import ml_dtypes
import numpy as np
import pytest
import torch
from norms import DTYPES, assert_close
from torch import nn as tnn

import bnlib
from bnlib import nn

LAYERS = {  # layer, module, shape of x
    "BatchNorm1d": (nn.BatchNorm, tnn.BatchNorm1d, (5,), {}, (7, 5)),
    "BatchNorm1d of sequences": (nn.BatchNorm, tnn.BatchNorm1d, (5,), {}, (3, 5, 4)),
    "BatchNorm2d": (nn.BatchNorm, tnn.BatchNorm2d, (5,), {}, (3, 5, 4, 2)),
    "BatchNorm3d": (nn.BatchNorm, tnn.BatchNorm3d, (5,), {}, (2, 5, 4, 3, 6)),
    "another eps and momentum": (
        nn.BatchNorm,
        tnn.BatchNorm1d,
        (5, 0.1, 0.3),
        {},
        (7, 5),
    ),
    "cumulative average": (nn.BatchNorm, tnn.BatchNorm1d, (5, 0.01, None), {}, (7, 5)),
    "no parameters": (nn.BatchNorm, tnn.BatchNorm1d, (5,), {"affine": False}, (7, 5)),
    "no running statistics": (
        nn.BatchNorm,
        tnn.BatchNorm2d,
        (5,),
        {"track_running_stats": False},
        (3, 5, 4, 2),
    ),
    "LayerNorm": (nn.LayerNorm, tnn.LayerNorm, (5,), {}, (7, 5)),
    "LayerNorm over two axes": (
        nn.LayerNorm,
        tnn.LayerNorm,
        ((4, 5), 0.1),
        {},
        (3, 4, 5),
    ),
    "LayerNorm without bias": (
        nn.LayerNorm,
        tnn.LayerNorm,
        (5,),
        {"bias": False},
        (7, 5),
    ),
    "LayerNorm without parameters": (
        nn.LayerNorm,
        tnn.LayerNorm,
        (5,),
        {"elementwise_affine": False},
        (7, 5),
    ),
    "RMSNorm": (nn.RMSNorm, tnn.RMSNorm, (5,), {}, (7, 5)),
    "RMSNorm over two axes": (
        nn.RMSNorm,
        tnn.RMSNorm,
        ([4, 5], 0.1),
        {},
        (3, 4, 5),
    ),
    "RMSNorm without parameters": (
        nn.RMSNorm,
        tnn.RMSNorm,
        (5,),
        {"elementwise_affine": False},
        (7, 5),
    ),
    "GroupNorm": (nn.GroupNorm, tnn.GroupNorm, (2, 6), {}, (3, 6, 4, 5)),
    "GroupNorm without parameters": (
        nn.GroupNorm,
        tnn.GroupNorm,
        (3, 6, 0.1),
        {"affine": False},
        (2, 6, 4),
    ),
    "InstanceNorm": (nn.InstanceNorm, tnn.InstanceNorm1d, (5,), {}, (3, 5, 4)),
    "InstanceNorm with parameters": (
        nn.InstanceNorm,
        tnn.InstanceNorm2d,
        (5, 0.1),
        {"affine": True},
        (3, 5, 4, 2),
    ),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def pair(name, dtype=np.float64):
    """Return a layer, its namesake with random parameters, and the shape of x."""
    layer, module, arguments, options, shape = LAYERS[name]
    if issubclass(layer, nn.InstanceNorm):
        options = {"affine": False} | options
    torch.manual_seed(0)
    module = module(*arguments, **options).to(getattr(torch, np.dtype(dtype).name))
    for parameter in module.parameters():
        tnn.init.uniform_(parameter, -2, 2)
    return layer(*arguments, **options, dtype=dtype), module, shape


def as_tensors(state):
    return {name: torch.as_tensor(value) for name, value in state.items()}


def assert_same_state(layer, module, tolerance):
    state, expected = layer.state_dict(), module.state_dict()
    assert list(state) == list(expected)
    for name, value in expected.items():
        assert isinstance(state[name], np.ndarray)
        assert state[name].dtype == value.numpy().dtype
        assert_close(state[name], value, tolerance)


@every_layer
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_training_and_evaluation(name, dtype):
    dtype, tolerance = DTYPES[dtype]
    tolerance *= 3  # errors add up over the steps
    layer, module, shape = pair(name, dtype)
    layer.load_state_dict(module.state_dict())
    assert_same_state(layer, module, 0)

    rng = np.random.default_rng(13)
    for mode in (True, True, True, False, False, True):
        assert layer.train(mode) is layer and layer.training is mode
        module.train(mode)
        x, dy = rng.normal(1, 2, (2, *shape)).astype(dtype)
        leaf = torch.from_numpy(x).requires_grad_()
        y = module(leaf)
        module.zero_grad()
        y.backward(torch.from_numpy(dy))
        assert_close(layer(x), y.detach(), tolerance)
        assert_close(layer.backward(dy), leaf.grad, tolerance)
        assert list(layer.grads) == [n for n, _ in module.named_parameters()]
        for key, parameter in module.named_parameters():
            assert_close(layer.grads[key], parameter.grad, tolerance)
            parameter.data -= 0.01 * parameter.grad
            setattr(layer, key, getattr(layer, key) - 0.01 * layer.grads[key])
        assert_same_state(layer, module, tolerance)


@every_layer
def test_initial_state(name):
    layer, module, _ = pair(name, np.float32)
    if hasattr(module, "reset_parameters"):
        module.reset_parameters()
    assert_same_state(layer, module, 0)


@every_layer
def test_state_moves_to_torch_and_back(name):
    layer, module, shape = pair(name)
    layer.load_state_dict(module.state_dict())
    layer(np.random.default_rng(14).normal(size=shape))
    module.load_state_dict(as_tensors(layer.state_dict()))
    assert_same_state(layer, module, 0)


def test_state_is_copied():
    layer = nn.BatchNorm(3)
    state = layer.state_dict()
    state["weight"][:] = 7
    assert (layer.weight == 1).all()
    layer.load_state_dict(state)
    state["weight"][:] = 8
    assert (layer.weight == 7).all()


GOOD = nn.BatchNorm(3).state_dict()


@pytest.mark.parametrize(
    "state, error, message",
    [
        (
            {k: GOOD[k] for k in ("weight", "bias")},
            ValueError,
            "^state has names .*exp",
        ),
        (GOOD | {"gamma": GOOD["bias"]}, ValueError, "'gamma'.*expected .*BatchNorm"),
        (GOOD | {"bias": np.ones(2)}, ValueError, r"^state\['bias'\] has shape \(2,\)"),
        (
            GOOD | {"running_var": np.ones((1, 3))},
            ValueError,
            r"^state\['running_var'\] has shape \(1, 3\); expected \(3,\)",
        ),
        (
            GOOD | {"bias": np.ones(3, int)},
            TypeError,
            r"^state\['bias'\] has dtype int64; expected a floating",
        ),
        (
            GOOD | {"num_batches_tracked": 1.5},
            TypeError,
            r"^state\['num_batches_tracked'\] is 1.5; expected an integer",
        ),
        (
            GOOD | {"num_batches_tracked": -1},
            ValueError,
            r"^state\['num_batches_tracked'\] is -1; expected an integer >= 0",
        ),
        ([1, 2], TypeError, "^state is a list; expected a mapping"),
    ],
)
def test_bad_state_changes_nothing(state, error, message):
    layer = nn.BatchNorm(3)
    layer.weight[:] = 5
    before = layer.state_dict()
    if isinstance(state, dict) and "weight" in state:
        state = state | {"weight": np.full(3, 9.0)}
    with pytest.raises(error, match=message):
        layer.load_state_dict(state)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(layer, name), value)


def test_state_may_hold_numbers():
    layer = nn.BatchNorm(3)
    layer.load_state_dict(GOOD | {"num_batches_tracked": np.int64(4)})
    layer(np.random.default_rng(15).normal(size=(4, 3)))
    count = layer.state_dict()["num_batches_tracked"]
    assert isinstance(count, np.ndarray) and count == 5 and count.dtype == np.int64


def test_another_axis():
    """Channels last, as PyTorch cannot."""
    layer, module, shape = pair("BatchNorm2d")
    last = nn.BatchNorm(5, axis=-1, dtype=np.float64)
    x, dy = np.random.default_rng(16).normal(size=(2, *shape))
    for each in (layer, last):
        each.load_state_dict(module.state_dict())
    for mode in (True, False):
        y, y_last = layer.train(mode)(x), last.train(mode)(np.moveaxis(x, 1, -1))
        assert_close(np.moveaxis(y_last, -1, 1), y, 1e-13)
        dx, dx_last = layer.backward(dy), last.backward(np.moveaxis(dy, 1, -1))
        assert_close(np.moveaxis(dx_last, -1, 1), dx, 1e-13)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rms_norm_default_eps(dtype):
    """The machine epsilon of the dtype in which PyTorch computes, too."""
    x = 1e-4 * np.random.default_rng(17).normal(size=(3, 5)).astype(dtype)
    expected = tnn.functional.rms_norm(torch.from_numpy(x), (5,))
    tolerance = DTYPES[np.dtype(dtype).name][1]
    assert_close(nn.RMSNorm(5, elementwise_affine=False)(x), expected, tolerance)


@every_layer
def test_backward_before_forward(name):
    with pytest.raises(RuntimeError, match="call forward first"):
        pair(name)[0].backward(np.ones(3))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: nn.BatchNorm(0), ValueError, "^num_features is 0; .* >= 1"),
        (lambda: nn.BatchNorm(3.0), TypeError, "^num_features is 3.0; .* integer"),
        (lambda: nn.BatchNorm(3, momentum=2), ValueError, "^momentum is 2.0; .* <= 1"),
        (lambda: nn.BatchNorm(3, axis=1.0), TypeError, "^axis is 1.0; .* integer"),
        (lambda: nn.BatchNorm(3, eps=-1)(np.ones((4, 3))), ValueError, "^eps is -1"),
        (lambda: nn.BatchNorm(3)([[1.0]]), TypeError, "^x is a list; expected a NumPy"),
        (lambda: nn.BatchNorm(3)(np.ones((4, 2))), ValueError, "^x has .* 3 channels"),
        (lambda: nn.BatchNorm(3)(np.ones(3)), ValueError, "^x has .* 3 channels"),
        (lambda: nn.BatchNorm(3)(np.ones((1, 3))), ValueError, "^x has .* one value"),
        (lambda: nn.BatchNorm(3)(torch.ones(4, 3)), TypeError, "^x is a torch.Tensor"),
        (lambda: nn.LayerNorm(()), ValueError, "^normalized_shape is empty"),
        (lambda: nn.LayerNorm((3, 0)), ValueError, "^normalized_shape is 0; .* >= 1"),
        (lambda: nn.LayerNorm("3"), TypeError, "^normalized_shape is '3'; .* integer"),
        (lambda: nn.LayerNorm(3)([1.0]), TypeError, "^x is a list; expected a NumPy"),
        (lambda: nn.LayerNorm(3)(np.ones((3, 2))), ValueError, r"^x .* axes to be \(3"),
        (lambda: nn.RMSNorm((2, 3))(np.ones(3)), ValueError, r"^x .* to be \(2, 3\)"),
        (
            lambda: nn.GroupNorm(2, 3),
            ValueError,
            "^num_groups is 2; .* num_channels, 3",
        ),
        (lambda: nn.GroupNorm(0, 3), ValueError, "^num_groups is 0; .* >= 1"),
        (
            lambda: nn.GroupNorm(1, 3)(np.ones((3, 4))),
            ValueError,
            "^x has .* 3 channels",
        ),
        (
            lambda: nn.InstanceNorm(3)(np.ones((2, 4, 3))),
            ValueError,
            "^x .* 3 channels",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


class Bridge(tnn.Module):
    """A layer of bnlib inside a PyTorch network."""

    def __init__(self, layer, module):
        super().__init__()
        layer.load_state_dict(module.state_dict())
        self.layer = layer

    def forward(self, x):
        layer = self.layer.train(self.training)

        class Function(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return torch.from_numpy(layer(x.numpy()))

            @staticmethod
            def backward(ctx, dy):
                return torch.from_numpy(layer.backward(dy.numpy()))

        return Function.apply(x)


def test_inside_a_network():
    """Replacing all norms of a trained network changes nothing."""
    torch.manual_seed(1)

    def network(norms):
        return tnn.Sequential(
            tnn.Conv2d(3, 6, 3, bias=False),
            norms[0],
            tnn.ReLU(),
            tnn.Conv2d(6, 4, 2),
            norms[1],
            tnn.ReLU(),
            norms[2],
            tnn.Flatten(),
            tnn.Linear(4 * 4 * 5, 7),
            norms[3],
            tnn.Linear(7, 2),
            norms[4],
        ).double()

    modules = [
        tnn.BatchNorm2d(6),
        tnn.GroupNorm(2, 4),
        tnn.InstanceNorm2d(4, affine=True),
        tnn.LayerNorm(7),
        tnn.RMSNorm(2),
    ]
    layers = [
        nn.BatchNorm(6),
        nn.GroupNorm(2, 4),
        nn.InstanceNorm(4, affine=True),
        nn.LayerNorm(7),
        nn.RMSNorm(2),
    ]
    theirs = network(modules)
    bridges = [Bridge(*both) for both in zip(layers, modules, strict=True)]
    ours = network(bridges)
    # Only the convolutions and linear layers are left: norms keep their state apart.
    ours.load_state_dict(
        {k: v for k, v in theirs.state_dict().items() if k in ours.state_dict()}
    )

    for step in range(4):
        x = torch.randn(5, 3, 7, 8, dtype=torch.float64)
        target = torch.randn(5, 2, dtype=torch.float64)
        outputs = []
        for model in (theirs, ours):
            y = model.train(step < 3)(x)
            model.zero_grad()
            tnn.functional.mse_loss(y, target).backward()
            outputs.append(y.detach())
        assert_close(outputs[1], outputs[0], 1e-9)
        gradients = dict(theirs.named_parameters())
        for name, parameter in ours.named_parameters():
            assert_close(parameter.grad, gradients[name].grad, 1e-9)
        for layer, module in zip(layers, modules, strict=True):
            for name, parameter in module.named_parameters():
                assert_close(layer.grads[name], parameter.grad, 1e-9)
        with torch.no_grad():
            for model in (theirs, ours):
                for parameter in model.parameters():
                    parameter -= 0.1 * parameter.grad
            for layer in layers:
                for name, gradient in layer.grads.items():
                    setattr(layer, name, getattr(layer, name) - 0.1 * gradient)
    for layer, module in zip(layers, modules, strict=True):
        assert_same_state(layer, module, 1e-9)


def test_a_bfloat16_module_loads():
    module = torch.nn.BatchNorm2d(4).bfloat16()
    with torch.no_grad():
        module.weight.normal_()
    layer = bnlib.nn.BatchNorm(4)  # no import of its own
    layer.load_state_dict(module.state_dict())
    assert layer.weight.dtype == ml_dtypes.bfloat16
    expected = module.weight.detach().float().numpy()
    np.testing.assert_array_equal(layer.weight.astype(np.float32), expected)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.BatchNorm(3, eps=-1), ValueError, r"eps is -1\.0; expected"),
        (lambda: nn.RMSNorm(3, eps="a"), TypeError, "eps is 'a'; expected"),
        (lambda: nn.LayerNorm(3, dtype=int), TypeError, "dtype int64; expected"),
    ],
)
def test_a_bad_setting_is_refused_at_once(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_state_with_nan_is_refused():
    layer = nn.GroupNorm(1, 2)
    state = {"weight": np.array([1, np.nan]), "bias": np.zeros(2)}
    with pytest.raises(ValueError, match=r"state\['weight'\] holds NaN"):
        layer.load_state_dict(state)
    assert np.isfinite(layer.weight).all()
