"""A student's code behind walls, called from outside; each sandbox really runs."""

import os
import time

import numpy as np
import psutil
import pytest
from sandboxes import SANDBOXES, needs

from bnlib.check import forward
from bnlib.check.forward._welford import TIMES
from grading.isolation.inside.wire import (
    MAX_BYTES,
    MAX_TEXT,
    Decoder,
    Encoder,
    WireError,
    pack,
    unpack,
    unpack_lengths,
)
from grading.isolation.runtime import make_runtime
from grading.isolation.sandbox import Limits, choose
from grading.isolation.session import Crashed, TimedOut
from grading.isolation.student import Student

# The wire


def send(value):
    """Encode and decode a value."""

    def no_handle(encoder, value):
        raise WireError(f"a {type(value).__name__}")

    encoder = Encoder(no_handle)
    form = encoder.encode(value)
    frame = pack({"value": form}, encoder.chunks)
    text, size = unpack_lengths(frame[:8])
    assert len(frame) == 8 + text + size
    message = unpack(frame[8 : 8 + text])
    return Decoder(frame[8 + text :], None, None).decode(message["value"])


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -3,
        10**30,
        0.1,
        float("inf"),
        1 + 2j,
        "naïve\n",
        [1, [2, (3, None)]],
        {"a": 1, 2: [True]},
        np.float32(0.5),
        np.bool_(True),
        np.int8(-7),
    ],
    ids=repr,
)
def test_plain_values_arrive_as_they_are(value):
    arrived = send(value)
    assert type(arrived) is type(value) and arrived == value


def test_nan_arrives():
    assert np.isnan(send(float("nan")))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u8", "b1", "c16", ">f4"])
@pytest.mark.parametrize(
    "make",
    [
        lambda a: a,
        lambda a: a.T,
        lambda a: a[..., ::2],
        lambda a: a[::-1],
        lambda a: a.transpose(1, 2, 0),
        lambda a: a[0, 0, 0],
        lambda a: a[:0],
        lambda a: np.asarray(a[1, 1, 1]),
    ],
    ids="plain transposed strided reversed moved scalar empty 0-d".split(),
)
def test_arrays_arrive_with_values_and_layout(dtype, make):
    array = make(np.arange(60).reshape(3, 4, 5).astype(dtype))
    arrived = send(array)
    assert arrived.dtype == array.dtype and arrived.shape == array.shape
    np.testing.assert_array_equal(arrived, array)
    if array.ndim and array.size and min(array.strides) > 0:
        assert arrived.flags.c_contiguous == array.flags.c_contiguous
        assert arrived.flags.f_contiguous == array.flags.f_contiguous
    assert not isinstance(arrived, np.ndarray) or arrived.flags.writeable


def test_one_array_in_two_places_stays_one():
    array = np.ones(3)
    first, (second, other) = send((array, (array, np.ones(3))))
    assert first is second and first is not other


def test_read_only_stays_read_only():
    array = np.ones(3)
    array.flags.writeable = False
    assert not send(array).flags.writeable


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        nested(30),
        [0] * 60_000,
        "x" * MAX_TEXT,
        1 << 20_000,
        np.zeros(MAX_BYTES // 8 + 1),
        np.broadcast_to(np.zeros(1), (1 << 20, 1 << 20)),
        np.array([object()]),
        np.array("text"),
        np.zeros(2, dtype="f4,i4"),
        object(),
        {1, 2},
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_too_large_or_odd_is_refused_when_sent(value):
    with pytest.raises(WireError):
        send(value)


def test_a_list_in_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(WireError):
        send(value)


HUGE = ["a", "<f8", [1 << 30, 1 << 30], [0, 1], False, True, 0, 8]


@pytest.mark.parametrize(
    "form",
    [
        None,
        [],
        ["take"],
        ["_v", 1],
        ["v", [1]],
        [["v"], 1],
        HUGE,
        ["a", "<f8", [-1], [0], False, True, 0, 8],
        ["a", "<f8", [1], [0, 0], False, True, 0, 8],
        ["a", "<f8", [1], [0], False, True, 0, 800],
        ["a", "O", [1], [0], False, True, 0, 8],
        ["a", "V8", [1], [0], False, True, 0, 8],
        ["a", "<f8,<f8", [1], [0], False, True, 0, 8],
        ["a", "<f8", [1] * 40, list(range(40)), False, True, 0, 8],
        ["a", "<f8", [True], [0], False, True, 0, 8],
        ["a", "<f8", [], [], False, True, 7, 0],
        ["g", "<f8", 4],
        ["y", "O"],
        ["d", [[["l", []], ["v", 1]]]],
        ["d", [1]],
        ["c", "x", 1],
        ["h", -1, "x", False],
        ["o", 5],
    ],
    ids=str,
)
def test_nonsense_is_refused_when_it_arrives(form):
    owned = {}
    decoder = Decoder(b"\0" * 8, lambda *_: None, owned.__getitem__)
    with pytest.raises(WireError):
        decoder.decode(form)


@pytest.mark.parametrize("text", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_message_is_refused(text):
    with pytest.raises(WireError):
        unpack(text)


def test_a_frame_that_is_too_long_is_refused():
    with pytest.raises(WireError):
        unpack_lengths(b"\xff" * 8)


# The student

CELL = """
import numpy as np

class Layer:
    def __init__(self, n, eps=1e-5):
        self.gamma = np.ones(n)
        self.training = True
        self._eps = eps

    def __call__(self, x):
        return self.gamma * x

    def scaled(self, by):
        return Layer(len(self.gamma) * by)

def double(x):
    x *= 2
    return x

def fail(x):
    return x.no_such_attribute

class OwnError(ValueError):
    pass

def refuse(text):
    raise OwnError(text)

def apply(f, x):
    return f(x)

def total(rows):
    return sum(rows)

count = 0

def bump():
    global count
    count += 1
    return count

def stuck():
    while True:
        pass

def leave():
    import os
    os._exit(3)
"""


@pytest.fixture(scope="module", params=SANDBOXES)
def sandbox(request):
    needs(request.param)
    return choose(request.param)


@pytest.fixture(scope="module")
def student(sandbox):
    student = Student(sandbox, ("numpy",), Limits(cell=2))
    student.run("cell", CELL)
    yield student
    student.close()


def test_functions_and_objects(student):
    with student.calls() as calls:
        layer = calls.name("Layer")(3, eps=0.1)
        assert layer.training is True and layer._eps == 0.1
        layer.gamma = np.array([1.0, 2.0, 3.0])
        np.testing.assert_array_equal(layer(np.ones(3)), [1, 2, 3])
        assert layer.scaled(2).gamma.shape == (6,)
        assert type(layer).__name__ == "Layer"
        assert calls.name("count") == 0
        with pytest.raises(AttributeError, match="no_such"):
            _ = layer.no_such


def test_a_change_in_place_is_seen_here(student):
    x = np.ones((2, 3)).T
    with student.calls() as calls:
        np.testing.assert_array_equal(calls.name("double")(x), np.full((3, 2), 2))
    np.testing.assert_array_equal(x, np.full((3, 2), 2))


def test_exceptions_keep_kind_text_and_line(student):
    with student.calls() as calls:
        with pytest.raises(AttributeError, match="no_such_attribute") as caught:
            calls.name("fail")(1)
        last = caught.traceback[-1]
        assert last.frame.code.raw.co_filename == "<cell cell>"
        assert "return x.no_such_attribute" in CELL.splitlines()[last.lineno]
        with pytest.raises(Exception, match="because") as caught:
            calls.name("refuse")("because")
        assert type(caught.value).__name__ == "OwnError"
        with pytest.raises(NameError):
            calls.name("nothing")


def test_subclasses_of_plain_values_arrive_plain(student):
    code = """
import collections, enum
Pair = collections.namedtuple("Pair", "a b")
class Number(float): pass
class Colour(enum.IntEnum): RED = 1
def odd(): return Pair(1, [Number(0.5)]), Colour.RED, collections.OrderedDict(a=1)
"""
    student.run("subclasses", code)
    with student.calls() as calls:
        assert calls.name("odd")() == ((1, [0.5]), 1, {"a": 1})


def test_rows_of_an_iterator_cannot_be_changed(student):
    student.run("rows", "def spoil(rows):\n    for row in rows: row += 1")
    with student.calls() as calls, pytest.raises(ValueError, match="read-only"):
        calls.name("spoil")(iter(np.ones((3, 2))))


def test_functions_and_iterators_of_ours_can_be_used_there(student):
    with student.calls() as calls:
        apply = calls.name("apply")
        np.testing.assert_allclose(apply(np.exp, np.ones(2)), np.exp(np.ones(2)))
        with pytest.raises(ZeroDivisionError):
            apply(lambda x: 1 / 0, 1)
        given = iter(np.ones((1000, 2)))
        np.testing.assert_array_equal(calls.name("total")(given), [1000, 1000])
        assert calls.name("total")(iter(range(1000))) == 499500
        assert calls.name("total")(iter([1, 2.5, np.float32(0.5), np.array(1)])) == 5
        assert calls.name("total")(iter([])) == 0


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_memory_that_grows_is_told_from_memory_in_use(sandbox, warm):
    [rows] = forward.welford.cases(np.random.default_rng(0))[-1].arguments
    many = [*rows] * TIMES
    kept = "def {0}(rows): return len([row.astype('{0}') for row in rows])\n"
    source = "import numpy as np\ndef right(rows):\n    n, mean = 0, 0.0\n"
    source += "    for row in rows:\n        n += 1\n        delta = row - mean\n"
    source += "        mean = mean + delta / n\n    return mean\n"
    student = Student(sandbox, ("numpy",), Limits())
    student.run("cell", source + kept.format("float64") + kept.format("float32"))
    took = {}
    for name in ["right"] * warm + ["right", "float32", "float64"]:
        with student.calls() as calls:
            peak = calls.name(name).measure_memory(iter(many))[1]
            took[name] = peak / (TIMES * rows.nbytes)
    student.close()
    # A quarter is too much: right answers are far from it, as wrong ones are.
    assert took["right"] < 1 / 16 and took["float32"] > 5 / 16, took
    assert took["float64"] > 3 / 4, took


def test_every_test_has_its_own_copy(student):
    for _ in range(2):
        with student.calls() as calls:
            assert calls.name("bump")() == 1


def test_a_test_takes_in_only_so_much(sandbox):
    student = Student(sandbox, ("numpy",), Limits())
    student.run("cell", "import numpy as np\ndef f(): return np.zeros(1 << 21)")
    with pytest.raises(Crashed, match="64 MB of results"), student.calls() as calls:
        for _ in range(5):
            calls.name("f")()
    student.close()


def test_a_failing_test_leaves_the_process_alone(student):
    session = student._session
    with pytest.raises(AssertionError), student.calls():
        raise AssertionError
    assert student._session is session


def test_stopped_code_costs_its_limit_and_the_rest_goes_on(student):
    start = time.monotonic()
    with pytest.raises(TimedOut, match="2 s"), student.calls() as calls:
        calls.name("stuck")()
    assert time.monotonic() - start < 20
    with pytest.raises(Crashed), student.calls() as calls:
        calls.name("leave")()
    with student.calls() as calls:
        assert calls.name("bump")() == 1


def test_a_cell_that_was_stopped_is_as_if_it_were_not_there(sandbox):
    student = Student(sandbox, ("numpy",), Limits(cell=1))
    student.run("one", "a = 1")
    with pytest.raises(TimedOut):
        student.run("two", "a = 2\nwhile True: pass")
    student.run("three", "b = a")
    with student.calls() as calls:
        assert calls.name("b") == 1
    student.close()


def test_all_cells_together_have_a_limit(sandbox):
    student = Student(sandbox, ("numpy",), Limits(cell=5, total=1))
    with pytest.raises(TimedOut, match="all of the notebook has 1 s"):
        student.run("one", "while True: pass")
    with pytest.raises(TimedOut):
        student.run("two", "pass")
    student.close()


# The walls: each line of code must fail inside, and would succeed outside.

READ = "open({path!r}).read()"
ESCAPES = {
    "reads a file": READ,
    "lists a folder": "import os; os.listdir({folder!r})",
    "writes a file": "open({path!r}, 'a').write('x')",
    "changes a file's mode": "import os; os.chmod({path!r}, 0)",
    "changes a file's times": "import os; os.utime({path!r}, (0, 0))",
    "removes a file": "import os; os.remove({path!r})",
    "renames a file": "import os; os.rename({path!r}, {path!r} + '2')",
    "makes a folder": "import os; os.mkdir({folder!r} + '/new')",
    "signals the grader": "import os; os.kill({pid}, 0)",
    "reads the grader's memory": "open('/proc/{pid}/mem', 'rb').read(1)",
    "reads the grader's environment": "open('/proc/{pid}/environ').read()",
    "limits the grader": "import resource; resource.prlimit({pid}, 4, (0, 0))",
    "slows the grader down": "import os; os.sched_setaffinity({pid}, [0])",
    "connects": "import socket; socket.create_connection(('127.0.0.1', {port}), 1)",
    "imports bnlib": "import bnlib; bnlib.batch_norm(1, 2, 3)",
    "imports torch": "import torch; torch.ones(1)",
    "sees the environment": "import os; os.environ['PATH_OF_THE_GRADER']",
    "allocates": "import numpy; numpy.ones(1 << 34)",
    "opens many files": "f = [open('/dev/null') for _ in range(1000)]",
    "becomes root": "import os; os.setuid(0); open({path!r}, 'a')",
}


@pytest.mark.parametrize("what", ESCAPES)
def test_walls(sandbox, tmp_path, monkeypatch, what):
    import socket

    monkeypatch.setenv("PATH_OF_THE_GRADER", "x")
    path = tmp_path / "canary"
    path.write_text("canary")
    tmp_path.chmod(0o777)
    path.chmod(0o666)
    before = path.stat()
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = ESCAPES[what].format(
            path=str(path),
            folder=str(tmp_path),
            pid=os.getpid(),
            port=server.getsockname()[1],
        )
        student = Student(sandbox, ("numpy",), Limits(cell=5))
        try:
            error = student.run("attack", code).error
        except Crashed:
            error = "stopped"
        finally:
            student.close()
    assert error, f"{what}: it succeeded"
    after = path.stat()
    assert path.read_text() == "canary"
    assert (before.st_mode, before.st_mtime) == (after.st_mode, after.st_mtime)


def lives(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_call_that_was_stopped_is_gone_without_a_sandbox_too():
    student = Student(choose("none"), ("numpy",), Limits(cell=1))
    student.run("a", "one = 1\ndef stuck():\n    while True: pass")
    with pytest.raises(TimedOut), student.calls() as calls:
        calls.name("one")
        started = psutil.Process(student._session._process.pid).children(recursive=True)
        calls.name("stuck")()
    student.close()
    assert len(started) >= 2 and not [process for process in started if lives(process)]


def test_nothing_is_left_of_a_daemon(sandbox):
    student = Student(sandbox, ("numpy",), Limits(cell=5))
    known = {process.pid for process in psutil.process_iter()}
    student.run(
        "daemon",
        """
import os, signal, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(n, signal.SIG_IGN)
        while True:
            time.sleep(1)
""",
    )
    folder = student._session._folder.name
    outside = psutil.Process(student._session._process.pid)
    started = outside.children(recursive=True)
    assert len(started) >= 4 and not {process.pid for process in started} & known
    student.close()
    assert not [process for process in started if lives(process)]
    assert not os.path.exists(folder)


def test_a_fork_bomb_ends(sandbox):
    student = Student(sandbox, ("numpy",), Limits(cell=3, processes=20))
    ran = student.run(
        "bomb", "import os, time\nwhile True:\n    if os.fork() == 0: time.sleep(60)"
    )
    assert "temporarily unavailable" in ran.error[1]
    student.close()


def test_much_memory_in_many_processes_is_too_much(sandbox):
    student = Student(sandbox, ("numpy",), Limits(cell=20, memory=200 << 20))
    code = """
import os, time
import numpy as np
for _ in range(8):
    if os.fork() == 0:
        a = np.ones(10 << 20)  # 80 MB
        time.sleep(30)
        os._exit(0)
for _ in range(8):
    if os.wait()[1]:
        raise MemoryError("a child did not get it")
"""
    try:
        assert student.run("bomb", code).error[0] == "MemoryError"
    except Crashed as stopped:
        assert "200 MB of memory" in str(stopped) or "died" in str(stopped)
    student.close()


def test_many_files_are_too_many(sandbox):
    student = Student(sandbox, ("numpy",), Limits(cell=20, files=8 << 20))
    code = """
import time
for k in range(1000):
    with open(f"file{k}", "wb") as file:
        file.write(bytes(1 << 20))
time.sleep(15)
"""
    try:
        assert student.run("bomb", code).error[0] == "OSError"  # no space left
    except Crashed as stopped:
        assert "MB of files" in str(stopped)
    student.close()


def test_output_is_cut(sandbox):
    student = Student(sandbox, ("numpy",), Limits(output=1000))
    ran = student.run("loud", "for _ in range(20_000): print('x' * 50)")
    assert len(ran.out) == 1000 and ran.lost == 20_000 * 51 - 1000
    student.close()


# The runtime


def test_the_runtime_holds_what_is_allowed_and_no_more():
    packages = make_runtime(("numpy",)).folder / "packages"
    names = {path.name for path in packages.iterdir()}
    assert "numpy" in names
    assert not {"torch", "bnlib", "grading", "nbgrader"} & names


def test_torch_where_it_is_allowed(sandbox):
    student = Student(sandbox, ("numpy", "torch"), Limits())
    student.run("cell", "import torch\ndef f(x): return torch.as_tensor(x) * 2")
    with student.calls() as calls:
        np.testing.assert_array_equal(calls.name("f")(np.ones(2)), [2, 2])
    student.close()
