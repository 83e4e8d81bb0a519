"""Bug hunt: a validation in training mode."""

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.pitfalls._batches import draw_affine, draw_batches, fresh, moved
from bnlib.check.pitfalls._shared import CHANGED, finish


def _validation(
    batches,
    x_val,
    gamma,
    beta,
    *,
    uses="running",
    updates="no",
    trains="yes",
    swapped=False,
    frozen=False,
):
    """Return outputs on validation data, and the running statistics afterwards."""
    running = fresh(len(gamma))
    for x in batches if trains == "yes" else batches[:0]:
        running = moved(running, x) if not frozen else running
    before = running
    if updates != "no":
        running = moved(running, x_val)
    mean, var = {
        "running": lambda: before,
        "updated": lambda: running,
        "batch": lambda: (x_val.mean(0), x_val.var(0)),
        "batch, unbiased": lambda: (x_val.mean(0), x_val.var(0, ddof=1)),
        "batch mean": lambda: (x_val.mean(0), before[1]),
        "batch variance": lambda: (before[0], x_val.var(0)),
        "last": lambda: (batches[-1].mean(0), batches[-1].var(0)),
        "fresh": lambda: fresh(len(gamma)),
    }[uses]()
    if swapped:
        mean, var = var, mean
    return (finish(x_val, mean, var, gamma, beta, 1e-5), *running)


def _cases(rng):
    cases = []
    for counts, n_val, d in (((8, 8, 8), 6, 3), ((5, 9), 5, 5), ((12,) * 5, 2, 4)):
        *batches, x_val = draw_batches(rng, (*counts, n_val), d)
        what = f"{len(counts)} batches, {n_val} validation samples"
        cases.append(Case(what, (batches, x_val, *draw_affine(rng, d))))
    *batches, x_val = draw_batches(rng, (8, 8, 1), 3)
    alone = "A validation sample alone has nothing but the running statistics."
    arguments = (batches, x_val, *draw_affine(rng, 3))
    cases.append(Case("one validation sample", arguments, hint=alone))
    return cases


validation = Exercise(
    name="train_and_validate",
    outputs=("y_val", "running_mean", "running_var"),
    formula=_validation,
    cases=_cases,
    section="train-eval-forgotten",
    page="train_is_not_eval",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "The fault is still there: what comes out for a validation "
            "sample depends on the samples beside it; and the running statistics "
            "afterwards have seen the validation data. Which mode does the last "
            "forward pass run in?",
            {"uses": "batch", "updates": "yes"},
        ),
        Mistake(
            "The validation data no longer reach the running statistics, but they are "
            "still normalised by their own mean and variance: an answer depends on its "
            "company. Use the running statistics.",
            {"uses": "batch"},
        ),
        Mistake(
            "The validation outputs use the running statistics now, but these have "
            "taken in the validation data: a leak.",
            {"uses": "updated", "updates": "yes"},
        ),
        Mistake(
            "The validation outputs are right, but afterwards the running statistics "
            "take in the validation data: a leak, for whatever is evaluated next.",
            {"updates": "yes"},
        ),
        Mistake(
            "Training runs in evaluation mode too now, so that the running statistics "
            "never move. Only the validation is to.",
            {"frozen": True},
        ),
        *(
            Mistake(
                f"The {word} is still that of the validation batch.", {"uses": uses}
            )
            for uses, word in (
                ("batch mean", "mean"),
                ("batch variance", "variance"),
            )
        ),
        Mistake(
            "The validation batch is still normalised by its own variance, the "
            "unbiased one now. Use the running statistics.",
            {"uses": "batch, unbiased"},
        ),
        Mistake(
            "You use the last training batch's statistics. One batch is a noisy "
            "estimate; the running statistics average many.",
            {"uses": "last"},
        ),
        Mistake(
            "The statistics are 0 and 1, those of a layer that has seen nothing.",
            {"uses": "fresh"},
        ),
        Mistake("The running mean and variance are swapped.", {"swapped": True}),
    ),
)
