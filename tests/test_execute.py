"""Tests run outside the sandbox: points, outcomes, messages, and what is not said."""

import copy
import json

import nbformat
import pytest
from sandboxes import SANDBOXES, needs

from grading.execute import execute, hidden_lines, without_magics
from grading.isolation.sandbox import Limits, choose
from grading.isolation.student import Student
from grading.notebooks import METADATA, grade_id
from grading.preprocessors import HideHiddenTests

SETUP = "import numpy as np\n\ndef helper(x):\n    return np.asarray(x) + 1"
TEST = """
assert f(1) == 2, "f(1) is 2"
assert f(2) == 3
### BEGIN HIDDEN TESTS
assert f(1234) == 1235, "f is wrong for large numbers"
assert f(4321) == 4322
### END HIDDEN TESTS
"""


def notebook(answer, test=TEST, setup=SETUP, added=None):
    def code(source, name, **marks):
        marks = {"grade_id": name, "locked": True, "schema_version": 3, **marks}
        return nbformat.v4.new_code_cell(source, metadata={"nbgrader": marks})

    cells = [
        code(setup, "setup", grade=False, solution=False),
        code(answer, "f", grade=False, solution=True),
        code(test, "test_f", grade=True, solution=False, points=2),
    ]
    if added:
        cells.insert(1, nbformat.v4.new_code_cell(added))
    return nbformat.v4.new_notebook(cells=cells, metadata=METADATA)


@pytest.fixture(scope="module", params=SANDBOXES)
def sandbox(request):
    needs(request.param)
    return choose(request.param)


@pytest.fixture
def run(sandbox):
    def run(answer, **parts):
        made = notebook(answer, **parts)
        student = Student(sandbox, ("numpy",), Limits(cell=2, output=500))
        try:
            [result] = execute(made, student)
        finally:
            student.close()
        nbformat.validate(made)
        run.notebook = made
        return result

    return run


RIGHT = "def f(x):\n    return x + 1"


def output(run, name):
    found = next(c for c in run.notebook.cells if grade_id(c) == name)
    return json.dumps(found.outputs)


def test_right(run):
    result = run(RIGHT)
    assert (result.points, result.outcome, result.message) == (2, "passed", "")


def test_wrong_with_the_authors_words(run):
    result = run("def f(x): return 0")
    assert (result.points, result.outcome) == (0, "failed")
    assert result.message == (
        'This test failed: assert f(1) == 2, "f(1) is 2"\nf(1) is 2'
    )


def test_wrong_without_words(run):
    result = run("def f(x): return 2")
    assert result.message == "This test failed: assert f(2) == 3"


def test_a_hidden_test_says_what_its_author_says_and_no_more(run):
    result = run("def f(x): return x + (x < 100)")
    assert result.message == "A hidden test failed\nf is wrong for large numbers"
    result = run("def f(x): return x + (x < 2000)")
    assert result.message == "A hidden test failed"
    assert "4321" not in output(run, "test_f")


def test_exceptions_of_the_students(run):
    result = run("def f(x): return x.shape")
    assert "AttributeError: 'int' object has no attribute 'shape'" in result.message


@pytest.mark.parametrize("error", ["SystemExit", "KeyboardInterrupt", "GeneratorExit"])
def test_leaving_is_failing(run, error):
    result = run(f"def f(x): raise {error}")
    assert result.outcome == "failed"


def test_nothing_defined(run):
    result = run("g = 1")
    assert result.message == "f is not defined: no cell above defines it."


def test_a_cell_with_a_syntax_error_is_named(run):
    result = run("def f(x)\n    return x")
    assert result.message.startswith("f is not defined, for the cell 'f' failed:\n")
    assert "SyntaxError" in result.message and "def f(x)" in result.message


def test_a_cell_that_raises_after_its_definition(run):
    assert run(f"{RIGHT}\nraise ValueError('late')").outcome == "passed"
    assert "ValueError" in output(run, "f") and "late" in output(run, "f")


def test_loops(run):
    result = run("def f(x):\n    while True: pass")
    assert result.outcome == "timed out" and "2 s" in result.message
    assert "CellTimeoutError" in output(run, "test_f")


def test_death(run):
    result = run("import os\ndef f(x): os._exit(0)")
    assert result.outcome == "crashed" and "exit status 0" in result.message
    result = run("import os\ndef f(x): os.abort()")
    assert result.outcome == "crashed" and "SIGABRT" in result.message


@pytest.mark.parametrize(
    ("last", "points", "outcome"),
    [
        ("1.5", 1.5, "partly"),
        ("f(0)", 1, "partly"),
        ("0", 0, "partly"),
        ("2", 2, "passed"),
        ("99", 2, "passed"),
        ("-1", 0, "partly"),
        ("f", 2, "passed"),
        ("True", 2, "passed"),
        ("float('nan')", 0, "failed"),
    ],
)
def test_partial_credit(run, last, points, outcome):
    result = run(RIGHT, test=f"assert f(1) == 2\n{last}")
    assert (result.points, result.outcome) == (points, outcome)


def test_a_test_uses_what_read_only_cells_define(run):
    assert run(RIGHT, test="assert helper(1) == f(1)").outcome == "passed"


def test_a_student_cannot_change_what_a_test_uses(run):
    attack = (
        "import numpy as np, builtins\n"
        "np.asarray = lambda x: 0\nnp.abs = abs = lambda x: 0\n"
        "builtins.abs = lambda x: 0\nhelper = lambda x: 0\nf = lambda x: 7"
    )
    result = run(attack, test="assert abs(f(1) - helper(1)) == 0")
    assert result.outcome == "failed"


def test_a_value_that_lies_does_not(run):
    attack = (
        "class Yes(int):\n"
        "    __eq__ = __ne__ = __lt__ = lambda *a: True\n"
        "    __hash__ = int.__hash__\n"
        "def f(x): return Yes(7)"
    )
    assert run(attack).outcome == "failed"


def test_state_does_not_go_from_test_to_test(run):
    made = notebook("n = 0\ndef f(x):\n    global n\n    n += 1\n    return n")
    test = copy.deepcopy(made.cells[-1])
    test.source, test.metadata.nbgrader["grade_id"] = "assert f(0) == 1", "again"
    made.cells[-1].source = "assert f(0) == 1"
    made.cells.append(test)
    student = Student(choose("auto"), ("numpy",), Limits())
    assert [cell.outcome for cell in execute(made, student)] == ["passed"] * 2
    student.close()


@pytest.mark.parametrize(
    "answer",
    [
        "import warnings, sys\nwarnings.warn('slow')\nprint('x', file=sys.stderr)\n",
        "%matplotlib inline\n%timeit 1 + 1\n!pip install x\n",
        "%%time\n",
        "import matplotlib.pyplot as plt, torch\nfrom scipy import stats\n",
        "from bnlib.check import forward as check\ncheck.train(None)\n",
        "display(3)\nget_ipython().ast_transformers.append(3)\n",
        "from functools import lru_cache\n@lru_cache\n",
        "'''text'''\n\tif_ = 1\n".replace("\t", ""),
    ],
)
def test_honest_habits_cost_nothing(run, answer):
    result = run(f"{answer}{RIGHT}")
    assert result.outcome == "passed", output(run, "f")


def test_using_an_absent_package_says_so(run):
    result = run("import torch\ndef f(x): return torch.ones(1)")
    assert "torch is not installed where notebooks are graded" in result.message


def test_an_added_cell_counts(run):
    assert run("def f(x): return g(x)", added="g = lambda x: x + 1").points == 2


def test_output_is_shown_and_cut(run):
    run(f"print('hello')\nprint('x' * 1000)\n{RIGHT}")
    assert "hello" in output(run, "f") and "more characters were cut" in output(
        run, "f"
    )


def test_what_code_prints_during_a_test_is_not_shown(run):
    run("def f(x):\n    print('input', x)\n    return x + 1")
    assert "input" not in output(run, "test_f")


def test_control_characters_are_made_visible(run):
    result = run("def f(x): raise ValueError('\\x1b[31mred\\u202e')")
    assert "\x1b" not in result.message and "\u202e" not in result.message


def test_hidden_lines():
    assert hidden_lines(TEST) == {4, 5, 6, 7}
    assert hidden_lines("a\n# BEGIN HIDDEN TESTS\nb") == {2, 3}


def test_feedback_has_no_hidden_tests():
    made = notebook(RIGHT)
    HideHiddenTests().preprocess(made, {})
    assert "1234" not in json.dumps(made) and "f(2) == 3" in json.dumps(made)


def test_magics_beyond_reason_are_left_alone():
    for source in ("a = %pwd\n" * 21, "%pwd\n" + "x = 1\n" * 5000):
        assert without_magics(source) == source


def test_magics():
    assert without_magics("x = 5 % 3") == "x = 5 % 3"
    assert "get_ipython()" in without_magics("%time x")
    assert without_magics("def f(:  # !").strip() == "def f(:  # !"
