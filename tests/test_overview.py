"""What a set says of itself adds up; where it opens follows the course's address."""

import pytest
from course_folder import REPO, TINY

from bnlib.check import project_url
from grading.execute import without_magics
from grading.notebooks import build, find_sets
from grading.overview import colab_address, read_overview

SETS = find_sets(REPO / "solutions")
TINY_SET = TINY / "solutions" / "ps1_tiny.md"


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Pretend that pip installed a project with this repository's address."""

    def publish(address):
        installed = tmp_path / "installed" / "bnlib-9.dist-info"
        installed.mkdir(parents=True)
        (installed / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: bnlib\nVersion: 9\n"
            f"Project-URL: Repository, {address}\n"
        )
        monkeypatch.syspath_prepend(installed.parent)
        project_url.cache_clear()

    yield publish
    project_url.cache_clear()


@pytest.mark.parametrize("name", SETS)
def test_headings_and_cells_agree_on_the_points(name):
    overview = read_overview(SETS[name].source)
    assert len(overview.exercises) >= 4
    assert sum(e.points for e in overview.exercises) == overview.points
    assert all(5 <= e.minutes <= 90 for e in overview.exercises)
    assert f"{overview.points:g}" in SETS[name].source.read_text()


def test_an_overview():
    overview = read_overview(SETS["ps1"].source)
    assert overview.title == "PS1 Forward: batch normalisation by hand"
    assert (overview.points, overview.by_hand, overview.time) == (
        20,
        0,
        "2\u00a0h\u00a025\u00a0min",
    )
    assert overview.exercises[0].title == "1. Training"
    assert read_overview(TINY_SET).by_hand == 3


def test_a_course_without_an_address():
    assert colab_address("exercises/ps1/a.ipynb") == ""
    assert build(TINY_SET).cells[0].cell_type == "markdown"


@pytest.mark.parametrize("end", ["", ".git", "/"])
def test_a_course_on_github(published, end):
    published(f"https://github.com/ada/batch-norm{end}")
    assert colab_address("exercises/ps1/a.ipynb") == (
        "https://colab.research.google.com/github/ada/batch-norm/blob/main/"
        "exercises/ps1/a.ipynb"
    )


def test_the_first_cell_installs_the_checks(published):
    published("https://git.example.org/ada/batch-norm")
    assert colab_address("exercises/ps1/a.ipynb") == ""
    cell = build(TINY_SET).cells[0]
    assert cell.id == "install" and cell.metadata["nbgrader"]["locked"]
    assert '"bnlib @ git+https://git.example.org/ada/batch-norm"' in cell.source
    ran = []
    code = without_magics(cell.source)
    exec(code, {"get_ipython": lambda: ran.append("asked")})
    assert not ran  # where the checks are, nothing is installed
    compile(code, "<install>", "exec")
