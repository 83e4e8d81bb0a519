"""Work for the engines that no submission can be made to do on demand.

The real work is `grading.job.grade`; these have its signature.
"""

import os
import signal
import time

from grading import CourseError
from grading.records import GRADED, Record


def job(student: str, do: str = "", total: float = 60.0, **more) -> dict:
    return {
        "student": student,
        "assignment": "ps1",
        "notebook": "ps1_tiny",
        "digest": f"digest of {student}",
        "limits": {"total": total},
        "do": do,
        **more,
    }


def work(job: dict) -> dict:
    match job["do"].split():
        case ["sleep", seconds]:
            time.sleep(float(seconds))
        case ["exit"]:
            os._exit(7)
        case ["die"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case ["raise"]:
            raise ValueError("a mistake of ours")
        case ["refuse"]:
            raise CourseError("no sandbox here")
        case ["hang"]:
            while True:
                time.sleep(1)
        case ["pid", folder]:
            with open(f"{folder}/{os.getpid()}-{time.monotonic_ns()}", "w") as file:
                file.write(job["student"])
        case ["once", path]:  # the first who comes is killed
            if not os.path.exists(path):
                open(path, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
        case ["large", size]:
            job = {**job, "executed": "x" * int(size)}
    return Record(
        job["student"],
        job["assignment"],
        job["notebook"],
        job["digest"],
        GRADED,
        executed=job.get("executed", ""),
    ).__dict__
