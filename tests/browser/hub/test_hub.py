"""A class on a JupyterHub, by clicking, from release to feedback."""

import os
import shutil

import pytest
from conftest import missing
from machine import COURSE, INSTRUCTORS, LEARNERS, ROOT, hub
from person import PATIENCE, Person

from grading.sample_class import read_submission

pytestmark = pytest.mark.hub
CLASS = ROOT / "tests" / "sample_class" / "ps1"
NOTEBOOK = "ps1/ps1_forward.ipynb"


@pytest.fixture(scope="session")
def built():
    """Override the fixture that asks for the book: the hub serves none."""


@pytest.fixture
def people(chromium, npm, tmp_path):
    """Return who is in the class, each before a browser of their own.

    What they saw last is in ``_build/hub``.
    """
    if os.geteuid() or not shutil.which("bwrap"):
        missing("accounts for a class need root, and bubblewrap")
    proxy = npm(".bin/configurable-http-proxy")
    with hub(tmp_path, proxy, PATIENCE / 1000) as address:
        homes = dict.fromkeys(INSTRUCTORS, COURSE) | {who: who for who in LEARNERS}
        found = {
            who: Person(who, chromium, address, tmp_path / "home" / home)
            for who, home in homes.items()
        }
        yield found
        pictures = ROOT / "_build" / "hub"
        pictures.mkdir(parents=True, exist_ok=True)
        for who, person in found.items():
            person.page.screenshot(path=pictures / f"{who}.png")


def release(teacher):
    """Make the notebook for learners, and release it."""
    made = teacher.run("python -m grading exercises ps1")
    assert made.endswith("status 0\n"), made
    done = teacher.formgrader("assign", "ps1")
    assert "Successfully created" in done, done
    done = teacher.formgrader("release", "ps1")
    assert "Successfully released" in done, done


def fetch(learner):
    """Fetch the set and open it."""
    learner.assignments()
    learner.press("released", "Fetch")
    learner.wait_for_button("fetched", "Submit")
    learner.open_notebook(NOTEBOOK)


def solve(learner):
    """Write the answers of this learner of the sample class."""
    learner.answer(NOTEBOOK, read_submission(CLASS / f"{learner.name}.py").answers)


def submit(learner):
    learner.assignments()
    learner.press("fetched", "Submit")
    learner.wait_for_button("submitted", "Fetch Feedback")


def test_a_class_from_release_to_feedback(people):
    grace, hedy, ada, farah = people.values()
    grace.log_in(COURSE)
    release(grace)

    ada.log_in()
    assert ada.go(f"../../services/{COURSE}/lab").status == 403
    hidden = f"/home/{COURSE}/course/solutions /srv/exchange/{COURSE}/inbound"
    assert ada.run(f"ls {hidden}").count("Permission denied") == 2
    fetch(ada)
    assert ada.validate().count("still to be written") == 9
    solve(ada)
    assert "passes all the tests" in ada.validate()
    submit(ada)

    farah.log_in()
    fetch(farah)
    solve(farah)
    said = farah.validate()
    assert said.count("The momentum is the other way round") == 2, said
    submit(farah)

    done = grace.formgrader("collect", "ps1")
    assert "Collecting submission: ada" in done, done
    assert "Collecting submission: farah" in done, done
    graded = grace.run("python -m grading grade ps1")
    assert graded.endswith("status 0\n"), graded

    # The other instructor finds what the first one did, and goes on.
    hedy.log_in(COURSE)
    hedy.comment("ps1/ps1_forward", "15 / 20", "running", "Which one does Keras have?")
    written = hedy.run("python -m grading feedback ps1")
    assert "Wrote 2 of 2" in written and written.endswith("status 0\n"), written
    done = hedy.formgrader("release-feedback", "ps1")
    assert "Successfully released" in done, done

    told = ada.feedback()
    assert "20.0 / 20.0" in told and "way round" not in told, told
    told = farah.feedback()
    assert "15.0 / 20.0" in told, told
    assert "The momentum is the other way round" in told, told
    assert "Which one does Keras have?" in told, told
