"""What readers take along: the book as a PDF, and its pages in a zip file.

`make pdf` and `make zip` put them beside the pages; the front page offers what is there
then.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
PDF = "batch-normalisation.pdf"
ZIP = "batch-normalisation.zip"
OFFERS = {PDF: "a PDF to print", ZIP: "its pages, for reading without the internet"}
# A place on the front page: index.md has it.
PLACE = re.compile(r'<p id="keep"[^>]*>.*?</p>', re.S)


def offered(front: str, sizes: dict[str, int]) -> str:
    """Return the front page with links to the files of these sizes, in bytes."""
    links = [
        f'<a href="{name}">{OFFERS[name]}</a> ({max(1, round(size / 1e6))} MB)'
        for name, size in sizes.items()
    ]
    hidden = "" if links else " hidden"
    text = f"The whole book to keep: {'; '.join(links)}." if links else ""
    front, found = PLACE.subn(f'<p id="keep"{hidden}>{text}</p>', front)
    if not found:
        raise ValueError('index.md has no place to offer files: <p id="keep">')
    return front


def offer(html: Path) -> None:
    """Let the front page of a built book offer what lies beside it."""
    front = html / "index.html"
    sizes = {f: (html / f).stat().st_size for f in OFFERS if (html / f).exists()}
    text = offered(front.read_text(encoding="utf-8"), sizes)
    front.write_text(text, encoding="utf-8")


def need_formulas(html: Path) -> None:
    """Stop where the pages' formulas still need the internet."""
    if "<mjx-container" not in (html / "index.html").read_text(encoding="utf-8"):
        sys.exit(
            "The pages' formulas are not typeset: the build of the book needs npm "
            "for that (_build/npm.log says what was wrong)."
        )
