"""The formulas of the chapters, as printed there, for the sheet that collects them."""

import re
from pathlib import Path

from IPython.display import Markdown

EQUATION = re.compile(
    r"^\$\$\n((?:(?!\$\$).)*)\n\$\$ \(eq:([\w-]+)\)$", re.MULTILINE | re.DOTALL
)


def equations(*pages: str | Path) -> dict[str, str]:
    """Return the LaTeX of every labelled equation of some pages, by its label.

    Raises
    ------
    ValueError
        If a label is there twice.
    """
    found: dict[str, str] = {}
    for page in pages:
        for latex, label in EQUATION.findall(Path(page).read_text(encoding="utf-8")):
            if label in found:
                raise ValueError(f"two equations have the label eq:{label}")
            found[label] = latex.rstrip(" .,:")
    return found


def sheet(known: dict[str, str], *rows: tuple[str, str]) -> Markdown:
    """Return equations of the chapters, each below a line that says what it is.

    Parameters
    ----------
    known : dict of str to str
        The equations.
    *rows : tuple of str
        What an equation says, and its label without "eq:".

    Raises
    ------
    KeyError
        If there is no equation of this label.
    """
    parts = [
        f"{what}, {{eq}}`eq:{label}`:\n\n$$\n{narrow(known[label])}\n$$"
        for what, label in rows
    ]
    return Markdown("\n\n".join(parts))


def narrow(latex: str) -> str:
    """Return LaTeX in which equations that stand side by side stand in lines."""
    if r"\qquad" not in latex or r"\begin" in latex or r"\boxed" in latex:
        return latex
    lines = [part.strip() for part in latex.split(r"\qquad")]
    return "\\begin{gathered}\n" + " \\\\\n".join(lines) + "\n\\end{gathered}"
