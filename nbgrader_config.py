"""nbgrader's configuration: its commands run in this folder.

Student code runs in a sandbox, and the tests outside of it (`grading.isolation`).

nbgrader's course is ``_build/nbgrader``; ``python -m grading exercises`` puts the
source notebooks there. Then use the formgrader of a JupyterLab started in this folder,
or, for example::

    nbgrader generate_assignment ps1
    nbgrader autograde ps1
    nbgrader generate_feedback ps1
    nbgrader export
"""

import os
import sys
import warnings
from pathlib import Path

from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    GetGrades,
    SaveAutoGrades,
)

from grading.links import with_links
from grading.preprocessors import HideHiddenTests, IsolatedExecute, RebuildFromRelease

c = get_config()  # noqa: F821 (nbgrader provides it)

c.CourseDirectory.root = str(Path(__file__).resolve().parent / "_build" / "nbgrader")
c.CourseDirectory.course_id = "batchnorm"
c.Application.log_level = "ERROR"

# nbgrader 0.9.6 is noisy with SQLAlchemy 2.1; it does not matter here.
warnings.filterwarnings("ignore", category=RuntimeWarning, module="nbgrader")

# A new gradebook needs the command alembic, even where this environment is not active.
os.environ["PATH"] = os.pathsep.join(
    [os.path.dirname(sys.executable), os.environ.get("PATH", "")]
)

# A cell that runs longer is stopped and fails; the cells after it still run.
c.IsolatedExecute.timeout = 20

# What a student hands in is taken apart, and run behind walls.
c.Autograde.sanitize_preprocessors = [RebuildFromRelease, CheckCellMetadata]
c.Autograde.autograde_preprocessors = [
    IsolatedExecute,
    SaveAutoGrades,
    AssignLatePenalties,
    CheckCellMetadata,
]

# Feedback shows no hidden tests; neither it nor the formgrader runs a student's HTML.
c.GenerateFeedback.preprocessors = [
    GetGrades,
    HideHiddenTests,
    CSSHTMLHeaderPreprocessor,
]
c.HTMLExporter.sanitize_html = True
c.HTMLExporter.filters = {"ansi2html": with_links}
