"""Links from feedback to the book."""

import html
import re

from nbconvert.filters import ansi2html

from bnlib.check import book_address

SECTION = r"chapters/\w+\.html#sec-[\w-]+"


def with_links(text: str) -> str:
    """Return what a cell wrote as HTML, in which sections of the book are links.

    But: no other addresses, for the text may be a student's.
    """
    page, address = ansi2html(text), html.escape(book_address())
    if not address:
        return page
    return re.sub(re.escape(address) + SECTION, r'<a href="\g<0>">\g<0></a>', page)
