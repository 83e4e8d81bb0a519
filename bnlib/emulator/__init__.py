"""Run CUDA kernels on a CPU, and be told what is wrong with them.

>>> kernel = emulator.compile(source, "scale")
>>> y = emulator.empty(x.shape, np.float32)
>>> report = kernel(grid, block, (x, y, x.size))
>>> print(report)

The source is CUDA C++ as CuPy's RawModule takes it, unchanged. The kernel runs once for
each of several orders of its threads; all must give the same result. Watched are
bounds, races, reads of memory that nobody wrote, barriers and shuffles that not all
reach, and what a launch may ask for; `EmulatorError` names the array, the entry, the
thread and the line. The `Report` counts bytes, and how well a warp's reads coalesce.

It needs a C++ compiler: g++ or clang++, or the wheel ``ziglang``. Importing does not.

But: a teacher, not a simulator. No times, caches or bank conflicts; blocks run one
after the other; fast intrinsics round like the exact functions. `__constant__` values
must stand in the source. Left out: cooperative groups, clusters, textures, inline PTX.
"""

from bnlib.emulator._arguments import empty
from bnlib.emulator._build import compiler
from bnlib.emulator._errors import EmulatorError
from bnlib.emulator._kernel import Kernel
from bnlib.emulator._report import Report, Traffic

__all__ = [
    "EmulatorError",
    "Kernel",
    "Report",
    "Traffic",
    "compile",
    "compiler",
    "empty",
]


def compile(source, name):
    """Compile a kernel for the CPU, or take it from the cache.

    Parameters
    ----------
    source : str
        CUDA C++ with one or several ``__global__`` functions.
    name : str
        Which one; with its arguments where it is a template: ``"norm<float, 128>"``.

    Returns
    -------
    Kernel
        Call it as ``kernel(grid, block, args, shared=0)``.

    Raises
    ------
    EmulatorError
        If it does not compile, with the compiler's message at the line of the source;
        if there is no such kernel, or no compiler.
    """
    return Kernel(source, name)
