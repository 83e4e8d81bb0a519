from pathlib import Path

import pytest
from hypothesis import settings
from tiers import TIERS

# The same examples in every run: a red test stays red until the code changes.
settings.register_profile("course", derandomize=True, deadline=None, max_examples=25)
settings.load_profile("course")


@pytest.fixture(scope="module")
def data():
    """The digits that the chapters' experiments read."""
    from experiments.data import digits  # slow, and few need it

    return digits()


@pytest.fixture(scope="module")
def one_thread():
    """Small tensors: more threads cost more than they bring."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def emulator_cache():
    """Compiled kernels are kept with what else is generated, not in the user's cache.

    They are named by their content, so that what is there from an earlier run is right.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(Path(__file__).parents[1] / "_build/cache"))
        yield


@pytest.fixture(params=TIERS)
def tier(request):
    """Each tier of fast kernels that is installed."""
    import bnlib

    with bnlib.kernels(request.param):
        yield request.param


@pytest.fixture
def no_formula(monkeypatch):
    """The reference must not be what computes."""
    from bnlib import _formula

    def refuse(*_, **__):
        raise AssertionError("fell back to the reference")

    monkeypatch.setattr(_formula, "forward", refuse)
    monkeypatch.setattr(_formula, "backward", refuse)
