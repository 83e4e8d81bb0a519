"""Walls around a process: two sandboxes of other people's making, one interface.

- bubblewrap: Linux namespaces; the process sees an almost empty machine of its own.
- sandlock: Landlock and seccomp; it sees this machine and may touch nothing on it.

Either way there is no network, nothing to read but the runtime, a private temporary
folder, no environment, and no other process to signal. What a sandbox does not limit is
limited by the kernel's resource limits and by `session`, which watches from outside.
"""

import itertools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from grading import CourseError
from grading.isolation.folder import PrivateFolder
from grading.isolation.runtime import HostRuntime, Runtime, make_runtime

JAIL = Path(__file__).with_name("jail.py")
FIRST_UID = 2_000_000_000  # nobody's, and 64 for each grading process
_numbers = itertools.count()


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Attributes
    ----------
    cell : float
        Seconds for a cell, and for all calls of a test cell.
    total : float
        Seconds for the submission.
    memory : int
        Bytes of all its processes together.
    addresses : int
        Bytes of address space that a process may reserve beyond that.
    processes : int
        Processes and threads at a time.
    files : int
        Bytes in its temporary folder, and of a file.
    output : int
        Characters that a cell may print.
    """

    cell: float = 20.0
    total: float = 120.0
    memory: int = 1 << 30
    addresses: int = 3 << 30
    processes: int = 32
    files: int = 64 << 20
    output: int = 20_000


class Sandbox(ABC):
    """A way to run a command behind walls."""

    name: str

    @property
    @abstractmethod
    def label(self) -> str:
        """The name and version that records show."""

    @abstractmethod
    def problem(self) -> str:
        """Say why it cannot be used here, or "" if it can."""

    @abstractmethod
    def wrap(self, command: list[str], runtime: Runtime, limits: Limits, folder: Path):
        """Return the command that runs `command` inside; `folder` is its own."""

    def runtime(self, packages: tuple[str, ...], compiles: bool = False) -> Runtime:
        """Return the Python that student code sees."""
        return make_runtime(packages, compiles)

    def rlimits(self, limits: Limits) -> dict[str, int]:
        """Return the resource limits that the process sets for itself."""
        return {
            "RLIMIT_AS": limits.memory + limits.addresses,
            "RLIMIT_NPROC": limits.processes,
            "RLIMIT_NOFILE": 64,
            "RLIMIT_FSIZE": limits.files // 4,
            "RLIMIT_CORE": 0,
            "RLIMIT_MSGQUEUE": 0,
        }


class Bubblewrap(Sandbox):
    """Namespaces by ``bwrap``."""

    name = "bubblewrap"

    @property
    def label(self):
        """Return the name and version."""
        said = subprocess.run(["bwrap", "--version"], capture_output=True, text=True)
        return said.stdout.strip()

    def problem(self):
        """Say why it cannot be used here, or ""."""
        if not shutil.which("bwrap"):
            return "bubblewrap is not installed (on Debian: apt install bubblewrap)"
        return _try(self)

    def wrap(self, command, runtime, limits, folder):
        """Return a bwrap command: all that is not named here is not there."""
        words = ["bwrap", "--die-with-parent", "--new-session", "--clearenv"]
        words += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
        words += ["--unshare-cgroup-try", "--hostname", "grading", "--cap-drop", "ALL"]
        if os.getuid() == 0:  # to become somebody else, and to end what that one left
            words += _caps("SETUID", "SETGID", "KILL")
        else:
            words += ["--unshare-user", "--disable-userns"]
        words += ["--dev", "/dev", "--size", str(limits.files // 4), "--perms", "1777"]
        words += ["--tmpfs", "/dev/shm", "--size", str(limits.files)]
        words += ["--perms", "1777", "--tmpfs", "/tmp"]
        made = set()
        for path in (str(runtime.folder), *runtime.libraries):
            for parent in reversed(Path(path).parents[:-1]):
                if parent not in made | {Path("/tmp"), Path("/dev")}:
                    words += ["--perms", "0755", "--dir", str(parent)]
                    made.add(parent)
            words += ["--ro-bind", path, path]
        for name, value in (runtime.environment | {"HOME": "/tmp"}).items():
            words += ["--setenv", name, value]
        return [*words, "--remount-ro", "/", "--chdir", "/tmp", "--", *command]


class Sandlock(Sandbox):
    """Landlock and seccomp by the package sandlock."""

    name = "sandlock"

    @property
    def label(self):
        """Return the name and version."""
        return f"sandlock {metadata.version('sandlock')}"

    def problem(self):
        """Say why it cannot be used here, or ""."""
        try:
            metadata.version("sandlock")
        except metadata.PackageNotFoundError:
            return "sandlock is not installed (pip install sandlock)"
        if reason := _try(self):
            return f"{reason} (sandlock needs Linux 6.12 or newer)"
        return ""

    def wrap(self, command, runtime, limits, folder):
        """Return a command that runs our jail, which runs sandlock."""
        rlimits = super().rlimits(limits)
        if os.getuid() != 0:
            del rlimits["RLIMIT_NPROC"]  # it counts the user's processes elsewhere
        policy = {
            "rlimits": rlimits,
            "readable": [str(runtime.folder), *runtime.libraries],
            "writable": [str(folder)],
            "environment": runtime.environment | {"HOME": str(folder)},
            "limits": asdict(limits),
            "folder": str(folder),
            "parent": os.getpid(),
        }
        return [sys.executable, str(JAIL), json.dumps(policy), *command]

    def rlimits(self, limits):
        """Return none: the jail has set them, and inside nobody may."""
        return {}


class NoSandbox(Sandbox):
    """No walls at all, for trusted code on a system that has none to offer."""

    name = "none"
    label = "none (unsafe)"

    def problem(self):
        """Return ""."""
        return ""

    def runtime(self, packages, compiles=False):
        """Return the grader's own Python."""
        return HostRuntime()

    def wrap(self, command, runtime, limits, folder):
        """Return the command with its environment."""
        words = [f"{key}={value}" for key, value in runtime.environment.items()]
        return ["/usr/bin/env", "-i", f"HOME={folder}", *words, *command]

    def rlimits(self, limits):
        """Only what does no harm without a user of its own."""
        kept = ("RLIMIT_FSIZE", "RLIMIT_CORE")
        return {k: v for k, v in super().rlimits(limits).items() if k in kept}


SANDBOXES = {box.name: box for box in (Bubblewrap(), Sandlock(), NoSandbox())}


@cache
def choose(name: str = "auto") -> Sandbox:
    """Return the sandbox of this name; "auto" takes the first that works.

    Raises
    ------
    CourseError
        If none does; the message says what to install.
    """
    if name == "none":
        return SANDBOXES["none"]
    names = ("bubblewrap", "sandlock") if name == "auto" else (name,)
    problems = []
    for candidate in names:
        if candidate not in SANDBOXES:
            raise CourseError(f"no sandbox {candidate!r} (bubblewrap or sandlock)")
        if not (problem := SANDBOXES[candidate].problem()):
            return SANDBOXES[candidate]
        problems.append(problem)
    raise CourseError(
        f"no sandbox for student code on this {platform.system()}: "
        f"{'; '.join(problems)}. Code that you trust can be graded with "
        "--unsafe-no-sandbox"
    )


def new_uid() -> int | None:
    """Return a user for student code to become, if the grader is root."""
    if os.getuid() != 0:
        return None
    return FIRST_UID + 64 * os.getpid() + next(_numbers) % 64


def _caps(*names: str) -> list[str]:
    return [word for name in names for word in ("--cap-add", f"CAP_{name}")]


def _try(sandbox: Sandbox) -> str:
    """Start a Python inside; return the reason if that fails."""
    with PrivateFolder(new_uid()) as folder:
        runtime = make_runtime(("numpy",))
        command = [runtime.command[0], "-S", "-c", "print('inside')"]
        words = sandbox.wrap(command, runtime, Limits(), Path(folder.name))
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.stdout.strip() == "inside":
        return ""
    reason = re.sub(r"\s+", " ", done.stderr).strip()
    return f"{sandbox.name} does not work here: {reason[-200:] or 'no reason given'}"
