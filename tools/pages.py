"""A Sphinx extension: pages know each other, where they are, and what they need.

Where ``pyproject.toml`` says at which address the book is published, pages say so, too.
"""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

from myst_nb.ext.glue.utils import PendingGlueReference

from bnlib.check import book_address

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"
SCRIPT = ROOT / "_build" / "scripts" / "course.js"


def drop_unused(app, page, template, context, doctree):
    """Leave out what a page does not use: sphinx-thebe, togglebutton, tabs.

    The first declares a name twice; the second unfolds what unfolds by itself.
    """
    unused = "thebe|toggle"
    if "sd-tab-set" not in context.get("body", ""):
        unused += "|design-tabs"
    for kind in ("script_files", "css_files"):
        context[kind] = [
            file
            for file in context.get(kind, [])
            if not re.search(unused, f"{file} {getattr(file, 'attributes', '')}", re.I)
        ]


def join_scripts(app, config):
    """Make the scripts of all pages one file: each file is a request."""
    SCRIPT.parent.mkdir(parents=True, exist_ok=True)
    parts = [path.read_text("utf-8") for path in sorted(SCRIPTS.glob("*.js"))]
    SCRIPT.write_text("{\n" + "\n".join(parts) + "}\n", "utf-8")
    config.html_static_path.append(str(SCRIPT.parent))
    app.add_js_file(SCRIPT.name, loading_method="defer")


def note_borrowing(app, doctree):
    """Remember which pages show numbers of other pages."""
    app.env.metadata[app.env.docname]["borrows"] = any(
        doctree.findall(PendingGlueReference)
    )


def write_borrowing_again(app, env):
    """Write pages with numbers of other pages each time: those may have changed."""
    return [name for name, page in env.metadata.items() if page.get("borrows")]


def offer_notes(app, page, template, context, doctree):
    """End a page with a button that `scripts/annotate.js` listens to."""
    if doctree is not None:
        context["body"] += (
            '<p class="annotate"><button type="button">Annotate</button> Notes of your '
            "own on this page, by Hypothesis. Nothing is loaded from there, nor sent, "
            "until you press.</p>"
        )


def publish(app, address):
    """Give pages a canonical address, a sitemap, and cards for links to them."""
    app.config.html_baseurl = address
    app.config.sitemap_url_scheme = "{link}"
    app.config.ogp_site_url = address
    app.config.ogp_site_name = app.config.html_title
    app.config.ogp_social_cards = {"image_mini": "_static/favicon.png"}
    app.setup_extension("sphinx_sitemap")
    app.setup_extension("sphinxext.opengraph")
    app.connect("html-page-context", describe_course)


def describe_course(app, page, template, context, doctree):
    """Tell search engines on the front page that this is a course."""
    if page == app.config.root_doc:
        course = {
            "@context": "https://schema.org",
            "@type": "Course",
            "name": app.config.html_title,
            "description": "One idea, with executed experiments and graded exercises",
            "url": app.config.html_baseurl,
            "inLanguage": app.config.language,
            "isAccessibleForFree": True,
            "license": "https://creativecommons.org/licenses/by/4.0/",
            "provider": {"@type": "Organization", "name": app.config.author},
        }
        context["metatags"] = context.get("metatags", "") + (
            f'<script type="application/ld+json">{json.dumps(course)}</script>'
        )


def lead_back(app, root):
    """Make a page for wrong addresses, which knows where the book begins."""
    app.setup_extension("notfound.extension")
    app.config.notfound_urls_prefix = root
    app.config.notfound_context = {
        "title": "No such page",
        "body": "<h1>No such page</h1><p>It may have another name now: search, or "
        f'begin at the <a href="{root}index.html">front page</a>.</p>',
    }


def setup(app):
    """Register with Sphinx."""
    address = book_address()
    lead_back(app, urlsplit(address).path or "/")
    if address:
        publish(app, address)
    app.connect("config-inited", join_scripts)
    app.connect("doctree-read", note_borrowing)
    app.connect("env-updated", write_borrowing_again)
    app.connect("html-page-context", drop_unused, priority=900)
    app.connect("html-page-context", offer_notes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
