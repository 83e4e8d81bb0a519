"""A course with a class, and the world around it that nobody's submission may change.

A `World` has what an attacker looks for: an instructor's home with a key in it, a file
that anybody may write, a process to kill, services that listen. `changes` says what has
become of them, and `left` what a run has left behind.

But: what the grader itself writes (records, the gradebook, feedback) is not watched
here; the tests compare that.
"""

import ctypes
import hashlib
import os
import selectors
import socket
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import psutil
from course_folder import REPO

from grading.isolation.runtime import make_runtime
from grading.job import PACKAGES
from hostile.corpus import Places

PR_SET_CHILD_SUBREAPER = 36
IPC_KEY = 0x0BAD5E65  # in writing/system_memory.py
SHARED = [Path(p) for p in ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue")]


class World:
    """The instructor's machine, around a course in `folder`/course."""

    def __init__(self, folder: Path):
        self.secret = f"hostile-{uuid.uuid4().hex}"
        self.course = folder / "course"
        self.home, self.scratch = folder / "home", folder / "scratch"
        self.canary = folder / "canary" / "file"
        self.largest = 0  # bytes of memory of a process of the grader's
        self.calls: list[str] = []  # what arrived at the services
        self._before = psutil.Process().children(recursive=True)
        self._files_before = _attackers_files()
        self._services = Services(f"hostile-{uuid.uuid4().hex}", self.calls)
        for path in (self.home / ".ssh", self.scratch, self.canary.parent):
            path.mkdir(parents=True)
        (self.home / ".ssh" / "id_ed25519").write_text(self.secret)
        (self.home / ".bash_history").write_text(f"login {self.secret}\n")
        self.canary.write_text(self.secret)
        for path in (folder, self.canary.parent, self.canary):
            path.chmod(0o777)
        self.victim = subprocess.Popen(["sleep", "3600"])
        # Whoever loses its parent in a run becomes a child of this process.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)

    @property
    def root(self) -> Path:
        """nbgrader's course."""
        return self.course / "_build" / "nbgrader"

    @property
    def places(self) -> Places:
        """What attackers would like to find."""
        name = "ps1/ps1_forward.ipynb"
        return Places(
            course=str(self.root),
            gradebook=str(self.root / "gradebook.db"),
            config=str(self.course / "nbgrader_config.py"),
            source=str(self.root / "source" / name),
            release=str(self.root / "release" / name),
            solutions=str(self.course / "solutions"),
            other_student=str(self.root / "submitted" / "ada" / name),
            home=str(self.home),
            repo=str(REPO),
            canary=str(self.canary),
            victim=str(self.victim.pid),
            port=str(self._services.port),
            socket=self._services.path,
            abstract=self._services.name,
        )

    def run(self, *arguments: str, statuses=(0,)) -> str:
        """Run ``python -m grading`` as the instructor would; return what it printed."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPO),
            "HOME": str(self.home),
            "TMPDIR": str(self.scratch),
            "COURSE_PASSWORD": self.secret,
        }
        with subprocess.Popen(
            [sys.executable, "-m", "grading", *arguments],
            cwd=self.course,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            watching = threading.Thread(target=self._watch, args=(process,))
            watching.start()
            output, _ = process.communicate()
            watching.join()
        assert process.returncode in statuses, output
        return output

    def _watch(self, process: subprocess.Popen) -> None:
        """Note the memory that the grader's own processes take."""
        while process.poll() is None:
            try:
                for one in psutil.Process(process.pid).children(recursive=True):
                    if "bnlib-grading" not in one.exe():
                        self.largest = max(self.largest, one.memory_info().rss)
            except psutil.Error:
                pass
            try:
                process.wait(0.25)
            except subprocess.TimeoutExpired:
                continue

    def state(self) -> dict[str, tuple]:
        """Return what everything that must not change is like."""
        watched = [self.course / "nbgrader_config.py", self.course / "solutions"]
        packages = make_runtime(PACKAGES).folder
        watched += [self.home, self.canary.parent, packages]
        watched += [self.root / name for name in ("source", "release", "secret")]
        watched += [self.root / "submitted" / "ada", self.root / "records/ps1/ada.json"]
        state = {}
        for top in watched:
            for path in [top, *top.rglob("*")]:
                state[str(path)] = _like(path, contents=top != packages)
        victim = psutil.Process(self.victim.pid)
        limits = [victim.rlimit(n) for n in (psutil.RLIMIT_NOFILE, psutil.RLIMIT_CPU)]
        state["victim"] = (
            victim.status(),
            victim.nice(),
            victim.ionice(),
            victim.cpu_affinity(),
            os.sched_getscheduler(victim.pid),
            limits,
        )
        state["mounts"] = Path("/proc/self/mountinfo").read_text()
        return state

    def left(self) -> list[str]:
        """Return what is left over of a run that has ended."""
        known = {*self._before, psutil.Process(self.victim.pid)}
        children = psutil.Process().children(recursive=True)
        left = [str(p) for p in children if p not in known and not _reaped(p)]
        left += [str(path) for path in self.scratch.iterdir()]
        left += sorted(map(str, _attackers_files() - self._files_before))
        packages = [Path(p) for p in (*sys.path, REPO) if p]
        packages.append(Path(sys.modules["numpy"].__file__).parent)
        left += [str(path) for p in packages for path in p.glob("hostile_canary*")]
        for kind in ("shm", "msg", "sem"):
            if str(IPC_KEY) in Path(f"/proc/sysvipc/{kind}").read_text():
                left.append(f"System V {kind}")
        if "hostile-key" in Path("/proc/keys").read_text():
            left.append("key")
        return left

    def close(self) -> None:
        """Take the world down, with all that runs in it."""
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0)
        self._services.close()
        for process in psutil.Process().children(recursive=True):
            if process not in self._before:
                process.kill()
        self.victim.wait()


def _attackers_files() -> set[Path]:
    """Return the files with an attacker's name in folders that everybody shares."""
    return {path for folder in SHARED for path in folder.glob("hostile*")}


def _reaped(process: psutil.Process) -> bool:
    """Whether a process has ended and only nobody had asked for its exit status."""
    try:
        return os.waitpid(process.pid, os.WNOHANG)[0] == process.pid
    except ChildProcessError:
        return not process.is_running()


def _like(path: Path, contents: bool) -> tuple:
    """Return what a file is like, but for when it was read."""
    found = path.lstat()
    seen = [found.st_mode, found.st_uid, found.st_gid, found.st_size, found.st_mtime_ns]
    if contents and path.is_file():
        seen.append(hashlib.sha256(path.read_bytes()).hexdigest())
        seen.append(found.st_nlink)
        seen += os.listxattr(path)
    return tuple(seen)


class Services:
    """Sockets of every kind that listen, and note whatever arrives."""

    def __init__(self, name: str, calls: list[str]):
        self.name, self._calls = name, calls
        tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        tcp.bind(("127.0.0.1", 0))
        self.port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", self.port))
        self.path = f"/tmp/{name[8:20]}.socket"  # such a path is short
        unix, abstract = (socket.socket(socket.AF_UNIX) for _ in range(2))
        unix.bind(self.path)
        os.chmod(self.path, 0o777)
        abstract.bind(f"\0{name}")
        self._sockets = {"tcp": tcp, "udp": udp, "unix": unix, "abstract": abstract}
        self._selector = selectors.DefaultSelector()
        for kind, one in self._sockets.items():
            if one.type == socket.SOCK_STREAM:
                one.listen()
            self._selector.register(one, selectors.EVENT_READ, kind)
        self._open = True
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while self._open:
            for key, _ in self._selector.select(0.2):
                self._calls.append(key.data)
                if key.data == "udp":
                    key.fileobj.recv(1000)
                else:
                    key.fileobj.accept()[0].close()

    def close(self) -> None:
        self._open = False
        self._thread.join()
        self._selector.close()
        for one in self._sockets.values():
            one.close()
        os.unlink(self.path)
