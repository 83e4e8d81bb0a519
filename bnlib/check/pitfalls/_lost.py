"""Bug hunt: running statistics that are computed and lost."""

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.pitfalls._batches import draw_affine, draw_batches, fresh, moved
from bnlib.check.pitfalls._shared import CHANGED, finish


def _lost(
    batches,
    x_test,
    gamma,
    beta,
    *,
    only="both",
    keep="all",
    decay=True,
    stored="unbiased",
    uses="running",
    weight=0.1,
):
    """Return the outputs in evaluation mode, after training."""
    d = len(gamma)
    running = fresh(d)
    for x in {"all": batches, "last": batches[-1:], "first": batches[:1], "none": ()}[
        keep
    ]:
        running = moved(running, x, weight, only=only, decay=decay, stored=stored)
    mean, var = running
    if uses == "batch":
        mean, var = x_test.mean(0), x_test.var(0)
    elif uses == "swapped":
        mean, var = var, mean
    return (finish(x_test, mean, var, gamma, beta, 1e-5),)


def _cases(rng):
    cases = []
    for k, n, d in ((3, 8, 4), (30, 6, 3), (2, 5, 2)):
        *batches, x_test = draw_batches(rng, (n,) * k + (7,), d)
        cases.append(Case(f"{k} batches", (batches, x_test, *draw_affine(rng, d))))
    return cases


lost = Exercise(
    name="train_then_predict",
    outputs=("y",),
    formula=_lost,
    cases=_cases,
    section="forward-running",
    page="forward",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "The fault is still there: the outputs are those of a layer that "
            "has seen nothing, with mean 0 and variance 1, however many batches there "
            "were. Print running_mean after the loop. In Python, what does `a = a + 1` "
            "inside a function do to the caller's `a`?",
            {"keep": "none"},
        ),
        Mistake(
            "The running mean arrives now; the variance is lost.", {"only": "mean"}
        ),
        Mistake("The running variance arrives now; the mean is lost.", {"only": "var"}),
        Mistake(
            "Only the last batch arrives: each update starts anew. Update what the "
            "batches before have left.",
            {"keep": "last"},
        ),
        Mistake("Only the first batch arrives.", {"keep": "first"}),
        Mistake(
            "The last batch's statistics replace the running ones. Keep the average, "
            "with weights 0.9 and 0.1.",
            {"keep": "last", "weight": 1.0},
        ),
        Mistake(
            "The old value does not decay: the weights are 0.9 and 0.1.",
            {"decay": False},
        ),
        Mistake(
            "The running variance now takes in the biased variance; the unbiased one "
            "was right.",
            {"stored": "biased"},
        ),
        Mistake(
            "The test batch's own statistics hide the fault: an answer depends on its "
            "company now. Use the running ones.",
            {"uses": "batch"},
        ),
        Mistake("The running mean and variance are swapped.", {"uses": "swapped"}),
        Mistake(
            "The new value weighs 0.9. It weighs 0.1, the old one 0.9.", {"weight": 0.9}
        ),
    ),
)
