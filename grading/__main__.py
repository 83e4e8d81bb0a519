"""The command line: ``python -m grading``, in the course's folder."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from grading import CourseError

app = typer.Typer(
    help="Build, release and grade the problem sets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Sets = Annotated[list[str] | None, typer.Argument(help="Such as ps1; default: all.")]
Students = Annotated[
    list[str] | None, typer.Option(help="Only this student; can be repeated.")
]
Engine = Literal["local", "dask"]
Sandbox = Literal["auto", "bubblewrap", "sandlock"]
console = Console()


@app.command()
def exercises(sets: Sets = None) -> None:
    """Write the learners' notebooks into exercises/."""
    course = _open_course()
    for problem_set in course.sets(sets or ()):
        path = course.release(problem_set)
        typer.echo(f"{problem_set.name}: {path.relative_to(course.folder)}")


@app.command()
def check(
    notebook: Annotated[
        Path, typer.Argument(help="Such as work/ps1/ps1_forward.ipynb.")
    ],
) -> None:
    """Run the checks of a learner's notebook and show the progress.

    Exit status: 0 all pass, 1 could not run, 3 some do not pass yet.
    """
    from grading.check import check

    _finish(check(notebook, console))


@app.command()
def sample(sets: Sets = None) -> None:
    """Grade the sample class and write its feedback."""
    course = _open_course()
    from grading.engine import commands, engines
    from grading.isolation.sandbox import choose
    from grading.sample_class import read_class

    chosen = course.sets(sets or ())
    names = {problem_set.name for problem_set in chosen}
    everyone = read_class(Path("tests/sample_class"))
    submissions = [s for s in everyone if s.set_name in names]
    if not submissions:
        raise CourseError("no submissions in tests/sample_class")
    sandbox = "auto"  # as in `grade`, which then finds nothing left to do
    try:
        choose(sandbox)
    except CourseError as error:
        typer.echo(f"{error}. The sample class is ours, so it is graded without.")
        sandbox = "none"

    course.receive(chosen, submissions)
    status = 0
    for problem_set in chosen:
        students = [s.student for s in submissions if s.set_name == problem_set.name]
        if not students:
            continue
        run = engines.choose("local", None, None)
        options = {"again": False, "sandbox": sandbox, "run": run, "patience": 60}
        options |= {"wanted": students, "console": console}
        status = max(status, commands.grade(course, problem_set, **options))
        if status < commands.INTERRUPTED:
            written = commands.feedback(course, problem_set, students, console)
            status = max(status, written)
    raise typer.Exit(status)


@app.command()
def table() -> None:
    """Print the grades."""
    course = _open_course()
    from grading.table import read_grades

    url = course.app.coursedir.db_url
    grades = read_grades(course.root, "" if url.startswith("sqlite") else url)
    names = sorted({n for sets in grades.values() for n in sets}, key=_numerically)
    view = Table("Student", title="Grades", title_justify="left")
    for name in names:
        most = max(s[name].max_points for s in grades.values() if name in s)
        view.add_column(f"{name} / {most:g}", justify="right")
    view.add_column("Remarks")
    for student, sets in sorted(grades.items()):
        points = [f"{sets[n].points:g}" if n in sets else "–" for n in names]
        remarks = [
            f"{n} {sets[n].status}" for n in names if n in sets and sets[n].status
        ]
        view.add_row(student, *points, ", ".join(remarks))
    console.print(view)


@app.command()
def grade(
    name: Annotated[str, typer.Argument(metavar="SET", help="Such as ps1.")],
    student: Students = None,
    again: Annotated[
        bool, typer.Option("--again", help="Grade also what has not changed.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default: one for each core.")
    ] = None,
    engine: Annotated[Engine, typer.Option(help="What runs the processes.")] = "local",
    scheduler: Annotated[
        str | None, typer.Option(help="With dask: the address of a running scheduler.")
    ] = None,
    sandbox: Annotated[
        Sandbox, typer.Option(help="What student code is locked up in.")
    ] = "auto",
    unsafe: Annotated[
        bool,
        typer.Option("--unsafe-no-sandbox", help="Only for code that you trust."),
    ] = False,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for a gradebook in use.")
    ] = 60,
) -> None:
    """Grade what was handed in; what is graded already stays.

    Exit status: 0 all graded, 1 could not run, 3 some could not be graded.
    """
    from grading.engine import local

    if engine == "local":
        local.warm()  # meanwhile nbgrader is imported here
    course = _open_course()
    from grading.engine import commands, engines

    if unsafe:
        typer.echo("No sandbox: student code can read and change all that you can.")
    raise typer.Exit(
        commands.grade(
            course,
            *course.sets([name]),
            wanted=student or [],
            again=again,
            sandbox="none" if unsafe else sandbox,
            run=engines.choose(engine, workers, scheduler),
            patience=patience,
            console=console,
        )
    )


@app.command()
def feedback(
    name: Annotated[str, typer.Argument(metavar="SET", help="Such as ps1.")],
    student: Students = None,
) -> None:
    """Write the students' feedback pages that are out of date."""
    course = _open_course()
    from grading.engine import commands

    raise typer.Exit(
        commands.feedback(course, *course.sets([name]), student or [], console)
    )


@app.command()
def collect(
    set_name: Annotated[str, typer.Argument(metavar="SET", help="Such as ps1.")],
    uploads: Annotated[Path, typer.Argument(help="A folder, or a zip file of one.")],
    students: Annotated[
        Path | None,
        typer.Option(help="CSV: id,first_name,last_name,email for the gradebook."),
    ] = None,
) -> None:
    """Take a folder of uploads into submitted/.

    A file is <student>/x.ipynb or <student>_x.ipynb, or as Moodle and Canvas name it;
    the newest of a student's counts. Exit status 3: something was left out.
    """
    course = _open_course()
    from grading.collect.command import run

    _finish(run(course, set_name, uploads, students, console))


@app.command()
def report(
    set_name: Annotated[str, typer.Argument(metavar="SET", help="Such as ps1.")],
) -> None:
    """Show how the class did: tables here, and a page in _build/nbgrader/reports.

    Exit status 3: some submissions have no grade.
    """
    course = _open_course()
    from grading.report.command import run

    _finish(run(course, set_name, console))


class Format(StrEnum):
    """Who is to read an export."""

    csv = "csv"
    canvas = "canvas"
    moodle = "moodle"


@app.command()
def export(
    sets: Sets = None,
    format: Annotated[
        Format, typer.Option(help="csv is for spreadsheets.")
    ] = Format.csv,
    output: Annotated[
        Path | None,
        typer.Option(help="Default: _build/nbgrader/reports/grades-<format>.csv."),
    ] = None,
) -> None:
    """Write the grades as CSV.

    Exit status 3: some submissions have no grade; their cells are empty.
    """
    course = _open_course()
    from grading.export import run

    _finish(run(course, sets or [], format.value, output))


def _finish(left_out: int) -> None:
    if left_out:
        raise typer.Exit(3)


def _numerically(set_name: str) -> tuple[int, str]:
    return len(set_name), set_name


def _open_course():
    """Import nbgrader only now: it takes seconds, which --help saves."""
    from grading.course import Course

    if not Path("nbgrader_config.py").exists():
        raise CourseError("no nbgrader_config.py here: run this in the course's folder")
    return Course(Path.cwd())


def main() -> None:
    """Run the command line; a mistake of the user is one line and exit status 1."""
    try:
        app(prog_name="python -m grading")
    except CourseError as error:
        reason = str(error)
    except ModuleNotFoundError as error:
        reason = f"{error.name} is not installed; see README.md"
    else:
        return
    typer.echo(f"Error: {reason}", err=True)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
