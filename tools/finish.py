"""A Sphinx extension: the HTML of each page, finished.

Formulas are typeset and icons chosen here, once, not in every reader's browser; what
unfolds and asks does so by keyboard, too; faults of the theme are mended.
"""

import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path

from docutils import nodes
from icons import keep_used
from PIL import Image
from quizzes import without_jupyterquiz
from sphinx.errors import ExtensionError

ROOT = Path(__file__).parents[1]
MATHJAX = ROOT / "_build" / "npm" / "node_modules" / "mathjax"
FONTS = ROOT / "_build" / "static"  # holds MathJax's
# What the theme writes, and what stands there instead.
MENDED = [
    # Said three times; and the theme draws icons with a script, though it has a font.
    (r'<meta name="viewport" content="width=device-width, initial-scale=1" />', ""),
    (r'<meta name="viewport" content="width=device-width, initial-scale=1"/>', ""),
    (r"<script defer [^>]*fontawesome\.js[^>]*></script>", ""),
    # A hint to fetch early what is not needed early.
    (r'<link rel="preload" as="script"[^>]*>', ""),
    # Names that are not what one reads, and one in another English.
    (r'<summary aria-label="Toggle hidden content">', "<summary>"),
    (
        r'<summary><span class="toctree-toggle"',
        '<summary aria-label="Pages beneath"><span class="toctree-toggle"',
    ),
    (r'aria-label="Color mode" data-bs-title="Color mode"', 'aria-label="Colour mode"'),
    (r'title="Search" aria-label="Search"', 'title="Search"'),
    # What surrounds a page is a part of it that has a name.
    (
        r'<div id="pst-primary-sidebar"',
        '<div id="pst-primary-sidebar" role="region" aria-label="The book"',
    ),
    (r'<label aria-controls="[^"]*" ', "<label "),
    (
        r'<main id="main-content" class="bd-main" role="main">',
        '<main id="main-content" class="bd-main">',
    ),
    # A page has one main heading; that of its printed contents is no other.
    (r'(class="onlyprint">\s*)<h1>(.*?)</h1>', r'\1<p class="h1">\2</p>'),
    # A list is no part of a paragraph.
    (r'(<dd class="field-\w+">)<p>(<ul)', r"\1\2"),
    (r"(</ul>)\s*</p>(\s*</dd>)", r"\1\2"),
    # A role that is no longer one.
    (r'role="doc-biblioentry"', 'role="listitem"'),
    # An empty corner of a table heads nothing.
    (r"<th\b[^>]*>\s*(?:<p></p>)?\s*</th>", "<td></td>"),
    # Nothing waits for scripts but those that need this one's words.
    (
        r'<script (?![^>]*\bdefer\b)([^>]*src="(?![^"]*documentation_options))',
        r"<script defer \1",
    ),
]
# The search page's own, which the theme loads everywhere, to search while one types.
SEARCH = (
    r'<script src="[^"]*(?:search|searchtools|language_data|searchindex)\.js[^"]*">'
    "</script>"
)


def unfolds(node):
    """Say whether a node is a box that unfolds."""
    return isinstance(node, nodes.Admonition) and "dropdown" in node["classes"]


def visit_admonition(translator, node, *kind):
    """Open what unfolds as <details>, which every browser unfolds by itself."""
    type(translator).visit_admonition(translator, node, *kind)
    if unfolds(node):
        translator.body[-1] = translator.body[-1].replace("<div", "<details", 1)


def depart_admonition(translator, node):
    """Close it."""
    type(translator).depart_admonition(translator, node)
    if unfolds(node):
        translator.body[-1] = translator.body[-1].replace("</div", "</details")


def visit_title(translator, node):
    """Open the title of what unfolds as its <summary>."""
    type(translator).visit_title(translator, node)
    if unfolds(node.parent):
        translator.body[-1] = '<summary class="admonition-title">'


def depart_title(translator, node):
    """Close it."""
    type(translator).depart_title(translator, node)
    if unfolds(node.parent):
        translator.body[-1] = "</summary>\n"


def ask_in_plain_html(app, page, template, context, doctree):
    """Show quizzes as plain HTML."""
    if "body" in context:
        context["body"] = without_jupyterquiz(context["body"])


class Typesetter:
    """MathJax in a process of its own, which sets one page after the other."""

    def __init__(self, options):
        script = Path(__file__).with_name("typeset.cjs")
        self.process = subprocess.Popen(
            ["node", script, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __call__(self, html, fonts):
        """Return a page with its formulas set; ``fonts`` is its way to MathJax's."""
        self.process.stdin.write(json.dumps({"html": html, "fonts": fonts}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise ExtensionError("tools/typeset.cjs has failed; it says why above")
        return json.loads(answer)

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def use_our_mathjax(app, config):
    """Bring MathJax's fonts along, if npm got it; else its public address has all."""
    app.typesetter = None
    if MATHJAX.is_dir() and shutil.which("node"):
        config.html_static_path.append(str(FONTS))


def finish_pages(app):
    """Finish each page when it is rendered."""
    if app.builder.format != "html":
        return
    if MATHJAX.is_dir() and shutil.which("node"):
        app.typesetter = Typesetter(app.config.mathjax3_config)
    templates = app.builder.templates
    render = templates.render

    def render_and_finish(template, context):
        html = render(template, context)
        if not template.endswith(".html"):
            return html
        html = mend(html, context["pagename"])
        html = with_sizes(html, app.builder)
        if app.typesetter:
            way = context["pathto"]("_static/mathjax", resource=True)
            html = app.typesetter(html, way)
        return html

    templates.render = render_and_finish


def mend(html, page):
    """Return a page without the theme's faults."""
    if page != "search":
        html = re.sub(SEARCH, "", html)
    for fault, instead in MENDED:
        html = re.sub(fault, instead, html)
    return html


def with_sizes(html, builder):
    """Return a page that keeps room for its pictures, and loads them when near.

    The first is loaded at once: it may be near already.
    """
    paths = {name: Path(builder.srcdir, path) for path, name in builder.images.items()}
    near = True

    def sized(tag):
        nonlocal near
        path = paths.get(tag[1])
        if path is None or path.suffix != ".png":
            return tag[0]
        with Image.open(path) as image:
            width, height = image.size
        lazily = "" if near else ' loading="lazy"'
        near = False
        return f'<img{lazily} width="{width}" height="{height}" {tag[0][5:]}'

    return re.sub(r'<img [^>]*src="[^"]*_images/([^"]+)"[^>]*>', sized, html)


def search_without_server(html):
    """Let the search ask for no pages to quote where there is no server to ask."""
    options = html / "_static" / "documentation_options.js"
    text = options.read_text(encoding="utf-8")
    summary = "SHOW_SEARCH_SUMMARY: location.protocol !== 'file:'"
    options.write_text(text.replace("SHOW_SEARCH_SUMMARY: true", summary), "utf-8")


def finish_site(app, exception):
    """End the typesetter; leave out icons that no page shows."""
    if getattr(app, "typesetter", None):
        app.typesetter.close()
    if exception is None and app.builder.format == "html":
        keep_used(Path(app.outdir))
        search_without_server(Path(app.outdir))


def setup(app):
    """Register with Sphinx."""
    for kind, visitors in {
        nodes.admonition: (visit_admonition, depart_admonition),
        nodes.title: (visit_title, depart_title),
    }.items():
        app.add_node(kind, override=True, html=visitors)
    app.connect("config-inited", use_our_mathjax)
    app.connect("builder-inited", finish_pages)
    app.connect("html-page-context", ask_in_plain_html)
    app.connect("build-finished", finish_site)
    sources = sorted(path.read_bytes() for path in Path(__file__).parent.glob("*.*"))
    return {
        "env_version": zlib.crc32(b"".join(sources)),  # other tools make other pages
        "parallel_read_safe": True,
        "parallel_write_safe": False,  # there is one typesetter
    }
