"""Compile and run a student's CUDA kernels, where none of the student's Python is.

The emulator makes a program of a kernel, and that is a stranger's program. It never
runs in the grader's process, but in a sandbox that holds the emulator and a compiler.
In go the source and arrays; out come arrays, counts and words.

But: no expected values and no judgement here; a kernel that lies, lies about itself.
"""

from dataclasses import replace

import numpy as np

from bnlib.check.kernels import LAUNCHING
from grading.isolation.runtime import Runtime
from grading.isolation.sandbox import Limits, Sandbox
from grading.isolation.session import Crashed
from grading.isolation.student import Student

ADDRESSES = 2 << 40  # the emulator reserves 1.5 TiB of them, which is no memory


class Workshop(Student):
    """The sandbox in which one student's kernels are compiled and run.

    It starts with the first of them, and is made anew after one that had to be stopped.

    Parameters
    ----------
    sandbox : Sandbox
        What to run in.
    limits : Limits
        What may be used.
    """

    def __init__(self, sandbox: Sandbox, limits: Limits):
        super().__init__(sandbox, ("numpy",), replace(limits, addresses=ADDRESSES))

    def launch(self, source: str, name: str, launches: list) -> list:
        """Do what `bnlib.check.kernels.launch` does, in there.

        Raises
        ------
        Interruption
            If it had to be stopped.
        """
        if not self._cells:
            self.run("launching", LAUNCHING)
        with self.calls() as calls:
            replies = calls.name("launch")(source, name, launches)
        if not _is_as_agreed(replies, launches):
            raise Crashed("Your kernel disturbed the program that ran it.")
        return replies

    def _runtime(self, packages: tuple[str, ...]) -> Runtime:
        return self.sandbox.runtime(packages, compiles=True)


def _is_as_agreed(replies, launches: list) -> bool:
    """Whether these are answers to these launches, in form."""
    if type(replies) is not list or not 0 < len(replies) <= len(launches):
        return False
    for reply, (_, _, arguments) in zip(replies, launches, strict=False):
        if type(reply) is not tuple or not reply or type(reply[0]) is not str:
            return False
        if reply[:1] == ("failed",) and len(reply) == 2:
            return type(reply[1]) is str and reply is replies[-1]
        if reply[:1] != ("ran",) or len(reply) != 4:
            return False
        _, after, report, moved = reply
        if type(after) is not list or len(after) != len(arguments):
            return False
        if not all(map(_is_alike, after, arguments)) or type(report) is not str:
            return False
        if type(moved) is not dict or len(moved) != sum(map(_is_array, arguments)):
            return False
        for name, counts in moved.items():
            if type(name) is not str or len(name) > 60 or type(counts) is not tuple:
                return False
            if [type(count) for count in counts] != [int] * 3:
                return False
    return len(replies) == len(launches)


def _is_array(value) -> bool:
    return isinstance(value, np.ndarray)


def _is_alike(after, before) -> bool:
    if not _is_array(before):
        return type(after) is type(before)
    same = _is_array(after) and after.dtype == before.dtype
    return same and after.shape == before.shape
