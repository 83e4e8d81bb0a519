"""Ways through the book: search, terms, ticks, problem sets, notes."""

import re

import pytest
from book import PHONE

# Pictures come when they are near: all of them now, and whether they are there.
COME = "[...document.images].forEach((image) => { image.loading = 'eager'; })"
SHOWN = "[...document.images].every((image) => image.complete)"
KEPT = "JSON.parse(localStorage.getItem('sections read'))"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("BN", "Batch normalisation"),
        ("batchnorm", "Batch normalisation"),
        ("γ", "Glossary"),
        ("gamma", "Glossary"),
        ("normalization", "A recipe"),
        ("layernorm", "Across features"),
        ("ICS", "The hypothesis"),
    ],
)
def test_search_by_another_name(reader, asked, found):
    reader.goto(f"search.html?q={asked}")
    results = reader.locator("#search-results li")
    results.first.wait_for()
    reader.wait_for_function(
        "document.querySelector('#search-results p.search-summary')"
        ".textContent.match(/\\d/)"
    )
    assert found in " ".join(results.all_inner_texts())
    assert not reader.faults


def test_search_for_what_is_not_there(reader):
    reader.goto("search.html?q=zebra")
    reader.get_by_text("did not match any documents").wait_for()


def test_a_word_that_every_object_has_is_asked_as_it_is(reader):
    """Sphinx's own search fails for it, which is not ours."""
    reader.goto("search.html?q=constructor")
    assert reader.evaluate("new URL(location).searchParams.get('q')") == "constructor"


def test_the_glossary_says_where_terms_are_used(reader):
    reader.goto("chapters/glossary.html")
    entry = reader.locator("#term-roofline ~ dd").first
    link = entry.locator(".used a")
    assert entry.locator(".used").inner_text() == "Used in: Batch norm in bytes"
    link.click()
    assert reader.url.endswith("kernels.html#how-long-must-it-take")


def test_a_problem_set_follows_its_chapter(reader):
    reader.goto("chapters/forward.html")
    reader.locator("a.right-next").click()
    assert reader.url.endswith("problem_sets.html#sec-problem-sets-ps1")
    section = reader.locator("section:has(> #sec-problem-sets-ps1), #ps1-forward").first
    section.get_by_role("link", name="The backward pass").click()
    assert "chapters/backward.html" in reader.url


def test_ticks_are_kept_and_counted(reader):
    reader.goto("chapters/recipe.html")
    ticks = reader.locator(".tick")
    count = ticks.count()
    assert count > 3 and reader.locator(".bd-links .read").count() == 0
    for k in (0, 2):
        ticks.nth(k).click()
    counted = reader.locator(".bd-links .read")
    assert counted.inner_text().strip() == f"2/{count}"
    reader.evaluate(COME)  # one still on its way would be a request that fails
    reader.wait_for_function(SHOWN)
    reader.goto("chapters/capstone.html")
    assert reader.locator(".tick[aria-pressed=true]").count() == 0
    assert counted.inner_text().strip() == f"2/{count}"
    reader.goto("chapters/recipe.html")
    pressed = [t.get_attribute("aria-pressed") == "true" for t in ticks.all()]
    assert pressed == [k in (0, 2) for k in range(count)]
    for k, on in enumerate(pressed):
        if not on:
            ticks.nth(k).click()
    assert counted.inner_text().strip() == "✓"
    for tick in ticks.all():
        tick.click()
    assert counted.count() == 0 and reader.evaluate(KEPT) == {}
    assert not reader.faults and not reader.outside


def test_ticks_by_keyboard_and_name(reader):
    reader.set_viewport_size(PHONE)
    reader.goto("chapters/recipe.html")
    tick = reader.get_by_role("button", name=re.compile(r"Read: .*Key points$"))
    tick.focus()
    reader.keyboard.press("Space")
    assert tick.get_attribute("aria-pressed") == "true"
    box = tick.bounding_box()
    assert box["width"] >= 24 and box["height"] >= 24
    assert 0 <= box["x"] and box["x"] + box["width"] <= PHONE["width"]


def test_broken_notes_do_no_harm(reader):
    reader.add_init_script("localStorage.setItem('sections read', '{oops')")
    reader.goto("chapters/recipe.html")
    reader.locator(".tick").first.click()
    assert reader.locator(".bd-links .read").count() == 1
    assert not reader.faults


def test_nothing_is_asked_of_hypothesis_until_a_reader_says_so(reader):
    reader.goto("chapters/recipe.html")
    button = reader.locator(".annotate button")
    assert reader.outside == [] and button.inner_text() == "Annotate"
    button.click()
    reader.wait_for_timeout(200)
    assert reader.outside == ["https://hypothes.is/embed.js"]
    reader.goto("chapters/capstone.html")
    reader.wait_for_timeout(200)
    assert len(reader.outside) == 2 and button.inner_text() == "Stop annotating"
    button.click()
    reader.wait_for_load_state()
    reader.wait_for_timeout(200)
    assert len(reader.outside) == 2 and button.inner_text() == "Annotate"
