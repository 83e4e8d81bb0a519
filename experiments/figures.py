"""Colours, bands, and numbers for the text."""

import matplotlib.pyplot as plt
import numpy as np
from myst_nb import glue

BLUE, RED, GREEN, PINK, ORANGE, SKY, BLACK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)  # Okabe and Ito's, told apart with any colour vision


def band(ax: plt.Axes, x, runs, *, color: str, label: str | None = None, **line):
    """Draw the median of several runs, and the range from the least to the greatest.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    x : array-like of shape (T,)
        Where the values belong.
    runs : array-like of shape (seeds, T)
        One row for each seed.
    color, label, **line
        For the median's line.
    """
    runs = np.asarray(runs)
    ax.plot(x, np.median(runs, axis=0), color=color, label=label, **line)
    ax.fill_between(
        x, runs.min(axis=0), runs.max(axis=0), color=color, alpha=0.18, lw=0
    )


class Notes:
    """Numbers for a chapter's text, under names that begin with the chapter's.

    Parameters
    ----------
    prefix : str
        Such as "forward": ``Notes("forward")("rate", 0.1)`` is
        ``{glue:text}`forward-rate``` in the text.
    """

    def __init__(self, prefix: str):
        self._prefix = prefix

    def __call__(self, name: str, value: float) -> None:
        """Make a number available; the text chooses its format."""
        glue(f"{self._prefix}-{name}", float(value), display=False)

    def spread(self, name: str, values, form: str = ".2f") -> None:
        """Make the median over seeds available, with the range: "0.93 (0.90–0.95)"."""
        low, middle, high = (
            format(f(values), form) for f in (np.min, np.median, np.max)
        )
        glue(f"{self._prefix}-{name}", f"{middle} ({low}–{high})", display=False)
