"""Hidden seeds change with the secret and with the test's name, not otherwise."""

import pytest

from bnlib.check import hidden_seeds


@pytest.fixture(autouse=True)
def no_secret(monkeypatch):
    monkeypatch.delenv("BNLIB_CHECK_SECRET", raising=False)


def test_the_same_from_run_to_run():
    # Written down: grades of last year can be computed again.
    assert hidden_seeds("train") == [3091932434, 3544449374, 1809888631]
    assert hidden_seeds("train", 5)[:3] == hidden_seeds("train")


def test_each_name_and_each_secret_has_its_own(monkeypatch):
    seeds = hidden_seeds("train", 50) + hidden_seeds("running", 50)
    monkeypatch.setenv("BNLIB_CHECK_SECRET", "spring")
    seeds += hidden_seeds("train", 50) + hidden_seeds("running", 50)
    assert len(set(seeds)) == 200
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_an_empty_secret_is_none(monkeypatch):
    seeds = hidden_seeds("train")
    monkeypatch.setenv("BNLIB_CHECK_SECRET", "")
    assert hidden_seeds("train") == seeds
