"""What a reader does without a mouse, and one who is made ill by motion."""

import pytest
from book import PHONE

ACTIVE = "document.activeElement"
MOVING = """() => [...document.querySelectorAll("*")].filter((e) => {
  const {transitionDuration, animationName} = getComputedStyle(e);
  return /[1-9]/.test(transitionDuration) || animationName !== "none";
}).length"""


def tab_to(page, selector, limit=40):
    """Press Tab until something is in focus; fail if that never comes."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        if page.evaluate(f"{ACTIVE}.matches({selector!r})"):
            return page.locator(":focus")
    pytest.fail(f"Tab does not lead to {selector}")


def start_at(page, selector):
    """Let Tab go on from here."""
    page.evaluate(
        """(place) => {
          const element = document.querySelector(place);
          element.tabIndex = -1;
          element.focus();
        }""",
        selector,
    )


def test_a_quiz_by_keyboard(reader):
    reader.goto("chapters/forward.html")
    start_at(reader, "#check-yourself h2")
    status = reader.locator(".quiz > li:first-child [role=status]")

    wrong = tab_to(reader, ".quiz > li:first-child [data-correct=false]")
    reader.keyboard.press("Enter")
    assert status.inner_text().startswith("No. ")
    assert wrong.get_attribute("data-feedback") in status.inner_text()
    assert wrong.get_attribute("class") == "wrong"

    start_at(reader, "#check-yourself h2")
    right = tab_to(reader, ".quiz > li:first-child [data-correct=true]")
    reader.keyboard.press("Space")
    assert status.inner_text() == right.get_attribute("data-feedback")
    assert right.get_attribute("class") == "right"
    assert reader.locator(".quiz .wrong").count() == 0


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("5", "Right"),
        ("5.0", "Right"),
        ("10/2", "Right"),
        ("5,0", "Right"),
        ("−5", "No. "),
        ("five", "No. Write a number"),
        ("", "No. Write a number"),
    ],
)
def test_a_number_by_keyboard(reader, written, said):
    reader.goto("chapters/forward.html")
    start_at(reader, "#check-yourself h2")
    tab_to(reader, ".quiz form input")
    reader.keyboard.insert_text(written)
    reader.keyboard.press("Enter")
    status = reader.locator(".quiz li:has(form) [role=status]").first
    assert status.inner_text().startswith(said)


def test_several_right_answers_are_found_one_by_one(reader):
    reader.goto("chapters/critiques.html")
    question = reader.locator(
        ".quiz > li:has([data-correct=true] ~ [data-correct=true])"
    ).first
    right, status = (
        question.locator("[data-correct=true]"),
        question.get_by_role("status"),
    )
    count = right.count()
    for n in range(count):
        right.nth(n).press("Enter")
        assert f"({n + 1} of {count} found)" in status.inner_text()
    question.locator("[data-correct=false]").first.press("Enter")
    assert status.inner_text().startswith("No. ")
    assert question.locator(".right").count() == 0


def test_what_unfolds_unfolds_by_keyboard(reader):
    reader.goto("chapters/forward.html")
    start_at(reader, "#recall h2")
    answer = reader.locator("#recall details").first
    assert answer.locator("p").first.is_hidden()
    tab_to(reader, "#recall summary")
    reader.keyboard.press("Enter")
    assert answer.locator("p").first.is_visible()


def test_a_link_into_what_is_folded_unfolds_it(reader):
    reader.goto("chapters/forward.html")
    reader.evaluate("document.querySelector('details.admonition > p').id = 'within'")
    within = reader.locator("#within")
    assert within.is_hidden()
    reader.evaluate("location.hash = 'within'")
    within.wait_for(state="visible")


def test_the_first_stop_leads_past_the_navigation(reader):
    reader.goto("index.html")
    assert tab_to(reader, "#pst-skip-link a", limit=1).is_visible()
    reader.keyboard.press("Enter")
    assert reader.url.endswith("#main-content")


def test_the_navigation_of_a_phone_by_keyboard(reader):
    reader.set_viewport_size(PHONE)
    reader.goto("index.html")
    link = reader.locator("#pst-primary-sidebar-modal nav a").first
    tab_to(reader, "button.primary-toggle")
    reader.keyboard.press("Enter")
    link.wait_for(state="visible")
    reader.keyboard.press("Escape")
    link.wait_for(state="detached")


def test_a_search_by_keyboard(reader):
    reader.goto("index.html")
    reader.keyboard.press("Control+k")
    reader.locator("#pst-search-dialog input").wait_for(state="visible")
    reader.keyboard.insert_text("gamma")
    reader.keyboard.press("Enter")
    reader.wait_for_url("**/search.html?q=gamma")
    reader.locator("#search-results li a").nth(5).wait_for()


def test_nothing_moves_for_whom_that_is_asked(reader):
    reader.goto("chapters/one_picture.html")
    assert reader.evaluate(MOVING) > 0  # else this test could not fail
    reader.emulate_media(reduced_motion="reduce")
    assert reader.evaluate(MOVING) == 0
