"""A machine of its own for a JupyterHub: accounts, home folders, an exchange.

nbgrader knows people by their accounts, so there must be some. They exist only in a
mount namespace, which bubblewrap makes for root: this machine's own stay as they are.
"""

import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
COURSE = "batchnorm"  # the account that the course's files belong to
INSTRUCTORS, LEARNERS = ("grace", "hedy"), ("ada", "farah")
USERS = (*INSTRUCTORS, *LEARNERS)
FIRST_ID = 20_000


def write_accounts(folder: Path) -> None:
    """Write this machine's accounts and the class's into two files."""
    for name in ("passwd", "group"):
        shutil.copy(f"/etc/{name}", folder / name)
    with (folder / "passwd").open("a") as passwd, (folder / "group").open("a") as group:
        for number, user in enumerate((COURSE, *USERS), FIRST_ID):
            passwd.write(f"{user}:x:{number}:{number}::/home/{user}:/bin/bash\n")
            group.write(f"{user}:x:{number}:\n")


def readable(places: list[Path]) -> list[str]:
    """Return arguments that show everybody these folders, whatever is above them.

    A closed folder above is replaced by an empty one that leads to them.
    """
    arguments, made = [], set()
    for place in places:
        above = [p for p in reversed(place.parents) if p != Path("/")]
        closed = next((p for p in above if not p.stat().st_mode & 0o001), None)
        for parent in above[above.index(closed) :] if closed else []:
            if parent not in made:
                made.add(parent)
                kind = "--tmpfs" if parent == closed else "--dir"
                arguments += ["--perms", "0755", kind, str(parent)]
        arguments += ["--ro-bind", str(place), str(place)]
    return arguments


def command(folder: Path, *arguments: str) -> list[str]:
    """Return a command that runs as root on that machine, which keeps `folder`."""
    places = dict.fromkeys([Path(sys.base_prefix), Path(sys.prefix).resolve(), ROOT])
    return [
        "bwrap", "--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc",
        "--unshare-pid", "--die-with-parent", "--cap-add", "ALL",
        "--bind", str(folder / "srv"), "/srv",
        "--bind", str(folder / "home"), "/home",
        "--ro-bind", str(folder / "passwd"), "/etc/passwd",
        "--ro-bind", str(folder / "group"), "/etc/group",
        "--perms", "1777", "--tmpfs", "/tmp", "--perms", "1777", "--tmpfs", "/var/tmp",
        *readable([*places]),
        "--chdir", "/srv",
        *arguments,
    ]  # fmt: skip


def free_ports(count: int) -> list[int]:
    """Find ports of this machine that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def hub(folder: Path, proxy: Path, patience: float):
    """Run a hub, with the course in its account's home; yield its address."""
    for name in ("home", "srv"):
        (folder / name).mkdir()
        (folder / name).chmod(0o755)  # where the exchange is, all must come through
    write_accounts(folder)
    ports = free_ports(4)
    start = [sys.executable, str(HERE / "start.py"), str(proxy), *map(str, ports)]
    run = command(folder, *start)
    address = f"http://127.0.0.1:{ports[0]}"
    with (folder / "hub.log").open("w") as log:
        process = subprocess.Popen(run, stdout=log, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + patience
        while process.poll() is None and time.monotonic() < end:
            try:
                urlopen(f"{address}/hub/api/").close()
            except (URLError, ConnectionError):
                time.sleep(0.5)
            else:
                yield address
                return
        raise RuntimeError(f"no hub:\n{(folder / 'hub.log').read_text()[-4000:]}")
    finally:
        process.terminate()
        process.wait()
