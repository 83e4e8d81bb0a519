"""A formula as one line of text, for whom a picture of it says nothing."""

HATS = {"^": "\u0302", "~": "\u0303", "¯": "\u0304", "―": "\u0304"}  # drawn above


def in_line(node) -> str:
    """Return MathML as text: (a)/(b), a_b, a^b, √(a).

    Parameters
    ----------
    node : bs4.Tag
        An element of MathML.
    """
    if node.name in ("mi", "mn", "mo", "mtext", "ms"):
        return node.get_text().replace("\u2061", "")  # "function application" is unseen
    parts = [in_line(child) for child in node.find_all(True, recursive=False)]
    match node.name, parts:
        case "mfrac", [above, below]:
            return f"{whole(above)}/{whole(below)}"
        case "msqrt", _:
            return f"√({''.join(parts)})"
        case "msub" | "munder", [base, below]:
            return f"{base}_{whole(below)}"
        case "mover", [base, above] if above in HATS:
            return base + HATS[above]
        case "msup" | "mover", [base, above]:
            return f"{base}^{whole(above)}"
        case "msubsup" | "munderover", [base, below, above]:
            return f"{base}_{whole(below)}^{whole(above)}"
        case "mtable", _:
            return "; ".join(parts)
        case "mtr" | "mlabeledtr", _:
            return " ".join(parts)
    return "".join(parts)


def whole(text: str) -> str:
    """Return what is longer than a letter in brackets."""
    return text if len(text) == 1 or text.isalnum() else f"({text})"
