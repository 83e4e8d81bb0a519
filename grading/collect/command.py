"""The command ``python -m grading collect``."""

from pathlib import Path

from rich.console import Console

from grading.collect.students import enter_owner, enter_students
from grading.collect.take import collect
from grading.course import Course
from grading.text import clean


def run(
    course: Course, name: str, source: Path, students: Path | None, console: Console
) -> int:
    """Collect, and say what became of every file; return how many were left out."""

    def say(text: str) -> None:
        console.print(clean(text), soft_wrap=True, markup=False, highlight=False)

    [problem_set] = course.sets([name])
    silent = not console.is_terminal
    with course.gradebook() as gradebook:
        if students:
            count = enter_students(gradebook, students, silent)
            say(f"Students: {count} from {students}.")
        collected = collect(course.root, problem_set, source, silent)
        for owner in collected.owners:
            enter_owner(gradebook, owner)

    here = collected.taken | collected.unchanged
    say(f"{name}: {len(collected.taken)} taken, {len(collected.unchanged)} unchanged.")
    for path, student in collected.older:
        say(f"{student}: {here.get(student, 'a newer file')} counts, not {path}.")
    if collected.replaced:
        say(f"What they had submitted before is in {collected.replaced}.")
    for path, why in collected.rejected:
        say(f"Left out: {path}: {why}")
    return len(collected.rejected)
