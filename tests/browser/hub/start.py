"""Set up the machine's homes and the exchange, then become its JupyterHub."""

import os
import shutil
import sys
from pathlib import Path

from machine import COURSE, HERE, ROOT, USERS

SETTINGS = ".jupyter/lab/user-settings/@jupyterlab"

exchange = Path("/srv/exchange")
exchange.mkdir()
exchange.chmod(0o777)
for user in (COURSE, *USERS):
    home = Path("/home", user)
    notebook = home / SETTINGS / "notebook-extension/tracker.jupyterlab-settings"
    notebook.parent.mkdir(parents=True)
    notebook.write_text('{"windowingMode": "none"}')  # all cells are on the page
    # A terminal's login shell has a PATH of its own.
    (home / ".profile").write_text(f"PATH={Path(sys.executable).parent}:$PATH\n")
    if user == COURSE:
        shutil.copytree(ROOT / "solutions", home / "course" / "solutions")
        shutil.copy(ROOT / "nbgrader_config.py", home / "course")
    for path in [home, *home.rglob("*")]:
        shutil.chown(path, user, user)
    home.chmod(0o700)
proxy, *ports = sys.argv[1:]
os.environ |= {
    "HUB_PROXY": proxy,
    "HUB_PORTS": " ".join(ports),
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "PYTHONPATH": str(HERE),  # the configuration imports from here
}
config = str(HERE / "jupyterhub_config.py")
os.execv(sys.executable, [sys.executable, "-m", "jupyterhub", "--config", config])
