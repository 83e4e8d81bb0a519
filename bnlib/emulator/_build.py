"""Compile a kernel into a program, once: the next time it is found in the cache.

A program, not a library to load into Python: what loops for ever can then be killed,
what crashes crashes alone, and what it prints can be shown in a notebook.
"""

import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bnlib.emulator import _source
from bnlib.emulator._errors import EmulatorError

HERE = Path(__file__).parent
PARTS = ("cuda.h", "watch.h", "machine.cpp")
# Strict aliasing would forbid reading floats as float4. What a loop of four reads is
# must not become one wide read: CUDA's compiler does not do that either.
KERNEL = [
    "-x", "c++", "-O1", "-g1", "-S", "-fsanitize=thread",
    "-fsanitize=bounds,integer-divide-by-zero", "-fno-strict-aliasing",
    "-ffp-contract=off", "-fno-tree-vectorize", "-fno-exceptions", "-U_FORTIFY_SOURCE",
]  # fmt: skip
# longjmp between the stacks of fibers is what _FORTIFY_SOURCE takes for an attack.
MACHINE = ["-O2", "-c", "-U_FORTIFY_SOURCE", "-fno-exceptions"]
# By default clang announces no read of what is then written at once: y[i] += 1.
CLANG = ["-mllvm", "-tsan-instrument-read-before-write=1"]
ERROR = re.compile(r"^([^\n:]*):(\d+):\d+: (?:fatal )?error: (.*)$", re.M)


def compiler():
    """Return the command of a C++ compiler, as a list; None where there is none.

    ``$CXX``, g++, clang++ or c++; else the one in the ``ziglang`` wheel.
    """
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and shutil.which(name):
            return [name]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "c++"]
    return None


def cache_folder():
    """Return the folder of compiled kernels: ``$XDG_CACHE_HOME``, else ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "bnlib" / "emulator"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a home that cannot be written to
        folder = Path(tempfile.gettempdir()) / f"bnlib-emulator-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@functools.cache
def _own_text():
    return "".join((HERE / name).read_text(encoding="utf-8") for name in PARTS)


def build(source, name):
    """Return the program that runs a kernel, and the description of its parameters.

    Parameters
    ----------
    source : str
        CUDA C++.
    name : str
        The kernel; with its arguments where it is a template: "norm<float, 128>".

    Returns
    -------
    program : Path
    signature : str
        As `emu::describe` in cuda.h prints it.

    Raises
    ------
    EmulatorError
        If there is no compiler, or if it does not take the source.
    """
    command = compiler()
    if command is None:
        raise EmulatorError(
            "The emulator needs a C++ compiler and finds none. Install g++ or clang++, "
            "or run `pip install ziglang`, which brings one."
        )
    text = "\0".join([source, name, _own_text(), *command, *KERNEL])
    key = hashlib.sha256(text.encode()).hexdigest()[:32]
    folder = cache_folder() / key
    program, signature = folder / "kernel", folder / "signature"
    if not signature.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            _compile(source, name, command, Path(work))
            try:  # in one step: others may be compiling the same
                os.rename(Path(work) / "done", folder)
            except OSError:
                if not signature.exists():
                    raise
    return program, signature.read_text()


def _compile(source, name, command, work):
    clang = b"clang" in _run([*command, "--version"]).stdout
    machine = _machine(command, clang)
    (work / "kernel.cu").write_text(
        f'#include "{HERE / "cuda.h"}"\n#line 1 "kernel.cu"\n'
        + _source.rewrite(source)
        + '\n#line 1 "launch"\n'
        + 'extern "C" int emu_run(char**, void (*)(void**));\n'
        + f"static void emu_entry(void** a) {{ emu::call(&{name}, a); }}\n"
        + "int main(int n, char** a) {\n"
        + "  if (n == 3) return emu_run(a, emu_entry);\n"
        + f"  emu::signature(&{name});\n}}\n",
        encoding="utf-8",
    )
    flags = [*_common(clang), *KERNEL, *(CLANG if clang else ())]
    result = _run([*command, *flags, "kernel.cu", "-o", "kernel.s"], work)
    if result.returncode:
        _stop(machine)
        raise EmulatorError(_explain(result.stderr.decode(errors="replace"), source))
    assembly = (work / "kernel.s").read_text(encoding="utf-8")
    (work / "kernel.s").write_text(_number(assembly), encoding="utf-8")
    (work / "done").mkdir()
    program = work / "done" / "kernel"
    result = _run([*command, "kernel.s", _finished(machine), "-o", program], work)
    if result.returncode:
        raise EmulatorError(
            "The kernel compiles but cannot be linked. Is a __device__ function "
            "declared that has no body?\n" + result.stderr.decode(errors="replace")
        )
    _let_run(program)
    signature = _run([program])
    (work / "done" / "signature").write_bytes(signature.stdout)


def _let_run(program):
    """Make it executable where the linker could not: a sandbox may forbid chmod."""
    if not os.access(program, os.X_OK):
        text = program.read_bytes()
        program.unlink()
        with os.fdopen(os.open(program, os.O_CREAT | os.O_WRONLY, 0o755), "wb") as file:
            file.write(text)


def _run(command, folder=None):
    return subprocess.run(command, cwd=folder, capture_output=True, check=False)


def _common(clang):
    plain = "-fno-color-diagnostics" if clang else "-fdiagnostics-color=never"
    return ["-std=c++17", "-w", plain]


def prepare(folder):
    """Put the machine, compiled, into a copy of this package: `build` looks there."""
    command = compiler()
    clang = b"clang" in _run([*command, "--version"]).stdout
    shutil.copy(_finished(_machine(command, clang)), folder)


def _machine(command, clang):
    """Start to compile the machine, the same for all kernels, unless it is there."""
    key = hashlib.sha256("\0".join([_own_text(), *command, *MACHINE]).encode())
    for folder in (HERE, cache_folder()):
        target = folder / f"machine-{key.hexdigest()[:32]}.o"
        if target.exists():
            return None, None, target
    part = target.with_suffix(f".{os.getpid()}.o")
    flags = [*_common(clang), *MACHINE]
    process = subprocess.Popen(
        [*command, *flags, HERE / "machine.cpp", "-o", part],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return process, part, target


def _finished(machine):
    process, part, target = machine
    if process is not None:
        output, _ = process.communicate()
        if process.returncode:
            raise EmulatorError(
                "The compiler does not take the emulator itself:\n"
                + output.decode(errors="replace")
            )
        part.replace(target)
    return target


def _stop(machine):
    """Let it finish: the next kernel needs it, and it takes a second."""
    if machine[0] is not None:
        _finished(machine)


# ---- from machine code back to the learner's lines -----------------------------------

FILE = re.compile(r"\s*\.file\s+(\d+)\s+(.*)")
LOC = re.compile(r"\s*\.loc\s+(\d+)\s+(\d+)")
INLINED = re.compile(r"@\[ kernel\.cu:(\d+)")  # clang's comment: inlined here
CALL = re.compile(r"\s*(?:call\w*|bl)\s+\*?(_*)(?:__tsan_|_?emu_)(?!func)")


def _number(assembly):
    """Return assembly with a table of the line of each call that announces an access.

    Debugging information has the same in a form that needs a debugger to read; `.loc`
    stands right before each call. Code inlined from cuda.h is given the learner's line
    that clang names, or with g++ the last one before it, which may be a line too early.
    """
    ours, line, lines, out = set(), 0, [], []
    for text in assembly.splitlines():
        out.append(text)
        if found := LOC.match(text):
            if found[1] in ours and int(found[2]):
                line = int(found[2])
            elif found := INLINED.search(text):
                line = int(found[1])
        elif found := FILE.match(text):
            if '"kernel.cu"' in found[2] and found[1] != "0":
                ours.add(found[1])
        elif CALL.match(text):
            out.append(f"{_local()}emu{len(lines)}:")
            lines.append(line)
        elif text.strip() == ".cfi_startproc":
            line = 0  # what is before another function is not its caller
    symbol = "_emu_sites" if sys.platform == "darwin" else "emu_sites"
    out += [".data", ".balign 8", f".globl {symbol}", f"{symbol}:"]
    for i, line in enumerate(lines):
        out.append(f" .quad {_local()}emu{i}, {line}")
    return "\n".join([*out, " .quad 0, 0", ""])


def _local():
    return "L" if sys.platform == "darwin" else ".L"


def _explain(output, source):
    """Return the first of the compiler's errors, with the learner's line."""
    errors = ERROR.findall(output)
    if not errors:
        return f"The kernel does not compile:\n{output.strip()}"
    own = [(int(n), what) for file, n, what in errors if file.endswith("kernel.cu")]
    if not own:
        return f"The kernel does not compile for this name: {errors[0][2]}"
    lines = source.splitlines()
    text = []
    for number, what in dict(reversed(own[:3])).items():
        code = lines[number - 1].strip() if 0 < number <= len(lines) else ""
        text.append(f"line {number}: {what}" + (f"\n    {code}" if code else ""))
    more = len(own) - len(text)
    tail = f"\n(and {more} more)" if more > 0 else ""
    return "The kernel does not compile.\n" + "\n".join(text[::-1]) + tail
