"""What nbgrader's own commands use instead of its way to run a notebook.

``nbgrader autograde`` and the formgrader then grade as ``python -m grading grade``
does, one submission after the other; `nbgrader_config.py` puts these into place.
"""

import json
import secrets
from pathlib import Path

import nbformat
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Float, Integer, Unicode

from grading.execute import execute, hidden_lines
from grading.isolation.sandbox import Limits, choose
from grading.isolation.student import Student
from grading.job import PACKAGES, load_release
from grading.rebuild import read_cells, rebuild


class RebuildFromRelease(NbGraderPreprocessor):
    """Keep nothing of a submission but the text in its holes."""

    def preprocess(self, nb, resources):
        """Return the release with the student's text."""
        known = resources["nbgrader"]
        release = load_release(
            Path(self.config.CourseDirectory.root),
            known["db_url"],
            known["assignment"],
            known["notebook"],
        )
        released = nbformat.reads(release, as_version=4)
        notebook, remarks = rebuild(released, read_cells(json.dumps(nb)))
        for remark in remarks:
            self.log.info("%s: %s", known["student"], remark)
        return notebook, resources


class IsolatedExecute(NbGraderPreprocessor):
    """Run the student's cells in a sandbox, and the tests outside."""

    sandbox = Unicode("auto", help="auto, bubblewrap, sandlock, or none (unsafe)").tag(
        config=True
    )
    timeout = Float(20.0, help="seconds for a cell").tag(config=True)
    total = Float(120.0, help="seconds for a notebook").tag(config=True)
    memory = Integer(1 << 30, help="bytes for all processes of a notebook").tag(
        config=True
    )
    output = Integer(20_000, help="characters that a cell may print").tag(config=True)

    @property
    def limits(self) -> Limits:
        """What a submission may use."""
        return Limits(self.timeout, self.total, self.memory, output=self.output)

    def preprocess(self, nb, resources):
        """Run the notebook."""
        student = Student(
            choose(self.sandbox),
            tuple(nb.metadata.get("packages", PACKAGES)),
            self.limits,
        )
        root = Path(self.config.CourseDirectory.root)
        try:
            execute(nb, student, course_secret(root))
        finally:
            student.finish()
        return nb, resources


class HideHiddenTests(NbGraderPreprocessor):
    """Take hidden tests out of what a student gets to see."""

    def preprocess_cell(self, cell, resources, cell_index):
        """Drop the hidden lines."""
        lines = cell.source.splitlines()
        if cell.cell_type == "code" and (hidden := hidden_lines(cell.source)):
            kept = [line for n, line in enumerate(lines, 1) if n not in hidden]
            cell.source = "\n".join(kept).rstrip()
        return cell, resources


def course_secret(root: Path) -> str:
    """Return the secret of the course at `root`; the first time, draw one.

    Hidden tests draw their inputs from it. It stays until somebody removes the file
    ``secret``, so that all submissions of a course meet the same tests.
    """
    path = root / "secret"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(16))
    return path.read_text().strip()
