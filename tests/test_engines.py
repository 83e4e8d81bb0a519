"""The engines, tried with work that misbehaves on demand (`jobs`)."""

import os
import subprocess
import sys

import psutil
import pytest
from course_folder import REPO
from jobs import job, work

from grading import CourseError
from grading.engine import cluster, local
from grading.records import GRADED, NOT_GRADED

engines = pytest.mark.xdist_group("engines")
both = pytest.mark.parametrize("engine", [local, cluster], ids=["local", "dask"])
quiet = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning"
)


@engines
@quiet
@both
def test_every_job_comes_back_once_and_few_are_taken_ahead(engine):
    taken, back = [], []

    def jobs():
        for number in range(20):
            taken.append(number)
            assert len(taken) - len(back) <= 2 * 2 + 1
            yield job(f"s{number:02}")

    for record in engine.run(jobs(), work, 2):
        back.append(record)
    assert sorted(record.student for record in back) == [f"s{n:02}" for n in range(20)]
    assert {record.digest for record in back} == {
        f"digest of s{n:02}" for n in range(20)
    }
    assert {record.status for record in back} == {GRADED}


@engines
@quiet
@both
def test_a_slow_job_holds_nobody_up(engine):
    jobs = [job("slow", "sleep 3"), *(job(f"s{n}") for n in range(10))]
    order = [record.student for record in engine.run(jobs, work, 2)]
    assert order[-1] == "slow"


@engines
@quiet
@pytest.mark.parametrize(
    ("engine", "do", "total", "reason"),
    [
        (local, "exit", 60, "The process that graded it died (exit status 7)."),
        (local, "die", 60, "The process that graded it died (exit status -9)."),
        (local, "hang", -13, "Grading did not end within 2 seconds."),
        (local, "raise", 60, "The grader failed: ValueError: a mistake of ours"),
        (cluster, "exit", 60, "Every process that tried to grade it died."),
        (cluster, "hang", -14, "Every process that tried to grade it died."),
        (
            cluster,
            "raise",
            60,
            "The grader failed: ValueError: a mistake of ours",
        ),
    ],
)
def test_a_job_that_goes_wrong_costs_itself_alone(engine, do, total, reason):
    jobs = [job("a"), job("bad", do, total), *(job(f"s{n}") for n in range(6))]
    records = {record.student: record for record in engine.run(jobs, work, 2)}
    bad = records.pop("bad")
    assert (bad.status, bad.reason) == (NOT_GRADED, reason)
    assert bad.digest == "", "the next run would not try again"
    assert len(records) == 7
    assert {record.status for record in records.values()} == {GRADED}


@engines
@quiet
@both
def test_where_nothing_can_be_graded_the_run_stops(engine):
    with pytest.raises(CourseError, match="no sandbox here"):
        list(engine.run([job("a", "refuse"), job("b")], work, 2))


@engines
@quiet
def test_a_dask_worker_that_dies_loses_no_job_and_doubles_none(tmp_path):
    jobs = [job(f"s{n}", f"once {tmp_path}/died") for n in range(8)]
    students = [record.student for record in cluster.run(jobs, work, 2)]
    assert sorted(students) == [f"s{n}" for n in range(8)]
    assert (tmp_path / "died").exists()


@quiet
@pytest.mark.parametrize(
    ("scheduler", "message"),
    [("tcp://127.0.0.1:9", "no Dask scheduler answers"), ("?", "no Dask scheduler")],
)
def test_a_scheduler_that_is_not_there(scheduler, message, monkeypatch):
    monkeypatch.setattr(cluster, "JOIN", 1)
    with pytest.raises(CourseError, match=message):
        list(cluster.run([job("a")], work, 2, scheduler))


@engines
def test_a_worker_is_replaced_before_it_grows(tmp_path):
    count = 2 * local.JOBS_OF_A_WORKER + 1
    jobs = (job(f"s{n}", f"pid {tmp_path}") for n in range(count))
    assert len(list(local.run(jobs, work, 1))) == count
    workers = {path.name.split("-")[0] for path in tmp_path.iterdir()}
    assert len(workers) == 3


@engines
def test_no_process_and_no_file_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    records = local.run((job(f"s{n}", "sleep 0.1") for n in range(50)), work, 2)
    next(records)
    workers = [p for p in psutil.Process().children(recursive=True) if _works(p)]
    assert workers
    assert list(tmp_path.iterdir())
    records.close()
    assert not any(_works(process) for process in workers)
    assert not list(tmp_path.iterdir())


def _works(process) -> bool:
    """Whether it is a worker: one below the process that starts them."""
    try:
        below = process.parent().ppid() == os.getpid()
        return below and "multiprocessing.forkserver" in " ".join(process.cmdline())
    except (psutil.NoSuchProcess, AttributeError):
        return False


ENDLESS = """
from jobs import job, work
from grading.engine import local

if __name__ == "__main__":
    jobs = [job("a"), job("endless", "hang"), job("endless too", "hang")]
    for record in local.run(jobs, work, 2):
        print(record.student, flush=True)
"""


@engines
def test_no_worker_outlives_a_killed_grader(tmp_path):
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    environment = {**os.environ, "PYTHONPATH": f"{REPO}:{REPO / 'tests'}"}
    command = [sys.executable, script]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as grader:
        assert grader.stdout.readline() == b"a\n"
        family = psutil.Process(grader.pid).children(recursive=True)
        assert len(family) >= 4, "two workers, and what starts them"
        grader.kill()
    assert not psutil.wait_procs(family, timeout=20)[1]


FLAT = """
import resource, sys
from jobs import job, work
from grading.engine import local
from grading.engine.summary import Row

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10  # MB

if __name__ == "__main__":
    jobs = (job(f"s{n}", "large 2000000") for n in range(300))
    rows = []
    for record in local.run(jobs, work, 2):
        rows.append(Row.of(record))
        if len(rows) == 50:
            early = peak()
    print(len(rows), peak() - early)
"""


@engines
def test_memory_stays_flat(tmp_path):
    script = tmp_path / "flat.py"
    script.write_text(FLAT)
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": f"{REPO}:{REPO / 'tests'}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    count, grown = map(int, done.stdout.split())
    assert count == 300
    assert grown < 40, f"{grown} MB more for 250 results of 2 MB"
