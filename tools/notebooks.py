"""A Sphinx extension: each chapter as a notebook to download, and to open elsewhere.

A chapter is text. Beside its page lies the same as a notebook, whose first cell gets
the course and installs it where it is missing. Where ``pyproject.toml`` says in which
repository the course is (``Repository``), that cell knows from where, and pages link to
Binder and, on GitHub, to Colab. Colab opens what is in a repository only: publishing
pushes the notebooks to its branch ``notebooks``.
"""

from pathlib import Path

import nbformat
from myst_nb.core.read import myst_nb_reader_plugin

from bnlib.check import project_url

COLAB = "https://colab.research.google.com/github/{name}/blob/notebooks/{file}"
BINDER = "https://mybinder.org/v2/{host}/{name}/main?urlpath=lab/tree/{page}.ipynb"
FIRST = """\
# Where the course is missing (on Colab, for example), this gets and installs it.
from pathlib import Path

if not Path("book.mplstyle").exists():  # which lies beside the chapters
    {get}
"""
CLONE = """\
!git clone --quiet --depth 1 {address} course
    %cd -q course/chapters
    %pip install --quiet "..[chapters]"
"""
NOWHERE = """\
raise FileNotFoundError(
        "This notebook needs the course, and does not know where that is published: "
        "open it in the folder chapters/ of the course."
    )
"""


def notebook(path: Path, repository: str) -> nbformat.NotebookNode:
    """Return a chapter as a notebook without outputs, the same from build to build.

    Parameters
    ----------
    path : pathlib.Path
        The chapter's text.
    repository : str
        Where the course is published; "" where it is not.
    """
    read = myst_nb_reader_plugin(str(path))
    get = CLONE.format(address=repository) if repository else NOWHERE
    first = nbformat.v4.new_code_cell(FIRST.format(get=get.rstrip()))
    cells = [first, *read.cells]
    for number, cell in enumerate(cells):
        cell["id"] = f"{path.stem.replace('_', '-')}-{number}"
        cell["metadata"] = {}
    metadata = {
        "kernelspec": {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def is_chapter(path: Path) -> bool:
    """Say whether a page runs where only its folder and the library are.

    The pages that show the grader do not.
    """
    text = path.read_text(encoding="utf-8")
    return (
        path.parent.name == "chapters"
        and "```{code-cell}" in text
        and "from grading" not in text
    )


def write(path: Path, target: Path, repository: str) -> None:
    """Write a chapter's notebook into a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook(path, repository), target)


def links(page: str, repository: str) -> dict[str, str]:
    """Return where a chapter opens in a browser: names of services, and addresses."""
    site, _, name = repository.removesuffix(".git").partition("://")[2].partition("/")
    found = {}
    if host := {"github.com": "gh", "gitlab.com": "gl"}.get(site):
        whole = name if host == "gh" else name.replace("/", "%2F")
        found["Binder"] = BINDER.format(host=host, name=whole, page=page)
    if site == "github.com":
        found["Colab"] = COLAB.format(name=name, file=f"{Path(page).name}.ipynb")
    return found


def offer_notebook(app, page, template, context, doctree):
    """Write a chapter's notebook, and give its page buttons for it."""
    path = Path(app.srcdir, f"{page}.md")
    if doctree is None or not path.exists() or not is_chapter(path):
        return
    target = Path(app.outdir, "_sources", f"{page}.ipynb")
    write(path, target, project_url("repository"))
    context["ipynb_source"] = f"{page}.ipynb"  # the theme's button for downloads


def offer_services(app, page, template, context, doctree):
    """Give a chapter's page buttons that open it in a browser."""
    if "ipynb_source" not in context:
        return
    buttons = [
        {"type": "link", "text": name, "tooltip": f"Open on {name}", "url": url}
        for name, url in links(page, project_url("repository")).items()
    ]
    if buttons:
        context["header_buttons"].append(
            {
                "type": "group",
                "tooltip": "Open this chapter as a notebook",
                "icon": "fas fa-rocket",
                "buttons": buttons,
                "label": "launch-buttons",
            }
        )


def setup(app):
    """Register with Sphinx: before the theme makes its buttons, and after."""
    app.connect("html-page-context", offer_notebook, priority=400)
    app.connect("html-page-context", offer_services, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":  # on Binder
    for path in sorted(Path("chapters").glob("*.md")):
        if is_chapter(path):
            write(path, path.with_suffix(".ipynb"), project_url("repository"))
