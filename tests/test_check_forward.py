"""PS1 and its checks: the set itself, the truth of the formulas, the mistakes.

But: what the checks say of wrong and right versions is in `test_versions`.
"""

import inspect
from pathlib import Path

import jupytext
import numpy as np
import pytest
from versions import answer, message, ps1

import bnlib
from bnlib.check import forward as check

SET = Path(__file__).parent.parent / "solutions" / "ps1_forward.md"
RIGHT = {version.exercise: version.source for version in reversed(ps1.RIGHT)}
EXERCISES = list(RIGHT)


# The set itself


@pytest.fixture(scope="module")
def cells():
    return [cell for cell in jupytext.read(SET).cells if cell.metadata.get("nbgrader")]


SECRETS = ("", "spring", "autumn", "a longer one, with spaces and ü")


@pytest.mark.parametrize("secret", SECRETS)
def test_the_reference_answers_pass(cells, secret, capsys, monkeypatch):
    monkeypatch.setenv("BNLIB_CHECK_SECRET", secret)
    scope = {}
    for cell in cells:
        exec(cell.source, scope)
    assert capsys.readouterr().out.count("✓") == 9 * 4  # visible, and three hidden


def test_the_set_is_worth_20_points(cells):
    points = [c.metadata["nbgrader"].get("points", 0) for c in cells]
    assert sum(points) == 20


def test_every_exercise_is_a_hole_and_a_graded_check(cells):
    names = [c.metadata["nbgrader"]["grade_id"] for c in cells]
    for name in EXERCISES:
        at = names.index(name)
        assert names[at : at + 2] == [name, f"test_{name}"]


def test_the_set_needs_numpy_only(cells):
    imports = {
        line.strip()
        for cell in cells
        for line in cell.source.splitlines()
        if line.strip().startswith(("import", "from"))
    }
    assert imports == {
        "import numpy as np",
        "from bnlib.check import forward as check",
        "from bnlib.check import hidden_seeds",
    }


def test_a_blank_notebook_says_what_is_to_be_written(cells):
    for key in EXERCISES:
        one = getattr(check, key)

        def blank(*args, **options):
            raise NotImplementedError("not answered yet")

        blank.__code__ = blank.__code__.replace(co_name=one.name)
        assert message(one, blank) == f"✗ {one.name}: still to be written."


# The checks' truth is the library's


def truth(name, seed=3):
    one = getattr(check, name)
    for case in one.cases(np.random.default_rng(seed)):
        yield case, one.formula(*case.arguments, **case.options)


def wide(arguments):
    return [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in arguments]


def assert_close(got, want):
    for a, b in zip(got, want, strict=True):
        # A mean of 1e8 is known to 1e-8.
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-7)


def test_truth_of_train_and_convolution():
    for name in ("train", "convolution"):
        for case, want in truth(name):
            if case.arguments[0].shape[0] == 1 and case.arguments[0].ndim == 2:
                continue  # the library refuses a batch of one
            arguments, rest = wide(case.arguments[:3]), case.arguments[3:]
            options = dict(zip(("axis", "eps"), rest, strict=False)) | case.options
            y, cache = bnlib.batch_norm(*arguments, **options)
            assert_close((y, cache.mean, cache.var), want)


def test_truth_of_evaluate():
    for case, want in truth("evaluate"):
        y = bnlib.batch_norm_inference(*wide(case.arguments), **case.options)
        assert_close([y], want)


def test_truth_of_running():
    rng = np.random.default_rng(0)
    x, rm, rv = rng.normal(size=(6, 3)), rng.normal(size=3), rng.uniform(1, 2, 3)
    _, cache = bnlib.batch_norm(x, None, None)
    want = bnlib.update_running(rm, rv, cache, momentum=0.3)
    got = check.running.formula(rm, rv, cache.mean, cache.var, 6, momentum=0.3)
    assert_close(got, want)


def test_truth_of_layer():
    from bnlib.nn import BatchNorm

    class Wrapped(BatchNorm):
        def __init__(self, *args, **options):
            super().__init__(*args, **options, dtype=np.float64)

        gamma = property(
            lambda self: self.weight, lambda self, value: setattr(self, "weight", value)
        )
        beta = property(
            lambda self: self.bias, lambda self, value: setattr(self, "bias", value)
        )

    for seed in range(5):
        check.layer(Wrapped, seed=seed)


def test_truth_of_moments_and_welford():
    for name in ("moments", "welford"):
        for case, want in truth(name):
            [x] = wide(case.arguments)
            assert_close((x.mean(0), x.var(0)), want[:2])


def test_truth_of_merge():
    for case, want in truth("merge"):
        a, b = ((*wide(part[:2]), part[2]) for part in case.arguments)
        assert_close(bnlib.merge_moments(a, b), want)


def test_truth_of_fold():
    for case, want in truth("fold"):
        got = bnlib.fold_batch_norm(*wide(case.arguments), **case.options)
        assert_close(got, want)


# The mistakes


@pytest.mark.parametrize("key", EXERCISES)
def test_every_mistake_is_wrong_somewhere_and_its_formula_runs(key):
    one = getattr(check, key)
    cases = one.cases(np.random.default_rng(0))
    truths = [one.formula(*c.arguments, **c.options) for c in cases]
    for mistake in one.mistakes:
        wrong = [one._formula(case, mistake.knobs) for case in cases]
        raised = {type(w) for w in wrong if isinstance(w, Exception)}
        assert raised <= {
            ValueError,
            TypeError,
            np.exceptions.AxisError,
            MemoryError,
        }, raised
        assert any(
            isinstance(w, Exception)
            or not all(
                a.shape == b.shape and np.allclose(a, b, rtol=1e-7, equal_nan=True)
                for a, b in zip(w, t, strict=True)
            )
            for w, t in zip(wrong, truths, strict=True)
        ), mistake


@pytest.mark.parametrize("key", EXERCISES)
def test_messages_are_short_and_end_a_sentence(key):
    for mistake in getattr(check, key).mistakes:
        assert len(mistake.message) < 420, mistake.message
        assert mistake.message.rstrip().endswith((".", ")")), mistake.message


@pytest.mark.parametrize("key", EXERCISES)
def test_what_no_known_mistake_explains_is_described(key):
    one = getattr(check, key)
    function = answer(RIGHT[key], one.name)
    if inspect.isclass(function):

        class Odd(function):
            def __call__(self, x):
                return 1.37 * super().__call__(x) + 0.2

    else:

        def Odd(*args, **options):
            out = function(*args, **options)
            out = out if isinstance(out, tuple) else (out,)
            return tuple(1.37 * a + 0.2 for a in out)

    assert "wrong on" in message(one, Odd)
