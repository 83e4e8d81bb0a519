"""The book on paper: some pages in every run, all of them in `make pdf`."""

import unicodedata
from io import BytesIO

import pytest
from book import HTML
from bs4 import BeautifulSoup
from keep import PDF, ROOT
from one_page import parts_of
from pdf import print_book
from pypdf import PdfReader

SOME = [("", ["index"]), ("A part", ["chapters/forward", "chapters/formula_sheet"])]
MOST = 45_000_000  # bytes of the whole book


@pytest.fixture(
    scope="module",
    params=["some pages", pytest.param("the whole book", marks=pytest.mark.pdf)],
)
def book(request):
    """The PDF, and the parts that it has."""
    if request.param == "some pages":
        chromium = request.getfixturevalue("chromium")
        return PdfReader(BytesIO(print_book(chromium, HTML, SOME))), SOME
    assert (HTML / PDF).stat().st_size < MOST
    return PdfReader(HTML / PDF), parts_of(ROOT)


def outline(reader, entries, level=0):
    for entry in entries:
        if isinstance(entry, list):
            yield from outline(reader, entry, level + 1)
        else:
            yield level, entry.title, reader.get_destination_page_number(entry)


def text(page):
    words = unicodedata.normalize("NFKC", page.extract_text())  # no ligatures
    return " ".join(words.split())


def elements(reader):
    """All elements of the tree that says what is a heading, a table, a formula."""
    waiting = [reader.trailer["/Root"]["/StructTreeRoot"]]
    while waiting:
        node = waiting.pop().get_object()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            if "/S" in node:
                yield node
            if "/K" in node:
                waiting.append(node["/K"])


def test_it_says_what_is_what(book):
    reader, parts = book
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en-GB"
    assert reader.metadata.title == "Batch normalisation"
    found = list(elements(reader))
    kinds = {element["/S"] for element in found}
    assert kinds >= {"/H1", "/H2", "/H3", "/P", "/L", "/Table", "/TH", "/Link"}
    said = {" ".join(e["/Alt"].split()) for e in found if "/Alt" in e}
    for name in (name for _, names in parts for name in names):
        page = (HTML / f"{name}.html").read_text(encoding="utf-8")
        article = BeautifulSoup(page, "html.parser").select_one("article")
        pictures = {" ".join(image["alt"].split()) for image in article.select("img")}
        assert pictures <= said, name
        formulas = {formula["data-speech"] for formula in article.select(".math")}
        lost = formulas - said  # Chromium loses two of the formula sheet's ninety
        assert len(lost) <= len(formulas) / 25, lost


def test_its_outline_has_all_parts_and_chapters(book):
    reader, parts = book
    entries = list(outline(reader, reader.outline))
    tops = [title for level, title, _ in entries if level == 0]
    assert tops == ["Batch normalisation", "Contents", *[part for part, _ in parts[1:]]]
    chapters = [title for level, title, _ in entries if level == 1]
    for name in (name for _, names in parts[1:] for name in names):
        page = (HTML / f"{name}.html").read_text(encoding="utf-8")
        title = page.partition("<title>")[2].partition(" &#8212;")[0]
        assert title in chapters
    for _, title, number in entries:
        title = unicodedata.normalize("NFKC", title)
        assert "".join(title.split()) in "".join(text(reader.pages[number]).split())


def test_its_contents_know_the_pages(book):
    reader, parts = book
    entries = list(outline(reader, reader.outline))
    begins = {title: number for level, title, number in entries if level == 0}
    contents, end = begins["Contents"], begins[parts[1][0]]
    said = "".join(text(reader.pages[n]) + " " for n in range(contents, end))
    for level, title, number in entries:
        if level == 1 and number >= end:
            assert f"{title} {number + 1} " in said


def test_every_page_has_its_number_and_something_else(book):
    reader, _ = book
    for number, page in enumerate(reader.pages, 1):
        words = text(page)
        assert words.endswith(f" {number}"), number
        assert len(words) > 20 or page.images, number


def test_formulas_are_letters(book):
    reader, _ = book
    letters = "".join(page.extract_text() for page in reader.pages[:12])
    assert "γ" in letters and "√" in letters and "∑" in letters
    fonts = {
        str(font.get_object().get("/FontDescriptor", {}).get("/FontName"))
        for page in reader.pages[:12]
        for font in page["/Resources"].get("/Font", {}).values()
    }
    assert any("MathJax" in font or "MJX" in font for font in fonts), fonts
    assert "\\gamma" not in letters and "\\frac" not in letters


def test_links_lead_to_pages_of_it(book):
    reader, _ = book
    places = reader.named_destinations
    inside = 0
    for page in reader.pages:
        for link in page.get("/Annots", ()):
            link = link.get_object()
            if "/Dest" in link:
                assert link["/Dest"] in places
                inside += 1
            else:
                assert link["/A"]["/URI"].startswith(("https://", "http://")), link[
                    "/A"
                ]
    assert inside > 50
