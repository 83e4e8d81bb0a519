"""Many networks in one loop: hooks, choice of the rate, what is returned."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from experiments.data import digits
from experiments.models import mlp
from experiments.side_by_side import Runs, train_many
from experiments.training import batches

pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (1, 2)


@pytest.fixture(scope="module")
def tasks():
    return [digits(seed=seed) for seed in SEEDS]


def train(tasks, **options):
    plan = {"rates": (0.01, 0.1), "seeds": SEEDS, "steps": 4, "batch": 20}
    return train_many(lambda: mlp((64, 12, 10)), tasks, **plan | options)


def test_state_is_that_of_each_run_after_training(tasks):
    found = train(tasks)
    torch.manual_seed(2)
    model = mlp((64, 12, 10)).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    data = tasks[1]
    kept = type(data)(data.x[300:], data.y[300:], data.x_test, data.y_test)
    for _, (x, y) in zip(range(4), batches(kept, 20, 2), strict=False):
        optimiser.zero_grad()
        cross_entropy(model(x), y).backward()
        optimiser.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(
            found.state[name][1, 1].to(value.dtype), value, atol=1e-5, rtol=1e-4
        )
    with torch.no_grad():
        right = model.eval()(data.x_test).argmax(1) == data.y_test
    assert found.test[1, 1] == pytest.approx(100 * right.float().mean().item(), abs=0.3)


def test_adjust_sees_all_gradients_of_all_runs(tasks):
    seen = {}

    def halve(name, gradient, parameter):
        seen[name] = gradient.shape, parameter.shape
        return gradient / 2

    halved = train(tasks, rates=(0.2,), adjust=halve)
    once = train(tasks, rates=(0.1,))
    np.testing.assert_allclose(halved.loss, once.loss, rtol=1e-5)
    names = dict(mlp((64, 12, 10)).named_parameters())
    assert set(seen) == set(names)
    for name, (gradient, parameter) in seen.items():
        assert gradient == parameter == (2, *names[name].shape)


def test_the_rate_is_chosen_on_held_out_examples():
    runs = Runs(
        rates=(0.1, 0.2, 0.3),
        validation=np.array([[90, 80], [88, 86], [10, 99]]),
        test=np.array([[1, 2], [3, 4], [5, 6]]),
        loss=np.zeros((1, 3, 2)),
        state={},
    )
    assert (runs.best, runs.rate, runs.accuracy.tolist()) == (1, 0.2, [3, 4])


def test_held_out_examples_are_not_trained_with():
    """Their classes may be anything: the weights do not change."""
    data = digits(seed=1)
    changed = digits(seed=1)
    changed.y[:300] = 0
    plan = {"rates": (0.1,), "seeds": (1,), "steps": 60, "batch": 20}
    made = [
        train_many(lambda: nn.Sequential(nn.Linear(64, 10)), [d], **plan)
        for d in (data, changed)
    ]
    assert (made[0].state["0.weight"] == made[1].state["0.weight"]).all()
    assert made[0].validation[0, 0] > 80 > 40 > made[1].validation[0, 0]
