"""The chapter "Folklore, tested": list, equations, and claims on other seeds."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import bnlib
from experiments import folklore as lab
from experiments.data import digits
from experiments.models import cnn
from experiments.training import train

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(__file__).parents[1]
PAGE = ROOT / "chapters/folklore.md"
SEEDS = (11, 12)  # the chapter uses 0 to 2


# The list


def test_thirty_claims_each_with_a_verdict():
    found = lab.claims(PAGE)
    assert sorted(c.number for c in found) == list(range(1, 31))
    assert all(c.verdict in lab.KINDS for c in found)
    assert all(c.text and c.title for c in found)
    assert len({c.title for c in found}) == 30


def sections():
    """Return the text of each answer, by number."""
    text = PAGE.read_text(encoding="utf-8")
    parts = re.split(r"^\(sec:folklore-(\d+)\)=$", text, flags=re.MULTILINE)[1:]
    parts[-1] = parts[-1].partition("(sec:folklore-making)=")[0]
    return {int(n): body for n, body in zip(parts[::2], parts[1::2], strict=True)}


@pytest.mark.parametrize("number", range(1, 31))
def test_an_answer_has_a_measurement_or_proof_and_a_place(number):
    body = sections()[number]
    assert re.search(r"^\*More:\* \{(ref|numref|eq)\}", body, re.MULTILINE)
    measured = "{glue:text}" in body or "{eq}" in body
    assert measured or number in (13, 14, 29)  # a citation, an identity, other claims


def test_counts_of_verdicts_come_from_the_sections():
    text = PAGE.read_text(encoding="utf-8")
    opening = text.partition("(sec:folklore-table)=")[2].partition("(sec:")[0]
    for kind in lab.KINDS:
        assert f"{{glue:text}}`folklore-{kind.replace(' ', '-')}:.0f`" in opening
    counts = lab.count(PAGE)
    assert sum(counts.values()) == 30
    table = lab.summary(PAGE).data
    assert table.count("<sec:folklore-") == 30
    for kind in lab.KINDS:
        assert len(re.findall(rf"\| {kind} \|", table)) == counts[kind]


def test_a_wrong_verdict_is_found(tmp_path):
    page = tmp_path / "page.md"
    section = (
        "(sec:folklore-1)=\n#### {}. Title\n\n> A claim,\n> in two lines.\n\n**{}** so."
    )
    page.write_text(section.format(1, "Not shown here."))
    (claim,) = lab.claims(page)
    assert claim == lab.Claim(1, "Title", "A claim, in two lines.", "not shown")
    page.write_text(section.format(1, "Perhaps."))
    with pytest.raises(ValueError, match="Perhaps"):
        lab.claims(page)
    page.write_text(section.format(2, "True."))
    with pytest.raises(ValueError, match="heading"):
        lab.claims(page)


def verdicts_of(page):
    """Return claim and first words of the verdict from a chapter's own table."""
    text = (ROOT / f"chapters/{page}.md").read_text(encoding="utf-8")
    _, _, section = text.partition("## What is said, and what holds\n")
    section = re.split(r"^## ", section, maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| ")]
    return {row[1].strip(): row[2].strip().lower() for row in rows[1:]}


@pytest.mark.parametrize(
    ("number", "page", "claim"),
    [
        (3, "critiques", "Allows learning rates"),
        (4, "critiques", "The learning rate's decay"),
        (5, "critiques", "Higher accuracy"),
        (6, "mechanisms", "Regularises"),
        (7, "mechanisms", "Less sensitive"),
        (11, "mechanisms", "Deeper networks"),
        (15, "train_is_not_eval", "At inference"),
        (16, "train_is_not_eval", "More robust"),
        (17, "small_batches", "Small batches"),
        (18, "small_batches", "Fails in online"),
        (21, "forward", "Slower predictions"),
        (22, "recurrent", "Batch normalisation cannot"),
        (23, "one_picture", "Layer and instance"),
        (25, "forward", "Gamma and beta"),
        (26, "critiques", "A reparametrisation"),
        (27, "forward", "It adds layers"),
        (30, "forward", "It makes every layer"),
    ],
)
def test_verdicts_agree_with_the_chapters(number, page, claim):
    ours = {c.number: c.verdict for c in lab.claims(PAGE)}[number]
    (theirs,) = [v for k, v in verdicts_of(page).items() if k.startswith(claim)]
    assert theirs.startswith(f"**{ours}")


# Equations


def test_undo_and_absorb():
    rng = np.random.default_rng(1)
    z, eps = rng.normal(size=(40, 6)) * 3 + 1, 1e-5
    v, mu = z.var(0), z.mean(0)
    y, _ = bnlib.batch_norm(z, np.sqrt(v + eps), mu, eps=eps)
    np.testing.assert_allclose(y, z, atol=1e-12)
    r, s = rng.normal(size=6), rng.uniform(0.1, 2, size=6)
    y = bnlib.batch_norm_inference(z, np.sqrt(s + eps), r, r, s, eps=eps)
    np.testing.assert_allclose(y, z, atol=1e-12)
    gamma, beta = rng.uniform(0.2, 3, size=6), rng.normal(size=6)
    x_hat, _ = bnlib.batch_norm(z, None, None)
    np.testing.assert_allclose(
        np.maximum(gamma * x_hat + beta, 0),
        gamma * np.maximum(x_hat + beta / gamma, 0),
        atol=1e-12,
    )


# Instruments


def test_steps_to():
    loss = np.array([4.0, 3, 2, 1, 0, 0, np.nan])[:, None].repeat(2, axis=1)
    loss[:, 1] = 4
    np.testing.assert_array_equal(lab.steps_to(loss, 1.0, window=2), [5, np.inf])


def test_roughness():
    loss = np.array([9.0, 0, 9, 1, 3, 2])
    assert lab.roughness(loss) == pytest.approx(1.5)
    assert lab.roughness(loss, relative=True) == pytest.approx(0.75)


def test_network_has_its_norm_in_its_place():
    kinds = [type(layer).__name__ for layer in lab.network(2, norm="after")]
    assert kinds == ["Linear", "ReLU", "BatchNorm1d"] * 2 + ["Linear"]
    kinds = [type(layer).__name__ for layer in lab.network(1, activation="tanh")]
    assert kinds == ["Linear", "BatchNorm1d", "Tanh", "Linear"]
    torch.manual_seed(0)
    wide = lab.network(1, norm=None, scale=4.0, width=500)[0].weight
    assert wide.std().item() == pytest.approx(4 * (2 / 64) ** 0.5, rel=0.02)


def test_arms_know_their_scales():
    """Scales side by side are what each would be alone."""
    make, options = partial(lab.network, 2), {"seeds": (11,), "rates": (0.1, 1.0)}
    both = lab.run(make, scales=(1.0, 4.0), steps=5, **options)
    alone = lab.run(lambda scale: make(scale=4.0), steps=5, **options)
    np.testing.assert_allclose(both.losses(0.1, 4.0), alone.losses(0.1), rtol=1e-3)
    assert not np.allclose(both.losses(0.1, 1.0), alone.losses(0.1), rtol=1e-3)


def test_folded_computes_the_same():
    torch.manual_seed(0)
    model, x = lab.stack(2, 4, norm=True), torch.randn(3, 4, 6, 6)
    for _ in range(3):
        model(x)
    fold = lab.folded(model)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in fold)
    torch.testing.assert_close(fold(x), model.eval()(x), atol=1e-5, rtol=1e-4)
    assert lab.parameters(fold) == lab.parameters(lab.stack(2, 4, norm=False))
    assert lab.parameters(model) == lab.parameters(fold) + 2 * 4


# Claims, on seeds that the chapter does not use


@pytest.fixture(scope="module")
def arms():
    return {
        (activation, depth, norm): lab.run(
            partial(lab.network, depth, norm=norm, activation=activation),
            seeds=SEEDS,
            rates=rates,
            scales=(1.0, 0.25, 4.0) if (activation, depth) == ("ReLU", 6) else (1.0,),
        )
        for activation, depth, rates in (
            ("ReLU", 2, (0.1, 0.3, 1.0)),
            ("ReLU", 6, (0.1, 0.3, 1.0)),
            ("sigmoid", 6, (0.3, 1.0, 3.0)),
        )
        for norm in (None, "before")
    }


def steps(arm, rate=None):
    return np.median(np.minimum(lab.steps_to(arm.losses(rate), 0.5), 100))


def test_faster_at_the_best_rate_and_slower_at_a_small_one(arms):
    for depth in (2, 6):
        plain, bn = arms["ReLU", depth, None], arms["ReLU", depth, "before"]
        assert steps(bn) < 0.8 * steps(plain)
        assert (bn.usable() > plain.usable()).all()
    plain, bn = arms["ReLU", 2, None], arms["ReLU", 2, "before"]
    assert steps(bn, 0.1) > 1.2 * steps(plain, 0.1)
    assert abs(bn.accuracy().mean() - plain.accuracy().mean()) < 4
    plain, bn = arms["ReLU", 6, None], arms["ReLU", 6, "before"]
    assert bn.accuracy().mean() > plain.accuracy().mean() + 3


def test_smoother_or_not_depends_on_the_unit(arms):
    plain, bn = (arms["ReLU", 6, norm].losses() for norm in (None, "before"))
    assert (lab.roughness(bn) < lab.roughness(plain)).all()
    relative = [lab.roughness(loss, relative=True) for loss in (plain, bn)]
    assert (relative[1] > relative[0]).all()


def test_the_initial_scale_matters_only_without(arms):
    for scale in (0.25, 4.0):
        assert arms["ReLU", 6, None].accuracy(scale).max() < 25
        assert arms["ReLU", 6, "before"].accuracy(scale).min() > 85


def test_sigmoids_learn_and_better_with_batch_norm_after_them(arms):
    assert arms["sigmoid", 6, None].test.max() < 25
    before = arms["sigmoid", 6, "before"]
    assert before.accuracy().min() > 85
    after = lab.run(
        partial(lab.network, 6, norm="after", activation="sigmoid"),
        seeds=SEEDS,
        rates=(0.3, 1.0),
    )
    assert steps(after) < 0.7 * steps(before)


def test_selu_is_as_good_up_to_a_small_rate(arms):
    selu = lab.run(
        partial(lab.network, 6, norm=None, activation="SELU"),
        seeds=SEEDS,
        rates=(0.1, 0.3, 1.0),
    )
    assert abs(selu.accuracy().mean() - arms["ReLU", 6, "before"].accuracy().mean()) < 4
    assert (selu.usable() <= 0.3).all()


def test_robust_or_not_depends_on_whose_statistics():
    makes = {
        "batch norm": lambda: cnn((8, 16, 16)),
        "plain": lambda: cnn((8, 16, 16), norm=None),
    }
    found = lab.robustness(makes, dict.fromkeys(makes, 0.3), seeds=SEEDS)
    right = {
        (change, name): np.mean(values)
        for change, rows in found.items()
        for name, values in rows.items()
    }
    for change in ("contrast × 0.3", "brightness + 2"):
        assert right[change, "batch norm, test batch"] > 93
        assert right[change, "batch norm, eval"] < right[change, "plain"]
    assert right["noise", "batch norm, eval"] < right["none", "batch norm, eval"] - 15
    assert right["noise", "batch norm, test batch"] < right["none", "plain"]


def test_dropout_still_helps_beside_batch_norm():
    found = {
        (norm, drop): np.mean(
            [
                lab.with_dropout(norm=norm, drop=drop, wrong=0.3, rate=0.3, seed=seed)
                for seed in SEEDS
            ]
        )
        for norm in (False, True)
        for drop in (0.0, 0.5)
    }
    assert found[True, 0.5] > found[True, 0.0] + 3
    assert found[True, 0.0] < found[False, 0.0] + 4  # batch norm alone does not do it


@pytest.mark.parametrize("seed", SEEDS)
def test_only_x_hat_stays_normalised(seed):
    torch.manual_seed(seed)
    model, data = lab.network(3), digits(seed=seed)
    watch = lab.watch_moments(data.x)
    history = train(model, data, rate=0.3, steps=100, seed=seed, watch=watch, every=100)
    x_hat, y, inputs = (history.seen[name][-1] for name in ("x_hat", "y", "input"))
    assert abs(x_hat[:, 0]).max() < 1e-5
    assert abs(x_hat[:, 1] - 1).max() < 1e-3
    assert np.ptp(y[:, 1]) > 0.2
    assert history.seen["input"][0][:, 0].min() > 0.3
    assert inputs[:, 0].min() > 0.1
