"""The few of Font Awesome's icons that the pages show, from the theme's own font.

The theme comes with all of them, as a font, as two thousand rules of its style sheet,
and once more as a script that draws them: two thirds of what a page would load.
"""

import re

from fontTools import subset

THEME = "_static/styles/pydata-sphinx-theme.css"
FONT = "_static/vendor/fontawesome/webfonts/fa-solid-900.woff2"
RULE = re.compile(r'([^{}]*):before\{content:"\\([0-9a-f]+)"\}')
NAME = re.compile(r"\bfa-[a-z0-9-]+")


def keep_used(html):
    """Drop the icons that no page of a built book shows."""
    pages = [page.read_text(encoding="utf-8") for page in html.rglob("*.html")]
    used = {name for page in pages for name in NAME.findall(page)}
    theme = (html / THEME).read_text(encoding="utf-8")
    # The theme's own rules name some icons as characters, of the private use area.
    codes = {ord(letter) for letter in theme if "\ue000" <= letter <= "\uf8ff"}
    codes |= {
        int(code, 16) for code in re.findall(r"\\([ef][0-9a-f]{3})\b", rest(theme))
    }

    def kept(rule):
        if used.isdisjoint(NAME.findall(rule[1])):
            return ""
        codes.add(int(rule[2], 16))
        return rule[0]

    (html / THEME).write_text(RULE.sub(kept, theme), encoding="utf-8")
    shrink(html / FONT, codes)


def rest(theme):
    """Return the theme's style sheet without the rules that define icons."""
    return RULE.sub("", theme)


def shrink(font, codes):
    """Leave in a font only the characters with these codes."""
    options = subset.Options(flavor="woff2")
    loaded = subset.load_font(font, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=codes)
    subsetter.subset(loaded)
    subset.save_font(loaded, font, options)
