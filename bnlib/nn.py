"""Layers with state: the functions of bnlib behind PyTorch's names.

Each layer has the parameters, buffers, names and shapes of its PyTorch namesake, so
that a trained network moves over and back::

    layer.load_state_dict(module.state_dict())
    module.load_state_dict(
        {name: torch.as_tensor(value) for name, value in layer.state_dict().items()}
    )

But: no graph. `forward` remembers what `backward` needs; `backward` returns the
gradient of the input and puts those of the parameters in `grads`.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np

import bnlib
from bnlib._arguments import (
    accumulation_dtype,
    check_eps,
    check_integer,
    check_number,
    check_shape,
    namespace,
)


class Layer:
    """What all layers share: a mode, parameters by name, forward and backward.

    Attributes
    ----------
    training : bool
        Set by `train` and `eval`.
    grads : dict of str to array
        Gradients of the parameters after `backward`, by name.
    """

    names = ("weight", "bias")
    """Names of the arrays in the state, in PyTorch's order."""

    def __init__(self):
        self.training = True
        self.grads = {}
        self._pull_back = None

    def train(self, mode=True):
        """Set training mode (or evaluation mode, with False) and return the layer."""
        self.training = bool(mode)
        return self

    def eval(self):
        """Set evaluation mode and return the layer."""
        return self.train(False)

    def __call__(self, x):
        """Return ``forward(x)``."""
        return self.forward(x)

    def forward(self, x):
        """Return the output for x, an array of the parameters' library."""
        raise NotImplementedError

    def backward(self, dy):
        """Return dx for the last `forward`, and put parameter gradients in `grads`.

        Parameters
        ----------
        dy : array
            Gradient of the loss with respect to the last output.

        Returns
        -------
        dx : array
            Shape and dtype of the last input.

        Raises
        ------
        RuntimeError
            If there was no `forward` before.
        """
        if self._pull_back is None:
            raise RuntimeError("backward was called before forward; call forward first")
        dx, *grads = self._pull_back(dy)
        named = zip(("weight", "bias"), grads, strict=False)
        self.grads = {name: g for name, g in named if getattr(self, name) is not None}
        return dx

    def state_dict(self):
        """Return copies of all parameters and buffers, by PyTorch's names."""
        return {name: array.copy() for name, array in self._state().items()}

    def load_state_dict(self, state):
        """Take over parameters and buffers.

        Parameters
        ----------
        state : mapping of str to array or torch.Tensor
            As from `state_dict`, of this layer or of its PyTorch namesake. Copied; the
            dtypes are taken over too.

        Raises
        ------
        TypeError, ValueError
            If a name is missing or unknown, a shape differs, or a value is no number;
            nothing is loaded then.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state is a {type(state).__name__}; expected a mapping")
        own = self._state()
        missing, unknown = own.keys() - state.keys(), state.keys() - own.keys()
        if missing or unknown:
            raise ValueError(
                f"state has names {sorted(state)}; expected {sorted(own)} for this "
                f"{type(self).__name__}"
            )
        loaded = {name: _array(f"state[{name!r}]", state[name]) for name in own}
        for name, array in loaded.items():
            label = f"state[{name!r}]"
            check_shape(label, array, own[name].shape, "as in this layer")
            if name == "num_batches_tracked":
                check_integer(label, array.item(), minimum=0)
            else:
                accumulation_dtype(np, label, array)
                if not bool(np.isfinite(array).all()):
                    raise ValueError(f"{label} holds NaN or infinity; expected numbers")
        for name, array in loaded.items():
            setattr(self, name, array)

    def _state(self):
        arrays = {name: getattr(self, name) for name in self.names}
        return {name: array for name, array in arrays.items() if array is not None}


class BatchNorm(Layer):
    """Batch norm for any number of dimensions, as `torch.nn.BatchNorm1d`, `2d`, `3d`.

    Training normalises by the batch and moves the running statistics; evaluation uses
    them. The variance stored is the unbiased one.

    Parameters
    ----------
    num_features : int
        Number of channels, C.
    eps : float
        Added to the variance.
    momentum : float or None
        Weight of the *new* value in the running statistics; None averages all batches
        equally.
    affine : bool
        Whether there are `weight` (gamma) and `bias` (beta), of shape (C,).
    track_running_stats : bool
        Whether there are `running_mean`, `running_var` of shape (C,) and
        `num_batches_tracked` of shape (). Without them evaluation too uses the batch.
    axis : int
        The channel axis; PyTorch knows only 1.
    dtype : dtype
        Of the parameters and buffers.
    """

    names = (
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    )

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        *,
        axis=1,
        dtype=np.float32,
    ):
        super().__init__()
        self.num_features = check_integer("num_features", num_features, minimum=1)
        shape = (self.num_features,)
        if momentum is not None:
            check_number("momentum", momentum, minimum=0.0, maximum=1.0)
        self.eps, self.momentum = check_eps(eps), momentum
        self.axis = check_integer("axis", axis)
        self.weight, self.bias = _affine(shape, affine, affine, dtype)
        self.running_mean = np.zeros(shape, dtype) if track_running_stats else None
        self.running_var = np.ones(shape, dtype) if track_running_stats else None
        self.num_batches_tracked = np.array(0) if track_running_stats else None

    def forward(self, x):
        """Return the normalised input; in training also move the running statistics.

        Parameters
        ----------
        x : array
            Input with C channels on the layer's axis.

        Returns
        -------
        y : array
            Shape and dtype of x.
        """
        _check_channels(x, self.num_features, self.axis)
        options = {"axis": self.axis, "eps": self.eps}
        if not self.training and self.running_mean is not None:
            running = (self.running_mean, self.running_var)
            self._pull_back = partial(
                bnlib.batch_norm_inference_backward,
                x=x,
                gamma=self.weight,
                running_mean=self.running_mean,
                running_var=self.running_var,
                **options,
            )
            return bnlib.batch_norm_inference(
                x, self.weight, self.bias, *running, **options
            )
        y, cache = bnlib.batch_norm(x, self.weight, self.bias, **options)
        if self.running_mean is not None:
            self._track(cache)
        self._pull_back = partial(bnlib.batch_norm_backward, cache=cache)
        return y

    def _track(self, cache):
        batches = self.num_batches_tracked + 1
        momentum = 1 / int(batches) if self.momentum is None else self.momentum
        self.running_mean, self.running_var = bnlib.update_running(
            self.running_mean, self.running_var, cache, momentum=momentum
        )
        self.num_batches_tracked = _array("num_batches_tracked", batches)


class LayerNorm(Layer):
    """Layer norm over the last axes, as `torch.nn.LayerNorm`.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Shape of the axes to normalise over, the last ones of the input.
    eps : float
        Added to the variance.
    elementwise_affine, bias : bool
        Whether there are `weight` and `bias`, both of `normalized_shape`.
    dtype : dtype
        Of the parameters.
    """

    def __init__(
        self,
        normalized_shape,
        eps=1e-5,
        elementwise_affine=True,
        bias=True,
        *,
        dtype=np.float32,
    ):
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = check_eps(eps)
        self.weight, self.bias = _affine(
            self.normalized_shape,
            elementwise_affine,
            elementwise_affine and bias,
            dtype,
        )

    def forward(self, x):
        """Return x normalised over its last axes; shape and dtype of x."""
        _check_trailing(x, self.normalized_shape)
        y, cache = bnlib.layer_norm(
            x, self.weight, self.bias, axis=-len(self.normalized_shape), eps=self.eps
        )
        self._pull_back = partial(bnlib.layer_norm_backward, cache=cache)
        return y


class RMSNorm(Layer):
    """RMS norm over the last axes, as `torch.nn.RMSNorm`.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Shape of the axes to normalise over, the last ones of the input.
    eps : float or None
        Added to the mean square; None means the machine epsilon of the dtype in which
        the input is computed (float32 for float16), as in PyTorch.
    elementwise_affine : bool
        Whether there is a `weight` of `normalized_shape`.
    dtype : dtype
        Of the parameter.
    """

    names = ("weight",)

    def __init__(
        self, normalized_shape, eps=None, elementwise_affine=True, *, dtype=np.float32
    ):
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = None if eps is None else check_eps(eps)
        self.weight, _ = _affine(
            self.normalized_shape, elementwise_affine, False, dtype
        )

    def forward(self, x):
        """Return x divided by its root mean square; shape and dtype of x."""
        _check_trailing(x, self.normalized_shape)
        eps = _machine_epsilon(x) if self.eps is None else self.eps
        y, cache = bnlib.rms_norm(
            x, self.weight, axis=-len(self.normalized_shape), eps=eps
        )
        self._pull_back = partial(bnlib.rms_norm_backward, cache=cache)
        return y


class GroupNorm(Layer):
    """Group norm, as `torch.nn.GroupNorm`.

    Parameters
    ----------
    num_groups : int
        Number of groups, a divisor of num_channels.
    num_channels : int
        Number of channels, C, on axis 1.
    eps : float
        Added to the variance.
    affine : bool
        Whether there are `weight` and `bias`, of shape (C,).
    dtype : dtype
        Of the parameters.
    """

    def __init__(
        self, num_groups, num_channels, eps=1e-5, affine=True, *, dtype=np.float32
    ):
        super().__init__()
        groups = check_integer("num_groups", num_groups, minimum=1)
        channels = check_integer("num_channels", num_channels, minimum=1)
        if channels % groups:
            raise ValueError(
                f"num_groups is {groups}; expected a divisor of num_channels, "
                f"{channels}"
            )
        self.num_groups, self.num_channels = groups, channels
        self.eps = check_eps(eps)
        self.weight, self.bias = _affine((channels,), affine, affine, dtype)

    def forward(self, x):
        """Return x normalised by group; shape and dtype of x."""
        _check_channels(x, self.num_channels)
        y, cache = bnlib.group_norm(
            x, self.weight, self.bias, num_groups=self.num_groups, eps=self.eps
        )
        self._pull_back = partial(bnlib.group_norm_backward, cache=cache)
        return y


class InstanceNorm(Layer):
    """Instance norm, as `torch.nn.InstanceNorm1d`, `2d` and `3d`.

    But: no running statistics, which PyTorch offers and leaves off by default.

    Parameters
    ----------
    num_features : int
        Number of channels, C, on axis 1.
    eps : float
        Added to the variance.
    affine : bool
        Whether there are `weight` and `bias`, of shape (C,); off, as in PyTorch.
    dtype : dtype
        Of the parameters.
    """

    def __init__(self, num_features, eps=1e-5, affine=False, *, dtype=np.float32):
        super().__init__()
        self.num_features = check_integer("num_features", num_features, minimum=1)
        self.eps = check_eps(eps)
        self.weight, self.bias = _affine((self.num_features,), affine, affine, dtype)

    def forward(self, x):
        """Return x normalised by sample and channel; shape and dtype of x."""
        _check_channels(x, self.num_features)
        y, cache = bnlib.instance_norm(x, self.weight, self.bias, eps=self.eps)
        self._pull_back = partial(bnlib.instance_norm_backward, cache=cache)
        return y


def _affine(shape, weight, bias, dtype):
    accumulation_dtype(np, "the layer", np.empty(0, dtype))
    return (
        np.ones(shape, dtype) if weight else None,
        np.zeros(shape, dtype) if bias else None,
    )


def _shape(normalized_shape):
    sizes = (
        normalized_shape
        if isinstance(normalized_shape, (tuple, list))
        else (normalized_shape,)
    )
    if not sizes:
        raise ValueError("normalized_shape is empty; expected at least one size")
    return tuple(check_integer("normalized_shape", n, minimum=1) for n in sizes)


def _check_trailing(x, expected):
    namespace(x=x)
    shape = tuple(x.shape)
    if shape[-len(expected) :] != expected:
        raise ValueError(
            f"x has shape {shape}; expected its last axes to be {expected}"
        )


def _check_channels(x, expected, axis=1):
    namespace(x=x)
    shape = tuple(x.shape)
    if not -len(shape) <= axis < len(shape) or shape[axis] != expected:
        raise ValueError(
            f"x has shape {shape}; expected {expected} channels on axis {axis}"
        )


def _machine_epsilon(x):
    return float(np.finfo(np.float64 if x.dtype == np.float64 else np.float32).eps)


def _array(name, value):
    """Return a copy as an array: CuPy's stay CuPy's, tensors become NumPy's."""
    if hasattr(value, "detach"):  # a torch tensor
        return _from_torch(name, value.detach().cpu())
    try:
        namespace(value=value)
    except TypeError:  # a number or a list
        return np.array(value)
    return value.copy()


def _from_torch(name, tensor):
    if str(tensor.dtype) != "torch.bfloat16":
        return tensor.numpy().copy()
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        raise TypeError(
            f"{name} is a bfloat16 tensor, which NumPy holds only with the package "
            "ml_dtypes; install it, or convert the module with .float()"
        ) from None
    return tensor.float().numpy().astype(bfloat16)
