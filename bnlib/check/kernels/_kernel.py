"""An exercise whose answer is a CUDA kernel: run on the emulator, then compared.

But: what a kernel does wrong as a program (races, bounds, barriers), the emulator says.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bnlib.check._exercise import Exercise, _draw
from bnlib.check.kernels._gpu import gpu_is_there, launch_on_gpu
from bnlib.check.kernels._launch import is_here, launch

LONGEST = 20_000  # characters of a source
INCLUDE = re.compile(r"^[ \t]*#[ \t]*(?:include|import)\b(.*)", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Kernel(Exercise):
    """A check, to be called with a function that returns CUDA C++.

    Attributes
    ----------
    plan : callable
        ``plan(*arguments)`` returns grid, block and the kernel's arguments for a case.
    places : tuple of int
        Where among the kernel's arguments the outputs are.
    once : str
        What to say where an array is read more often than twice; "" if that is no
        matter.
    """

    plan: Callable | None = None
    places: tuple[int, ...] = ()
    once: str = ""

    def _judge(self, learner, seed):
        cases, replies = self._run(learner, seed)
        if self.once:
            self._count_reads(cases, replies)
        return f"right on {len(cases)} inputs. The last of them:\n{replies[-1][2]}"

    def _run(self, learner, seed):
        """Return cases and what the kernel did; raise CheckFailed if it is wrong."""
        source = self._source(learner)
        cases = _draw(self, seed)
        launches = [self.plan(*case.arguments) for case in cases]
        replies = launch(source, self.name, launches)
        for case, reply in zip(cases, replies, strict=False):
            if reply[0] == "failed":
                raise self._failure(self._say(case, reply[1]))
        self._compare(cases, [reply[1] for reply in replies])
        if is_here() and gpu_is_there():
            self._compare(cases, launch_on_gpu(source, self.name, launches))
        return cases, replies

    def _source(self, learner):
        source = self._result(learner)
        if not isinstance(source, str):
            kind = "None" if source is None else f"a {type(source).__name__}"
            raise self._failure(
                f"It returns {kind}; expected the source of the kernel, a string."
            )
        if len(source) > LONGEST:
            raise self._failure(
                f"The source has {len(source):,} characters; {LONGEST:,} are allowed."
            )
        for what in INCLUDE.findall(source):
            if not re.match(r"\s*<cuda_(fp16|bf16)\.h>", what):
                raise self._failure(
                    f"The source includes {what.strip()[:60]}. CuPy compiles kernels "
                    "without headers of the machine: printf, fmaxf, rsqrtf and the "
                    "like are there without."
                )
        return source

    @staticmethod
    def _say(case, text):
        if text.startswith("The source") or "does not compile" in text:
            return text
        if "depends on the order" in text and "writes it" not in text:
            text = f"{text}\nOr is it rounding? {case.hint}" if case.hint else text
        return f"On {case.what}:\n{text}"

    def _compare(self, cases, arguments):
        results = [
            tuple(after[place].astype(np.float64) for place in self.places)
            for after in arguments
        ]
        for output in self.examine or self.outputs:
            self._examine(self.outputs.index(output), cases, results)

    def _count_reads(self, cases, replies):
        """Raise CheckFailed where an array as large as x is read three times."""
        for case, (_, after, report, moved) in zip(cases, replies, strict=True):
            grid, block, _ = self.plan(*case.arguments)
            large = max(array.nbytes for array in after if np.ndim(array))
            for k, (name, (read, _, _)) in enumerate(moved.items()):
                # A thread may read a few values besides, such as a first one.
                if after[k].nbytes == large and read > 2 * large + 16 * grid * block:
                    raise self._failure(
                        f"The numbers are right, but {name} is read {read / large:.2g} "
                        f"times on {case.what}. {self.once}\n{report}"
                    )
