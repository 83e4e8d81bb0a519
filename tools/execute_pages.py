"""Execute the book's pages side by side: those that are new, or use what has changed.

The book's builder reuses the outputs of a page while its cells are the same. But a page
depends on more: on modules of ours that it imports, on files that it names, and on the
installed packages. Here a page's outputs are dropped when any of these has changed, and
all pages without outputs run, one on each core. The builder then finds them in its
cache. A page that fails is left to the builder, which says why.
"""

import ast
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

import yaml
from IPython.core.inputtransformer2 import TransformerManager
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution
from myst_nb.core.read import myst_nb_reader_plugin
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

OURS = ("bnlib", "experiments", "grading")
WHOLE = ("bnlib", "grading")  # used as a whole: a change anywhere in it counts, but in
APART = ("bnlib.check", "bnlib.cuda", "bnlib.emulator")  # what is imported on its own
PACKAGES = ("constraints.txt", "pyproject.toml")


def pages(root: Path) -> list[Path]:
    """Return the files of the table of contents whose code is executed."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    names = [toc["root"]]
    names += [page["file"] for part in toc["parts"] for page in part["chapters"]]
    paths = [root / f"{name}.md" for name in names]
    return [p for p in paths if "```{code-cell}" in p.read_text(encoding="utf-8")]


def uses(root: Path, folder: Path, code: str) -> set[Path]:
    """Return our files that code depends on, those they depend on included.

    Parameters
    ----------
    root : pathlib.Path
        The repository.
    folder : pathlib.Path
        Where the code runs: file names in it are relative to that.
    code : str
        Python.
    """
    found: set[Path] = set()
    for node in ast.walk(ast.parse(code)):
        for name in _imported(node):
            found |= _files(root, name) - found
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            with suppress(OSError, ValueError):  # a text that cannot be a file's name
                if (folder / node.value).is_file():
                    found.add((folder / node.value).resolve())
    modules = [p for p in found if p.suffix == ".py" and p.parent.name == "experiments"]
    for path in modules:
        found |= uses(root, folder, path.read_text(encoding="utf-8"))
    return found


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(root: Path, module: str) -> set[Path]:
    package = module.partition(".")[0]
    if package not in OURS:
        return set()
    if package in WHOLE:
        name = ".".join(module.split(".")[:2])
        apart = {root.joinpath(*other.split(".")) for other in APART if other != name}
        return {
            path
            for path in (root / package).rglob("*")
            # What Python and Numba compile lies there, too.
            if "__pycache__" not in path.parts and apart.isdisjoint(path.parents)
        }
    path = root / f"{module.replace('.', '/')}.py"
    return {path} if path.is_file() else set()


def digest(root: Path, page: Path, notebook) -> str:
    """Return a digest of all that a page's outputs depend on but its own cells."""
    found = {root / name for name in PACKAGES}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            code = TransformerManager().transform_cell(cell.source)
            with suppress(SyntaxError):  # its execution will say so
                found |= uses(root, page.parent, code)
    whole = hashlib.sha256()
    for path in sorted(path for path in found if path.is_file()):
        whole.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return whole.hexdigest()


def execute(root: Path) -> None:
    """Bring the outputs of all pages up to date."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    build = root / "_build"
    build.mkdir(exist_ok=True)
    cache = get_cache(str(build / ".jupyter_cache"))
    book = build / "pages.json"
    known = json.loads(book.read_text()) if book.exists() else {}
    waiting = {}
    for page in pages(root):
        name = str(page.relative_to(root))
        notebook = myst_nb_reader_plugin(str(page))
        now = digest(root, page, notebook)
        try:
            record = cache.match_cache_notebook(notebook)
        except KeyError:
            waiting[page] = notebook, now
            continue
        if known.get(name) != now:
            cache.remove_cache(record.pk)
            # The page itself is the same, and would not be read again.
            (build / ".doctrees" / name).with_suffix(".doctree").unlink(missing_ok=True)
            waiting[page] = notebook, now
    timeout = config["execute"]["timeout"]
    for page, result in _run(waiting, timeout):
        notebook, now = waiting[page]
        if result.err is None:
            record = cache.add_nb_to_project(
                str(page), read_data={"name": "myst_nb_md", "type": "plugin"}
            )
            data = {"execution_seconds": result.time}
            cache.cache_notebook_bundle(
                CacheBundleIn(notebook, record.uri, data=data),
                check_validity=False,
                overwrite=True,
            )
            known[str(page.relative_to(root))] = now
            book.write_text(json.dumps(known, indent=1))


def _run(waiting: dict, timeout: float) -> Iterator[tuple]:
    """Yield each page and the result of its execution, as they end."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the kernels': cores are for pages
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    largest_first = sorted(waiting, key=lambda page: -page.stat().st_size)
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        Progress(*columns, disable=not sys.stdout.isatty()) as progress,
    ):

        def run(page: Path):
            task = progress.add_task(f"Executing {page.stem}")
            try:
                return single_nb_execution(
                    waiting[page][0],
                    cwd=str(page.parent),
                    timeout=timeout,
                    allow_errors=False,
                )
            finally:
                progress.remove_task(task)

        running = {pool.submit(run, page): page for page in largest_first}
        for future in as_completed(running):
            page, result = running[future], future.result()
            ended = "failed" if result.err else f"{result.time:.0f} s"
            progress.print(f"  {page.stem}: {ended}")
            yield page, result


if __name__ == "__main__":
    execute(Path(__file__).resolve().parents[1])
