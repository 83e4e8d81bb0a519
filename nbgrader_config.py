"""Stock nbgrader's configuration: its commands run in this folder.

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

from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearOutput,
    OverwriteCells,
    OverwriteKernelspec,
)

from grading.preprocessors import ForgetCopies

c = get_config()  # noqa: F821 (nbgrader provides it)

c.CourseDirectory.root = str(Path(__file__).resolve().parent / "_build" / "nbgrader")
c.CourseDirectory.course_id = "batchnorm"
c.Application.log_level = "ERROR"

# nbgrader 0.9.6 is noisy with SQLAlchemy 2.1, as are kernels; neither matters here.
warnings.filterwarnings("ignore", category=RuntimeWarning, module="nbgrader")
c.Execute.extra_arguments = ["--log-level=ERROR"]

# A new gradebook needs the command alembic, even where this environment is not active.
os.environ["PATH"] = os.pathsep.join(
    [os.path.dirname(sys.executable), os.environ.get("PATH", "")]
)

# A cell that runs longer is interrupted and fails; the cells after it still run, and
# so do the other submissions.
c.Execute.timeout = 20
c.Execute.shutdown_kernel = "immediate"

# nbgrader counts any text on stderr as a failure. Right code may warn, so drop that
# text before grading; what fails a check is an exception.
c.IgnorePattern.enabled = True
c.IgnorePattern.pattern = "."

# A learner who copies or splits a cell must not stop the grading of the class.
c.Autograde.sanitize_preprocessors = [
    ClearOutput,
    ForgetCopies,
    OverwriteKernelspec,
    OverwriteCells,
    CheckCellMetadata,
]
