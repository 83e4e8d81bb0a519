"""Compile and run a student's CUDA kernels, where none of the student's Python is.

The emulator makes a program of a kernel, so that a kernel is as dangerous as any code of
a stranger's. It never runs in the grader's process, but in a sandbox that holds the
emulator and a compiler. In go the source and arrays, out come arrays, counts and words.

But: no expected values and no judgement here; a kernel that lies, lies about itself.
"""

from dataclasses import replace

from bnlib.check.kernels import LAUNCHING
from grading.isolation.runtime import Runtime
from grading.isolation.sandbox import Limits, Sandbox
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
            return calls.name("launch")(source, name, launches)

    def _runtime(self, packages: tuple[str, ...]) -> Runtime:
        return self.sandbox.runtime(packages, compiles=True)
