"""The report's figures as inline SVG, in the colours of the page around them."""

import io
import re

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from grading.report.statistics import OUTCOMES, ClassSummary, Exercise

STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud and scales
    "font.family": "sans-serif",
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
# Matplotlib knows no CSS: each of these colours becomes a variable of the page.
INK = "#010101"
COLOURS = {outcome: f"#0202{k:02x}" for k, outcome in enumerate(OUTCOMES, 1)}
WIDTH = 5.2  # inches: about a phone's width, so that text is not scaled down


def totals(summary: ClassSummary) -> Markup:
    """Draw how the totals are distributed."""
    most = max(summary.max_points, *summary.totals)
    edges = np.linspace(0, most, min(int(np.ceil(most)), 20) + 1)
    counts, _ = np.histogram(summary.totals, edges)
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": "totals"}):
        figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
        axes = figure.subplots()
        colour = COLOURS["passed"]
        axes.bar(edges[:-1], counts, np.diff(edges) * 0.9, align="edge", color=colour)
        axes.set_xlim(0, most)
        axes.set_xlabel(f"points, of {summary.max_points:g}")
        axes.set_ylabel("students")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        label = f"Histogram of {len(summary.totals)} totals; mean {summary.mean:.3g}"
        return _svg(figure, label)


def outcomes(exercises: list[Exercise]) -> Markup:
    """Draw how many students passed each exercise, and how the others did not."""
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": "outcomes"}):
        height = 0.9 + 0.34 * len(exercises)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots()
        left = np.zeros(len(exercises))
        names = [exercise.name.removeprefix("test_") for exercise in exercises]
        for outcome, colour in COLOURS.items():
            counts = np.array([exercise.outcomes[outcome] for exercise in exercises])
            if counts.any():
                axes.barh(names, counts, 0.7, left, color=colour)
                left += counts
        axes.invert_yaxis()
        axes.set_xlabel("students")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        passed = ", ".join(
            f"{name} {e.outcomes['passed']}"
            for name, e in zip(names, exercises, strict=True)
        )
        return _svg(figure, f"Bars: how each exercise went. Passed: {passed}")


def _svg(figure: Figure, label: str) -> Markup:
    """Return the figure as an element of a page, with `label` for who cannot see it."""
    for axes in figure.axes:
        axes.tick_params(color=INK, labelcolor=INK)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        for spine in axes.spines.values():
            spine.set_color(INK)
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # the same in every figure
    svg = re.sub(r' (?:width|height)="[^"]*pt"', "", svg, count=2)
    svg = svg.replace(INK, "currentColor")
    for outcome, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{outcome.replace(' ', '-')})")
    label = f'<svg role="img" aria-label="{escape(label)}" '
    return Markup(svg.replace("<svg ", label, 1))
