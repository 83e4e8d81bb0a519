"""Kernels of strangers: compiled and run in both sandboxes, never in this process.

But: attacks that take long are in `test_hostile_kernels`.
"""

import copy
from pathlib import Path

import numpy as np
import pytest
from sandboxes import SANDBOXES, needs
from versions import edited, ps6

from bnlib import emulator
from bnlib.check import kernels as check
from grading.execute import execute
from grading.isolation import runtime
from grading.isolation.runtime import make_runtime
from grading.isolation.sandbox import Limits, choose
from grading.isolation.session import Crashed
from grading.isolation.student import Student
from grading.isolation.workshop import Workshop, _is_as_agreed
from grading.notebooks import build, grade_id

REPO = Path(__file__).parents[1]
SET = REPO / "solutions" / "ps6_kernels.md"
ANSWER = build(SET)
HONEST = """
__global__ void row_sums(const float* x, float* sums, int n) {
  __shared__ float s[1024];
  float mine = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) mine += x[blockIdx.x * n + i];
  s[threadIdx.x] = mine;
  __syncthreads();
  if (threadIdx.x) return;
  for (int t = 1; t < blockDim.x; t++) mine += s[t];
  sums[blockIdx.x] = mine;
}
"""
LAUNCHES = [
    (2, 64, [x, emulator.empty(2, np.float32), n])
    for n in (100, 7)
    for x in [np.random.default_rng(n).random((2, n), np.float32)]
]
TRUTH = [x.sum(axis=1) for _, _, (x, _, _) in LAUNCHES]


@pytest.fixture(scope="module", params=SANDBOXES)
def workshop(request):
    needs(request.param)
    found = Workshop(choose(request.param), Limits())
    yield found
    found.close()


def test_an_honest_kernel(workshop):
    replies = workshop.launch(HONEST, "row_sums", LAUNCHES)
    for (kind, after, report, moved), truth in zip(replies, TRUTH, strict=True):
        assert kind == "ran" and "row_sums: grid 2, block 64" in report
        np.testing.assert_allclose(after[1], truth, rtol=1e-5)
        assert moved["x"][0] == after[0].nbytes and moved["sums"][1] == 8


def test_the_emulators_words_come_through(workshop):
    source = HONEST.replace("  __syncthreads();\n", "")
    [(kind, text)] = workshop.launch(source, "row_sums", LAUNCHES)
    assert kind == "failed" and "depends on the order" in text and "line 8" in text
    [(kind, text)] = workshop.launch("nonsense", "row_sums", LAUNCHES)
    assert kind == "failed" and "has no __global__ function row_sums" in text


FILES = ["/etc/passwd", "/etc/shadow", str(SET), "/proc/1/environ"]


@pytest.mark.parametrize("path", FILES)
def test_it_reads_nothing_of_this_machine(workshop, path):
    source = "#include <fcntl.h>\n" + HONEST.replace(
        "= mine;\n}", f'= open("{path}", O_RDONLY) >= 0;\n}}'
    )
    assert "O_RDONLY" in source
    [(kind, after, *_), _] = workshop.launch(source, "row_sums", LAUNCHES)
    assert (kind, after[1].tolist()) == ("ran", [0, 0])


def test_it_writes_nothing_of_this_machine(workshop, tmp_path):
    tmp_path.chmod(0o777)
    source = "#include <fcntl.h>\n" + HONEST.replace(
        "= mine;\n}", f'= creat("{tmp_path}/here", 0666) >= 0;\n}}'
    )
    [(kind, after, *_), _] = workshop.launch(source, "row_sums", LAUNCHES)
    assert (kind, after[1].tolist()) == ("ran", [0, 0])
    assert list(tmp_path.iterdir()) == []


def test_none_of_the_checks_is_there(workshop):
    """A kernel's sandbox holds the emulator; no truth that it could read."""
    packages = make_runtime(("numpy",), compiles=True).folder / "packages" / "bnlib"
    names = {path.name for path in packages.iterdir()}
    assert names - {"__pycache__"} == {"__init__.py", "emulator"}
    # Compiled once for all: that takes longer than most kernels.
    assert len(list(packages.glob("emulator/machine-*.o"))) == 1


def test_a_broken_kernel_is_stopped_with_the_sandbox(workshop):
    source = HONEST.replace("= mine;\n}", "= *(volatile int*)0;\n}")
    [(kind, text)] = workshop.launch(source, "row_sums", LAUNCHES)
    assert kind == "failed" and "null pointer" in text


# What comes back is a stranger's


def ran(**changes):
    parts = {
        "kind": "ran",
        "after": [a.copy() if isinstance(a, np.ndarray) else a for a in LAUNCHES[0][2]],
        "report": "",
        "moved": {"x": (1, 2, 3), "sums": (1, 2, 3)},
    }
    return tuple((parts | changes).values())


X, SUMS, N = LAUNCHES[0][2]
FORGED = {
    "nothing": [],
    "too few": [ran()],
    "too many": [ran()] * 3,
    "no list": (ran(), ran()),
    "another shape": [ran(after=[X, SUMS[:1], N])] * 2,
    "another dtype": [ran(after=[X, SUMS.astype(float), N])] * 2,
    "no array": [ran(after=[X, 3, N])] * 2,
    "fewer arguments": [ran(after=[X, SUMS])] * 2,
    "no text": [ran(report=3)] * 2,
    "counts missing": [ran(moved={"x": (1, 2, 3)})] * 2,
    "counts that are none": [ran(moved={"x": (1, 2, 3.5), "sums": (1, 2, 3)})] * 2,
    "a long name": [ran(moved={"x": (1, 2, 3), "s" * 99: (1, 2, 3)})] * 2,
    "another kind": [ran(kind="won")] * 2,
    "no kind": [()] * 2,
    "an array for a kind": [ran(kind=np.ones(2))] * 2,
    "a failure that is no text": [("failed", 3)],
    "a failure, then more": [("failed", "so"), ran()],
}


def test_the_agreed_form():
    assert _is_as_agreed([ran(), ran(after=LAUNCHES[1][2])], LAUNCHES)
    assert _is_as_agreed([("failed", "so")], LAUNCHES)
    assert _is_as_agreed([ran(), ("failed", "so")], LAUNCHES)


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_what_is_not_in_the_agreed_form_is_refused(forged):
    same = [LAUNCHES[0]] * 2
    assert not _is_as_agreed(forged, same)


def test_a_forged_answer_ends_it(monkeypatch):
    needs("bubblewrap")
    forging = "def launch(*_):\n    return [('won',)]"
    monkeypatch.setattr("grading.isolation.workshop.LAUNCHING", forging)
    workshop = Workshop(choose("bubblewrap"), Limits())
    with pytest.raises(Crashed, match="Your kernel disturbed"):
        workshop.launch(HONEST, "row_sums", LAUNCHES)
    workshop.close()


# The whole notebook


def answered(**answers):
    """Return the set with these answers, other answers blank, tests of these only."""
    notebook = copy.deepcopy(ANSWER)
    kept = []
    for cell in notebook.cells:
        name = grade_id(cell) or ""
        if name in answers:
            cell.source = answers[name]
        if name == "setup" or name.removeprefix("test_") in answers:
            kept.append(cell)
    notebook.cells = kept
    return notebook


def solution(source):
    return f'def row_sums():\n    return r"""{source}"""\n'


def test_nothing_is_compiled_in_the_graders_process(monkeypatch):
    needs("bubblewrap")

    def never(*_, **__):
        raise AssertionError("compiled here")

    monkeypatch.setattr(emulator, "compile", never)
    with pytest.raises(AssertionError, match="compiled here"):
        check.row_sums(lambda: HONEST)  # that is where it would be noticed
    student = Student(choose("bubblewrap"), ("numpy",), Limits())
    [cell] = execute(answered(row_sums=solution(HONEST)), student)
    student.close()
    assert (cell.outcome, cell.points) == ("passed", 3), cell.message


def test_a_blank_answer_and_one_that_is_no_source():
    needs("bubblewrap")
    for answer, says in (
        ("def row_sums():\n    raise NotImplementedError()", "still to be written"),
        ("def row_sums():\n    return print", "returns a builtin_function"),
        ("row_sums = 3", "not callable"),
    ):
        student = Student(choose("bubblewrap"), ("numpy",), Limits())
        [cell] = execute(answered(row_sums=answer), student)
        student.close()
        assert cell.points == 0 and says in cell.message, cell.message


def test_after_a_failure_the_sandbox_is_a_fresh_one(monkeypatch):
    needs("bubblewrap")
    closed = []
    close = Workshop.close
    monkeypatch.setattr(Workshop, "close", lambda w: closed.append(w) or close(w))
    student = Student(choose("bubblewrap"), ("numpy",), Limits())
    wrong = HONEST.replace("int t = 1", "int t = 2")
    [cell] = execute(answered(row_sums=solution(wrong)), student)
    student.close()
    assert cell.points == 0 and "✗ row_sums" in cell.message
    assert len(closed) == 2  # after the failure, and at the end


@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_memory_and_strictness_are_looked_at_in_the_sandbox(sandbox):
    needs(sandbox)
    answers = {
        "blocked": edited(ps6.BLOCKED, *ps6.WHOLE),
        "generic": edited(ps6.GENERIC, "xp.sqrt", "np.sqrt"),
        "generic_backward": ps6.GENERIC_BACKWARD,
    }
    student = Student(choose(sandbox), ("numpy",), Limits())
    blocked, generic, backward = execute(answered(**answers), student)
    student.close()
    assert blocked.points == 0 and "times x, and it grows with C" in blocked.message
    assert generic.points == 0 and "np.sqrt meets an array" in generic.message
    assert backward.points == 2, backward.message
    answers = {"blocked": ps6.BLOCKED}
    student = Student(choose(sandbox), ("numpy",), Limits())
    [blocked] = execute(answered(**answers), student)
    student.close()
    assert blocked.points == 3, blocked.message


def test_a_helper_runs_where_the_learners_function_is():
    needs("bubblewrap")
    student = Student(choose("bubblewrap"), ("numpy",), Limits())
    student.run("a", "def double(x):\n    return 2 * x")
    with student.calls() as calls:
        double = calls.name("double")
        text = "import os\ndef at(f, x):\n    return f(x), os.getpid()"
        assert double.beside(text, "at")(double, 4)[0] == 8
        assert "at" not in dir(double)
    student.close()


def test_without_a_compiler_nothing_is_graded(monkeypatch, tmp_path):
    monkeypatch.setattr(runtime.shutil, "which", lambda *_, **__: None)
    from grading import CourseError

    with pytest.raises(CourseError, match=r"needs a C\+\+ compiler.*apt install g"):
        runtime._add_emulator(tmp_path)
