"""Where the book is that explains what a check says."""

from functools import cache
from importlib.metadata import PackageNotFoundError, metadata


@cache
def book_address() -> str:
    """Return the address at which the book is published, with a slash at the end.

    It is the URL "Book" in the table ``[project.urls]`` of ``pyproject.toml``; where
    there is none, the result is empty.
    """
    try:
        urls = metadata("bnlib").get_all("Project-URL") or []
    except PackageNotFoundError:  # bnlib runs from its source
        return ""
    for url in urls:
        label, _, address = url.partition(",")
        if label.lower() == "book":
            return address.strip().rstrip("/") + "/"
    return ""
