"""A Sphinx extension: a page with a widget loads its scripts, any other page none.

Widgets are custom elements, each in a script of its name in ``widgets/``, on top of
what they share. What stands in the page for readers without scripts is in
``chapters/stills``, which ``node tools/widgets.mjs`` writes.
"""

import re
from pathlib import Path

WIDGETS = Path(__file__).parents[1] / "widgets"


def load_scripts(app, page, template, context, doctree):
    """Load what a page's widgets need; order matters, and "defer" keeps it."""
    tags = re.findall(r'<([a-z-]+) class="widget"', context.get("body", ""))
    if not tags:
        return
    app.add_css_file("widget.css")
    app.add_js_file("widget.js", loading_method="defer")
    for tag in dict.fromkeys(tags):
        for script in sorted(WIDGETS.glob(f"{tag}*.js")):  # its data come first
            app.add_js_file(script.name, loading_method="defer")


def setup(app):
    """Register with Sphinx."""
    app.connect(
        "config-inited",
        lambda app, config: config.html_static_path.append(f"{WIDGETS}"),
    )
    app.connect("html-page-context", load_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
