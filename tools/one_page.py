"""All pages of the built book as one, for print: in order, links lead within it.

Formulas are typeset already. What unfolds is open, but for code that only draws, which
is left out; a quiz is followed by its answers; a widget is the picture that stands in
the page for readers without scripts.
"""

import json
import re
from pathlib import Path
from posixpath import dirname, join, normpath
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup

STYLE = Path(__file__).with_name("print.css")
# Navigation, what only a screen can do, code that only draws, formulas' second form.
LEFT_OUT = "script, noscript, .headerlink, details.hide, mjx-assistive-mml"
REFERS = ("for", "aria-labelledby", "aria-describedby")


def parts_of(root: Path) -> list[tuple[str, list[str]]]:
    """Return the book's parts: captions, and the pages below each.

    The front page has no caption.
    """
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    found = [("", [toc["root"]])]
    for part in toc["parts"]:
        found.append((part["caption"], [page["file"] for page in part["chapters"]]))
    return found


def one_page(html: Path, parts: list, site: str) -> str:
    """Return the book as one page of HTML, to be stored beside the folder `html`.

    Its table of contents has room for the numbers of printed pages.

    Parameters
    ----------
    html : pathlib.Path
        The built book.
    parts : list
        What of it, as `parts_of` returns it.
    site : str
        Where the book is published, with a slash at the end, or "". Links to files that
        are no pages lead there.
    """
    pages = [page for _, names in parts for page in names]
    styles, sheets, bodies, contents = {}, {}, [], []
    for caption, names in parts:
        for name in names:
            text = (html / f"{name}.html").read_text(encoding="utf-8")
            page = BeautifulSoup(text, "html.parser")
            for link in page.select("link[rel=stylesheet]"):
                sheets[resolved(link["href"], name)[0]] = None
            for style in page.select("head > style"):
                styles[with_files(style.string, name, html.name)] = None
            article = page.select_one("article.bd-article")
            title = plain_title(article.h1)
            for_paper(article, page)
            stay_inside(article, name, pages, html.name, site)
            article.name, article["class"] = "section", "page"
            article["id"] = anchor(name)
            if caption:
                demote(article)
            if caption and name == names[0]:
                contents.append(f'<li class="part">{caption}</li>')
                heading = page.new_tag("h1", attrs={"class": "part"})
                heading.string = caption
                article.insert(0, heading)
            link = f'<a href="#{anchor(name)}">{title}</a>'
            contents.append(f"<li>{link} <span></span></li>")
            bodies.append(str(article))
    front, *rest = bodies
    links = "\n".join(f'<link rel="stylesheet" href="{html.name}/{s}">' for s in sheets)
    return f"""<!DOCTYPE html>
<html lang="en-GB" data-theme="light" data-mode="light">
<head>
<meta charset="utf-8">
<title>Batch normalisation</title>
{links}
<style>{"".join(styles)}</style>
<style>{STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
{front}
<nav class="page"><h1>Contents</h1>
<ul>
{chr(10).join(contents[1:])}
</ul></nav>
{chr(10).join(rest)}
</body>
</html>
"""


def anchor(name: str, fragment: str = "") -> str:
    """Return the id of a page's place: two pages may have the same ids."""
    page = name.replace("/", "-")
    return f"{page}--{fragment}" if fragment else page


def resolved(link: str, name: str) -> tuple[str, str]:
    """Return the file, as seen from the book's root, and the fragment of a link."""
    split = urlsplit(link)
    way = unquote(split.path)
    file = normpath(join(dirname(name), way)) if way else f"{name}.html"
    return file, unquote(split.fragment)


def with_files(style: str, name: str, folder: str) -> str:
    """Return a page's style with its files as seen from beside the folder."""
    return re.sub(
        r'url\("?([^")]+)"?\)',
        lambda found: f'url("{folder}/{resolved(found[1], name)[0]}")',
        style,
    )


def plain_title(heading) -> str:
    """Return a heading as text, without its link to itself."""
    return "".join(
        str(part) for part in heading.strings if part.parent.name != "a"
    ).strip()


def for_paper(article, page) -> None:
    """Leave out what paper cannot do, and open what unfolds."""
    for element in article.select(LEFT_OUT):
        element.decompose()
    for details in article.select("details"):
        details["open"] = ""
    for image in article.select("img[loading]"):
        del image["loading"]
    for formula in article.select("[data-speech] > mjx-container"):
        formula["role"], formula["aria-label"] = "img", formula.parent["data-speech"]
        formula.append("\u2060")  # Chromium drops what it thinks empty: a letter
    for quiz in article.select("ol.quiz"):
        answer(quiz, page)


def answer(quiz, page) -> None:
    """Make a quiz's buttons a list of choices; the answers follow the last question."""
    answers = page.new_tag("ol", attrs={"class": "answers"})
    for question in quiz.find_all("li", recursive=False):
        question.select_one("[role=status]").decompose()
        right = []
        if form := question.form:
            for choice in json.loads(form["data-answers"]):
                if choice.get("correct"):
                    numbers = choice.get("range") or [choice["value"]]
                    value = " to ".join(f"{number:g}" for number in numbers)
                    right.append(f"{value}. {choice['feedback']}")
            form.decompose()
        for n, button in enumerate(question.select("button")):
            if button["data-correct"] == "true":
                right.append(f"{chr(97 + n)}. {button['data-feedback']}")
            button.name, button.attrs = "li", {}
        if choices := question.select_one("[role=group]"):
            choices.name, choices.attrs = "ol", {"type": "a"}
        said = BeautifulSoup(f"<li>{' '.join(right)}</li>", "html.parser")
        answers.append(said)
    heading = page.new_tag("p", attrs={"class": "rubric"})
    heading.string = "Answers"
    quiz.insert_after(heading, answers)


def stay_inside(article, name: str, pages: list, folder: str, site: str) -> None:
    """Let links lead to places of the one page, and find files beside it."""
    for element in article.find_all(id=True):
        element["id"] = anchor(name, element["id"])
    for kind in REFERS:
        for element in article.find_all(attrs={kind: True}):
            element[kind] = " ".join(anchor(name, one) for one in element[kind].split())
    for image in article.find_all(src=True):
        if not urlsplit(image["src"]).scheme:
            image["src"] = f"{folder}/{resolved(image['src'], name)[0]}"
    for link in article.find_all("a", href=True):
        if urlsplit(link["href"]).scheme:
            continue
        file, fragment = resolved(link["href"], name)
        if file.removesuffix(".html") in pages:
            link["href"] = f"#{anchor(file.removesuffix('.html'), fragment)}"
        elif site:
            link["href"] = f"{site}{file}"
        else:
            link.unwrap()


def demote(article) -> None:
    """Make room for parts above chapters."""
    for level in range(5, 0, -1):
        for heading in article.find_all(f"h{level}"):
            heading.name = f"h{level + 1}"
