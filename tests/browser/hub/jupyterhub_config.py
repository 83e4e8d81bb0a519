"""The hub that the book describes, with what differs in a test."""

import os

from machine import ROOT, USERS
from person import PASSWORD, PATIENCE

c = get_config()  # noqa: F821 (JupyterHub provides it)
load_subconfig("jupyterhub_config.py", path=f"{ROOT}/chapters/hub")  # noqa: F821

c.Authenticator.allow_all = False
c.Authenticator.allowed_users = set(USERS)
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = PASSWORD

port, hub_port, proxy_port, course_port = os.environ["HUB_PORTS"].split()
c.JupyterHub.bind_url = f"http://127.0.0.1:{port}"
c.JupyterHub.hub_port = int(hub_port)
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.command = [os.environ["HUB_PROXY"]]
[course] = c.JupyterHub.services
course["url"] = f"http://127.0.0.1:{course_port}"
course["timeout"] = PATIENCE // 1000

# What an administrator installs for everybody: the packages, nbgrader's configuration.
everybody = {
    "JUPYTER_CONFIG_PATH": f"{ROOT}/chapters/hub",
    "PYTHONPATH": str(ROOT),
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
}
course["environment"] |= everybody
c.Spawner.environment = everybody
c.Spawner.start_timeout = c.Spawner.http_timeout = PATIENCE // 1000
