"""Bug hunt: a momentum from a framework in which it weighs the old value."""

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.pitfalls._batches import draw_batches, fresh
from bnlib.check.pitfalls._shared import CHANGED


def _momentum(
    batches,
    *,
    of_mean=0.01,
    of_var=0.01,
    stored="unbiased",
    decay=True,
    cumulative=False,
    start=1.0,
):
    """Return running statistics; the knobs are the weights of the new value."""
    d = batches[0].shape[1]
    mean, var = fresh(d)
    var = var * start
    for k, x in enumerate(batches, 1):
        a, b = (1 / k, 1 / k) if cumulative else (of_mean, of_var)
        mean = (1 - a) * mean + a * x.mean(0) if decay else mean + a * x.mean(0)
        new = x.var(0, ddof=int(stored == "unbiased"))
        var = (1 - b) * var + b * new if decay else var + b * new
    return mean, var


def _cases(rng):
    return [
        Case(f"{k} batches of {n}", (draw_batches(rng, (n,) * k, d),))
        for k, n, d in ((3, 8, 4), (40, 6, 3), (400, 4, 3), (1, 5, 2))
    ]


_OLD = "the old value must weigh 0.99, the new one 0.01"

momentum = Exercise(
    name="running_statistics",
    outputs=("running_mean", "running_var"),
    formula=_momentum,
    cases=_cases,
    section="forward-conventions",
    page="forward",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "The fault is still there: the running statistics are almost "
            "those of the last batch; they jump about, and evaluation with them. How "
            "much does the old value weigh, and how much should it?",
            {"of_mean": 0.99, "of_var": 0.99},
        ),
        Mistake(
            f"The mean is right; the variance still forgets: {_OLD}.", {"of_var": 0.99}
        ),
        Mistake(
            f"The variance is right; the mean still forgets: {_OLD}.", {"of_mean": 0.99}
        ),
        *(
            Mistake(
                f"The new value weighs {value:g} now. The comment says what is meant: "
                f"{_OLD}.",
                {"of_mean": value, "of_var": value},
            )
            for value in (0.1, 0.9, 0.001, 1.0, 0.5)
        ),
        Mistake(
            "All batches count alike now, the first as much as the last. With the "
            f"weights moving, old batches should fade: {_OLD}.",
            {"cumulative": True},
        ),
        Mistake(
            "The old value no longer decays; the two weights must add up to 1.",
            {"decay": False},
        ),
        Mistake(
            "The running variance now takes in the biased variance. That was right "
            "before.",
            {"stored": "biased"},
        ),
        Mistake("The running variance now starts at 0, not at 1.", {"start": 0.0}),
    ),
)
