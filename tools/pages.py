"""A Sphinx extension: pages load nothing from elsewhere; no script of theirs fails."""

import re
from pathlib import Path

from myst_nb.ext.glue.utils import PendingGlueReference

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


def wait_for_mathjax(app, page, template, context, doctree):
    """Let quizzes use MathJax only once it has come, not its configuration before that.

    They would take that for a MathJax without a version, fail, and fetch another from a
    public address. What they show early, MathJax typesets with the page.
    """
    if "body" in context:
        context["body"] = re.sub(
            r"typeof MathJax !==? 'undefined'",
            "window.MathJax?.typeset",
            context["body"],
        )


def note_borrowing(app, doctree):
    """Remember which pages show numbers of other pages."""
    app.env.metadata[app.env.docname]["borrows"] = any(
        doctree.findall(PendingGlueReference)
    )


def write_borrowing_again(app, env):
    """Write pages with numbers of other pages each time: those may have changed."""
    return [name for name, page in env.metadata.items() if page.get("borrows")]


def setup(app):
    """Register with Sphinx."""
    app.connect("config-inited", use_our_mathjax)
    app.connect("doctree-read", note_borrowing)
    app.connect("env-updated", write_borrowing_again)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("html-page-context", wait_for_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
