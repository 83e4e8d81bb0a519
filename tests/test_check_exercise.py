"""What a check says when no known mistake explains the result."""

import numpy as np
import pytest

from bnlib.check import Case, CheckFailed, Exercise, Mistake


def scale_formula(x, by=2.0, *, factor=1.0, shift=0.0, raises=False):
    if raises:
        raise ValueError("shapes")
    return by * factor * x + shift, x.sum(axis=0)


def cases(rng):
    return [
        Case("x of shape (4, 3)", (rng.normal(size=(4, 3)),)),
        Case("by = 3", (rng.normal(size=(2, 3)),), {"by": 3.0}, hint="Look at by."),
    ]


check = Exercise(
    name="scale",
    outputs=("y", "total"),
    formula=scale_formula,
    cases=cases,
    section="forward-training",
    mistakes=(
        Mistake("You halve.", {"factor": 0.5}),
        Mistake("You add one.", {"shift": 1.0}),
        Mistake("The shapes differ.", {"raises": True}),
    ),
)


def right(x, by=2.0):
    return by * x, x.sum(axis=0)


def says(function, exercise=check):
    with pytest.raises(CheckFailed) as caught:
        exercise(function)
    return str(caught.value)


def one_line(function, exercise=check):
    return " ".join(says(function, exercise).split())


def test_right(capsys):
    check(right)
    assert capsys.readouterr().out == "✓ scale: right on 2 inputs\n"


def test_form():
    lines = says(lambda x, by=2.0: (by * x / 2, x.sum(axis=0))).splitlines()
    assert lines == [
        "✗ scale",
        "  You halve.",
        "  Explained in chapters/forward.html#sec-forward-training",
    ]


def test_lines_are_no_longer_than_a_notebook_is_wide():
    text = says(lambda x, by=2.0: (by * x + np.arange(3) / 7, x.sum(axis=0)))
    assert max(map(len, text.splitlines())) <= 84


def test_jupyter_shows_the_message_and_no_traceback():
    with pytest.raises(CheckFailed) as caught:
        check(lambda x, by=2.0: None)
    assert caught.value._render_traceback_() == [str(caught.value)]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (None, r"returns None; expected y, total. Is the `return` missing?"),
        ((1, 2, 3), "returns 3 values; expected 2: y, total."),
        (np.ones(3), "returns one ndarray; expected 2: y, total."),
        ({"y": 1}, "returns one dict; expected 2: y, total."),
        ((np.ones((4, 3)), None), "total is None (on x of shape (4, 3)); expected an"),
        (
            ("text", 0),
            "y is a str; expected an array of numbers (on x of shape (4, 3)).",
        ),
        ((len, 0), "y is a builtin_function_or_method; expected an array of numbers"),
        (([[1, 2], [3]], 0), "y is a list; expected an array of numbers"),
    ],
)
def test_what_is_no_result(result, said):
    assert said in one_line(lambda x, by=2.0: result)


def test_shape():
    said = one_line(lambda x, by=2.0: (by * x.T, x.sum(axis=0)))
    assert "y has shape (3, 4) on x of shape (4, 3); expected (4, 3)." in said
    assert "keepdims" not in said


def test_axes_left_over_from_keepdims():
    said = one_line(lambda x, by=2.0: (by * x, x.sum(axis=0, keepdims=True)))
    assert "total has shape (1, 3) on x of shape (4, 3); expected (3,)." in said
    assert "left over from `keepdims=True`" in said


def test_a_mistake_with_axes_left_over_is_named_first():
    assert "You halve." in one_line(lambda x, by=2.0: ((by * x / 2)[None], x.sum(0)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(bad):
    def function(x, by=2.0):
        y = by * x
        y[1, 2] = bad
        return y, x.sum(axis=0)

    said = one_line(function)
    assert f"y holds {bad} on x of shape (4, 3), first at [1, 2]; expected" in said
    assert "division by zero" in said


def test_where_it_is_wrong():
    def function(x, by=2.0):
        y = by * x
        y[0, 1] += 1
        return y, x.sum(axis=0)

    said = one_line(function)
    assert (
        "y is wrong on x of shape (4, 3), in 1 of 12 entries: first at [0, 1]" in said
    )
    assert "times the right value" not in said


def test_constant_ratio():
    said = one_line(lambda x, by=2.0: (by * x * 1.25, x.sum(axis=0)))
    assert "Everywhere it is 1.25 times the right value." in said


def test_rounded_to_float32():
    said = one_line(lambda x, by=2.0: ((by * x).astype(np.float32), x.sum(axis=0)))
    assert "rounded to float32" in said


@pytest.mark.parametrize("factor", [1 + 1e-4, 1e-4, -1e-4])
def test_a_ratio_that_rounds_to_0_or_1_is_not_told(factor):
    said = one_line(lambda x, by=2.0: (by * x * factor, x.sum(axis=0)))
    assert "y is wrong on" in said and "times the right value" not in said


def test_right_on_some_inputs_and_the_hint():
    said = one_line(lambda x, by=2.0: (2 * x + (by - 2) / 7, x.sum(axis=0)))
    assert "y is wrong on by = 3" in said
    assert "It is right on 1 of 2 inputs. Look at by." in said


def test_no_hint_where_a_simpler_input_fails():
    assert "Look at by" not in one_line(lambda x, by=2.0: (x - 7, x.sum(axis=0)))


def test_exception_with_the_learners_line(tmp_path):
    path = tmp_path / "answer.py"
    path.write_text("def scale(x, by=2.0):\n    y = by * x\n    return y / tital\n")
    scope = {}
    exec(compile(path.read_text(), path, "exec"), scope)
    text = says(scope["scale"])
    assert "It raises NameError on x of shape (4, 3): name 'tital' is not" in text
    assert "in line 3: return y / tital" in text


def test_exception_inside_numpy_shows_the_learners_line(tmp_path):
    path = tmp_path / "answer.py"
    path.write_text("import numpy as np\ndef scale(x, by=2.0):\n    np.linalg.inv(x)\n")
    scope = {}
    exec(compile(path.read_text(), path, "exec"), scope)
    assert "in line 3: np.linalg.inv(x)" in says(scope["scale"])


def test_wrong_signature():
    said = one_line(lambda x: (2 * x, x.sum(axis=0)))
    assert "raises TypeError on by = 3" in said and "'by'" in said


def test_a_known_way_to_raise():
    def function(x, by=2.0):
        raise ValueError("operands could not be broadcast")

    assert "The shapes differ." in one_line(function)


def test_changed_input():
    def function(x, by=2.0):
        total = x.sum(axis=0)
        x *= by
        return x, total

    said = one_line(function)
    assert "It changes its input x in place (on x of shape (4, 3))." in said
    assert "`x = x - mean`" in said


def test_changed_input_inside_a_tuple():
    def first_of(pair):
        pair[0][:] = 0
        return (pair[1],)

    nested = Exercise(
        name="first_of",
        outputs=("y",),
        formula=lambda pair: (pair[1],),
        cases=lambda rng: [Case("a pair", ((np.ones(2), np.ones(3)),))],
        mistakes=(),
        section="forward-training",
        changed="Leave it.",
    )
    assert "changes its input pair in place (on a pair). Leave it." in one_line(
        first_of, nested
    )


def scale(x, by=2.0):
    raise NotImplementedError("not answered yet")


def test_not_yet_written():
    assert says(scale) == "✗ scale: still to be written."


def test_a_part_not_yet_written():
    def helper(x):
        raise NotImplementedError("not answered yet")

    text = says(lambda x, by=2.0: helper(x))
    assert text == "✗ scale calls helper, which is still to be written."


def test_two_mistakes():
    text = says(lambda x, by=2.0: (by * x / 2 + 1, x.sum(axis=0)))
    assert text.splitlines()[1:4] == [
        "  Two things.",
        "  First: You halve.",
        "  Second: You add one.",
    ]


def test_a_mistake_that_explains_everything_comes_first():
    exercise = Exercise(
        name="both",
        outputs=("a", "b"),
        formula=lambda x, *, a=1, b=1: (a * x, b * x),
        cases=lambda rng: [Case("x", (rng.normal(size=3),))],
        mistakes=(
            Mistake("Only a.", {"a": 2}),
            Mistake("Both.", {"a": 2, "b": 2}),
        ),
        section="forward-training",
    )
    assert "Both." in one_line(lambda x: (2 * x, 2 * x), exercise)
    assert "Only a." in one_line(lambda x: (2 * x, x), exercise)


def test_two_mistakes_do_not_spoil_what_is_right():
    def formula(x, *, a=1, both=0):
        return a * x + both, x + both

    exercise = Exercise(
        name="both",
        outputs=("a", "b"),
        formula=formula,
        cases=lambda rng: [Case("x", (rng.normal(size=3),))],
        mistakes=(Mistake("Twice.", {"a": 2}), Mistake("One more.", {"both": 1})),
        section="forward-training",
    )
    assert "Two things." in one_line(lambda x: (2 * x + 1, x + 1), exercise)
    assert "a is wrong on x" in one_line(lambda x: (2 * x + 1, x), exercise)
    assert "One more." in one_line(lambda x: (x + 1, x), exercise)


def test_swapped_outputs_are_both_wrong():
    exercise = Exercise(
        name="pair",
        outputs=("a", "b"),
        formula=lambda x, *, order=(0, 1): tuple((x, 2 * x + 1)[i] for i in order),
        cases=lambda rng: [Case("x", (rng.normal(size=3),))],
        mistakes=(Mistake("Swapped.", {"order": (1, 0)}),),
        section="forward-training",
    )
    assert "Swapped." in one_line(lambda x: (2 * x + 1, x), exercise)
    assert "b is wrong on x" in one_line(lambda x: (x, x), exercise)


def test_mistakes_marked_alone_are_not_paired():
    exercise = Exercise(
        name="alone",
        outputs=("y",),
        formula=lambda x, *, factor=1, shift=0: (factor * x + shift,),
        cases=lambda rng: [Case("x", (rng.normal(size=3),))],
        mistakes=(
            Mistake("Factor.", {"factor": 2}, alone=True),
            Mistake("Shift.", {"shift": 1}),
        ),
        section="forward-training",
    )
    assert "Factor." in one_line(lambda x: 2 * x, exercise)
    assert "Two things" not in one_line(lambda x: 2 * x + 1, exercise)


def test_one_output_needs_no_tuple():
    exercise = Exercise(
        name="double",
        outputs=("y",),
        formula=lambda x: (2 * x,),
        cases=lambda rng: [Case("x", (rng.normal(size=3),))],
        mistakes=(),
        section="forward-training",
    )
    exercise(lambda x: 2 * x)
    exercise(lambda x: (2 * x,))
    exercise(lambda x: list(2 * x))
    assert "returns 2 values; expected 1: y" in one_line(lambda x: (x, x), exercise)


def test_torch_tensors_are_results():
    torch = pytest.importorskip("torch")

    def function(x, by=2.0):
        t = torch.tensor(x, requires_grad=True)
        return by * t, t.sum(0)

    check(function)


def test_warnings_stay_out_of_the_way(recwarn):
    def function(x, by=2.0):
        np.log(np.zeros(1))
        np.mean([])
        return right(x, by)

    check(function)
    assert not recwarn


def test_seeds_give_other_inputs():
    seen = []

    def function(x, by=2.0):
        seen.append(x.copy())
        return right(x, by)

    for seed in (0, 0, 1):
        check(function, seed=seed)
    first, _, again, _, other, _ = seen
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_an_interrupt_is_not_swallowed():
    def function(x, by=2.0):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(function)


def test_code_in_backticks_is_not_broken_over_lines():
    code = "`(1 - momentum) * old + momentum * new`"
    exercise = Exercise(
        name="code",
        outputs=("y",),
        formula=lambda x, *, by=1: (by * x,),
        cases=lambda rng: [Case("x", (rng.normal(size=3),))],
        mistakes=(Mistake(f"{'word ' * 12}{code} {'word ' * 12}", {"by": 2}),),
        section="forward-training",
    )
    assert code in says(lambda x: 2 * x, exercise)
