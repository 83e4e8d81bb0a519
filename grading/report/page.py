"""The report as one page: a file that asks nothing of any other place."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from grading.report import figures
from grading.report.statistics import OUTCOMES, ClassSummary
from grading.text import clean, points


def write_page(root: Path, summary: ClassSummary) -> Path:
    """Write ``reports/<assignment>.html`` in the course at `root`; return its path."""
    environment = Environment(
        loader=PackageLoader("grading.report", "."),
        autoescape=True,  # names, messages and reasons are the students' text
        finalize=lambda value: clean(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["points"] = points
    environment.filters["percent"] = lambda share: f"{share:.0%}"
    html = environment.get_template("page.html").render(
        summary=summary,
        used=[o for o in OUTCOMES if any(e.outcomes[o] for e in summary.exercises)],
        totals=figures.totals(summary) if summary.totals else None,
        outcomes=figures.outcomes(summary.exercises) if summary.exercises else None,
    )
    path = root / "reports" / f"{summary.assignment}.html"
    path.parent.mkdir(exist_ok=True)
    path.write_text(html, encoding="utf-8")
    return path
