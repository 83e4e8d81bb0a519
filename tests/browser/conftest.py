import os

import pytest
from book import HTML, ROOT, WIDE, chromium_path, served
from playwright.sync_api import sync_playwright


def missing(what):
    """Skip a test for what is not here; where all is tested, fail."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(what)


@pytest.fixture(scope="session")
def npm():
    """Find a file that npm gets for the tests."""

    def find(path):
        found = ROOT / "_build" / "npm-test" / "node_modules" / path
        if not found.exists():
            missing(f"npm did not get {path} (_build/npm-test.log)")
        return found

    return find


@pytest.fixture(scope="session", autouse=True)
def built():
    if not HTML.exists():
        pytest.fail("the book is not built: run `make book`")


@pytest.fixture(scope="session")
def chromium():
    path = chromium_path()
    if not path:
        missing("no Chromium to look at the book with (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        # Root has no sandbox, and containers have a small /dev/shm.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def address():
    with served() as root:
        yield root


@pytest.fixture
def reader(chromium, address):
    """A fresh browser with an empty tab, whose faults and requests are noted."""
    context = chromium.new_context(viewport=WIDE, base_url=f"{address}/")
    page = context.new_page()
    page.faults, page.outside = [], []
    page.on("pageerror", lambda error: page.faults.append(f"{error}"))
    page.on(
        "console",
        lambda m: m.type in ("error", "warning") and page.faults.append(m.text),
    )
    page.on("requestfailed", lambda r: page.faults.append(f"failed: {r.url}"))
    context.route(
        lambda url: not url.startswith((address, "data:", "blob:")),
        lambda route: (page.outside.append(route.request.url), route.abort()),
    )
    yield page
    context.close()
