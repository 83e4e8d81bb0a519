"""Grade the submissions of a problem set: find out what is to do, and do it.

A record that is written need not be graded again, and one that is saved need not be
saved again, as long as nothing that it depends on has changed. So a run that was
stopped anywhere goes on where it was.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from grading.engine.progress import Display
from grading.engine.saving import Saver
from grading.engine.summary import Row
from grading.records import Record, read_record

Prepare = Callable[[str], dict | Record]
Run = Callable[[Iterable[dict]], Iterator[Record]]


@dataclass
class Supervisor:
    """Grades submissions.

    Attributes
    ----------
    saver : Saver
        Writes the results.
    prepare : callable
        Returns a student's job, or a record where there is nothing to run.
    run : callable
        Runs jobs: an engine.
    wait : callable
        Calls a function that writes into the gradebook, when that is free.
    rows : list of Row
        What is known so far, of all submissions that are done.
    """

    saver: Saver
    prepare: Prepare
    run: Run
    wait: Callable[[Callable[[], None]], None]
    rows: list[Row]

    def plan(self, students: Iterable[str], again: bool, display: Display) -> list[str]:
        """Return who is to be graded; save what only waits for that."""
        waiting = []
        for student in students:
            prepared = self.prepare(student)
            known = self._known(student, prepared)
            if isinstance(prepared, Record):
                self._finish(prepared)
            elif again or known is None:
                waiting.append(student)
            elif self.saver.is_saved(known):
                self.rows.append(Row.of(known))
            else:
                self._save(known)
            display.advance()
        return waiting

    def grade(self, students: Iterable[str], display: Display) -> None:
        """Grade these students' submissions and save the results."""
        with closing(self.run(self._jobs(students, display))) as records:
            for record in records:
                self._finish(record)
                display.advance()

    def _known(self, student: str, prepared: dict | Record) -> Record | None:
        """Return the record of an earlier run, if it would be the same again."""
        if isinstance(prepared, Record):
            return None
        known = read_record(self.saver.course.root, self.saver.name, student)
        return known if known and known.digest == prepared["digest"] else None

    def _jobs(self, students: Iterable[str], display: Display) -> Iterator[dict]:
        for student in students:
            prepared = self.prepare(student)
            if isinstance(prepared, Record):  # the file has changed meanwhile
                self._finish(prepared)
                display.advance()
            else:
                yield prepared

    def _finish(self, record: Record) -> None:
        self.saver.record(record)
        self._save(record)

    def _save(self, record: Record) -> None:
        self.wait(lambda: self.saver.save(record))
        self.rows.append(Row.of(record))
