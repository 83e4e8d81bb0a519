"""Sections read aloud: what a voice is given, the place, and the words of formulas.

Headless Chromium has no voice. The one here takes what it is given, and ends a sentence
when the test says so.
"""

import re

import pytest
from book import HTML, PAGES, PHONE
from bs4 import BeautifulSoup

VOICE = """
  window.voices = ["de-DE", "en-GB"].map((lang) => ({lang, localService: true}));
  window.spoken = [];
  let current = null;
  window.SpeechSynthesisUtterance = class { constructor(text) { this.text = text; } };
  const voice = new EventTarget();
  voice.getVoices = () => window.voices;
  voice.speak = (utterance) => { current = utterance; spoken.push(utterance.text); };
  voice.cancel = () => {
    const cut = current;
    current = null;
    cut?.onerror({error: "interrupted"});
  };
  Object.defineProperty(window, "speechSynthesis", {value: voice});
  window.heard = () => { const done = current; current = null; done.onend(); };
  window.fails = () => current.onerror({error: "synthesis-failed"});
  window.language = () => current.voice.lang + " " + current.lang;
  window.silent = () => current === null;
"""
PAGE = "chapters/forward.html"
TITLE = "In training: the statistics of the batch"
# Anything else would be read as a symbol, or not at all.
WORDS = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,.:'-]*")
# What speech-rule-engine says where this field says something else, or what it spells.
ODD = re.compile(
    r"\b(tack|slash|metric|blank|lam[d]a|triangle|comma|period|asterisk)\b"
)


@pytest.fixture
def listener(reader):
    """A reader whose browser has a voice."""
    reader.add_init_script(VOICE)
    reader.goto(PAGE)
    return reader


def control(page, title=TITLE):
    return page.locator(f'.listen[aria-label$=" {title}"]')


def hear(page, count=1):
    for _ in range(count):
        page.evaluate("heard()")


def being_read(page):
    return page.locator(".being-read").all_text_contents()


@pytest.mark.parametrize("path", PAGES)
def test_each_formula_has_words(path):
    page = BeautifulSoup((HTML / path).read_text(encoding="utf-8"), "html.parser")
    for formula in page.select(".math"):
        words = formula.get("data-speech", "")
        assert WORDS.fullmatch(words) and not ODD.search(words), words
    for element in page.select("pre, code, script, style, textarea, .math, head"):
        element.decompose()
    assert not re.search(r"\$|\\[a-z]+", page.get_text()), "a formula is not one"


def test_the_words_are_those_one_would_say(listener):
    said = listener.locator(".math").evaluate_all(
        "all => all.map(e => e.dataset.speech)"
    )
    for words in (
        "gamma sub j",
        "v sub j equals 1 over N the sum from n equals 1 to N of open paren x sub n j "
        "minus mu sub j close paren squared",
        "x hat sub n j equals the fraction with numerator x sub n j minus mu sub j and "
        "denominator the square root of v sub j plus epsilon end root end fraction",
    ):
        assert words in said


@pytest.mark.parametrize("voices", ["[]", "[{lang: 'de-DE', localService: true}]"])
def test_without_a_voice_for_the_language_there_is_no_control(reader, voices):
    reader.add_init_script(VOICE + f"window.voices = {voices};")
    reader.goto(PAGE)
    assert reader.locator(".listen").count() == 0
    reader.evaluate("voices = [{lang: 'en-US', localService: false}]")
    reader.evaluate("speechSynthesis.dispatchEvent(new Event('voiceschanged'))")
    reader.evaluate("speechSynthesis.dispatchEvent(new Event('voiceschanged'))")
    assert reader.locator(".listen").count() == reader.locator(".tick").count() > 5
    assert not reader.faults


def test_where_there_is_no_speech_at_all(reader):
    reader.add_init_script("delete window.speechSynthesis")
    reader.goto(PAGE)
    assert reader.locator(".listen").count() == 0 and not reader.faults


def test_a_section_is_read_from_its_heading_to_its_end(listener):
    section = listener.locator("section", has=control(listener)).last
    control(listener).click()
    assert listener.evaluate("spoken") == [TITLE]
    assert listener.evaluate("language()") == "en-GB en-GB"
    assert control(listener).get_attribute("aria-pressed") == "true"
    assert TITLE in being_read(listener)[0]
    read = []
    while not listener.evaluate("silent()"):
        [element] = being_read(listener)
        read.append(element)
        hear(listener)
    assert control(listener).get_attribute("aria-pressed") == "false"
    assert being_read(listener) == []
    text = " ".join(listener.evaluate("spoken"))
    assert "x hat sub n j equals the fraction with numerator" in text
    assert "cell source" not in text and not re.search(r"[\\${}_^∑√]|np\.", text)
    paragraphs = section.locator(":scope > p").all_text_contents()
    assert len(paragraphs) > 3 and set(paragraphs) <= set(read)
    for caption in section.locator("figcaption").all_text_contents():
        assert caption in read
    assert listener.evaluate("localStorage.getItem('listening')") == "{}"
    assert not listener.faults and not listener.outside


def test_the_place_is_kept(listener):
    control(listener).click()
    hear(listener, 6)
    place, sentence = being_read(listener), listener.evaluate("spoken.at(-1)")
    assert TITLE not in place[0]
    control(listener).click()
    assert listener.evaluate("silent()") and being_read(listener) == []
    listener.reload()
    control(listener, "Running statistics").click()
    assert listener.evaluate("spoken") == ["Running statistics"]
    control(listener).click()  # one voice: the other section stops
    assert (
        control(listener, "Running statistics").get_attribute("aria-pressed") == "false"
    )
    assert being_read(listener) == place
    passage = listener.evaluate("spoken.at(-1)")
    while (
        listener.evaluate("spoken.at(-1)") != sentence and being_read(listener) == place
    ):
        hear(listener)
    assert listener.evaluate("spoken.at(-1)") == sentence, passage


def test_what_is_folded_is_named_and_not_read(listener):
    folded = listener.locator(
        "section:has(> .listen) details.admonition:not(.hide)"
    ).first
    title = folded.locator("xpath=ancestor::section[h2]").last.locator("h2").first
    name = title.inner_text().removesuffix("#")
    summary = folded.locator("summary").inner_text()
    inside = folded.locator("p:not(.admonition-title)").first.text_content()
    for opened in (False, True):
        if opened:
            folded.locator("summary").click()
        listener.evaluate("spoken.length = 0; localStorage.removeItem('listening')")
        control(listener, name).click()
        while not listener.evaluate("silent()"):
            hear(listener)
        said = " ".join(listener.evaluate("spoken"))
        assert summary in said
        assert (inside[:20] in said) == opened


def test_a_voice_that_fails_ends_the_reading(listener):
    control(listener).click()
    listener.evaluate("fails()")
    assert control(listener).get_attribute("aria-pressed") == "false"
    assert being_read(listener) == []


def test_broken_places_do_no_harm(listener):
    listener.evaluate("localStorage.setItem('listening', '{oops')")
    control(listener).click()
    assert listener.evaluate("spoken") == [TITLE] and not listener.faults


def test_by_keyboard_on_a_phone(listener):
    listener.set_viewport_size(PHONE)
    button = control(listener)
    button.focus()
    listener.keyboard.press("Enter")
    assert listener.evaluate("spoken") == [TITLE]
    box, tick = button.bounding_box(), listener.locator(".listen + .tick").first
    assert box["width"] >= 24 and box["height"] >= 24
    assert box["x"] + box["width"] <= tick.bounding_box()["x"] <= PHONE["width"] - 24
