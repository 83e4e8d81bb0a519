"""The formula sheet shows the chapters' own equations."""

from pathlib import Path

import pytest

from experiments import formulas

CHAPTERS = Path(__file__).parents[1] / "chapters"


def test_equations_are_found_as_printed():
    known = formulas.equations(*CHAPTERS.glob("*.md"))
    assert known["forward-xhat"] == (
        r"\hat x_{nj} = \frac{x_{nj} - \mu_j}{\sqrt{v_j + \varepsilon}}"
    )
    assert len(known) > 60


def test_a_label_that_is_there_twice(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("$$\nx = 1 .\n$$ (eq:same)\n")
    assert formulas.equations(page) == {"same": "x = 1"}
    with pytest.raises(ValueError, match="two equations have the label eq:same"):
        formulas.equations(page, page)


def test_an_equation_without_a_label_is_not_part_of_the_next(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("$$\nx = 1\n$$\n\nand\n\n$$\ny = 2\n$$ (eq:two)\n")
    assert formulas.equations(page) == {"two": "y = 2"}


def test_equations_side_by_side_stand_in_lines():
    wide = r"a = 1, \qquad b = 2"
    assert formulas.narrow(wide) == (
        "\\begin{gathered}\na = 1, \\\\\nb = 2\n\\end{gathered}"
    )
    for latex in (r"a = 1", r"\boxed{a \qquad b}"):
        assert formulas.narrow(latex) == latex


def test_the_sheet():
    known = formulas.equations(CHAPTERS / "why_normalise.md")
    assert formulas.sheet(known, ("Best", "why-best")).data == (
        "Best, {eq}`eq:why-best`:\n\n$$\n"
        r"\eta^\star = \frac{2}{\lambda_{\max} + \lambda_{\min}}"
        "\n$$"
    )
    with pytest.raises(KeyError):
        formulas.sheet(known, ("None", "of-this-label"))
