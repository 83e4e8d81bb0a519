"""The class in numbers: each exercise, and the commonest misconceptions."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from statistics import fmean, median

from grading.records import GRADED, NOT_GRADED
from grading.report.messages import kind, sentence
from grading.report.results import Result, max_points
from grading.text import clean

OUTCOMES = ("passed", "partly", "failed", "timed out", "crashed", "by hand")
SLOWEST = 5
UNANSWERED = "still to be written."  # what a check says of a hole


@dataclass
class Misconception:
    """What several students got wrong in the same way, in a check's own words."""

    text: str
    students: list[str]


@dataclass
class Exercise:
    """How the class did in one exercise.

    ``mean`` and ``full``, the share of full marks, are of those who have points: None
    and 0 while a person has yet to grade it. ``stopped`` is the share of checks that
    timed out or crashed.
    """

    name: str
    max_points: float
    mean: float | None
    full: float
    stopped: float
    outcomes: dict[str, int]
    misconceptions: list[Misconception]


@dataclass
class ClassSummary:
    """All that a report says about a class."""

    assignment: str
    results: list[Result]
    exercises: list[Exercise]
    max_points: float

    @property
    def totals(self) -> list[float]:
        """The totals of those who were graded."""
        return [r.total for r in self.results if r.total is not None]

    @property
    def mean(self) -> float | None:
        """The mean total."""
        return fmean(self.totals) if self.totals else None

    @property
    def median(self) -> float | None:
        """The median total."""
        return median(self.totals) if self.totals else None

    @property
    def submissions(self) -> list[Result]:
        """Those who handed something in."""
        return [r for r in self.results if r.record.status in (GRADED, NOT_GRADED)]

    @property
    def not_graded(self) -> list[Result]:
        """Those whose submission could not be graded."""
        return [r for r in self.results if r.record.status == NOT_GRADED]

    @property
    def unsafe(self) -> list[Result]:
        """Those whose code ran without a sandbox."""
        return [r for r in self.results if "unsafe" in r.record.sandbox]

    @property
    def slowest(self) -> list[Result]:
        """Those whose grading took longest."""
        ordered = sorted(self.submissions, key=lambda r: -r.record.seconds)
        return ordered[:SLOWEST]


def summarise(assignment: str, results: list[Result]) -> ClassSummary:
    """Sum up the results of a class."""
    limits = max_points(results)
    exercises = [_exercise(name, most, results) for name, most in limits.items()]
    return ClassSummary(assignment, results, exercises, sum(limits.values()))


def _exercise(name: str, most: float, results: list[Result]) -> Exercise:
    points, outcomes = [], Counter()
    said: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for result in results:
        for cell in result.record.cells:
            if cell.grade_id != name:
                continue
            points.append(result.points[name])
            outcomes[cell.outcome] += 1
            if cell.outcome not in ("passed", "by hand"):
                text = sentence(cell.message) or f"No message: {cell.outcome}."
                if not text.endswith(UNANSWERED):
                    said[kind(text)].append((text, result.student))
    given = [p for p in points if p is not None]
    return Exercise(
        name=name,
        max_points=most,
        mean=fmean(given) if given else None,
        full=fmean(p >= most for p in given) if given else 0.0,
        stopped=(outcomes["timed out"] + outcomes["crashed"]) / len(points),
        outcomes={outcome: outcomes[outcome] for outcome in OUTCOMES},
        misconceptions=_misconceptions(said),
    )


def _misconceptions(said: dict[str, list[tuple[str, str]]]) -> list[Misconception]:
    """Return the kinds of message, commonest first, each in its commonest words."""
    groups = [
        Misconception(
            Counter(text for text, _ in pairs).most_common(1)[0][0],
            [clean(student) for _, student in pairs],
        )
        for pairs in said.values()
    ]
    return sorted(groups, key=lambda group: (-len(group.students), group.text))
