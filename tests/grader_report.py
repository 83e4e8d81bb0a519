"""Measure the checks: ``python tests/grader_report.py [--sandbox] [ps1 ...]``.

Every wrong and right version of `versions` goes through the check of its exercise, as
learners see it and with hidden seeds: are all wrong ones rejected, and are their
messages about what is wrong with them? Are all right ones accepted? With ``--sandbox``
each is pasted into the notebook of its set, among model solutions, and graded like a
submission.

Exit status 1 if a target is missed.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import nbformat
import typer
import versions
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from versions import Right, Wrong

from bnlib.check import hidden_seeds

SOLUTIONS = Path(__file__).parents[1] / "solutions"
NAMED = 0.95  # of the listed wrong versions, at least
RIGHT = 30  # right versions, at least


@dataclass(frozen=True)
class Verdict:
    """What became of a version; the message is empty if it was accepted."""

    problem_set: str
    version: Wrong | Right
    message: str

    @property
    def is_wrong(self) -> bool:
        """Whether the version is a wrong one."""
        return isinstance(self.version, Wrong)

    @property
    def is_named(self) -> bool:
        """Whether a wrong version was rejected for what is wrong with it."""
        return bool(self.message) and self.version.is_named_by(self.message)

    @property
    def is_as_it_should_be(self) -> bool:
        """Whether a wrong version was named, or a right one accepted."""
        return self.is_named if self.is_wrong else not self.message


def judge_here(sets: dict) -> Iterator[Verdict]:
    """Check every version in this process."""
    for name, problem_set in sets.items():
        for version in (*problem_set.WRONG, *problem_set.RIGHT):
            exercise = getattr(problem_set.CHECKS, version.exercise)
            message = ""
            for seed in (0, *hidden_seeds(version.exercise)):
                function = versions.answer(version.source, exercise.name)
                message = message or versions.message(exercise, function, seed=seed)
            yield Verdict(name, version, message)


def judge_in_sandbox(sets: dict) -> Iterator[Verdict]:
    """Grade every version as a submission, in the sandbox."""
    from grading.engine.local import run
    from grading.job import grade
    from grading.records import GRADED

    known = {
        f"{name}-{k}": (name, version)
        for name, problem_set in sets.items()
        for k, version in enumerate((*problem_set.WRONG, *problem_set.RIGHT))
    }
    jobs = (make_job(student, *found) for student, found in known.items())
    for record in run(jobs, grade, os.cpu_count() or 1):
        fine = ("passed", "by hand")
        failed = [cell for cell in record.cells if cell.outcome not in fine]
        message = record.reason if record.status != GRADED else ""
        if failed:
            message = failed[0].message or failed[0].outcome
        yield Verdict(*known[record.student], message)


def make_job(student: str, name: str, version: Wrong | Right) -> dict:
    """Return the job of grading a version; of the set's tests only its exercise's."""
    from grading.job import text_job
    from grading.notebooks import build, find_sets, grade_id, is_graded, is_hole

    notebook = build(find_sets(SOLUTIONS)[name].source)
    test = f"test_{version.exercise}"
    notebook.cells = [
        cell
        for cell in notebook.cells
        if is_hole(cell)
        or not is_graded(cell)
        or f"{grade_id(cell)}_".startswith(f"{test}_")
    ]
    if "import torch" in version.source:
        notebook.metadata["packages"] = ["numpy", "torch"]
    release = nbformat.writes(notebook)
    [hole] = [cell for cell in notebook.cells if grade_id(cell) == version.exercise]
    hole.source = version.source
    return text_job(release, nbformat.writes(notebook), student=student)


def report(verdicts: Iterable[Verdict], console: Console) -> bool:
    """Print a table, each miss and the totals; return whether all targets are met."""
    verdicts = list(verdicts)
    rows: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        exercise = f"{verdict.problem_set} {verdict.version.exercise}"
        rows.setdefault(exercise, []).append(verdict)

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("exercise", no_wrap=True)
    for name in ("wrong", "rejected", "named", "listed", "named", "right", "accepted"):
        table.add_column(name, justify="right")
    for exercise, some in sorted(rows.items()):
        table.add_row(exercise, *map(str, count(some)))
    table.add_section()
    table.add_row("all", *map(str, count(verdicts)))
    console.print(table, "")

    for verdict in verdicts:
        if not verdict.is_as_it_should_be:
            console.print(miss(verdict))
    wrong, rejected, _, listed, listed_named, right, accepted = count(verdicts)
    share = listed_named / listed if listed else 1.0
    targets = {
        f"Wrong versions rejected: {rejected} of {wrong}, all": rejected == wrong,
        f"Listed ones named rightly: {share:.1%}, at least {NAMED:.0%}": share >= NAMED,
        f"Right versions accepted: {accepted} of {right}, all": accepted == right,
        f"Right versions tried: {right}, at least {RIGHT}": right >= RIGHT,
    }
    for text, met in targets.items():
        console.print(f"{'[green]✓' if met else '[red]✗'} {text}[/]", highlight=False)
    return all(targets.values())


def count(verdicts: list[Verdict]) -> tuple[int, ...]:
    """Count wrong ones, rejected, named; of these listed, named; right, accepted."""
    wrong = [v for v in verdicts if v.is_wrong]
    right = [v for v in verdicts if not v.is_wrong]
    listed = [v for v in wrong if v.version.listed]
    return (
        len(wrong),
        sum(bool(v.message) for v in wrong),
        sum(v.is_named for v in wrong),
        len(listed),
        sum(v.is_named for v in listed),
        len(right),
        sum(not v.message for v in right),
    )


def miss(verdict: Verdict) -> str:
    """Return what is said of a version that was not judged as it should be."""
    version, said = verdict.version, " ".join(verdict.message.split())
    what = (
        f"expected: {' … '.join(version.says)}" if verdict.is_wrong else version.style
    )
    where = f"{verdict.problem_set} {version.exercise}"
    return escape(f"{where}, {what}\n  got: {said or 'accepted'}{version.source}")


def main(
    sets: Annotated[list[str] | None, typer.Argument(help="Such as ps1.")] = None,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Grade them.")] = False,
) -> None:
    """Measure what the checks make of wrong and right versions."""
    known = versions.find_sets()
    if unknown := set(sets or ()) - known.keys():
        raise typer.BadParameter(f"no versions of {', '.join(sorted(unknown))}")
    chosen = {name: known[name] for name in sets or known}
    total = sum(len(s.WRONG) + len(s.RIGHT) for s in chosen.values())
    console = Console()
    verdicts = track(
        (judge_in_sandbox if sandbox else judge_here)(chosen),
        "Grading" if sandbox else "Checking",
        total,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    if not report(verdicts, console):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
