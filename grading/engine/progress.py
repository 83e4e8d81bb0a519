"""Tell the instructor how far a run is: a bar, or now and then a line in a log."""

from time import monotonic

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

SHORT, LONG = 2.0, 30.0  # seconds between lines: at a tenth of the work, else


class Display:
    """Show the progress of `total` submissions on `console`, inside ``with``."""

    def __init__(self, console: Console, what: str, total: int):
        self.done = 0
        self.total = total
        self._console = console
        self._what = what
        self._start = self._told = monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total, rate="")

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line without harm to the bar."""
        self._console.print(text, markup=False, highlight=False)

    def advance(self) -> None:
        """One more is done."""
        self.done += 1
        now = monotonic()
        rate = self.done / max(now - self._start, 1e-9)
        self._bar.update(self._task, advance=1, rate=f"{rate:.1f}/s")
        tenth = self.done * 10 // self.total > (self.done - 1) * 10 // self.total
        every = SHORT if tenth else LONG
        if not self._console.is_terminal and now - self._told > every:
            self._told = now
            left = (self.total - self.done) / rate
            self.say(
                f"{self._what}: {self.done} of {self.total}, "
                f"{rate:.1f} per second, about {left:.0f} s left"
            )
