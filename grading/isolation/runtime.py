"""The Python that a student's code sees: the standard library and chosen packages.

It is a folder of its own, since the interpreter's own folder holds every package of the
course, solutions' helpers included. Files are hard links where possible. It lies where
any user may read it, for the grader may be root and the student's code must not be.

But: system libraries stay where they are; `Runtime.libraries` lists them. So does the
C++ compiler, for the sandbox in which CUDA kernels are compiled.
"""

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

from packaging.requirements import Requirement

from bnlib import emulator
from bnlib.emulator._build import prepare
from grading import CourseError

INSIDE = Path(__file__).parent / "inside"
FOLDER = Path("/var/tmp") / f"bnlib-grading-{os.getuid()}"
UNWANTED = {
    "dist-packages",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "site-packages",
    "test",
    "tests",
    "tkinter",
    "turtledemo",
}
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    # A process with one thread can be forked safely.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
EMULATOR = Path(emulator.__file__).parent
# What a compiler and its linker read. Nothing of this machine's own is kept there, as
# it is in /etc, /var or /home.
TOOLS = "/bin /lib /lib64 /usr/bin /usr/include /usr/lib /usr/lib64 /usr/libexec"
LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")  # in what ldd prints


@dataclass(frozen=True)
class Runtime:
    """A Python for student code.

    Attributes
    ----------
    folder : Path
        Everything but system libraries.
    libraries : tuple of str
        Shared libraries that its programs load.
    """

    folder: Path
    libraries: tuple[str, ...]

    @property
    def command(self) -> list[str]:
        """The command that starts the worker; its settings are one more argument."""
        worker = self.folder / "inside" / "worker.py"
        return [str(self.folder / "bin" / "python"), "-s", "-S", "-B", str(worker)]

    @property
    def environment(self) -> dict[str, str]:
        """All environment variables that the worker gets."""
        paths = (self.folder / "inside", self.folder / "packages")
        path = os.pathsep.join(map(str, paths))
        return {"PYTHONHOME": str(self.folder), "PYTHONPATH": path, **ENVIRONMENT}


class HostRuntime:
    """The Python that runs the grader, with all its packages: nothing is hidden."""

    command: ClassVar = [sys.executable, "-B", str(INSIDE / "worker.py")]
    environment: ClassVar = {"PYTHONPATH": str(INSIDE), **ENVIRONMENT}


@cache
def make_runtime(packages: tuple[str, ...], compiles: bool = False) -> Runtime:
    """Return the runtime with these packages and what they require.

    Parameters
    ----------
    packages : tuple of str
        Names of installed distributions, such as "numpy".
    compiles : bool
        Whether `bnlib.emulator` is there as well, and the C++ compiler that it needs.

    Raises
    ------
    CourseError
        If one is not installed, or the folder cannot be made.
    """
    chosen = _with_requirements(packages)
    key = hashlib.sha256(repr((sys.version, sys.prefix, sorted(chosen))).encode())
    files = [*INSIDE.glob("*.py"), *(EMULATOR.glob("*.*") if compiles else ())]
    for path in sorted(files):
        key.update(path.read_bytes())
    folder = FOLDER / key.hexdigest()[:16]
    if not folder.exists():
        _check_owner()
        with tempfile.TemporaryDirectory(dir=FOLDER) as temporary:
            building = Path(temporary) / "runtime"
            _build(building, chosen)
            if compiles:
                _add_emulator(building)
            try:
                building.rename(folder)
            except OSError:
                if not folder.exists():
                    raise  # otherwise somebody else has just made it
    libraries = tuple((folder / "libraries").read_text().splitlines())
    if not compiles:
        return Runtime(folder, libraries)
    tools = tuple(filter(os.path.isdir, TOOLS.split()))
    return Runtime(folder, (*tools, *(x for x in libraries if not x.startswith(tools))))


def _check_owner() -> None:
    try:
        FOLDER.mkdir(mode=0o755, exist_ok=True)
    except OSError as error:
        raise CourseError(f"cannot make {FOLDER}: {error.strerror}") from None
    if FOLDER.is_symlink() or FOLDER.stat().st_uid != os.getuid():
        raise CourseError(f"{FOLDER} belongs to somebody else; remove it")


def _with_requirements(names: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of these distributions and of all that they require."""
    found: dict[str, str] = {}
    left = list(names)
    while left:
        name = left.pop()
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            raise CourseError(
                f"the problem set allows the package {name}, which is not installed"
            ) from None
        if distribution.name in found:
            continue
        found[distribution.name] = distribution.version
        for line in distribution.requires or ():
            requirement = Requirement(line)
            if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                left.append(requirement.name)
    return found


def _build(folder: Path, packages: dict[str, str]) -> None:
    standard = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(
        standard,
        folder / "lib" / standard.name,
        copy_function=_link,
        ignore=lambda _, names: [
            name for name in names if name in UNWANTED or name.startswith("_tkinter")
        ],
    )
    for name in packages:
        _add_package(folder / "packages", name)
    shutil.copytree(INSIDE, folder / "inside")
    python = folder / "bin" / "python"
    python.parent.mkdir()
    _link(sys.executable, python)
    compiling = [sys.executable, "-m", "compileall", "-q", "-j0", str(folder)]
    subprocess.run(compiling, capture_output=True)  # odd files do not matter
    programs = [str(python), *map(str, folder.rglob("*.so*"))]
    listed = subprocess.run(["ldd", *programs], capture_output=True, text=True)
    libraries = set(LIBRARY.findall(listed.stdout))
    outside = (name for name in libraries if not name.startswith(str(folder)))
    (folder / "libraries").write_text("\n".join(sorted(outside)))
    folder.chmod(0o755)


def _add_package(target: Path, name: str) -> None:
    for file in importlib.metadata.distribution(name).files or ():
        if ".." in file.parts or UNWANTED & set(file.parts):
            continue
        path = target / file
        path.parent.mkdir(parents=True, exist_ok=True)
        source = Path(file.locate())
        if source.exists() and not path.exists():
            _link(source, path)


def _add_emulator(folder: Path) -> None:
    """Add `bnlib.emulator`, and of bnlib nothing else."""
    names = ("g++", "clang++", "c++")
    if not any(shutil.which(name, path="/usr/bin:/bin") for name in names):
        raise CourseError(
            "kernels are graded on an emulator that needs a C++ compiler, and /usr/bin "
            "has none (on Debian: apt install g++)"
        )
    package = folder / "packages" / "bnlib"
    package.mkdir()
    (package / "__init__.py").touch()
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(EMULATOR, package / "emulator", ignore=ignore)
    prepare(package / "emulator")


def _link(source: str | Path, target: str | Path) -> None:
    source = os.path.realpath(source)
    try:
        os.link(source, target)
    except OSError:  # on another disk, or somebody else's
        shutil.copy2(source, target)
