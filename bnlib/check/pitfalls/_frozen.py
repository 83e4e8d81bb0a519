"""Bug hunt: a frozen batch norm that moves."""

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.pitfalls._batches import draw_affine, draw_batches, moved
from bnlib.check.pitfalls._shared import CHANGED, finish


def _frozen(
    batches,
    targets,
    w,
    gamma,
    beta,
    running_mean,
    running_var,
    *,
    uses="running",
    moves="no",
    returns="as they are",
    head="trained",
    only="both",
):
    """Fit w on the outputs of a frozen norm."""
    running = before = running_mean, running_var
    for x, t in zip(batches, targets, strict=True):
        if moves == "before":
            running = moved(running, x, only=only)
        mean, var = _statistics(uses, x, running)
        if moves == "after":
            running = moved(running, x, only=only)
        h = finish(x, mean, var, gamma, beta, 1e-5)
        if head == "trained":
            w = w - 0.1 * h.T @ (h @ w - t) / len(x)
    return (w, *(before if returns == "restored" else running))


def _statistics(kind, x, running):
    """Return the mean and variance that x is normalised by."""
    return {
        "running": lambda: running,
        "batch": lambda: (x.mean(0), x.var(0)),
        "batch mean": lambda: (x.mean(0), running[1]),
        "batch variance": lambda: (running[0], x.var(0)),
    }[kind]()


def _cases(rng):
    cases = []
    for k, n, d in ((3, 8, 4), (10, 6, 3), (1, 5, 2)):
        batches = draw_batches(rng, (n,) * k, d)
        targets = [rng.normal(size=n) for _ in range(k)]
        running = 2 + rng.normal(size=d), rng.uniform(2.0, 9.0, size=d)
        arguments = (batches, targets, rng.normal(size=d), *draw_affine(rng, d))
        cases.append(Case(f"{k} batches of {n}", (*arguments, *running)))
    return cases


frozen = Exercise(
    name="fine_tune",
    outputs=("w", "running_mean", "running_var"),
    examine=("running_mean", "running_var", "w"),
    formula=_frozen,
    cases=_cases,
    section="train-eval-frozen",
    page="train_is_not_eval",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "The fault is still there: a norm that is called frozen returns "
            "other statistics than it was given, and w was fitted to outputs that it "
            "will not see in evaluation. gamma and beta do not move; what else is "
            "there in a batch norm that moves?",
            {"uses": "batch", "moves": "before"},
        ),
        Mistake(
            "The running statistics stay as they are now. But in training x is still "
            "normalised by the batch's: w is fitted to other outputs than it gets in "
            "evaluation. Frozen means: the running statistics are used.",
            {"uses": "batch"},
        ),
        *(
            Mistake(
                "The running statistics are used now, but they still move.",
                {"moves": moves},
            )
            for moves in ("before", "after")
        ),
        *(
            Mistake(
                "The old statistics come back, but while w was fitted they moved. "
                "They must not move at all.",
                {"moves": moves, "returns": "restored"},
            )
            for moves in ("before", "after")
        ),
        *(
            Mistake(
                f"Only the running {left} is frozen now; the other still moves.",
                {"uses": uses, "moves": "before", "only": only},
            )
            for only, left in (("mean", "variance"), ("var", "mean"))
            for uses in ("batch", "running")
        ),
        Mistake("The mean is still the batch's.", {"uses": "batch mean"}),
        Mistake("The variance is still the batch's.", {"uses": "batch variance"}),
        Mistake(
            "w is frozen too. It is the one thing that is to be trained.",
            {"head": "frozen"},
        ),
    ),
)
