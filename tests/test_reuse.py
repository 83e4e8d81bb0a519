"""A sandbox that is used again: quick, and nothing of one student reaches the next.

Only packages that are slow to import make it worth while; here numpy is said to be.
"""

import pytest
from sandboxes import SANDBOXES, needs

from grading.isolation import reuse, student
from grading.isolation.sandbox import Limits, choose
from grading.isolation.session import Interruption
from grading.isolation.student import Student


@pytest.fixture(params=SANDBOXES)
def sandbox(request, monkeypatch):
    needs(request.param)
    monkeypatch.setattr(student, "QUICK", set())
    chosen = choose(request.param)
    if not reuse.can_be_reused(chosen):
        pytest.skip("this kernel cannot keep two students apart in one sandbox")
    yield chosen
    reuse._close()
    reuse._kept.clear()


def grade(sandbox, *cells):
    """Run a student's cells; return what they printed, and the sandbox's process."""
    who = Student(sandbox, ("numpy",), Limits(cell=3))
    said = ""
    process = None
    for k, cell in enumerate(cells):
        try:
            ran = who.run(f"cell{k}", cell)
            said += ran.out + (str(ran.error) if ran.error else "")
            process = who._session._process
        except Interruption as stopped:
            said += str(stopped)
    who.finish()
    return said, process


def test_a_tidy_student_leaves_the_sandbox_to_the_next(sandbox):
    _, first = grade(sandbox, "import os; open('x', 'w').close(); os.remove('x')")
    said, second = grade(sandbox, "print('x' in dir(), 40 + 2)")
    assert first is second and said == "False 42\n"


UNTIDY = {
    "a file": "open('left', 'w').close()",
    "a folder": "import os; os.mkdir('left')",
    "an end": "import os; os._exit(0)",
    "a crash": "import os; os.abort()",
    "a loop": "while True: pass",
}


@pytest.mark.parametrize("what", UNTIDY)
def test_after_anything_else_there_is_a_new_one(sandbox, what):
    _, first = grade(sandbox, "x = 1", UNTIDY[what])
    said, second = grade(sandbox, "import os; print(os.listdir())")
    assert first is not second and said == "[]\n"


DAEMON = """
import os, signal, time
for n in range(1, 65):
    try: signal.signal(n, signal.SIG_IGN)
    except (OSError, ValueError): pass
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            try: {act}
            except Exception: pass
    os._exit(0)
"""
ATTACKS = {
    # Answers of the first student's to questions about the second's.
    "writes to every open file": DAEMON.format(
        act="[os.write(n, b'\\0' * 5000) for n in range(3, 20)]"
    ),
    "reads from every open file": DAEMON.format(
        act="[os.read(n, 5000) for n in range(3, 20)]"
    ),
    "stays": DAEMON.format(act="time.sleep(1)"),
    "fills the pipe": "import os\nfor n in range(3, 20):\n"
    "    try: os.set_blocking(n, False); os.write(n, b'x' * 500000)\n"
    "    except OSError: pass",
    "kills all": "import os, signal\n"
    "for pid in (-1, os.getppid(), 1, 2, 3):\n"
    "    try: os.kill(pid, signal.SIGKILL)\n    except OSError: pass",
    "stops all": "import os, signal\n"
    "for pid in (os.getppid(), 1, 2, 3):\n"
    "    try: os.kill(pid, signal.SIGSTOP)\n    except OSError: pass",
    "traces its parent": "import ctypes, os\n"
    "assert ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == -1",
    "changes the modules": "import sys, builtins, numpy\n"
    "numpy.ones = None; builtins.print = None; sys.modules.clear()",
    "closes all": "import os\nos.closerange(0, 200)",
    "makes shared memory": "import ctypes\n"
    "ctypes.CDLL(None).shmget(1234, 4096, 0o1600)",
}


@pytest.mark.parametrize("what", ATTACKS)
def test_the_next_student_notices_nothing(sandbox, what):
    grade(sandbox, "x = 1", ATTACKS[what])
    for _ in range(2):
        code = (
            "import os, ctypes, numpy\n"
            "print('x' in dir(), os.listdir(), numpy.ones(2).sum(), 2 + 2)\n"
            "assert ctypes.CDLL(None).shmget(1234, 4096, 0) == -1"
        )
        said, _ = grade(sandbox, code)
        assert said == "False [] 2.0 4\n"


def test_pipelined_answers_do_not_reach_the_next(sandbox):
    forged = """
import json, os, struct
text = json.dumps({"re": "ran", "out": "forged", "err": "", "lost": 0, "error": None})
frame = struct.pack("<II", len(text), 0) + text.encode()
for n in range(3, 20):
    try: os.write(n, frame * 20)
    except OSError: pass
"""
    grade(sandbox, forged)
    said, _ = grade(sandbox, "print('mine')")
    assert said == "mine\n"
