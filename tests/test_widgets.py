"""The widgets' mathematics, which JavaScript does, is that of bnlib and NumPy."""

import gzip
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import bnlib
from experiments.small_batches import variance_of_variance

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "widgets").glob("*.js"))
TAGS = [s.stem for s in SCRIPTS if s.stem != "widget" and not s.stem.endswith("-data")]


PROGRAM = """
import {createInterface} from "node:readline";
import {load, still} from "./tools/widgets.mjs";
Object.assign(globalThis, {all: load(), still});
for await (const line of createInterface({input: process.stdin})) {
  try { console.log(JSON.stringify({value: (0, eval)(JSON.parse(line))})); }
  catch (error) { console.log(JSON.stringify({error: error.stack})); }
}"""


@pytest.fixture(scope="module", autouse=True)
def running():
    """One node for all tests: it takes long to start."""
    if not shutil.which("node"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no node to run widgets")
    command = ["node", "--input-type=module", "-e", PROGRAM]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(
        command, cwd=ROOT, text=True, encoding="utf-8", **pipes
    ) as it:
        node.process = it
        yield
        it.stdin.close()


def node(expression):
    """What a JavaScript expression is, given the widgets by name as `all`."""
    print(json.dumps(expression), file=node.process.stdin, flush=True)
    answer = json.loads(node.process.stdout.readline())
    assert "error" not in answer, answer["error"]
    return answer["value"]


def call(tag, function, *arguments):
    """What a function of a widget returns."""
    return node(f"all[{tag!r}].{function}(...{json.dumps(arguments)})")


def say(tag, data="undefined", **values):
    return node(f"all[{tag!r}].say({json.dumps(values)}, {data})")


# A number as the widgets write it: −3.2·10⁻⁵.
POWER = "10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)"
NUMBER = re.compile(rf"(−?){POWER}|(−?\d+(?:\.\d+)?)(?:·{POWER})?")
PLAIN = str.maketrans("−⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "--0123456789")


def numbers(sentence):
    found = []
    for sign, alone, mantissa, power in NUMBER.findall(sentence):
        exponent = int((alone or power or "0").translate(PLAIN))
        found.append(float((mantissa or f"{sign}1").translate(PLAIN)) * 10.0**exponent)
    return found


# What the two tables hold, as the pages print it.
ERRORS = [
    ["examples in the statistics", "2", "4", "8", "16 or 32", "64 or 128"],
    ["batch norm", *["69.5 (67.8–80.1)"] * 4, "3.5 (1.0–4.0)"],
    ["group norm", *["10.1 (8.6–21.9)"] * 4, "3.6 (1.0–4.0)"],
    ["renorm", *["47.6 (46.3–59.2)"] * 4, "3.5 (1.0–4.0)"],
    ["alone", *["43.8 (41.8–49.6)"] * 4, "1.5 (0.8–2.0)"],
]
RATES = [
    ["hidden layers", "plain", "batch norm"],
    ["1", "2.00 (1.00–2.00)", "4.00 (4.00–4.00)"],
    ["2", "1.00 (1.00–1.00)", "4.00 (4.00–8.00)"],
    ["4", "0.50 (0.50–0.50)", "4.00 (4.00–4.00)"],
    ["8", "0.12 (0.06–0.25)", "4.00 (4.00–4.00)"],
    ["16", "0.03 (0.03–0.06)", "4.00 (4.00–4.00)"],
]
DATA = f"""{{
    "small-batch-error": all["small-batch-error"].parse({json.dumps(ERRORS)}),
    "rate-depth": all["rate-depth"].parse({json.dumps(RATES)})}}"""


def test_there_are_at_least_ten_and_each_has_a_place():
    assert len(TAGS) >= 10
    text = "".join(page.read_text() for page in (ROOT / "chapters").glob("*.md"))
    for tag in TAGS:
        places = text.count(f":file: stills/{tag}.html")
        assert places + text.count(f'<{tag} class="widget">') == 1, tag


@pytest.mark.parametrize("tag", ["widget", *TAGS])
def test_scripts_are_small_and_call_nobody(tag):
    text = b"".join(path.read_bytes() for path in SCRIPTS if path.stem == tag)
    text += b"".join(
        path.read_bytes() for path in SCRIPTS if path.stem == f"{tag}-data"
    )
    assert len(gzip.compress(text)) < 5 * 1024
    assert not re.search(rb"https?:|fetch\(|import |XMLHttp|setTimeout|animat", text)


def test_what_stands_in_a_page_is_what_its_widget_shows_first():
    stills = {
        path.stem: path.read_text() for path in (ROOT / "chapters/stills").iterdir()
    }
    drawn = "Object.fromEntries(Object.keys(all).filter((t) => !all[t].read)"
    now = node(f"{drawn}.map((t) => [t, still(t)]))")
    assert stills == now, "run: node tools/widgets.mjs"


def test_a_widget_has_something_to_say_and_to_draw_for_every_value():
    """Each input over its whole range, the others at the start and at both ends."""
    found = node(f"""(() => {{
        const data = {DATA}, found = {{}};
        for (const [tag, {{inputs, say, draw}}] of Object.entries(all)) {{
          const range = Object.fromEntries(Object.entries(inputs).map(([name, i]) =>
            [name, i.choices ? Object.keys(i.choices) : Array.from(
              {{length: Math.round((i.max - i.min) / i.step) + 1}},
              (_, k) => i.min + k * i.step)]));
          const bases = [widget.start(all[tag]), ...[0, -1].map((end) =>
            Object.fromEntries(Object.entries(range).map(([n, v]) => [n, v.at(end)])))];
          for (const [name, values] of Object.entries(range))
            for (const base of bases) {{
              const shown = values.map((v) => ({{...base, [name]: v}}));
              found[`${{tag}} ${{name}} ${{bases.indexOf(base)}}`] = [
                shown.map((v) => say(v, data[tag])),
                shown.map((v) => draw(v, data[tag])),
                inputs[name].choices ? [] : values.map(inputs[name].show)];
            }}
        }}
        return found;
    }})()""")
    assert len({key.split()[0] for key in found}) == len(TAGS) - 1  # not norm-cube
    wrong = re.compile(r"NaN|undefined|null|Infinity|∞|\d-\d|\[object")
    for key, (sentences, pictures, shown) in found.items():
        for text in (*sentences, *pictures, *shown):
            assert text and not wrong.search(text), (key, text)
        assert all(s.endswith((".", ")")) and "  " not in s for s in sentences), key
        if key.endswith(" 0"):
            changing = pictures if " turn " in key else sentences
            assert len(set(changing)) > 1, f"{key} changes nothing"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0316227, "0.0316"),
        (0.9999, "1.00"),
        (-12.34, "−12.3"),
        (99.96, "100"),
        (123456, "1.23·10⁵"),
        (1e-5, "10⁻⁵"),
        (-2.5e-7, "−2.50·10⁻⁷"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert node(f"widget.number({value})") == text


def test_random_numbers_are_normal():
    x = np.array(node("widget.normals(40000, 5)"))
    inside = [(abs(x) < edge).mean() for edge in (0.6745, 1, 2)]
    np.testing.assert_allclose(inside, [0.5, 0.6827, 0.9545], atol=0.01)
    assert abs(x.mean()) < 0.02 and abs((x**4).mean() - 3) < 0.15
    assert abs(np.corrcoef(x[1:], x[:-1])[0, 1]) < 0.02


def test_entries_of_the_cube_share_statistics_as_bnlibs_norms_say():
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 4))
    last = lambda f: lambda x: np.moveaxis(f(np.moveaxis(x, 1, -1))[0], -1, 1)  # noqa: E731
    norms = {
        "batch": lambda x: bnlib.batch_norm(x, None, None)[0],
        "layer": lambda x: bnlib.layer_norm(x, None, None, axis=1)[0],
        "token": last(lambda x: bnlib.layer_norm(x, None, None)),
        "group": lambda x: bnlib.group_norm(x, None, None, num_groups=2)[0],
        "instance": lambda x: bnlib.instance_norm(x, None, None)[0],
        "rms": last(lambda x: bnlib.rms_norm(x, None)),
    }
    entries = (0, 21, 77, 191)
    told = node(
        f"Object.fromEntries({json.dumps(list(norms))}.map((norm) => [norm, "
        f"{list(entries)}.map((i) => widget.shared(norm, i))]))"
    )
    for name, norm in norms.items():
        for k, i in enumerate(entries):
            changed = x.copy()
            changed.flat[i] += 1
            moved = abs(norm(changed) - norm(x)).ravel() > 1e-9
            assert told[name][k] == np.flatnonzero(moved).tolist(), name


@pytest.mark.parametrize("power", [-12, -10, -5, -3.5, -3, 0, 2])
@pytest.mark.parametrize("eps", [-8, -5, -3])
def test_eps_gain(power, eps):
    v = 10.0**power
    xhat, _ = bnlib.batch_norm(
        np.sqrt(v) * np.array([[-1.0], [1.0]]), None, None, eps=10.0**eps
    )
    sentence = say("eps-gain", v=power, eps=str(eps))
    inside, outside = numbers(sentence)[-2:]
    assert inside == pytest.approx(xhat.std(), rel=6e-3)
    assert outside == pytest.approx(np.sqrt(v) / (np.sqrt(v) + 10.0**eps), rel=6e-3)
    assert ("counts as constant" in sentence) == (power <= eps - 2)
    assert ("hardly matters" in sentence) == (power >= eps + 2)
    if power != eps:
        ratio = numbers(sentence)[0]
        assert ratio == pytest.approx(10 ** abs(power - eps), rel=0.06)
        assert ("divided by" in sentence) == (power < eps)


@pytest.mark.parametrize(
    ("gamma", "beta"), [(1, 0), (-2, 3), (0, 3), (2, 3), (2.5, -4)]
)
def test_gamma_beta(gamma, beta):
    x = np.array(node("all['gamma-beta'].x"))
    expected, _ = bnlib.batch_norm(
        x[:, None], np.array([float(gamma)]), np.array([float(beta)])
    )
    y = node(f"all['gamma-beta'].normalise(all['gamma-beta'].x, {gamma}, {beta})")
    np.testing.assert_allclose(y, expected[:, 0], rtol=1e-12, atol=1e-12)
    sentence = say("gamma-beta", gamma=gamma, beta=beta)
    assert ("nothing of x" in sentence) == (np.ptp(expected) == 0)
    assert ("y is x again" in sentence) == np.allclose(expected[:, 0], x, atol=1e-4)
    assert ("y is x̂" in sentence) == ((gamma, beta) == (1, 0))
    assert ("mirror" in sentence) == (gamma < 0)
    if "y has the mean" in sentence:
        mean, sd = numbers(sentence)
        assert mean == pytest.approx(expected.mean())
        assert sd == pytest.approx(expected.std(), rel=1e-4)


@pytest.mark.parametrize("k", [1, 2, 5, 10])
def test_batch_noise(k):
    size = 2**k
    batches = node(
        f"Array.from({{length: 48}}, (_, b) => all['batch-noise'].batch(b, {size}))"
    )
    _, cache = bnlib.batch_norm(np.array(batches).T, None, None)
    found = np.array(call("batch-noise", "statistics", size))
    np.testing.assert_allclose(found, np.stack([cache.mean, cache.var], 1), atol=1e-12)
    theory = size**-0.5, variance_of_variance(size, 3) ** 0.5, (size - 1) / size
    told = numbers(say("batch-noise", k=k))
    assert told[0] == size
    np.testing.assert_allclose(told[1:4], theory, rtol=0.03)
    assert told[4] == 48
    np.testing.assert_allclose(told[5:7], found.std(0), rtol=0.03)
    np.testing.assert_allclose(
        found.std(0), theory[:2], rtol=0.35
    )  # it shows its point


def tree(x):
    """Sum in float32, neighbours first."""
    while len(x) > 1:
        x = x[::2] + x[1::2]
    return x[0]


@pytest.mark.parametrize("k", [0, 1.25, 3, 3.25, 4.5, 5])
def test_lost_digits(k):
    got = node(
        f"(() => {{ const w = all['lost-digits'], x = w.values(10 ** {k});"
        " return [x, w.onePass(x), w.twoPasses(x), w.exact(x)]; })()"
    )
    x, n = np.float32(got[0]), np.float32(1024)
    assert (x == got[0]).all()  # they are float32 numbers
    mean = tree(x) / n
    one, two = tree(x * x) / n - mean * mean, tree((x - mean) ** 2) / n
    assert one.dtype == two.dtype == np.float32
    assert got[1:3] == [one, two]  # to the last bit
    truth = x.astype(float).var()
    assert got[3] == pytest.approx(truth, rel=1e-12)
    sentence = say("lost-digits", k=k)
    assert numbers(sentence)[0] == pytest.approx(truth, rel=1e-4)
    assert ("negative" in sentence) == (one < 0)
    assert ("no digit" in sentence) == (one >= 0 and abs(one - truth) >= truth)
    assert numbers(sentence)[-1] == pytest.approx(2.0**-24 * 10 ** (2 * k), rel=0.5)


@pytest.mark.parametrize("way", ["tree", "down", "xor"])
def test_reduction_tree(way):
    """Lanes count that hold the moments of a set with no value in it twice."""
    values = np.array([3, 1, 4, 1, 5, 9, 2, 6.0])
    sets = [{i} for i in range(8)]
    moments = [(v, 0.0, 1) for v in values]
    for step in range(4):
        if step:
            stride = 2 ** (step - 1) if way == "tree" else 8 >> step
            others = [
                {
                    "tree": i + stride if i % (2 * stride) == 0 else None,
                    "down": i + stride if i + stride < 8 else i,
                    "xor": i ^ stride,
                }[way]
                for i in range(8)
            ]
            moments = [
                own if j is None else bnlib.merge_moments(own, moments[j])
                for own, j in zip(moments, others, strict=True)
            ]
            sets = [
                own
                if j is None or own is None or sets[j] is None
                else None
                if own & sets[j]
                else own | sets[j]
                for own, j in zip(sets, others, strict=True)
            ]
        np.testing.assert_allclose(call("reduction-tree", "after", way, step), moments)
        useful = call("reduction-tree", "useful", way, step)
        for i in range(8):
            assert useful[i] == (sets[i] is not None and len(sets[i]) == 2**step)
            if useful[i]:
                mine = values[list(sets[i])]
                np.testing.assert_allclose(moments[i][:2], [mine.mean(), mine.var()])
        sentence = say("reduction-tree", step=step, way=way)
        if step:
            told = numbers(sentence.partition("Lane 0 now has")[2])
            np.testing.assert_allclose(
                told[:3], np.array(moments[0])[[2, 0, 1]], rtol=2e-3
            )
            count = 8 if "every lane" in sentence else told[3]
            assert count == sum(useful)
    np.testing.assert_allclose(moments[0], (values.mean(), values.var(), 8))


@pytest.mark.parametrize("k", [0, 3, 6])
def test_running_lag(k):
    lag = "all['running-lag']"
    m = node(f"{lag}.momenta[{k}]")
    means = np.array(node(f"{lag}.means"))
    r, path = (np.zeros(1), np.ones(1)), [0.0]
    for mean in means:  # two values a batch, with that mean
        _, cache = bnlib.batch_norm(np.array([[mean - 1], [mean + 1]]), None, None)
        r = bnlib.update_running(*r, cache, momentum=m)
        path.append(r[0][0])
    np.testing.assert_allclose(call("running-lag", "running", m), path, rtol=1e-9)
    for t in (5, 60, 200):
        truth = call("running-lag", "truth", t)
        age = np.arange(t)
        rest = (m * (1 - m) ** age * (means[t - 1 - age] - truth)).sum()
        start = call("running-lag", "memory", m, t)
        assert path[t] - truth == pytest.approx(start + rest, abs=1e-9)
        weights = m * (1 - m) ** age  # without the start they are to add up to one
        repaired = (weights * means[t - 1 - age]).sum() / weights.sum()
        assert call("running-lag", "repaired", m, t) == pytest.approx(repaired)
        told = numbers(say("running-lag", k=k, t=t).replace("+", ""))
        expected = [t, m, path[t], truth, path[t] - truth, start, rest]
        np.testing.assert_allclose(told[:7], expected, atol=0.006)


@pytest.mark.parametrize("d", [[1.75, -0.5], [1, 2, -0.5], [2, 2, 2], [0.25, -2, 1]])
def test_gradient_projection(d):
    x = np.array([[1.0], [3.0], [8.0]])[: len(d)]
    _, cache = bnlib.batch_norm(x, None, None)
    dx, _, _ = bnlib.batch_norm_backward(np.array(d, dtype=float)[:, None], cache)
    found = call("gradient-projection", "project", d)
    np.testing.assert_allclose(found["dx"], dx[:, 0], rtol=1e-9, atol=1e-12)
    xhat = bnlib.batch_norm(x, None, None)[0][:, 0]
    np.testing.assert_allclose(found["xhat"], xhat)
    one, along, left = shares = call("gradient-projection", "shares", d)
    assert sum(shares) == pytest.approx(1, abs=1e-4)
    assert one == pytest.approx(np.mean(d) ** 2 * len(d) / np.dot(d, d))
    assert left == pytest.approx((dx**2).sum() * (x.var() + 1e-5) / np.dot(d, d))
    values = dict(
        zip(("d1", "d2", "d3"), [*d, 0], strict=False), M=str(len(d)), turn=60
    )
    sentence = say("gradient-projection", **values)
    percents = [int(p) for p in re.findall(r"(\d+) %", sentence)]
    assert percents[:2] == [round(100 * one), round(100 * along)]
    assert ("nothing is left" in sentence) == (left < 0.005)
    if left >= 0.005:
        assert percents[2] == round(100 * left)
        told = numbers(sentence.partition("dx = ")[2])
        np.testing.assert_allclose(told, dx[:, 0], rtol=0.06)


def test_gradient_growth():
    batches = node("all['gradient-growth'].batches")
    B = np.array(batches, dtype=float)
    c = -1 / (B - 1)
    J = (np.sqrt(1 - c**2) + (np.pi - np.arccos(c)) * c) / np.pi
    slope = (np.pi - np.arccos(c)) / np.pi
    rates = ((B - 1 + slope) / (1 - J) - 1) / (B - 3)
    got = node("all['gradient-growth'].batches.map(all['gradient-growth'].rate)")
    np.testing.assert_allclose(got, rates)
    v = 1 + (1 - 1 / np.pi) * np.arange(30)
    assert call("gradient-growth", "skips", 30) == pytest.approx(np.prod(1 + 1 / v))
    told = numbers(say("gradient-growth", layers=30, k=3))
    np.testing.assert_allclose(told[0], 8)
    np.testing.assert_allclose(told[1], rates[3], rtol=5e-3)
    np.testing.assert_allclose(
        told[3:5], [rates[3] ** 30, np.prod(1 + 1 / v)], rtol=0.05
    )


def test_small_batch_error():
    rows = f"({DATA})['small-batch-error']"
    parsed = node(rows)
    assert parsed[0][0] == {"size": 2, "median": 69.5, "least": 67.8, "greatest": 80.1}
    assert [cell["size"] for cell in parsed[0]] == [2, 4, 8, 32, 128]
    assert [cell["size"] for cell in parsed[3]] == [2, 4, 8, 16, 64]
    sentence = say("small-batch-error", rows, k=0)
    assert numbers(sentence) == [2, 69.5, 10.1, 47.6, 64, 2, 43.8]
    assert "group norm is best" in sentence
    assert "batch norm and batch renorm are best" in say("small-batch-error", rows, k=4)


def test_rate_depth():
    rows = f"({DATA})['rate-depth']"
    parsed = node(rows)
    assert parsed[0] == {"depth": 1, "plain": [2, 1, 2], "normalised": [4, 4, 4]}
    assert parsed[3]["plain"] == [1 / 8, 1 / 16, 1 / 4]  # the table has rounded them
    assert parsed[4]["plain"] == [1 / 32, 1 / 32, 1 / 16]
    rates = node("all['rate-depth'].rates")
    for rate, verdict in (
        (1 / 16, "bears it"),
        (1 / 4, "bears it on some seeds"),
        (1 / 2, "does not bear it"),
    ):
        sentence = say("rate-depth", rows, d=3, k=rates.index(rate))
        assert f"plain network {verdict} (its largest rate is 1/8)" in sentence
        assert "batch norm bears it (4)" in sentence


@pytest.mark.parametrize("name", ["plain", "normalised"])
def test_loss_slices_are_what_the_experiment_finds(name, one_thread):
    from experiments import loss_slices

    kept = node("widget.slices")
    assert kept["looks"] == list(loss_slices.LOOKS)
    assert kept["etas"] == loss_slices.ETAS.tolist()
    found = loss_slices.slices(
        normalised=name == "normalised", rate=kept[name]["rate"], steps=10
    )
    for key, values in found.items():  # the looks before step 0 and step 10
        np.testing.assert_allclose(kept[name][key][:2], values, rtol=0.02)
    step = node(f"all['loss-slice'].step({name!r}, 1, 12)")
    assert step["before"] == pytest.approx(np.median(found["start"][1]), rel=0.01)
    assert step["after"] == pytest.approx(np.median(found["loss"][1][:, 12]), rel=0.02)
    promised = loss_slices.ETAS[12] * np.median(found["slope"][1]) ** 2
    assert step["promised"] == pytest.approx(promised, rel=0.03)
    assert f"{step['before']:.2g} to {step['after']:.2g}" in say(
        "loss-slice", k=1, e=12
    )


def test_loss_slices_show_what_the_page_says():
    """After some training the plain loss turns up at a far shorter step."""
    etas = node("widget.slices.etas")
    for k, factor in ((0, 0.9), (3, 4), (5, 4)):
        turns = {}
        for name in ("plain", "normalised"):
            steps = node(
                f"{etas}.map((_, e) => all['loss-slice'].step({name!r}, {k}, e))"
            )
            higher = [s["after"] > s["before"] for s in steps]
            turns[name] = etas[higher.index(True)] if any(higher) else np.inf
        assert turns["normalised"] >= factor * turns["plain"], k
