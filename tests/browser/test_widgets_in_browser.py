"""Widgets in a browser: by keyboard, in words, at rest, and without scripts."""

import re

import book
import pytest

STILL = re.compile(r":file: stills/([a-z-]+)\.html")
ELEMENT = re.compile(r'<([a-z-]+) class="widget">')
PAGES = {
    f"chapters/{page.stem}.html": tags
    for page in sorted((book.ROOT / "chapters").glob("*.md"))
    if (tags := STILL.findall(page.read_text()) + ELEMENT.findall(page.read_text()))
}
# What reaches beyond the screen.
WIDER = """(e) => [...e.querySelectorAll("svg, .controls *")].filter((part) =>
  part.getBoundingClientRect().right > innerWidth).length"""


def test_there_are_at_least_ten():
    assert len({tag for tags in PAGES.values() for tag in tags}) >= 10


def press(reader, widget):
    """Go through all that a widget can be told by keyboard; return what it says."""
    sentence = widget.locator("[aria-live=polite]")
    said = {sentence.inner_text()}
    for slider in widget.locator("input[type=range]").all():
        slider.focus()
        name, told = slider.get_attribute("id"), set()
        assert widget.locator(f"label[for={name}]").inner_text()
        for key in ("Home", "ArrowRight", "End", "ArrowLeft"):
            slider.press(key)
            told.add(slider.get_attribute("aria-valuetext"))
            shown = widget.locator(f"output[for={name}]").inner_text()
            assert slider.get_attribute("aria-valuetext") == shown
            said.add(sentence.inner_text())
        assert len(told) == 4
    for radio in widget.locator("[type=radio]:checked").all():
        radio.focus()
        for _ in widget.locator(f"[name={radio.get_attribute('name')}]").all():
            reader.keyboard.press("ArrowDown")
            said.add(sentence.inner_text())
    if widget.locator("[role=application]").count():
        widget.locator("[role=application]").focus()
        for arrow in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
            reader.keyboard.press(arrow)
            said.add(sentence.inner_text())
    return said


@pytest.mark.parametrize("path", PAGES)
def test_widgets_answer_to_the_keyboard(reader, path):
    reader.emulate_media(reduced_motion="reduce")
    reader.goto(path, wait_until="domcontentloaded")  # formulas may come later
    for tag in PAGES[path]:
        widget = reader.locator(tag)
        assert widget.locator(".still").count() == 0
        reader.set_viewport_size(book.PHONE)
        said = press(reader, widget)
        assert len(said) >= 4, (tag, said)
        assert not [words for words in said if re.search("NaN|undefined|∞", words)]
        assert widget.evaluate("(e) => e.getAnimations({subtree: true}).length") == 0
        assert widget.evaluate(WIDER) == 0, tag
    assert reader.faults == []


@pytest.mark.parametrize("path", PAGES)
def test_without_scripts_a_widget_shows_something(chromium, address, path):
    context = chromium.new_context(java_script_enabled=False, viewport=book.PHONE)
    page = context.new_page()
    page.goto(f"{address}/{path}", wait_until="domcontentloaded")
    for tag in PAGES[path]:
        widget = page.locator(tag)
        shown = widget.locator(".still svg, table")
        assert shown.count() or "figure above" in widget.inner_text(), tag
        assert len(widget.inner_text()) > 50
        assert widget.locator("input").count() == 0
    context.close()


@pytest.mark.parametrize(
    ("path", "tag"),
    [
        ("chapters/small_batches.html", "small-batch-error"),
        ("chapters/critiques.html", "rate-depth"),
    ],
)
def test_a_widget_says_what_its_table_says(reader, path, tag):
    reader.goto(path, wait_until="domcontentloaded")
    widget = reader.locator(tag)
    row = widget.locator("tr", has_text=re.compile("^8|^group norm"))
    cells = row.locator("td").all_inner_texts()
    medians = [float(cell.partition(" (")[0]) for cell in cells[1:]]
    sentence = widget.locator("[aria-live=polite]").inner_text()
    if tag == "small-batch-error":
        assert f"group norm in {medians[-1]:g} %" in sentence
    else:
        found = re.findall(r"\((?:its largest rate is )?(?:1/)?(\d+)\)", sentence)
        assert [max(m, 1 / m) for m in medians] == pytest.approx(
            [float(f) for f in found], rel=0.05
        )
