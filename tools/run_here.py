"""A Sphinx extension: cells that run in the page, and what they run with.

A cell with the tag ``run-here`` gets buttons (``live/live.js``), and so does every
cell of a problem set's page. The browser's Python takes `bnlib` from the book's own
files; where its files lie in ``_static/pyodide``, it takes itself from there, too.
"""

import io
import zipfile
import zlib
from importlib.metadata import distribution
from pathlib import Path

import nbformat
from docutils import nodes

ROOT = Path(__file__).parents[1]
LIVE = ROOT / "live"
SETS = "exercises/"
WRITE_HERE = "YOUR ANSWER HERE"  # nbgrader's words in the place of a written answer


def wheel():
    """Return `bnlib` as a wheel, the same for the same sources."""
    ours = distribution("bnlib")
    info = f"bnlib-{ours.version}.dist-info"
    files = {
        str(path.relative_to(ROOT)): path.read_bytes()
        for path in sorted((ROOT / "bnlib").rglob("*.py"))
    }
    kind = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/METADATA"] = ours.read_text("METADATA").encode()
    files[f"{info}/WHEEL"] = kind.encode()
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in files).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def mark_sets(app, doctree):
    """Name the cells of a problem set, and say what a learner does with each."""
    if not app.env.docname.startswith(SETS):
        return
    for cell in list(doctree.findall(nodes.container)):
        about = cell.get("cell_metadata", {}).get("nbgrader")
        if cell.get("nb_element") == "cell_code" and about:
            if about["grade_id"] == "install":  # what it installs is here already
                cell.parent.remove(cell)
                continue
            cell["ids"].append(f"cell-{about['grade_id']}")
            kinds = {"answer": "solution", "check": "grade", "locked": "locked"}
            cell["classes"] += [f"live-{kind}" for kind in kinds if about[kinds[kind]]]
            cell["classes"].append("tag_run-here")
    notebook = nbformat.read(app.env.doc2path(app.env.docname), as_version=4)
    written = [c.metadata.nbgrader for c in notebook.cells if c.source == WRITE_HERE]
    places = [p for p in doctree.findall(nodes.paragraph) if p.astext() == WRITE_HERE]
    for about, place in zip(written, places, strict=True):
        place["ids"].append(f"cell-{about.grade_id}")
        place["classes"].append("live-written")


def load_scripts(app, page, template, context, doctree):
    """Load what a page with cells to run needs, and nothing on other pages."""
    if "tag_run-here" not in context.get("body", ""):
        return
    app.add_css_file("live.css")
    app.add_js_file("live.js", loading_method="defer", **{"data-version": app.live})
    if page.startswith(SETS):
        app.add_js_file("live-set.js", loading_method="defer")
        notebook = context["pathto"](f"_sources/{context['sourcename']}", resource=True)
        place = (
            f'</h1>\n<div class="live-bar live-set" data-notebook="{notebook}"></div>'
        )
        context["body"] = context["body"].replace("</h1>", place, 1)


def prepare(app, config):
    """Pack `bnlib`; a version tells browsers when what they have kept is old."""
    config.html_static_path.append(str(LIVE))
    app.wheel = wheel()
    sources = [path.read_bytes() for path in sorted(LIVE.iterdir()) if path.is_file()]
    app.live = f"{zlib.crc32(b''.join([*sources, app.wheel])):08x}"


def write_wheel(app, exception):
    """Put `bnlib` beside the book's scripts."""
    if exception is None and app.builder.format == "html":
        (Path(app.outdir) / "_static" / "bnlib.whl").write_bytes(app.wheel)


def setup(app):
    """Register with Sphinx."""
    app.connect("config-inited", prepare)
    app.connect("doctree-read", mark_sets)
    app.connect("html-page-context", load_scripts)
    app.connect("build-finished", write_wheel)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
