"""A learner's own norms, collected from the notebooks of earlier sets.

But: it only shows them. What is graded is what stands in the submitted notebook.
"""

import ast
import json
from pathlib import Path

NORMS = {
    "ps1/ps1_forward.ipynb": ("batch_norm_nd", "update_running"),
    "ps2/ps2_backward.ipynb": ("batch_norm_backward_nd",),
    "ps4/ps4_alternatives.ipynb": ("group_norm", "group_norm_backward"),
}
"""What the capstone needs, by the notebook in which it was written."""


def bring(folder: str | Path = "..") -> None:
    """Print the learner's norms, ready to be pasted into a cell.

    Where a function calls others of its notebook, those come with it.

    Parameters
    ----------
    folder : str or Path
        Holds the folders ps1, ps2 and ps4 with the learner's notebooks.

    Raises
    ------
    FileNotFoundError
        If a notebook is not there; the message says which, and what to do.
    ValueError
        If a notebook has no such function, or it is not written yet.
    """
    parts = []
    for name, wanted in NORMS.items():
        path = Path(folder, name)
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is not there; expected your notebook of that set. Say in "
                f"which folder ps1, ps2 and ps4 lie, bring('...'), or paste "
                f"{' and '.join(wanted)} by hand"
            )
        parts += _functions(path, wanted)
    print("\n\n\n".join(dict.fromkeys(parts)))


def _functions(path, wanted):
    """Return the texts of functions, and of those of the notebook that they need."""
    defined = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            defined |= _definitions(text)
    found, todo = {}, list(wanted)
    while todo:
        name = todo.pop()
        if name in found or name not in defined:
            continue
        found[name] = text = defined[name]
        todo += [n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)]
    for name in wanted:
        if name not in found:
            raise ValueError(f"{path} defines no {name}; write it there first")
        if "raise NotImplementedError" in found[name]:
            raise ValueError(f"{name} is still to be written in {path}; do that first")
    return [defined[name] for name in defined if name in found]


def _definitions(text):
    """Return the texts of a cell's functions by name; nothing if it is not Python."""
    try:
        tree = ast.parse(text)
    except SyntaxError:  # a magic, or half an answer
        return {}
    return {
        node.name: ast.get_source_segment(text, node)
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }
