"""The pages as files: right HTML, and links that lead somewhere."""

import json
import re
import shutil
import subprocess
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from book import HTML, PAGES
from conftest import missing

# What the checker says of what is not ours.
ALLOWED = (
    # MyST-NB: "Show code cell source" is a paragraph within a summary.
    "Element “p” not allowed as child of element “summary”",
    # Sphinx: the one main heading of a page is within a section.
    "Consider using the “h1” element as a top-level heading only",
    # The theme: the heading of an article is within a section of it.
    "Article lacks heading",
)


class Links(HTMLParser):
    """What a page names, and where it leads."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "src"):
                self.links.append(value)


@cache
def links(path):
    return Links((HTML / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", PAGES)
def test_every_link_has_its_target(path):
    lost = []
    for link in links(path).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        way = unquote(parts.path)
        base = HTML if way.startswith("/") else (HTML / path).parent
        target = (base / way.lstrip("/")).resolve() if way else HTML / path
        if not target.is_file():
            lost.append(link)
        elif parts.fragment and target.suffix == ".html":
            there = links(str(target.relative_to(HTML.resolve())))
            if unquote(parts.fragment) not in there.ids:
                lost.append(link)
    assert lost == []


@pytest.mark.parametrize("path", PAGES)
def test_an_id_is_given_once(path):
    twice = [name for name, times in Counter(links(path).ids).items() if times > 1]
    assert twice == []


def test_the_html_is_right(npm):
    jar = npm("vnu-jar/build/dist/vnu.jar")
    if not shutil.which("java"):
        missing("no Java to check HTML with (Debian: apt install default-jre-headless)")
    pages = [str(HTML / path) for path in PAGES]
    done = subprocess.run(
        [
            "java",
            "-Xss4m",
            "-jar",
            jar,
            "--format",
            "json",
            "--exit-zero-always",
            *pages,
        ],
        capture_output=True,
        text=True,
    )
    messages = json.loads(done.stderr)["messages"]
    used = Counter()
    wrong = Counter()
    for message in messages:
        allowed = next((m for m in ALLOWED if re.search(m, message["message"])), None)
        if allowed:
            used[allowed] += 1
        elif message["type"] != "info" or message.get("subType") == "warning":
            page = Path(urlsplit(message.get("url", "")).path).name
            wrong[
                f"{message['message']} ({page}: {message.get('extract', '')[:150]})"
            ] += 1
    assert wrong == {}
    assert set(used) == set(ALLOWED), "what is not said need not be allowed"
