"""Print the built book as one tagged PDF beside its pages (`make pdf`).

Chromium prints it twice: the table of contents needs the numbers of the pages.
"""

import shutil
import sys
from io import BytesIO
from pathlib import Path

from keep import HTML, PDF, ROOT, need_formulas, offer
from one_page import one_page, parts_of
from playwright.sync_api import Browser, Page, sync_playwright
from pypdf import PdfReader

from bnlib.check import book_address

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTH = 642  # of the text, 170 mm, in CSS pixels
FOOTER = (
    '<div style="width: 100%; font: 8pt sans-serif; text-align: center">'
    '<span class="pageNumber"></span></div>'
)
# What is wider than the text is set smaller: where the whole is wider than the paper,
# Chromium makes the whole book smaller.
FIT = """() => {
  const wide = [...document.querySelectorAll("mjx-container[display], table")]
    .map((e) => [e, e.parentElement.clientWidth / e.scrollWidth]);
  for (const [element, room] of wide)
    if (room && room < 1) element.style.zoom = 0.99 * room;
  return [...document.querySelectorAll("section.page *:not(mjx-container *)")]
    .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
    .map((e) => `${e.closest("section.page").id}: ${e.outerHTML.slice(0, 150)}`)
    .slice(0, 10);
}"""
NUMBER = """(pages) => {
  for (const link of document.querySelectorAll("nav a"))
    link.nextElementSibling.textContent = pages[link.hash.slice(1)];
}"""


def beginnings(pdf: bytes) -> dict[str, int]:
    """Return the printed page of each place that a link leads to."""
    reader = PdfReader(BytesIO(pdf))
    numbers = {page.indirect_reference.idnum: n for n, page in enumerate(reader.pages)}
    return {
        name.lstrip("/"): numbers[place.raw_get("/Page").idnum] + 1
        for name, place in reader.named_destinations.items()
    }


def printed(tab: Page) -> bytes:
    """Return a page as a PDF."""
    return tab.pdf(
        prefer_css_page_size=True,
        print_background=True,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOTER,
        tagged=True,
        outline=True,
    )


def print_book(chromium: Browser, html: Path, parts: list) -> bytes:
    """Return parts of a built book as a PDF."""
    book = html.with_name("book.html")
    book.write_text(one_page(html, parts, book_address()), encoding="utf-8")
    tab = chromium.new_page(viewport={"width": WIDTH, "height": 900})
    tab.set_default_timeout(600_000)
    tab.emulate_media(media="print", color_scheme="light")
    tab.goto(book.as_uri(), wait_until="load")
    tab.evaluate("document.fonts.ready")
    if over := tab.evaluate(FIT):
        sys.exit("\n".join(["These are wider than a page of the PDF:", *over]))
    tab.evaluate(NUMBER, beginnings(printed(tab)))
    pdf = printed(tab)
    tab.close()
    return pdf


def main() -> None:
    """Print the book, and offer it on the front page."""
    need_formulas(HTML)
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        sys.exit("The book is printed by Chromium (Debian: apt install chromium).")
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=arguments)
        (HTML / PDF).write_bytes(print_book(chromium, HTML, parts_of(ROOT)))
        chromium.close()
    offer(HTML)


if __name__ == "__main__":
    main()
