"""The zip file of the book: unpacked, it works from disk, alone."""

import re
from zipfile import ZipFile

import pytest
from book import HTML, PAGES
from offline import FOLDER, pack

SCRIPT = re.compile(r'<script [^>]*src="([^"?]*)')
# For each script the first page that loads it.
FIRST = {
    script.replace("../", ""): path
    for path in reversed(PAGES)
    for script in SCRIPT.findall((HTML / path).read_text(encoding="utf-8"))
    if path != "404.html"  # made for a server: its addresses begin at the root
}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("offline")
    pack(HTML, folder / "book.zip")
    with ZipFile(folder / "book.zip") as file:
        file.extractall(folder)
    return folder / FOLDER


@pytest.fixture
def alone(chromium):
    """A browser that may ask for nothing but files."""
    context = chromium.new_context(offline=True)
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(f"{error}"))
    page.on(
        "console",
        lambda m: m.type in ("error", "warning") and page.faults.append(m.text),
    )
    page.on("requestfailed", lambda r: page.faults.append(f"failed: {r.url}"))
    page.on(
        "request",
        lambda r: (
            r.url.startswith(("file:", "data:", "blob:"))
            or page.faults.append(f"asked for {r.url}")
        ),
    )
    yield page
    assert page.faults == []
    context.close()


def test_all_pages_are_in_it(unpacked):
    assert [path for path in PAGES if not (unpacked / path).is_file()] == []
    assert not list(unpacked.rglob("*.zip"))
    assert "batch-normalisation.zip" not in (unpacked / "index.html").read_text()


@pytest.mark.parametrize("path", sorted({"index.html", *FIRST.values()}))
def test_a_page_from_disk(unpacked, alone, path):
    alone.goto((unpacked / path).as_uri(), wait_until="load")
    alone.wait_for_timeout(300)
    fonts = "[...document.fonts].filter((font) => font.status === 'error').length"
    assert alone.evaluate(fonts) == 0
    broken = "[...document.images].filter((i) => i.complete && !i.naturalWidth).length"
    assert alone.evaluate(broken) == 0


def test_a_search_from_disk(unpacked, alone):
    alone.goto(f"{(unpacked / 'search.html').as_uri()}?q=gamma", wait_until="load")
    found = alone.locator("#search-results li a")
    found.nth(5).wait_for()
    alone.wait_for_timeout(300)
    found.first.click()
    alone.locator("article h1").wait_for()
    assert alone.url.startswith("file:")


def test_a_quiz_and_a_widget_from_disk(unpacked, alone):
    alone.goto((unpacked / "chapters" / "forward.html").as_uri(), wait_until="load")
    right = alone.locator(".quiz > li:first-child [data-correct=true]")
    right.press("Enter")
    said = alone.locator(".quiz > li:first-child [role=status]").inner_text()
    assert said == right.get_attribute("data-feedback")
    widget = alone.locator("eps-gain")
    before = widget.locator("[aria-live=polite]").inner_text()
    widget.locator("input").first.press("End")
    assert widget.locator("[aria-live=polite]").inner_text() != before
