"""The built book on a server of its own, which compresses as public ones do."""

import gzip
import shutil
import threading
from contextlib import contextmanager
from functools import cache
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"
PAGES = sorted(
    str(path.relative_to(HTML))
    for path in HTML.rglob("*.html")
    if "_static" not in path.parts
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
BESIDE: dict[str, Path] = {}  # what a site holds besides the book: paths, their files
TEXT = {".html", ".js", ".css", ".svg", ".json"}


def chromium_path() -> str | None:
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def heaviest() -> str:
    """The chapter with the longest text, compressed."""
    return max(
        (path for path in PAGES if path.startswith("chapters/")),
        key=lambda path: len(compressed(str(HTML / path), 0)),
    )


@cache
def compressed(path: str, changed: float) -> bytes:
    return gzip.compress(Path(path).read_bytes(), mtime=0)


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments):
        super().__init__(*arguments, directory=HTML)

    def translate_path(self, path):
        return str(BESIDE.get(path.partition("?")[0]) or super().translate_path(path))

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if path.suffix not in TEXT or not path.is_file():
            return super().do_GET()
        content = compressed(str(path), path.stat().st_mtime)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "max-age=600")  # as GitHub Pages says
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 64  # a browser asks for a page's files all at once


@contextmanager
def served():
    """Serve the book; the address of its root, without the last slash."""
    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
