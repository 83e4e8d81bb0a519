"""Bad input is refused with the argument's name, what it was and what is expected."""

import re
import subprocess
import sys
from functools import partial

import array_api_strict
import numpy as np
import pytest
import torch

import bnlib

X = np.random.default_rng(12).normal(size=(4, 3, 2))
FIRST, LAST = X.swapaxes(0, 1), X.swapaxes(1, 2)  # with the 3 channels there
P = np.ones(3)  # a good parameter, mean or variance
STRICT = array_api_strict.asarray(P)
BATCH = bnlib.batch_norm(X, P, P)[1]
GROUP = bnlib.group_norm(X, P, P, num_groups=3)[1]
WEIGHT = bnlib.weight_norm(X, np.ones(4))[1]

# What functions call their input and their parameter, where not x and gamma.
INPUT = {
    "fold_batch_norm": "w",
    "spectral_norm": "w",
    "weight_norm": "v",
    "weight_standardisation": "v",
}
PARAMETER = {"spectral_norm": "u", "weight_norm": "g"}

# Every forward function as a function of x, of gamma and of keywords alone.
FORWARD = {
    "batch_norm": lambda x=X, g=P, **k: bnlib.batch_norm(x, g, P, **k),
    "batch_norm_inference": lambda x=X, g=P, **k: bnlib.batch_norm_inference(
        x, g, P, P, P, **k
    ),
    "batch_norm_inference_backward": lambda x=X, g=P, **k: (
        bnlib.batch_norm_inference_backward(X, x, g, P, P, **k)
    ),
    "batch_renorm": lambda x=X, g=P, **k: bnlib.batch_renorm(
        x, g, P, P, P, **{"r_max": 2, "d_max": 1} | k
    ),
    "ghost_batch_norm": lambda x=X, g=P, **k: bnlib.ghost_batch_norm(
        x, g, P, **{"ghost_size": 2} | k
    ),
    "group_norm": lambda x=X, g=P, **k: bnlib.group_norm(
        x, g, P, **{"num_groups": 3} | k
    ),
    "instance_norm": lambda x=X, g=P, **k: bnlib.instance_norm(x, g, P, **k),
    "layer_norm": lambda x=LAST, g=P, **k: bnlib.layer_norm(x, g, P, **k),
    "rms_norm": lambda x=LAST, g=P, **k: bnlib.rms_norm(x, g, **k),
    "filter_response_norm": lambda x=X, g=P, **k: bnlib.filter_response_norm(
        x, g, P, **k
    ),
    "dynamic_tanh": lambda x=LAST, g=P, **k: bnlib.dynamic_tanh(x, g, P, P[:1], **k),
    "weight_standardisation": lambda x=FIRST, g=P, **k: bnlib.weight_standardisation(
        x, g, **k
    ),
    "spectral_norm": lambda x=FIRST, g=P, **k: bnlib.spectral_norm(x, g, **k),
    "weight_norm": lambda x=FIRST, g=P, **k: bnlib.weight_norm(x, g, **k),
    "fold_batch_norm": lambda x=FIRST, g=P, **k: bnlib.fold_batch_norm(
        x, P, g, P, P, P, **k
    ),
}
CACHES = {  # of x = X
    "batch_norm": BATCH,
    "batch_renorm": FORWARD["batch_renorm"]()[1],
    "ghost_batch_norm": FORWARD["ghost_batch_norm"]()[1],
    "group_norm": GROUP,
    "instance_norm": FORWARD["instance_norm"]()[1],
    "layer_norm": bnlib.layer_norm(X, None, None)[1],
    "rms_norm": bnlib.rms_norm(X, None)[1],
    "filter_response_norm": bnlib.filter_response_norm(X, None, None)[1],
    "weight_norm": WEIGHT,
    "weight_standardisation": bnlib.weight_standardisation(X, None)[1],
    "spectral_norm": bnlib.spectral_norm(X)[1],
    "dynamic_tanh": bnlib.dynamic_tanh(X, None, None, P[:1])[1],
}
# Every backward function as a function of dy alone.
BACKWARD = {
    f"{name}_backward": partial(getattr(bnlib, f"{name}_backward"), cache=cache)
    for name, cache in CACHES.items()
} | {
    "batch_norm_inference_backward": lambda dy: bnlib.batch_norm_inference_backward(
        dy, X, P, P, P
    )
}
NO_ARRAY = {
    "list": lambda a: a.tolist(),
    "list of arrays": list,
    "None": lambda a: None,
    "number": lambda a: 1.0,
    "tensor": torch.from_numpy,
    "matrix": lambda a: a.ravel().view(np.matrix),
    "masked": np.ma.masked_array,
}
NO_FLOAT = [int, np.uint8, bool, complex, object, "U3", "datetime64[s]"]


def raises(error, *patterns):
    return pytest.raises(error, match=".*".join(patterns))


@pytest.mark.parametrize("kind", NO_ARRAY)
@pytest.mark.parametrize("name", FORWARD)
def test_input_is_no_array(name, kind):
    letter = INPUT.get(name, "x")
    call, bad = FORWARD[name], NO_ARRAY[kind]
    with raises(TypeError, rf"^{letter} is a \w", "expected a NumPy or CuPy array"):
        call(bad(X))
    if kind != "None":
        letter = PARAMETER.get(name, "gamma")
        with raises(TypeError, rf"^{letter} is a \w", "expected a NumPy or CuPy array"):
            call(g=bad(P))


@pytest.mark.parametrize("dtype", NO_FLOAT)
@pytest.mark.parametrize("name", FORWARD)
def test_input_is_no_float(name, dtype):
    letter = INPUT.get(name, "x")
    call = FORWARD[name]
    with raises(TypeError, f"^{letter} has dtype", "expected a floating-point dtype"):
        call(np.ones((4, 3, 2), dtype))
    letter = PARAMETER.get(name, "gamma")
    with raises(TypeError, f"^{letter} has dtype", "expected a floating-point dtype"):
        call(g=np.ones(3, dtype))


@pytest.mark.parametrize("name", FORWARD)
def test_parameter_does_not_fit(name):
    call = FORWARD[name]
    letter = PARAMETER.get(name, "gamma")
    for wrong in (np.ones(2), np.ones(6), np.ones((1, 3)), np.array(1.0)):
        shape = re.escape(str(wrong.shape))
        with raises(ValueError, rf"^{letter} has shape {shape}; expected \(3,\), \w+"):
            call(g=wrong)
    for bad in (np.nan, np.inf, -np.inf):
        with raises(ValueError, f"^{letter} holds NaN, infinity or", "finite"):
            call(g=np.array([1, bad, 1]))
    first = INPUT.get(name, "x")
    with raises(TypeError, rf"^{first} is a numpy\S+ but \w+ is a array_api_strict"):
        call(g=STRICT)
    with raises(TypeError, rf"^{first} is a array_api_strict\S+ but \w+ is a numpy"):
        call(array_api_strict.asarray(X))


MAY_BE_FLAT = ("layer_norm", "rms_norm", "dynamic_tanh")


@pytest.mark.parametrize("name", FORWARD)
def test_input_is_empty_or_too_flat(name):
    letter = INPUT.get(name, "x")
    call = FORWARD[name]
    flat = np.array(1.0) if name in MAY_BE_FLAT else np.ones(3)
    with raises(ValueError, rf"^{letter} has shape \(", "expected at least . dim"):
        call(flat)
    if "inference" not in name:
        for shape in ((0, 3, 2), (3, 0, 3), (3, 4, 0)):
            with raises(
                ValueError, rf"^{letter} is empty \(shape", "expected at least"
            ):
                call(np.ones(shape))


NO_AXIS = ("group_norm", "instance_norm", "filter_response_norm", "fold_batch_norm")
WITH_AXIS = [name for name in FORWARD if name not in NO_AXIS]


@pytest.mark.parametrize("name", WITH_AXIS)
def test_axis(name):
    for axis in (3, -4, 10**20):
        with raises(ValueError, f"^axis is {axis}; .* expected -3 <= axis < 3"):
            FORWARD[name](axis=axis)
    for axis in (1.0, "1", None, (1,), np.ones(2)):
        with raises(TypeError, "^axis is", "expected an integer"):
            FORWARD[name](axis=axis)


NO_EPS = ("weight_norm", "spectral_norm", "dynamic_tanh")


@pytest.mark.parametrize("name", [n for n in FORWARD if n not in NO_EPS])
def test_eps(name):
    for eps in (-1e-5, float("nan"), float("inf"), -float("inf")):
        with raises(ValueError, rf"^eps is {eps}; expected a (finite )?number >= 0"):
            FORWARD[name](eps=eps)
    for eps in ("1e-5", None, 1j, [1e-5], np.ones(2)):
        with raises(TypeError, "^eps is", "expected a number"):
            FORWARD[name](eps=eps)


@pytest.mark.parametrize("eps", [0, 1e-60])  # 1e-60 is 0 in float32
@pytest.mark.parametrize(
    "name",
    [n for n in FORWARD if n not in (*NO_EPS, "fold_batch_norm")],
)
def test_zero_variance_without_eps(name, eps):
    zeros = np.zeros((4, 3, 3), np.float32)
    calls = {
        "batch_norm_inference": lambda: bnlib.batch_norm_inference(
            zeros, P, P, P, zeros[0, 0], eps=eps
        ),
        "batch_norm_inference_backward": lambda: bnlib.batch_norm_inference_backward(
            zeros, zeros, P, P, zeros[0, 0], eps=eps
        ),
        "weight_standardisation": lambda: bnlib.weight_standardisation(
            zeros, None, eps=eps
        ),
    }
    with raises(ValueError, "^eps is", "var.* is 0|holds a 0", "expected"):
        calls.get(name, lambda: FORWARD[name](zeros, eps=eps))()


def test_zero_running_variance_without_eps():
    zeros = np.zeros(3)
    with raises(ValueError, "^eps is", "running_var holds a 0"):
        bnlib.fold_batch_norm(FIRST, P, P, P, P, zeros, eps=0)
    with raises(ValueError, "^eps is", "running_var holds a 0"):
        bnlib.batch_renorm(X, P, P, P, zeros, r_max=1, d_max=0, eps=0)


@pytest.mark.parametrize("name", BACKWARD)
def test_gradient(name):
    call, letter = BACKWARD[name], "dw" if name.startswith("weight") else "dy"
    for bad in NO_ARRAY.values():
        with raises(TypeError, rf"^{letter} is a \w", "expected a NumPy or CuPy array"):
            call(bad(X))
    for dtype in NO_FLOAT:
        with raises(TypeError, f"^{letter} has dtype", "expected a floating-point"):
            call(np.ones(X.shape, dtype))
    for shape in ((4, 3), (4, 3, 1), (3, 4, 2), (24,), (1, 4, 3, 2)):
        with raises(ValueError, rf"^{letter} has shape \(", r"expected \(4, 3, 2\)"):
            call(np.ones(shape))
    with raises(TypeError, f"^{letter} is a array_api_strict", "is a numpy.ndarray"):
        call(array_api_strict.asarray(X))


@pytest.mark.parametrize("name", CACHES)
def test_cache_of_another_function(name):
    function = getattr(bnlib, f"{name}_backward")
    for cache in (*(c for n, c in CACHES.items() if n != name), None, (X, P)):
        with raises(TypeError, "^cache is", f"expected the cache that bnlib.{name} "):
            function(X, cache)


RUNNING = {
    "batch_norm_inference": lambda m=P, v=P: bnlib.batch_norm_inference(X, P, P, m, v),
    "batch_norm_inference_backward": lambda m=P, v=P: (
        bnlib.batch_norm_inference_backward(X, X, P, m, v)
    ),
    "batch_renorm": lambda m=P, v=P: bnlib.batch_renorm(
        X, P, P, m, v, r_max=2, d_max=1
    ),
    "fold_batch_norm": lambda m=P, v=P: bnlib.fold_batch_norm(FIRST, P, P, P, m, v),
    "update_running": lambda m=P, v=P: bnlib.update_running(m, v, BATCH),
}


@pytest.mark.parametrize("name", RUNNING)
def test_running_statistics(name):
    call = RUNNING[name]
    for key, letter in (("m", "mean"), ("v", "var")):
        for bad in NO_ARRAY.values():
            with raises(TypeError, rf"^running_{letter} is \w", "expected an?.* array"):
                call(**{key: bad(P)})
        for dtype in NO_FLOAT:
            with raises(TypeError, f"^running_{letter} has dtype", "expected a float"):
                call(**{key: np.ones(3, dtype)})
        for shape in ((2,), (1, 3), ()):
            with raises(
                ValueError, rf"^running_{letter} has shape \(", r"expected \(3"
            ):
                call(**{key: np.ones(shape)})
        with raises(ValueError, f"^running_{letter} holds NaN, infinity or", "finite"):
            call(**{key: np.array([1, np.nan, 1])})
        with raises(TypeError, "array_api_strict", "must come from one library"):
            call(**{key: STRICT})
    with raises(ValueError, "^running_var holds negative values; expected .* >= 0"):
        call(v=np.array([1, -1e-9, 1]))


def update(**options):
    return bnlib.update_running(P, P, BATCH, **options)


def renorm(**options):
    return FORWARD["batch_renorm"](**options)


def merge(*a):
    return bnlib.merge_moments(a, (P, P, 2))


ONE = np.ones((1, 3))
NUMBER, INTEGER = "expected a number", "expected an integer"
RANGE = "expected a number >= 0.0 and <= 1.0"
OTHERS = {
    "momentum is -0.1": (lambda: update(momentum=-0.1), ValueError, RANGE),
    "momentum is 1.01": (lambda: update(momentum=1.01), ValueError, RANGE),
    "momentum is nan": (lambda: update(momentum=float("nan")), ValueError, RANGE),
    "momentum is None": (lambda: update(momentum=None), TypeError, NUMBER),
    "cache is from bnlib.group_norm": (
        lambda: bnlib.update_running(P, P, GROUP),
        TypeError,
        "expected the cache that bnlib.batch_norm returned",
    ),
    "cache is a NoneType": (
        lambda: bnlib.update_running(P, P, None),
        TypeError,
        "expected the cache that bnlib.batch_norm returned",
    ),
    "r_max is 0.5": (lambda: renorm(r_max=0.5), ValueError, "number >= 1.0"),
    "r_max is nan": (lambda: renorm(r_max=float("nan")), ValueError, "number >= 1.0"),
    "r_max is '2'": (lambda: renorm(r_max="2"), TypeError, NUMBER),
    "d_max is -1.0": (lambda: renorm(d_max=-1), ValueError, "number >= 0.0"),
    "d_max is None": (lambda: renorm(d_max=None), TypeError, NUMBER),
    "num_groups is 2": (
        lambda: FORWARD["group_norm"](num_groups=2),
        ValueError,
        "expected a divisor of the 3 channels",
    ),
    "num_groups is 4": (
        lambda: FORWARD["group_norm"](num_groups=4),
        ValueError,
        "expected a divisor of the 3 channels",
    ),
    "num_groups is 0": (
        lambda: FORWARD["group_norm"](num_groups=0),
        ValueError,
        "expected an integer >= 1",
    ),
    "num_groups is 3.0": (
        lambda: FORWARD["group_norm"](num_groups=3.0),
        TypeError,
        INTEGER,
    ),
    "ghost_size is 3": (
        lambda: FORWARD["ghost_batch_norm"](ghost_size=3),
        ValueError,
        "expected a divisor of the 4 samples",
    ),
    "ghost_size is -2": (
        lambda: FORWARD["ghost_batch_norm"](ghost_size=-2),
        ValueError,
        "expected an integer >= 1",
    ),
    "ghost_size is '2'": (
        lambda: FORWARD["ghost_batch_norm"](ghost_size="2"),
        TypeError,
        INTEGER,
    ),
    "axis is 0, the batch": (
        lambda: FORWARD["ghost_batch_norm"](axis=-3),
        ValueError,
        "expected another axis",
    ),
    "x has shape (1, 3): one value per channel": (
        lambda: bnlib.batch_norm(ONE, P, P),
        ValueError,
        "expected at least two in training, or use batch_norm_inference",
    ),
    "x has shape (1, 3): one value per channel (axis 1)": (
        lambda: bnlib.batch_renorm(ONE, P, P, P, P, r_max=1, d_max=0),
        ValueError,
        "expected at least two",
    ),
    "x has shape (4, 3) and ghost_size is 1": (
        lambda: bnlib.ghost_batch_norm(X[..., 0], P, P, ghost_size=1),
        ValueError,
        "one value per channel and ghost batch; expected at least two",
    ),
    "x has shape (4, 3, 1): one position": (
        lambda: bnlib.instance_norm(X[..., :1], P, P),
        ValueError,
        "expected at least two",
    ),
    "v holds a vector of zeros": (
        lambda: bnlib.weight_norm(np.zeros((3, 2)), P),
        ValueError,
        "expected non-zero directions",
    ),
    "alpha is None": (
        lambda: bnlib.dynamic_tanh(LAST, P, P, None),
        TypeError,
        r"expected an array of shape \(1,\)",
    ),
    "alpha is a float": (
        lambda: bnlib.dynamic_tanh(LAST, P, P, 0.5),
        TypeError,
        "expected a NumPy or CuPy array",
    ),
    "alpha has shape (3,)": (
        lambda: bnlib.dynamic_tanh(LAST, P, P, P),
        ValueError,
        r"expected \(1,\), one value",
    ),
    "alpha holds NaN": (
        lambda: bnlib.dynamic_tanh(LAST, P, P, P[:1] * np.nan),
        ValueError,
        "expected finite numbers",
    ),
    "w holds zeros only": (
        lambda: bnlib.spectral_norm(np.zeros((3, 2))),
        ValueError,
        "expected another matrix",
    ),
    "w holds NaN": (
        lambda: bnlib.spectral_norm(np.full((3, 2), np.nan)),
        ValueError,
        "expected finite",
    ),
    "u is orthogonal to all columns of w": (
        lambda: bnlib.spectral_norm(np.eye(3)[:2], np.zeros(2)),
        ValueError,
        "expected another u",
    ),
    "v has shape (3, 1): one weight per slice along axis 0": (
        lambda: bnlib.weight_standardisation(np.ones((3, 1)), P),
        ValueError,
        "expected at least two",
    ),
    "g is None": (
        lambda: bnlib.weight_norm(X, None),
        TypeError,
        r"expected an array of shape \(4,\)",
    ),
    "n_a is -1": (lambda: merge(P, P, -1), ValueError, "number >= 0"),
    "n_a is nan": (lambda: merge(P, P, np.nan), ValueError, "number >= 0"),
    "n_a is inf": (lambda: merge(P, P, np.inf), ValueError, "finite number >= 0"),
    "n_a is '3'": (lambda: merge(P, P, "3"), TypeError, NUMBER),
    "n_a is array([1., 1., 1.])": (lambda: merge(P, P, P), TypeError, NUMBER),
    "n_a and n_b are both 0": (
        lambda: bnlib.merge_moments((P, P, 0), (P, P, 0)),
        ValueError,
        "expected at least one value",
    ),
    "a is a tuple": (
        lambda: merge(P, 3),
        TypeError,
        r"expected a tuple \(mean, var, n\)",
    ),
    "b is a NoneType": (
        lambda: bnlib.merge_moments((P, P, 2), None),
        TypeError,
        r"expected a tuple \(mean, var, n\)",
    ),
    "mean_a is a list": (lambda: merge([1.0], P, 2), TypeError, "expected a NumPy"),
    "mean_a is a NoneType": (lambda: merge(None, P, 2), TypeError, "expected a NumPy"),
    "var_a is a str": (lambda: merge(1.0, "1", 2), TypeError, "expected a NumPy"),
    "mean_a has dtype int64": (
        lambda: merge(np.ones(3, np.int64), P, 2),
        TypeError,
        "expected a floating-point dtype",
    ),
    "var_a has shape (2,)": (
        lambda: merge(P, P[:2], 2),
        ValueError,
        r"expected \(3,\), the shape of mean_a",
    ),
    "mean_a is a numpy.ndarray but var_a is a array_api_strict": (
        lambda: merge(P, STRICT, 2),
        TypeError,
        "must come from one library",
    ),
}


@pytest.mark.parametrize("start", OTHERS)
def test_message(start):
    call, error, pattern = OTHERS[start]
    with raises(error, "^" + re.escape(start), pattern):
        call()


def test_every_public_function_is_covered():
    functions = {n for n in bnlib.__all__ if callable(getattr(bnlib, n))}
    covered = {*FORWARD, *BACKWARD, *RUNNING, "merge_moments", "Cache", "kernels"}
    assert functions - covered == {
        "DynamicTanhCache",
        "SpectralNormCache",
        "WeightNormCache",
    }


def test_import_is_light():
    """NumPy and the standard library: no torch, CuPy, matplotlib, ..."""
    code = (
        "import sys, numpy; before = set(sys.modules); import bnlib, bnlib.nn;"
        "print(*{m.partition('.')[0] for m in set(sys.modules) - before})"
    )
    new = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "bnlib" in new
    assert {*new} - {"bnlib", "numpy"} <= sys.stdlib_module_names
