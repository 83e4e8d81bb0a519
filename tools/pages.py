"""A Sphinx extension: pages load nothing from elsewhere, and no script that fails."""

from pathlib import Path

STATIC = Path(__file__).parents[1] / "_build" / "static"
MATHJAX = "mathjax/tex-chtml.js"


def use_our_mathjax(app, config):
    """Load MathJax from beside the pages, if it is there; else from its public address.

    ``make book`` fetches it with npm.
    """
    if (STATIC / MATHJAX).is_file():
        config.html_static_path.append(str(STATIC))
        config.mathjax_path = MATHJAX


def drop_thebe(app, page, template, context, doctree):
    """Leave out sphinx-thebe, which we do not use, and which declares a name twice."""
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "thebe" not in f"{script} {getattr(script, 'attributes', '')}".lower()
    ]


def setup(app):
    """Register with Sphinx."""
    app.connect("config-inited", use_our_mathjax)
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
