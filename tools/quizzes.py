"""Quizzes as plain HTML: by mouse, finger or keyboard, read aloud, in any theme.

A chapter shows its quiz with jupyterquiz, which works wherever its notebook runs. In
the book the same questions are buttons and inputs that ``scripts/quiz.js`` answers.
"""

import json
import random
import re
from html import escape
from itertools import count

SHOWN_BY_JUPYTERQUIZ = re.compile(
    r'<div class="output text_html"><div id="(\w+)" data-shufflequestions.*?</div>\s*'
    r"<script[^>]*>\s*var questions\1\s*=\s*(\[.*?\n\])\s*;.*?</script>",
    re.S,
)


def as_html(text: str) -> str:
    """Return a quiz's text with its `code` marked up."""
    return re.sub(r"`(.+?)`", r"<code>\1</code>", escape(text))


def choices(question: dict, label: str) -> str:
    """Return the answers to choose from, each a button, in an order of their own."""
    answers = question["answers"][:]
    random.Random(question["question"]).shuffle(answers)
    buttons = "\n".join(
        f'<button type="button" data-correct="{json.dumps(answer["correct"])}" '
        f'data-feedback="{escape(as_html(answer["feedback"]))}">'
        f"{as_html(answer['answer'])}</button>"
        for answer in answers
    )
    return f'<div role="group" aria-labelledby="{label}">\n{buttons}\n</div>'


def number(question: dict, label: str) -> str:
    """Return a field for a number, which knows what to say about which."""
    answers = [
        {**answer, "feedback": as_html(answer["feedback"])}
        for answer in question["answers"]
    ]
    return (
        f'<form data-answers="{escape(json.dumps(answers))}" '
        f'data-precision="{question.get("precision", 15)}">'
        f'<input type="text" inputmode="decimal" autocomplete="off" '
        f'aria-labelledby="{label}"> <button>Check</button></form>'
    )


def without_jupyterquiz(body: str) -> str:
    """Return a page's body with its quizzes as plain HTML."""
    labels = (f"question-{n}" for n in count(1))

    def quiz(shown: re.Match) -> str:
        items = []
        for question, label in zip(json.loads(shown[2]), labels, strict=False):
            ask = number if question["type"] == "numeric" else choices
            items.append(
                f'<li><p id="{label}">{as_html(question["question"])}</p>\n'
                f'{ask(question, label)}\n<p role="status"></p></li>'
            )
        return '<ol class="quiz">\n' + "\n".join(items) + "\n</ol>"

    return SHOWN_BY_JUPYTERQUIZ.sub(quiz, body)
