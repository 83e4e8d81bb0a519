"""PS6 and its checks: the set itself, the truth of the formulas, what is refused.

But: what the checks say of wrong and right versions is in `test_versions`, and how
kernels of strangers are run in `test_workshop`.
"""

import re
import subprocess
import sys
import types
from pathlib import Path

import jupytext
import mistakes
import numpy as np
import pytest
from versions import answer, edited, message, ps6

import bnlib
from bnlib import emulator
from bnlib.check import kernels as check
from bnlib.check.kernels import _beside, _launch, _moments
from grading.notebooks import build

SOURCE = Path(__file__).parents[1] / "solutions" / "ps6_kernels.md"


# The checks themselves


def wide(arguments):
    return [a.astype(float) if isinstance(a, np.ndarray) else a for a in arguments]


def forward(*arguments, eps=1e-5):
    return (bnlib.batch_norm(*wide(arguments), eps=eps)[0],)


def backward(dy, x, gamma, eps=1e-5):
    dy, x, gamma = wide((dy, x, gamma))
    _, cache = bnlib.batch_norm(x, gamma, gamma, eps=eps)
    return bnlib.batch_norm_backward(dy, cache)


def with_moments(x, gamma, beta, block, eps):
    x, gamma, beta = wide((x, gamma, beta))
    y, _ = bnlib.batch_norm(x, gamma, beta, eps=eps)
    return y, x.mean(axis=(0, 2)), x.var(axis=(0, 2))


def with_statistics(dy, x, gamma, mean, inv_std, block):
    return backward(dy, x, gamma)


LIBRARY = {
    check.blocked: forward,
    check.generic: forward,
    check.generic_backward: backward,
    check.row_sums: lambda x, block: (x.astype(float).sum(axis=1),),
    check.forward: with_moments,
    check.backward: with_statistics,
    check.lean: with_moments,
}
KERNELS = (check.row_sums, check.forward, check.backward, check.lean)


@pytest.mark.parametrize("exercise", LIBRARY, ids=lambda e: e.name)
@pytest.mark.parametrize("seed", [0, 201])
def test_truth_is_the_librarys(exercise, seed):
    # The statistics that backward is given are rounded to float32.
    error = 1e-5 if exercise is check.backward else 1e-9
    for case in exercise.cases(np.random.default_rng(seed)):
        truth = exercise.formula(*case.arguments, **case.options)
        ours = LIBRARY[exercise](*case.arguments, **case.options)
        for a, b in zip(truth, ours, strict=True):
            np.testing.assert_allclose(a, b, rtol=error, atol=error * abs(b).max())


@pytest.mark.parametrize("exercise", LIBRARY, ids=lambda e: e.name)
def test_every_mistake_differs_from_the_truth(exercise):
    mistakes.differ_from_the_truth(exercise, rtol=1e-8)


@pytest.mark.parametrize("exercise", LIBRARY, ids=lambda e: e.name)
def test_unwritten_exercises_say_so(exercise):
    assert mistakes.says_that_it_is_unwritten(exercise)


@pytest.mark.parametrize("exercise", LIBRARY, ids=lambda e: e.name)
def test_a_message_ends_in_the_section_that_explains(exercise):
    text = message(exercise, lambda *args, **options: None)
    assert text.endswith(f"chapters/kernels.html#sec-{exercise.section}")
    assert exercise.section.startswith("kernels-")


def test_the_order_in_which_halving_adds():
    """The threads that a loop of halves reaches, by running that loop."""
    for block in (32, 64, 96, 128, 160, 1024):
        for last in (0, 1):
            held = np.eye(block)  # whose numbers each thread has
            size = block // 2
            while size > last:
                held[:size] += held[size : 2 * size]
                size //= 2
            reached = _moments._in_tree(np.arange(block), block, last)
            np.testing.assert_array_equal(reached, held[0] > 0)


@pytest.mark.parametrize("layout", _moments.LAYOUTS)
def test_layouts_come_back(layout):
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(
        _moments.back(_moments.channels(x, layout), x.shape, layout), x
    )


# Sources of kernels


def said(source, exercise=check.row_sums):
    return message(exercise, lambda: source)


def test_what_is_no_source():
    assert "returns None" in said(None)
    assert "returns a int; expected the source" in said(3)
    assert "has 20,001 characters" in said(" " * 20_001)


@pytest.mark.parametrize(
    "line", ["#include <cstdio>", '  #  include "/etc/passwd"', "#import <x>"]
)
def test_headers_are_refused(line):
    assert "The source includes" in said(f"{line}\nint a;")


def test_cudas_own_headers_are_not():
    source = answer(ps6.ROW_SUMS, "row_sums")()
    assert said("#include <cuda_fp16.h>\n" + source) == ""


def test_a_right_kernel_gets_the_emulators_report(capsys):
    check.forward(answer(ps6.FORWARD, "bn_forward"))
    out = capsys.readouterr().out
    assert out.startswith("✓ bn_forward: right on 5 inputs. The last of them:\n")
    assert re.search(r"^x +19,200 +0 +9,600 +19,200 +100%$", out, re.M)


def test_a_source_is_compiled_once_for_all_inputs(monkeypatch):
    made = []
    compile_ = emulator.compile
    monkeypatch.setattr(emulator, "compile", lambda *a: made.append(a) or compile_(*a))
    assert message(check.row_sums, answer(ps6.ROW_SUMS, "row_sums")) == ""
    assert len(made) == 1


def test_a_learner_may_call_the_parameters_something_else():
    names = {"x": "einz", "y": "aus", "mean": "mitte", "gamma": "g_"}
    head, body = ps6.FORWARD.split("__global__")
    for old, new in names.items():
        body = re.sub(rf"(?<![.\w]){old}\b", new, body)
    text = message(check.forward, answer(head + "__global__" + body, "bn_forward"))
    assert text == "", text


@pytest.mark.parametrize("walks", [2, 3])
def test_an_array_may_be_read_twice(walks):
    """And a few values besides, such as each thread's first."""
    source = answer(ps6.BACKWARD, "bn_backward")()
    third = edited(
        source,
        "  a = block_sum(a);",
        "  float again = 0;\n"
        * 1
        + "  for (int i = threadIdx.x; i < M; i += blockDim.x)\n"
        "    again += dy[(i / S * C + c) * S + i % S];\n"
        "  if (again == 1e30f) a = 0;\n  a = block_sum(a);",
    )
    text = said(source if walks == 2 else third, check.backward)
    assert ("dy is read 3 times" in " ".join(text.split())) == (walks == 3), text
    assert bool(text) == (walks == 3)


def test_where_kernels_run_is_put_back():
    calls = []

    def elsewhere(source, name, launches):
        calls.append(name)
        return [("failed", "not here")]

    with _launch.launched_by(elsewhere):
        assert "not here" in said(answer(ps6.ROW_SUMS, "row_sums")())
        assert not _launch.is_here()
    assert _launch.is_here() and calls == ["row_sums"]
    with pytest.raises(ZeroDivisionError), _launch.launched_by(elsewhere):
        raise ZeroDivisionError
    assert _launch.is_here()


def pretend_gpu(monkeypatch, change=lambda name, arguments: None):
    """Have a CuPy whose kernels the emulator runs."""
    used = []

    class RawKernel:
        def __init__(self, source, name):
            self.kernel = emulator.compile(source, name)

        def __call__(self, grid, block, arguments):
            used.append(self.kernel.name)
            self.kernel(grid, block, arguments, orders=1)
            change(self.kernel.name, arguments)

    cupy = types.ModuleType("cupy")
    cupy.RawKernel, cupy.asarray, cupy.asnumpy = RawKernel, np.array, np.asarray
    cupy.mean, cupy.sqrt, cupy.reshape, cupy.sum = np.mean, np.sqrt, np.reshape, np.sum
    cupy.cuda = types.SimpleNamespace(is_available=lambda: True)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return used


def test_on_a_gpu_kernels_run_there_as_well(monkeypatch):
    used = pretend_gpu(monkeypatch)
    assert message(check.forward, answer(ps6.FORWARD, "bn_forward")) == ""
    assert used == ["bn_forward"] * 5
    del used[:]
    with _launch.launched_by(lambda *a: _launch._launching.launch(*a)):
        assert message(check.forward, answer(ps6.FORWARD, "bn_forward")) == ""
    assert used == []  # not when graded


def test_what_is_wrong_on_a_gpu_only_is_told(monkeypatch):
    def change(name, arguments):
        arguments[1][0] += 1

    pretend_gpu(monkeypatch, change)
    assert "sums is wrong" in said(answer(ps6.ROW_SUMS, "row_sums")())


def test_generic_code_runs_on_cupys_arrays(monkeypatch, capsys):
    pretend_gpu(monkeypatch)
    check.generic_backward(answer(ps6.GENERIC_BACKWARD, "batch_norm_backward"))
    assert "CuPy's arrays, on your GPU" in capsys.readouterr().out


# Arrays that are not NumPy's

X = _beside.Strict(np.arange(6.0).reshape(2, 3))
XP = _beside.Namespace()


@pytest.mark.parametrize(
    "use",
    [
        lambda: np.sqrt(X),
        lambda: np.mean(X),
        lambda: np.asarray(X),
        lambda: np.zeros((2, 3)) + X,
        lambda: X + np.zeros((2, 3)),
        lambda: np.float64(2) * X,
        lambda: XP.sqrt(np.ones(3)),
        lambda: XP.stack([X, np.ones((2, 3))]),
        lambda: X.reshape(np.array([3, 2])),
        lambda: XP.mean(X, out=np.zeros(())),
        lambda: X.__setitem__(0, np.ones(3)),
        lambda: list(X),
        lambda: np.concatenate([X, X]),
        lambda: X.__imul__(np.ones((2, 3))),
    ],
)
def test_numpy_is_refused(use):
    with pytest.raises(TypeError, match=r"np\.|NumPy|looped over"):
        use()


def test_what_is_allowed():
    a = X._array
    for got, want in (
        (XP.sqrt(X), np.sqrt(a)),
        (2 * X - 1, 2 * a - 1),
        (1 / (X + 1), 1 / (a + 1)),
        (-(X**2), -(a**2)),
        (abs(X - 3), abs(a - 3)),
        (X.mean(axis=0, keepdims=True), a.mean(axis=0, keepdims=True)),
        (XP.stack((X, X)), np.stack((a, a))),
        (XP.where(X > 2, X, 0.0), np.where(a > 2, a, 0)),
        (X.T[1], a.T[1]),
        (X[:, None], a[:, None]),
        (XP.zeros(X.shape, dtype=X.dtype), 0 * a),
        (X * X.sum(), a * a.sum()),
    ):
        assert isinstance(got, _beside.Strict)
        np.testing.assert_array_equal(got._array, want)
    assert (X.shape, X.ndim, X.size, len(X)) == ((2, 3), 2, 6, 2)
    y = XP.empty_like(X)
    y[...] = X
    y += 1
    assert y._array.sum() == 21


def test_memory_is_that_of_the_call():
    kept = np.ones(1 << 18)  # no matter
    result, peak = _beside.traced(lambda n: np.ones(n).sum(), 1 << 17)
    assert result == 1 << 17 and 1 << 20 <= peak < (1 << 20) + 20_000
    assert kept.size


# The set itself


def code_cells():
    notebook = jupytext.read(SOURCE, fmt="md:myst")
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_solutions_pass_their_own_checks(capsys, monkeypatch):
    monkeypatch.setenv("BNLIB_CHECK_SECRET", "spring")
    names = {}
    for cell in code_cells():
        exec(cell.source, names)
    # Seven functions, one of them twice, visible and three hidden seeds.
    assert capsys.readouterr().out.count("✓") == 8 * 4


def test_points_and_imports():
    cells = build(SOURCE).cells
    assert sum(c.metadata.get("nbgrader", {}).get("points", 0) for c in cells) == 19
    headings = re.findall(
        r"^## .*\((\d+) points, about \d+ minutes\)$", SOURCE.read_text(), re.M
    )
    assert len(headings) == 6 and sum(map(int, headings)) == 19
    code = [c.source for c in cells if c.cell_type == "code"]
    assert not any("bnlib." in s.replace("bnlib.check", "") for s in code)


def test_the_warm_ups_numbers():
    a, b = np.array([0.0, 2.0]), 6 + np.sqrt(3) * np.array([-1, 0, 1])
    both = np.concatenate([a, b])
    for values, n, mean, m in ((a, 2, 1, 2), (b, 3, 6, 6), (both, 5, 4, 38)):
        assert len(values) == n
        assert np.isclose(values.mean(), mean)
        assert np.isclose(((values - values.mean()) ** 2).sum(), m)
    assert np.spacing(np.float32(3000**2)) == 1
    lost = np.flatnonzero(~_moments.counted(96, 96, "tree"))
    np.testing.assert_array_equal(lost, np.arange(2, 96, 3))


def test_the_checks_need_numpy_only():
    code = "import sys, bnlib.check.kernels; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
