"""A Sphinx extension: ways through the book other than its order.

The glossary says of each term where it is used. After the last chapter that a problem
set belongs to comes the set.
"""

from docutils import nodes
from sphinx import addnodes

GLOSSARY = "chapters/glossary"
SETS = {
    "chapters/forward": "sec:problem-sets-ps1",
    "chapters/backward": "sec:problem-sets-ps2",
    "chapters/mechanisms": "sec:problem-sets-ps3",
    "chapters/comparison": "sec:problem-sets-ps4",
    "chapters/bad_company": "sec:problem-sets-ps5",
    "chapters/kernels": "sec:problem-sets-ps6",
    "chapters/capstone": "sec:problem-sets-ps7",
}


def note_terms(app, doctree):
    """Remember where a page uses which term first: its section."""
    used = {}
    for reference in doctree.findall(addnodes.pending_xref):
        if reference.get("reftype") == "term":
            section = reference.parent
            while section and not isinstance(section, nodes.section):
                section = section.parent
            if section:
                used.setdefault(reference["reftarget"].lower(), section["ids"][0])
    app.env.metadata[app.env.docname]["terms"] = used


def write_glossary_again(app, env):
    """Write the glossary each time: other pages may use other terms now."""
    return [GLOSSARY]


def say_where_used(app, doctree, page):
    """Add to each entry of the glossary the pages that use it."""
    if page != GLOSSARY:
        return
    for entry in doctree.findall(nodes.definition_list_item):
        names = {term.astext().lower() for term in entry.findall(nodes.term)}
        links = [
            nodes.reference("", app.env.titles[other].astext(), refuri=uri)
            for other, uri in _uses(app, names)
        ]
        if links:
            line = nodes.paragraph(classes=["used"])
            line += nodes.Text("Used in: ")
            for k, link in enumerate(links):
                line += [nodes.Text(", ")] * (k > 0) + [link]
            entry[-1] += line


def _uses(app, names):
    order = list(app.env.toctree_includes[app.config.root_doc])
    for page in order:
        used = app.env.metadata.get(page, {}).get("terms", {})
        place = next((used[name] for name in names if name in used), None)
        if place and page != GLOSSARY:
            uri = app.builder.get_relative_uri(GLOSSARY, page)
            yield page, f"{uri}#{place}"


def lead_to_sets(app, page, template, context, doctree):
    """Let the problem set follow its chapter."""
    if page in SETS:
        labels = app.env.domains["std"].labels
        target, place, title = labels[SETS[page]]
        uri = app.builder.get_relative_uri(page, target)
        context["next"] = {"link": f"{uri}#{place}", "title": title}


def setup(app):
    """Register with Sphinx."""
    app.connect("doctree-read", note_terms)
    app.connect("env-updated", write_glossary_again)
    app.connect("doctree-resolved", say_where_used)
    app.connect("html-page-context", lead_to_sets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
