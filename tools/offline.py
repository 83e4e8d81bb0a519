"""Put the built book into a zip file beside its pages (`make zip`).

Unpacked, its `index.html` opens without a server and without the internet.
"""

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from keep import HTML, PDF, ZIP, need_formulas, offer, offered

FOLDER = Path(ZIP).stem  # in which it unpacks


def pack(html: Path, target: Path) -> None:
    """Write a zip file; its front page offers the PDF, if there is one, not itself."""
    kept = [html / PDF] if (html / PDF).exists() else []
    front = offered(
        (html / "index.html").read_text(encoding="utf-8"),
        {file.name: file.stat().st_size for file in kept},
    )
    with ZipFile(target, "w", ZIP_DEFLATED) as packed:
        packed.writestr(f"{FOLDER}/index.html", front)
        for path in sorted(html.rglob("*")):
            name = path.relative_to(html).as_posix()
            if path.is_file() and name not in ("index.html", ZIP, ".buildinfo"):
                packed.write(path, f"{FOLDER}/{name}")


if __name__ == "__main__":
    need_formulas(HTML)
    pack(HTML, HTML / ZIP)
    offer(HTML)
