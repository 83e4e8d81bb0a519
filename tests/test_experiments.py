"""What the chapters' experiments share does what it says."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from experiments.data import digits
from experiments.figures import BLUE, Notes, band
from experiments.models import cnn, mlp
from experiments.training import accuracy, batches, descend, train


def small(seed=0, **options):
    torch.manual_seed(seed)
    return mlp((64, 32, 10), **options)


def test_digits(data):
    assert data.x.shape == (1400, 64) and data.x_test.shape == (397, 64)
    assert data.x.dtype == torch.float32 and data.y.dtype == torch.int64
    assert abs(data.x.mean()) < 1e-5 and abs(data.x.std() - 1) < 1e-3
    assert set(data.y.tolist()) == set(data.y_test.tolist()) == set(range(10))


def test_images_are_the_same_digits(data):
    images = digits(images=True)
    assert images.x.shape == (1400, 1, 8, 8)
    torch.testing.assert_close(images.x.flatten(1), data.x)


def test_another_seed_divides_otherwise(data):
    assert not torch.equal(digits(seed=1).x_test, data.x_test)


def test_every_training_example_is_met_once_an_epoch(data):
    source = batches(data, 100, seed=3)
    epoch = torch.cat([next(source)[0] for _ in range(14)])
    assert torch.equal(epoch.sum(1).sort()[0], data.x.sum(1).sort()[0])
    again = torch.cat([next(source)[0] for _ in range(14)])
    assert not torch.equal(epoch, again)


@pytest.mark.parametrize("norm", [None, nn.BatchNorm1d, nn.LayerNorm])
def test_a_bias_stands_only_where_no_norm_makes_it_superfluous(norm):
    model = mlp((64, 32, 16, 10), norm=norm, activation=nn.Sigmoid)
    kinds = [type(layer) for layer in model]
    hidden = [nn.Linear, *([norm] if norm else []), nn.Sigmoid]
    assert kinds == [*hidden, *hidden, nn.Linear]
    assert (model[0].bias is None) == (norm is not None)
    assert model[-1].bias is not None


def test_a_convolutional_network():
    model = cnn((4, 8), norm=lambda channels: nn.GroupNorm(2, channels))
    assert model(torch.zeros(3, 1, 8, 8)).shape == (3, 10)
    assert sum(isinstance(layer, nn.GroupNorm) for layer in model) == 2


def test_training_is_reproducible_and_learns(data):
    models = [small() for _ in range(2)]
    runs = [train(model, data, rate=0.1, steps=100) for model in models]
    assert runs[0].loss == runs[1].loss and len(runs[0].loss) == 100
    assert accuracy(models[0], data.x_test, data.y_test) > 90
    other = train(small(), data, rate=0.1, steps=100, seed=1)
    assert other.loss != runs[0].loss


def test_what_is_watched(data):
    modes = []

    def watch(model):
        modes.append(model.training)
        model.eval()
        return {"weight": model[0].weight.detach().clone()}

    model = small()
    before = model[0].weight.detach().clone()
    history = train(model, data, rate=0.1, steps=25, watch=watch)
    assert history.seen["step"] == [0, 10, 20]
    assert torch.equal(history.seen["weight"][0], before)
    assert all(modes) and model.training


def test_a_run_that_diverges_ends(data):
    history = train(small(norm=None), data, rate=1e6, steps=100)
    assert history.diverged and len(history.loss) < 100
    assert np.isfinite(history.loss).all()


def side_by_side(data, rates, **options):
    """Train the weights of linear classifiers with biases left out."""
    torch.manual_seed(0)
    weights = torch.randn(64, 10).repeat(len(rates), 1, 1)

    def loss(x, y):
        each = cross_entropy((x @ weights).mT, y, reduction="none")
        return each.mean(1)

    stream = batches(data, 50, seed=1)
    parts = (next(stream) for _ in range(5))
    examples = (
        (x.expand(len(rates), -1, -1), y.expand(len(rates), -1)) for x, y in parts
    )
    rate = options.pop("rate", torch.tensor(rates))
    history = descend([weights], loss, examples, rate, **options)
    return weights.detach(), history


def test_networks_side_by_side_learn_as_each_alone(data):
    rates = (0.0, 0.05, 0.3)
    weights, history = side_by_side(data, rates)
    for k, rate in enumerate(rates):
        model = nn.Linear(64, 10, bias=False)
        torch.manual_seed(0)
        model.weight.data = torch.randn(64, 10).T.contiguous()
        alone = train(model, data, rate=rate, steps=5, batch=50, seed=1)
        torch.testing.assert_close(weights[k].T, model.weight.detach())
        assert history[:, k].tolist() == pytest.approx(alone.loss, rel=1e-4)


def test_rates_that_change_and_gradients_that_are_adjusted(data):
    once = side_by_side(data, (0.2,))[0]
    halved = side_by_side(data, (0.4,), adjust=lambda grads: [g / 2 for g in grads])[0]
    torch.testing.assert_close(once, halved)
    none_after = side_by_side(
        data, (0.2,), rate=lambda step: torch.tensor([0.2 if step < 5 else 0.0])
    )[0]
    assert torch.equal(once, none_after)
    first_only = side_by_side(
        data, (0.2,), rate=lambda step: torch.tensor([0.2 if step < 1 else 0.0])
    )[0]
    assert not torch.allclose(once, first_only)


def test_parameters_may_have_several_rows_for_each_network():
    rows = torch.zeros(6, 1)  # three networks of two rows each
    descend(
        [rows],
        lambda x, y: rows.view(3, 2).sum(1),
        [(None, None)],
        torch.tensor([1.0, 2.0, 3.0]),
    )
    assert rows.flatten().tolist() == [-1, -1, -2, -2, -3, -3]


def test_accuracy_is_measured_in_evaluation_mode(data):
    model = small()
    train(model, data, rate=0.1, steps=30)
    one_by_one = [
        accuracy(model, data.x_test[k : k + 1], data.y_test[k : k + 1])
        for k in range(50)
    ]
    assert model.training
    together = accuracy(model, data.x_test[:50], data.y_test[:50])
    assert np.mean(one_by_one) == pytest.approx(together)


def test_a_band_is_the_median_and_the_range():
    _, ax = plt.subplots()
    band(ax, [0, 1], [[1, 5], [2, 6], [9, 7]], color=BLUE, label="runs")
    assert ax.lines[0].get_ydata().tolist() == [2, 6]
    [area] = ax.collections
    assert area.get_paths()[0].get_extents().extents.tolist() == [0, 1, 1, 9]
    plt.close()


def test_notes(monkeypatch):
    glued = {}
    monkeypatch.setattr(
        "experiments.figures.glue",
        lambda name, value, display: glued.update({name: value}),
    )
    note = Notes("here")
    note("rate", np.float32(0.5))
    note.spread("error", [3.0, 1.0, 2.0], ".1f")
    assert glued == {"here-rate": 0.5, "here-error": "2.0 (1.0–3.0)"}
