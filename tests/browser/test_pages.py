"""Every page in a browser: whole without the network, and there for everybody."""

import pytest
from book import PAGES, PHONE, WIDE

# What unfolds, unfolded: axe looks only at what is seen.
UNFOLD = """() => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
  for (const button of document.querySelectorAll("button.toggle-button-hidden"))
    button.click();
}"""
# Axe's time grows with the elements. Of a formula they are hidden from those who listen
# (MathML is beside them): a box of its size will do. Code has hundreds of words in a
# dozen colours: one of each will do.
SIMPLIFY = """() => {
  const formulas = [...document.querySelectorAll("mjx-math[aria-hidden]")];
  const boxes = formulas.map((formula) => formula.getBoundingClientRect());
  formulas.forEach((formula, i) => {
    formula.replaceChildren();
    formula.style.width = `${boxes[i].width}px`;
    formula.style.height = `${boxes[i].height}px`;
  });
  const seen = new Set();
  for (const word of document.querySelectorAll(".highlight span[class]"))
    if (seen.has(word.className)) word.replaceWith(...word.childNodes);
    else seen.add(word.className);
}"""
# Axe takes no words from MathML: it finds a column's head empty that is a formula.
RUN = """async ([rules, within]) => {
  const {violations} = await axe.run(within, {resultTypes: ["violations"], ...rules});
  const isFormula = ({target: [place]}) =>
    document.querySelector(place).matches(":has(math)");
  return violations.flatMap(({id, nodes}) => nodes
    .filter((node) => id !== "empty-table-header" || !isFormula(node))
    .map((node) => [id, node.target, node.html.slice(0, 200), node.failureSummary]));
}"""
# What can be wrong by night only.
COLOURS = {
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
}
WIDER_THAN_THE_SCREEN = """() => {
  const over = document.documentElement.scrollWidth - innerWidth;
  return over <= 0 ? [] : [...document.querySelectorAll("main *")]
    .filter((e) => e.getBoundingClientRect().right > innerWidth)
    .map((e) => e.outerHTML.slice(0, 150));
}"""

STRETCHED = """() => [...document.querySelectorAll("img[width][height]")]
  .filter((e) => {
    const {width, height} = e.attributes, {padding} = getComputedStyle(e);
    const both = 2 * parseFloat(padding);  // by night they stand on a white mat
    const shape = (e.clientWidth - both) / (e.clientHeight - both);
    return e.clientWidth && Math.abs(shape * height.value / width.value - 1) > 0.02;
  }).map((e) => e.outerHTML.slice(0, 150))
"""


@pytest.fixture(scope="session")
def axe(npm):
    return npm("axe-core/axe.min.js").read_text(encoding="utf-8")


def violations(page, axe, rules, within=None):
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)
    return page.evaluate(RUN, [rules, within or {"exclude": []}])


@pytest.mark.parametrize("path", PAGES)
def test_a_page(reader, axe, path):
    """Looked at on one loading: wide and on a phone, by day and by night."""
    reader.goto(path, wait_until="networkidle")
    assert reader.outside == []
    reader.evaluate(UNFOLD)
    reader.evaluate(SIMPLIFY)
    for size in (WIDE, PHONE):
        reader.set_viewport_size(size)
        reader.wait_for_timeout(500)  # the theme waits, too, until all is in place
        assert reader.evaluate(WIDER_THAN_THE_SCREEN) == [], size
        assert reader.evaluate(STRETCHED) == [], size
        for scheme in ("light", "dark"):
            reader.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            reader.wait_for_function(
                "(scheme) => document.documentElement.dataset.theme === scheme",
                arg=scheme,
            )
            rules = COLOURS if scheme == "dark" else {}
            assert violations(reader, axe, rules) == [], (size, scheme)
    assert reader.faults == []
    assert reader.outside == []


@pytest.mark.parametrize(
    ("size", "opened", "shown"),
    [
        (PHONE, "button.primary-toggle", "#pst-primary-sidebar-modal nav a"),
        (PHONE, "button.secondary-toggle", "#pst-secondary-sidebar-modal nav a"),
        (PHONE, "button.search-button", "#pst-search-dialog input"),
        (WIDE, ".dropdown-download-buttons button", ".dropdown-download-buttons a"),
    ],
)
def test_what_opens(reader, axe, size, opened, shown):
    reader.emulate_media(reduced_motion="reduce")
    reader.set_viewport_size(size)
    reader.goto("chapters/problem_sets.html", wait_until="networkidle")
    reader.locator(f"{opened} >> visible=true").first.click()
    reader.locator(shown).first.wait_for(state="visible")
    assert violations(reader, axe, {}) == []
