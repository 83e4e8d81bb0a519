"""The built book: whole, and true to the rules of its chapters."""

import json
import re
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from versions import find_sets

from bnlib import check

ROOT = Path(__file__).parent.parent
HTML = ROOT / "_build" / "html"
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PAGES = [c["file"] for part in TOC["parts"] for c in part["chapters"]]
LISTS = {"chapters/reading_list", "chapters/replications"}  # numbered, but no chapters
CHAPTERS = [
    c["file"]
    for part in TOC["parts"]
    if part.get("numbered")
    for c in part["chapters"]
    if c["file"] not in LISTS
]


@pytest.fixture(scope="session", autouse=True)
def built():
    if not HTML.exists():
        pytest.fail("the book is not built: run `make book`")


def html(page):
    return (HTML / f"{page}.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["index", *PAGES])
def test_every_page_is_built_whole(page):
    text = html(page)
    assert "Traceback (most recent call last)" not in text
    assert "pasted-text" not in text or 'class="pasted-text"></' not in text
    figures = re.findall(r"<img [^>]*_images/[^>]*>", text)
    for figure in figures:
        assert re.search(r'alt="[^"]{20,}"', figure), f"no alternative text: {figure}"


@pytest.mark.parametrize("page", ["index", *PAGES, "search"])
def test_a_page_loads_nothing_from_elsewhere(page):
    if not (ROOT / "_build" / "static" / "mathjax").exists():
        pytest.skip("npm did not get MathJax (_build/npm.log)")
    soup = BeautifulSoup(html(page), "html.parser")
    loaded = [tag["src"] for tag in soup.select("script[src], img[src], iframe[src]")]
    loaded += [
        t["href"] for t in soup.select("link[href]") if "canonical" not in t["rel"]
    ]
    assert [url for url in loaded if re.match(r"(https?:)?//", url)] == []


@pytest.mark.parametrize("page", ["index", *PAGES])
def test_no_script_fails_for_a_name_that_is_declared_twice(page):
    assert "const THEBE_JS_URL" not in html(page)


@pytest.mark.parametrize("page", ["index", *PAGES])
def test_a_page_loads_the_scripts_of_its_widgets_and_no_others(page):
    soup = BeautifulSoup(html(page), "html.parser")
    tags = {widget.name for widget in soup.select(".widget")}
    ours = {path.name for path in (ROOT / "widgets").iterdir()}
    loaded = [tag.get("src") or tag["href"] for tag in soup.select("[src], link[href]")]
    names = [url.partition("?")[0].rpartition("/")[2] for url in loaded]
    parts = {
        name for name in ours if name.partition(".")[0].removesuffix("-data") in tags
    }
    shared = {"widget.js", "widget.css"} if tags else set()
    assert {name for name in names if name in ours} == parts | shared
    scripts = [name for name in names if name in ours and name.endswith(".js")]
    assert scripts[:1] == ["widget.js"][: len(scripts)]  # before those that use it


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_quiz_is_plain_html(chapter):
    soup = BeautifulSoup(html(chapter), "html.parser")
    asked = [p.text for p in soup.select(".quiz > li > p:first-child")]
    quiz = (ROOT / "chapters/quiz" / Path(chapter).name).with_suffix(".json")
    questions = [q["question"].replace("`", "") for q in json.loads(quiz.read_text())]
    assert asked == questions
    assert not soup.find("script", string=re.compile("var questions"))


@pytest.mark.parametrize("page", ["index", *PAGES])
def test_formulas_are_typeset(page):
    if not (ROOT / "_build" / "static" / "mathjax").exists():
        pytest.skip("npm did not get MathJax (_build/npm.log)")
    text = html(page)
    assert not re.search(r'class="math [^>]*>\s*\\[\[(]', text)
    assert "<mjx-merror" not in text
    assert text.count("<mjx-container") == len(re.findall('class="math notr', text))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_has_its_parts(chapter):
    text = html(chapter)
    for part in (
        "What you will be able to do",
        "Summary",
        "Key points",
        "Recall",
        "Check yourself",
    ):
        assert part in text, part
    source = (ROOT / f"{chapter}.md").read_text()
    assert "{cite:" in source
    assert "{term}" in source
    assert "{glue:" in source
    few = chapter == "chapters/folklore"  # its answers stand in words and tables
    assert text.count('<figure class="align-') >= (1 if few else 3)


def test_every_problem_set_is_linked():
    sets = {path.stem for path in (ROOT / "solutions").glob("*.md")}
    pages = {page: html(page) for page in ("chapters/problem_sets", *CHAPTERS)}
    linked = {
        page: sets & {*re.findall(r"/(ps\w+)\.ipynb", pages[page])} for page in pages
    }
    assert linked.pop("chapters/problem_sets") == sets
    assert set().union(*linked.values()) == sets
    assert linked["chapters/forward"] == {"ps1_forward"}
    assert linked["chapters/backward"] == {"ps2_backward"}


@pytest.mark.parametrize("quiz", sorted((ROOT / "chapters/quiz").glob("*.json")))
def test_a_quiz_explains_every_wrong_answer(quiz):
    questions = json.loads(quiz.read_text())
    assert len(questions) >= 4
    for question in questions:
        answers = question["answers"]
        assert any(a.get("correct") for a in answers), question["question"]
        for answer in answers:
            if answer.get("correct"):
                assert answer["feedback"].startswith("Right"), answer
            else:  # shown behind "No."
                assert len(answer.get("feedback", "")) > 15, (question, answer)
            assert "$" not in json.dumps(answer), "formulas are not typeset here"


EXERCISES = [
    exercise
    for problem_set in find_sets().values()
    for exercise in vars(problem_set.CHECKS).values()
    if isinstance(exercise, check.Exercise)
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_a_checks_link_leads_to_a_section(exercise):
    page = exercise.page or exercise.section.partition("-")[0]
    assert f'id="sec-{exercise.section}"' in html(f"chapters/{page}")


def test_the_book_holds_no_solution():
    hidden = re.compile(r"### BEGIN (?:SOLUTION|HIDDEN TESTS)\n(.*?)### END", re.S)
    sources = [path.read_text() for path in (ROOT / "solutions").glob("*.md")]
    chapters = [path.read_text() for path in (ROOT / "chapters").glob("*.md")]
    shown = "".join([*chapters, *(hidden.sub("", source) for source in sources)])
    lines = {
        x.strip() for s in sources for x in "".join(hidden.findall(s)).splitlines()
    }
    secrets = {line for line in lines if len(line) > 46 and line not in shown}
    assert len(secrets) > 100
    for page in HTML.rglob("*.ipynb"):
        text = page.read_text(encoding="utf-8")
        assert "BEGIN SOLUTION" not in text
        for secret in secrets:
            assert json.dumps(secret)[1:-1] not in text, f"{page}: {secret}"
    assert not list(HTML.rglob("*solutions*"))
