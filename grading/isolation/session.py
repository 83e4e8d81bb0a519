"""One sandboxed process and the conversation with it, watched from outside.

All waiting has a deadline. Whatever goes wrong in there (silence, death, too much
memory, nonsense) ends the sandbox as a whole, at once, and raises an `Interruption`.
"""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import psutil

from grading.isolation.folder import PrivateFolder
from grading.isolation.inside.wire import (
    HEADER,
    WireError,
    pack,
    unpack,
    unpack_lengths,
)
from grading.isolation.runtime import Runtime
from grading.isolation.sandbox import Limits, Sandbox, new_uid

ANONYMOUS = re.compile(r"^Pss_(?:Anon|Shmem): +(\d+) kB$", re.MULTILINE)
START = 60.0  # seconds to start in, even where the machine is busy
END = 5.0  # seconds for a process that was told to end
FINISH = 5.0  # seconds to end and clean up in
GLANCE = 0.05  # seconds between looks at memory while waiting
LOOK = 0.5  # and while not


class Interruption(BaseException):
    """The student's process was stopped, or died.

    It is no Exception, so that a test that catches all exceptions does not go on.

    Attributes
    ----------
    outcome : str
        "timed out" or "crashed".
    """

    outcome = "crashed"


class TimedOut(Interruption):
    """It took too long."""

    outcome = "timed out"


class Crashed(Interruption):
    """It died, took too much memory, or sent what is not a message."""


class NotStarted(Exception):
    """The sandbox did not start, before any student's code ran in it."""


class Session:
    """A process in a sandbox.

    Parameters
    ----------
    sandbox, runtime, limits
        What to start and how.
    placeholders : list of str
        Packages whose import succeeds without being there.
    reused : bool
        Whether another student's cells may follow, if nothing is left of the first's.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        runtime: Runtime,
        limits: Limits,
        imports: list[str],
        placeholders: list[str],
        reused: bool,
    ):
        self._limits = limits
        self._folder = PrivateFolder(None)
        self._walled = sandbox.name != "none"
        settings = {
            "rlimits": sandbox.rlimits(limits),
            "reused": reused,
            "output": limits.output,
            "imports": imports,
            "placeholders": placeholders,
        }
        command = [*runtime.command, json.dumps(settings)]
        folder = Path(self._folder.name)
        self._process = subprocess.Popen(
            sandbox.wrap(command, runtime, limits, folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath)},
        )
        self._in = self._process.stdin.fileno()
        self._out = self._process.stdout.fileno()
        self._private = self._process.stderr.fileno()
        self._polls = {}
        for fd, event in (
            (self._in, select.POLLOUT),
            (self._out, select.POLLIN),
            (self._private, select.POLLIN),
        ):
            os.set_blocking(fd, False)
            self._polls[fd] = select.poll()
            self._polls[fd].register(fd, event)
            self._polls[fd].register(self._private, select.POLLIN)
        self._buffer = bytearray()  # what has come and was not asked for yet
        self._looked = time.monotonic()
        self._said = b""  # on the private pipe
        if not self._told(START):
            self.close()
            raise NotStarted(self._said.decode(errors="replace") or "it was silent")

    def begin(self) -> None:
        """Start a process for a student's cells."""
        user = new_uid() if self._walled else None
        if user is not None:
            os.chown(self._folder.name, user, user)
        deadline = time.monotonic() + START
        try:
            self.send({"do": "begin", "uid": user}, deadline=deadline)
            self.receive(deadline)
        except Interruption as error:
            self.close()
            raise NotStarted(str(error) or "Python did not answer") from None

    def finish(self) -> bool:
        """End the student's process; return whether nothing is left of it."""
        try:
            self.send({"do": "finish"}, deadline=time.monotonic() + 1)
            if not self._told(FINISH):
                return False
            # All that could write is gone: what is still to be read is all there is.
            while os.read(self._out, 1 << 20):
                pass
            return False
        except BlockingIOError:
            self._buffer.clear()
            return True
        except (Interruption, OSError):
            return False

    def send(self, message: dict, chunks: list[bytes] = (), *, deadline: float) -> None:
        """Send a message before the deadline (in `time.monotonic`'s seconds)."""
        data = memoryview(pack(message, chunks))
        while data:
            self._wait(self._in, deadline)
            try:
                data = data[os.write(self._in, data) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise self.death() from None

    def receive(self, deadline: float) -> tuple[dict, bytes]:
        """Return the next message and its bytes."""
        try:
            text, size = unpack_lengths(self._read(HEADER.size, deadline))
            return unpack(self._read(text, deadline)), self._read(size, deadline)
        except WireError as error:
            raise self.nonsense(error) from None

    def nonsense(self, error: Exception) -> Crashed:
        """Return what to raise for a message that breaks the rules."""
        self.close()
        return Crashed(f"Your code disturbed the grader's connection to it ({error}).")

    def death(self, code: int | None = None) -> Crashed:
        """Return what to raise when the process is no more.

        Parameters
        ----------
        code : int, optional
            Its exit status, or a signal's number with a minus, if it is known.
        """
        self.close()
        if type(code) is int and -code in set(signal.Signals):
            how = f"it was ended by {signal.Signals(-code).name}"
            if -code == signal.SIGKILL:
                how += ", most likely because it took too much memory"
        elif type(code) is int:
            how = f"it ended itself, with exit status {code}"
        else:
            how = "it ended itself, crashed, or took too much memory"
        return Crashed(f"The process that ran your code died: {how}.")

    def close(self) -> None:
        """End every process in the sandbox."""
        if self._process.poll() is None:
            inside = self._processes()
            # With the first process inside a sandbox all others go, and then what
            # started it.
            for process in inside[:1] if self._walled else inside:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            for end in (self._process.terminate, self._process.kill, None):
                try:
                    self._process.wait(END)
                    break
                except subprocess.TimeoutExpired:
                    if end:
                        end()
            limit = time.monotonic() + END
            while any(map(_is_alive, inside)) and time.monotonic() < limit:
                time.sleep(0.002)
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.stderr.close()
        self._folder.remove()

    def memory(self) -> int:
        """Return the bytes in use by all processes inside, shared ones in parts."""
        return _memory(self._processes())

    def _processes(self) -> list[psutil.Process]:
        """Return all processes that the first one has started, nearest first."""
        found, at = [self._process.pid], 0
        while at < len(found):
            found += _children(found[at])
            at += 1
        processes = []
        for pid in found[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                processes.append(psutil.Process(pid))
        return processes

    def _told(self, seconds: float) -> bool:
        """Whether the process that students' processes come from says that all is well.

        It says so on a pipe that those do not have.
        """
        try:
            self._wait(self._private, time.monotonic() + seconds)
            self._said = os.read(self._private, 500)
            return self._said == b"+"
        except Interruption:
            return False

    def _read(self, size: int, deadline: float) -> bytes:
        while len(self._buffer) < size:
            self._wait(self._out, deadline)
            try:
                part = os.read(self._out, 1 << 20)
            except BlockingIOError:
                continue
            if not part:
                raise self.death()
            self._buffer += part
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _wait(self, fd: int, deadline: float) -> None:
        """Wait until `fd` is ready, with an eye on time and memory."""
        now = time.monotonic()
        if now > self._looked + LOOK:
            self._check_use()
        while now < deadline:
            ready = self._polls[fd].poll(1000 * min(GLANCE, deadline - now))
            if any(which == fd for which, _ in ready):
                return
            if ready:  # the student's process has ended
                raise self.death(_number(os.read(self._private, 500)))
            self._check_use()
            now = time.monotonic()
        self.close()
        raise TimedOut

    def _check_use(self) -> None:
        self._looked = time.monotonic()
        processes = self._processes()
        if _most(processes) > self._limits.memory < _memory(processes):
            self.close()
            raise Crashed(
                "Your code was stopped: it took more than "
                f"{self._limits.memory >> 20} MB of memory."
            )
        if self._folder.exceeds(self._limits.files):
            self.close()
            raise Crashed(
                "Your code was stopped: it wrote more than "
                f"{self._limits.files >> 20} MB of files, or too many of them."
            )


def _memory(processes: list[psutil.Process]) -> int:
    """Return the bytes that these processes use, shared ones in parts.

    Without those of files, which they may share with all the machine.
    """
    total = 0
    for process in processes:
        try:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            total += 1024 * sum(map(int, ANONYMOUS.findall(text)))
        except OSError:  # it has just ended, or this is not Linux
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().uss
    return total + _anonymous_files(processes)


def _most(processes: list[psutil.Process]) -> int:
    """Return what they use at most: the same, but quick, and shared bytes in full."""
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total + _anonymous_files(processes)


def _anonymous_files(processes: list[psutil.Process]) -> int:
    """Return the bytes of files in memory that have no name (memfd_create)."""
    sizes = {}
    for process in processes:
        folder = f"/proc/{process.pid}/fd"
        try:
            for name in os.listdir(folder):
                path = f"{folder}/{name}"
                if os.readlink(path).startswith("/memfd:"):
                    sizes[os.stat(path).st_ino] = os.stat(path).st_blocks * 512
        except OSError:  # it has just ended
            continue
    return sum(sizes.values())


def _number(text: bytes) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _children(pid: int) -> list[int]:
    """Return a process's children; quicker than to look at all processes there are."""
    tasks = f"/proc/{pid}/task"
    try:
        paths = [f"{tasks}/{thread}/children" for thread in os.listdir(tasks)]
        texts = [Path(path).read_text() for path in paths]
        return [int(child) for text in texts for child in text.split()]
    except OSError:  # it has just ended, or this kernel or system has no such file
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(pid).children()]
        return []


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
