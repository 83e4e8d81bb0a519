"""Exercises: batch norm with a clock, for padded sequences.

``step_train`` has the statistics of each step's living sequences, and keeps running
ones; ``step_eval`` uses those, the last beyond the last.

But: no recurrent network around it; x holds all steps, as if they were known at once.
"""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.pitfalls._shared import CHANGED, EPS, FINISH, LARGE, finish, wide

M = 0.1


def _train(
    x,
    lengths,
    gamma,
    beta,
    running_mean,
    running_var,
    momentum=M,
    eps=1e-5,
    *,
    mask="alive",
    clock="step",
    padding="zero",
    variance="biased",
    stored="unbiased",
    weights="new",
    lone="kept",
    uses="batch",
    fixed_momentum=None,
    updates="all",
    order=(0, 1, 2),
    **knobs,
):
    """Normalise x, (N, T, D), step by step; return y and the new running statistics."""
    x, gamma, beta, rm, rv = wide(x, gamma, beta, running_mean, running_var)
    old_mean, old_var = rm.copy(), rv.copy()
    n, steps, _ = x.shape
    m = momentum if fixed_momentum is None else fixed_momentum
    y = np.zeros_like(x) + (beta if padding == "beta" else 0.0)
    t0 = np.arange(steps)
    living = {
        "alive": lambda: t0 < lengths[:, None],
        "none": lambda: np.ones((n, steps), bool),
        "one more": lambda: t0 <= lengths[:, None],
        "one less": lambda: t0 < lengths[:, None] - 1,
        "not zero": lambda: (x != 0).all(2),
        "complete": lambda: np.repeat((lengths == steps)[:, None], steps, 1),
    }[mask]()
    for t in range(steps):
        rows = living[:, t]
        alive = int(rows.sum())
        if not alive:
            continue
        source = _source(clock, x, living, t)
        count = np.float64(len(source))
        mean, var = source.mean(0), source.var(0)
        if variance == "padded count":
            mean = source.sum(0) / n
            var = ((source - mean) ** 2).sum(0) / n
        elif variance == "padded mean":
            var = ((source - mean) ** 2).sum(0) / n
        elif variance == "unbiased":
            var = var * count / (count - 1)
        elif variance == "mean square":
            var = (source**2).mean(0)
        mu, v = (mean, var) if uses == "batch" else (old_mean[t], old_var[t])
        out = finish(x[:, t], mu, v, gamma, beta, eps, **knobs)
        shown = np.ones(n, bool) if padding == "normalised" else t < lengths
        y[shown, t] = out[shown]
        if count < 2 and lone == "kept":
            continue
        new = _stored(stored, var, count, n)
        if variance == "unbiased":
            new = var
        if count < 2 and lone == "variance 0":
            new = 0 * var
        if count < 2 and lone == "mean only":
            new = rv[t]
        a, b = {
            "new": (1 - m, m),
            "old": (m, 1 - m),
            "last": (0.0, 1.0),
            "no decay": (1.0, m),
        }[weights]
        if updates in ("all", "mean"):
            rm[t] = a * rm[t] + b * mean
        if updates in ("all", "var"):
            rv[t] = a * rv[t] + b * new
        if updates == "one row":
            rm[0] = a * rm[0] + b * mean
            rv[0] = a * rv[0] + b * new
    if updates == "to the end":  # rows beyond T, moved with the last step
        rm[steps:] = a * rm[steps:] + b * mean
    out = y, rm, rv
    return tuple(out[i] for i in order)


def _source(clock, x, living, t):
    """Return the values that share the statistics of step t."""
    return {
        "step": lambda: x[living[:, t], t],
        "pooled": lambda: x[living],
        "sequence": lambda: x[living[:, t], : t + 1].reshape(-1, x.shape[2]),
        "first": lambda: x[living[:, 0], 0],
    }[clock]()


def _stored(kind, var, count, n):
    """Return what the running variance takes in."""
    return {
        "unbiased": lambda: var * count / (count - 1),
        "biased": lambda: var,
        "by N": lambda: var * n / np.float64(n - 1),
        "std": lambda: np.sqrt(var * count / (count - 1)),
    }[kind]()


def _draw(rng, n, steps, d, rows, *, lengths=None, mean=1.0, dtype=np.float64):
    """Draw padded x, whose mean and scale change from step to step, and the rest."""
    if lengths is None:
        lengths = np.sort(rng.integers(2, steps + 1, size=n))[::-1].copy()
        lengths[:2] = steps
        lengths = rng.permutation(lengths)
    lengths = np.array(lengths)
    at = mean + rng.normal(size=(steps, d)) + np.linspace(0, 3, steps)[:, None]
    scale = rng.uniform(0.5, 2.0, size=(steps, d))
    x = at + scale * rng.normal(size=(n, steps, d))
    x[np.arange(steps) >= lengths[:, None]] = 0.0
    gamma = rng.uniform(0.5, 2.0, size=d) * np.where(np.arange(d) % 2, -1, 1)
    beta = rng.normal(size=d) + 2.0
    running = rng.normal(size=(rows, d)), rng.uniform(0.5, 3.0, size=(rows, d))
    arrays = (x, gamma, beta, *running)
    x, gamma, beta, *running = (a.astype(dtype) for a in arrays)
    return x, lengths, gamma, beta, *running


def _train_cases(rng):
    pads = "Sequences have ended there: their padding is not data."
    lone = (
        "At the last steps fewer than two sequences are alive. One has no unbiased "
        "variance: those rows of the running statistics stay as they are."
    )
    gaps = "There are living entries that are exactly 0: padding is where t >= length."
    full = [6] * 8
    cases = [
        Case("8 sequences without padding", _draw(rng, 8, 6, 3, 6, lengths=full)),
        Case("7 padded sequences", _draw(rng, 7, 5, 4, 5), hint=pads),
        Case(
            "6 padded sequences, room for 4 more steps",
            _draw(rng, 6, 5, 3, 9),
            hint="The rows beyond the longest sequence stay as they are.",
        ),
        Case("5 sequences, 5 steps, 5 features", _draw(rng, 5, 5, 5, 5), hint=pads),
        Case(
            "one sequence longer than the others, and room for one step more",
            _draw(rng, 5, 6, 3, 7, lengths=[3, 5, 2, 3, 4]),
            hint=lone,
        ),
        Case("momentum = 0.3", _draw(rng, 7, 4, 3, 4), {"momentum": 0.3}),
        Case("eps = 0.2", _draw(rng, 7, 4, 3, 4), {"eps": 0.2}, hint=EPS),
        Case(
            "float32", _draw(rng, 9, 4, 3, 4, dtype=np.float32), {}, 1e-4, "Or float32?"
        ),
        Case("means of 1e6", _draw(rng, 6, 4, 2, 4, mean=1e6), {}, 1e-6, LARGE),
    ]
    x, *rest = _draw(rng, 8, 5, 3, 5)
    x[rest[0] == 5, 1, 0] = 0.0
    cases.append(Case("a value that happens to be 0", (x, *rest), hint=gaps))
    return cases


_LIVING = "of the sequences that are alive at step t (t < length)"

step_train = Exercise(
    name="step_norm_train",
    outputs=("y", "running_mean", "running_var"),
    examine=("running_mean", "running_var", "y"),
    formula=_train,
    cases=_train_cases,
    section="recurrent-padding",
    changed=CHANGED + " Return new running statistics; copy them first.",
    mistakes=(
        Mistake(
            "The padding is counted: zeros that belong to nobody pull the mean to 0 "
            "and blow up or shrink the variance, the more the later the step. Take the "
            f"statistics {_LIVING}.",
            {"mask": "none"},
        ),
        Mistake(
            "The sums run over the living sequences, but are divided by N. Divide by "
            "the number that are alive at that step.",
            {"variance": "padded count"},
        ),
        Mistake(
            "The variance is divided by N. Divide by the number of sequences that are "
            "alive at that step.",
            {"variance": "padded mean"},
        ),
        Mistake(
            "Sequences are taken for alive one step too long: at step t (counted from "
            "0) they are where t < length.",
            {"mask": "one more"},
        ),
        Mistake(
            "Sequences end one step too early: at step t (counted from 0) they are "
            "alive where t < length.",
            {"mask": "one less"},
        ),
        Mistake(
            "You take entries that are 0 for padding. A living sequence may well have "
            "a 0. Use the lengths.",
            {"mask": "not zero"},
        ),
        Mistake(
            "Only sequences of full length count. A shorter one is data until it ends: "
            f"take the statistics {_LIVING}.",
            {"mask": "complete"},
        ),
        Mistake(
            "All steps share one mean and variance. A network's state at step 0 is "
            "unlike that at step 5; each step has statistics of its own: reduce over "
            "the sequences only.",
            {"clock": "pooled"},
        ),
        Mistake(
            "The statistics of step t are over all steps up to t. They are over step "
            "t alone.",
            {"clock": "sequence"},
        ),
        Mistake(
            "All steps are normalised by step 0's statistics. Each step has its own.",
            {"clock": "first"},
        ),
        Mistake(
            "Only row 0 of the running statistics moves, once a step. Step t belongs "
            "to row t.",
            {"updates": "one row"},
        ),
        Mistake(
            "In training you normalise by the running statistics. The batch's own are "
            "used; the running ones are kept up to date, for evaluation.",
            {"uses": "running"},
        ),
        Mistake(
            "y is not 0 where a sequence has ended: the padding is normalised like "
            "data. Set y to 0 there, so that nothing reads it as data later.",
            {"padding": "normalised"},
        ),
        Mistake(
            "y is beta where a sequence has ended. Set it to 0 there.",
            {"padding": "beta"},
        ),
        Mistake(
            "A step with a single living sequence updates the running variance to NaN: "
            "count/(count − 1) divides by zero. Leave its row as it is.",
            {"lone": "NaN"},
        ),
        Mistake(
            "A step with a single living sequence pulls the running variance to 0. One "
            "value has no variance: leave both of its rows as they are.",
            {"lone": "variance 0"},
        ),
        Mistake(
            "A step with a single living sequence updates the running mean and not the "
            "variance. The two belong together: leave both rows as they are.",
            {"lone": "mean only"},
        ),
        Mistake(
            "The running variance takes in the biased variance. Store the unbiased "
            "one, `var * alive / (alive - 1)`.",
            {"stored": "biased"},
        ),
        Mistake(
            "The correction uses N: `N / (N - 1)`. The variance is of the `alive` "
            "sequences of that step: `alive / (alive - 1)`.",
            {"stored": "by N"},
        ),
        Mistake(
            "You store a standard deviation. running_var is a variance.",
            {"stored": "std"},
        ),
        Mistake(
            "y is normalised by the unbiased variance. In y it is the biased one; only "
            "the running variance takes in the unbiased one.",
            {"variance": "unbiased"},
        ),
        Mistake(
            "The variance is the mean of x². Subtract the mean first.",
            {"variance": "mean square"},
        ),
        Mistake(
            "The momentum is the other way round. It weighs the new value: "
            "`(1 - momentum) * old + momentum * new`.",
            {"weights": "old"},
        ),
        Mistake(
            "Only this batch is kept: `(1 - momentum) * old + momentum * new`.",
            {"weights": "last"},
        ),
        Mistake(
            "The old value does not decay: `(1 - momentum) * old + momentum * new`.",
            {"weights": "no decay"},
        ),
        Mistake(
            "momentum is 0.1 whatever the caller passes. Use the argument.",
            {"fixed_momentum": 0.1},
        ),
        Mistake(
            "The running statistics come back as they were. Return the new ones.",
            {"updates": "none"},
        ),
        Mistake("running_var is not updated; both are.", {"updates": "mean"}),
        Mistake("running_mean is not updated; both are.", {"updates": "var"}),
        Mistake(
            "The order of the results is y, running_mean, running_var; yours begins "
            "with the running statistics.",
            {"order": (1, 2, 0)},
        ),
        Mistake(
            "running_mean and running_var are swapped: y, running_mean, running_var.",
            {"order": (0, 2, 1)},
        ),
        *(Mistake(m.message, m.knobs, alone=True) for m in FINISH),
    ),
)


def _eval(
    x,
    lengths,
    gamma,
    beta,
    running_mean,
    running_var,
    eps=1e-5,
    *,
    beyond="last",
    statistics="running",
    row="own",
    padding="zero",
    **knobs,
):
    """Normalise x, (N, T, D), by running statistics with a row a step."""
    x, gamma, beta, rm, rv = wide(x, gamma, beta, running_mean, running_var)
    n, steps, _ = x.shape
    last = len(rm) - 1
    y = np.zeros_like(x)
    for t in range(steps):
        alive = t < lengths
        k = {
            "last": min(t, last),
            "again": t % len(rm),
            "first": t if t <= last else 0,
            "one before": min(t, last - 1),
            "raises": t,
        }.get(beyond, min(t, last))
        k = {
            "own": k,
            "shifted": min(t + 1, last),
            "late": max(min(t, last + 1) - 1, 0),
            "always last": last,
        }[row]
        mean, var = rm[k], rv[k]
        if t > last:
            if beyond == "fresh":
                mean, var = 0 * mean, 0 * var + 1
            elif beyond == "average":
                mean, var = rm.mean(0), rv.mean(0)
            elif beyond == "batch":
                mean, var = x[alive, t].mean(0), x[alive, t].var(0)
        if statistics == "batch":
            mean, var = x[alive, t].mean(0), x[alive, t].var(0)
        elif statistics == "pooled":
            mean, var = rm.mean(0), rv.mean(0)
        elif statistics == "biased again":
            var = var * (alive.sum() - 1) / alive.sum()
        out = finish(x[:, t], mean, var, gamma, beta, eps, **knobs)
        shown = alive if padding == "zero" else np.ones(n, bool)
        if beyond == "untouched" and t > last:
            out = x[:, t]
        if beyond == "zero" and t > last:
            out = 0 * out
        y[shown, t] = out[shown]
        if padding == "beta":
            y[~alive, t] = beta
    return (y[:, : last + 1] if beyond == "cut off" else y,)


def _eval_cases(rng):
    far = (
        "There are more steps than rows: beyond the last row, the last row's "
        "statistics are used."
    )
    one = "There is one sequence: running statistics need no company."

    def draw(*sizes, **options):
        return _draw(rng, *sizes, **options)

    *still, var = draw(6, 5, 3, 5)
    var[:, 0] = 0.0
    return [
        Case("6 padded sequences, a row for each step", draw(6, 5, 3, 5)),
        Case("steps beyond the last row", draw(6, 8, 3, 5), hint=far),
        Case("far beyond the last row", draw(3, 11, 2, 4), hint=far),
        Case("fewer steps than rows", draw(6, 4, 3, 7)),
        Case("one row", draw(4, 3, 2, 1), hint=far),
        Case("5 sequences, 5 steps, 5 features", draw(5, 5, 5, 5)),
        Case("a single sequence", draw(1, 6, 3, 4, lengths=[6]), hint=one),
        Case("eps = 0.2", draw(6, 4, 3, 4), {"eps": 0.2}, hint=EPS),
        Case("float32", draw(6, 6, 3, 4, dtype=np.float32), {}, 1e-4),
        Case("a running variance that is 0", (*still, var), hint=_ZERO),
    ]


_ZERO = "There the standard deviation is sqrt(eps), since eps is added."

step_eval = Exercise(
    name="step_norm_eval",
    outputs=("y",),
    formula=_eval,
    cases=_eval_cases,
    section="recurrent-longer",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "These are the batch's statistics. In evaluation the running ones take "
            "their place, row t at step t: else an answer depends on its company.",
            {"statistics": "batch"},
        ),
        Mistake(
            "All steps use the average of all rows. Step t uses row t.",
            {"statistics": "pooled"},
        ),
        Mistake(
            "running_var is made biased again. Use it as it is.",
            {"statistics": "biased again"},
        ),
        Mistake(
            "Beyond the last row the clock starts anew (`t % rows`): a state that has "
            "settled is normalised as if the sequence had just begun. Use the last.",
            {"beyond": "again"},
        ),
        Mistake(
            "Beyond the last row you take row 0. The state has settled by then and is "
            "most like that of the *last* row.",
            {"beyond": "first"},
        ),
        Mistake(
            "Beyond the last row you take mean 0 and variance 1, which nobody has ever "
            "measured. Use the last row.",
            {"beyond": "fresh"},
        ),
        Mistake(
            "Beyond the last row you average all rows. Use the last one, which is most "
            "like what comes after it.",
            {"beyond": "average"},
        ),
        Mistake(
            "Beyond the last row you fall back to the batch's statistics, so that an "
            "answer depends on its company. Use the last row.",
            {"beyond": "batch"},
        ),
        Mistake(
            "Beyond the last row you take the last but one. The last is "
            "`len(running_mean) - 1`, or −1.",
            {"beyond": "one before"},
        ),
        Mistake(
            "Beyond the last row x comes out as it went in. Normalise it by the last "
            "row.",
            {"beyond": "untouched"},
        ),
        Mistake(
            "Beyond the last row y is 0: your loop ends there. Normalise those steps "
            "by the last row.",
            {"beyond": "zero"},
        ),
        Mistake(
            "y is cut off after the last row. Steps beyond it use the last row.",
            {"beyond": "cut off"},
        ),
        Mistake(
            "It raises an IndexError for a step beyond the last row, in evaluation, "
            "where sequences may be longer than any in training. Use the last row "
            "there: `min(t, len(running_mean) - 1)`.",
            {"beyond": "raises"},
        ),
        Mistake(
            "The rows are off by one: step t uses row t + 1. Both count from 0.",
            {"row": "shifted"},
        ),
        Mistake(
            "The rows are off by one: step t uses row t − 1. Both count from 0.",
            {"row": "late"},
        ),
        Mistake(
            "All steps use the last row. It is for steps beyond the last; before that, "
            "step t uses row t.",
            {"row": "always last"},
        ),
        Mistake(
            "y is not 0 where a sequence has ended: the padding is normalised like "
            "data. Set y to 0 where t >= length.",
            {"padding": "normalised"},
        ),
        Mistake(
            "y is beta where a sequence has ended. Set it to 0 where t >= length.",
            {"padding": "beta"},
        ),
        *FINISH,
    ),
)
