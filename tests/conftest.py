import pytest
from hypothesis import settings

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
