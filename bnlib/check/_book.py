"""Where the course is published: its book, which explains what a check says."""

from functools import cache
from importlib.metadata import PackageNotFoundError, metadata


@cache
def project_url(label: str) -> str:
    """Return an address of the table ``[project.urls]`` of ``pyproject.toml``.

    Parameters
    ----------
    label : str
        In lower case: "book", "repository".

    Returns
    -------
    str
        Without a slash at the end; empty where there is no such address.
    """
    try:
        urls = metadata("bnlib").get_all("Project-URL") or []
    except PackageNotFoundError:  # bnlib runs from its source
        return ""
    for url in urls:
        found, _, address = url.partition(",")
        if found.lower() == label:
            return address.strip().rstrip("/")
    return ""


def book_address() -> str:
    """Return the address at which the book is published, with a slash at the end.

    It is the URL "Book"; where there is none, the result is empty.
    """
    address = project_url("book")
    return f"{address}/" if address else ""
