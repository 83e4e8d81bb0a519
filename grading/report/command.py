"""The command ``python -m grading report``."""

from rich.console import Console

from grading.course import Course
from grading.report.page import write_page
from grading.report.results import read_results
from grading.report.statistics import summarise
from grading.report.terminal import print_report


def run(course: Course, name: str, console: Console) -> int:
    """Print a report and write its page; return how many submissions have no grade."""
    [problem_set] = course.sets([name])
    with course.gradebook() as gradebook:
        summary = summarise(
            name, read_results(course.root, problem_set.name, gradebook)
        )
    print_report(console, summary)
    path = write_page(course.root, summary)
    console.print(f"The whole report: {path}", soft_wrap=True, highlight=False)
    return len(summary.not_graded)
