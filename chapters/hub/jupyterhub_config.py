"""A JupyterHub for a class: a server for each learner, and one that instructors share.

The instructors' server belongs to the account `batchnorm`, as the course's files do.
"""

c = get_config()  # noqa: F821 (JupyterHub provides it)

c.Authenticator.allow_all = True  # everybody with an account on this machine
c.JupyterHub.load_groups = {"instructors": {"users": ["grace", "hedy"]}}
c.JupyterHub.load_roles = [
    {
        "name": "instructor",
        "groups": ["instructors"],
        "scopes": ["access:services!service=batchnorm"],
    }
]
c.JupyterHub.services = [
    {
        "name": "batchnorm",
        "url": "http://127.0.0.1:10101",  # a free port
        "command": ["jupyterhub-singleuser"],
        "user": "batchnorm",
        "cwd": "/home/batchnorm/course",
        "environment": {"JUPYTERHUB_DEFAULT_URL": "/lab"},
        "oauth_no_confirm": True,
        "timeout": 120,  # if it takes longer to start, the hub gives up
    }
]
c.Spawner.default_url = "/lab"
