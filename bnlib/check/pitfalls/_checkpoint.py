"""Bug hunt: a checkpoint that holds parameters only."""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.pitfalls._batches import draw_affine, draw_batches, fresh, moved
from bnlib.check.pitfalls._shared import CHANGED, finish


def _checkpoint(
    layer,
    later,
    x_test,
    *,
    mean="saved",
    var="saved",
    gamma="saved",
    beta="saved",
    uses="running",
):
    """Return the outputs of the restored layer."""
    names = ("gamma", "beta", "running_mean", "running_var")
    saved = {name: layer[name].astype(np.float64) for name in names}
    running = saved["running_mean"], saved["running_var"]
    for x in later:
        running = moved(running, x)
    start = fresh(len(saved["gamma"]))
    steps = len(later)
    after = {
        "gamma": saved["gamma"] * 0.9**steps,
        "beta": saved["beta"] + 0.1 * steps,
        "running_mean": running[0],
        "running_var": running[1],
    }
    new = {
        "gamma": np.ones_like(start[0]),
        "beta": start[0],
        "running_mean": start[0],
        "running_var": start[1],
    }
    where = {"saved": saved, "fresh": new, "later": after}
    m, v = where[mean]["running_mean"], where[var]["running_var"]
    if uses == "batch":
        m, v = x_test.mean(0), x_test.var(0)
    elif uses == "swapped":
        m, v = v, m
    g, b = where[gamma]["gamma"], where[beta]["beta"]
    return (finish(x_test, m, v, g, b, 1e-5),)


def _cases(rng):
    cases = []
    for k, n, d in ((3, 8, 4), (1, 6, 3), (12, 5, 2)):
        *later, x_test = draw_batches(rng, (n,) * k + (7,), d)
        gamma, beta = draw_affine(rng, d)
        layer = {
            "gamma": gamma,
            "beta": beta,
            "running_mean": 2 + rng.normal(size=d),
            "running_var": rng.uniform(2.0, 9.0, size=d),
        }
        cases.append(Case(f"{k} batches after it", (layer, later, x_test)))
    return cases


checkpoint = Exercise(
    name="back_to_checkpoint",
    outputs=("y",),
    formula=_checkpoint,
    cases=_cases,
    section="train-eval-diagnosis",
    page="train_is_not_eval",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "The fault is still there: before saving, evaluation was fine; "
            "after loading it is as if the layer had never been trained, although "
            "gamma and beta are right. What else does a layer know that an optimiser "
            "never touches?",
            {"mean": "fresh", "var": "fresh"},
        ),
        Mistake(
            "The running statistics are those of *now*, not of when the checkpoint was "
            "made. Was a reference saved, to arrays that training writes into? A "
            "checkpoint needs copies.",
            {"mean": "later", "var": "later"},
        ),
        Mistake(
            "Everything is as it is *now*: the checkpoint holds references to arrays "
            "that training writes into, or is made after it. Copy, and before.",
            dict.fromkeys(("mean", "var", "gamma", "beta"), "later"),
        ),
        *(
            Mistake(
                "The running mean comes back; the running variance does not.",
                {"var": var},
            )
            for var in ("fresh", "later")
        ),
        *(
            Mistake(
                "The running variance comes back; the running mean does not.",
                {"mean": mean},
            )
            for mean in ("fresh", "later")
        ),
        Mistake(
            "The running statistics come back now, but gamma and beta are those of "
            "now.",
            {"gamma": "later", "beta": "later"},
        ),
        Mistake(
            "The running statistics come back now, but gamma and beta are a new "
            "layer's.",
            {"gamma": "fresh", "beta": "fresh"},
        ),
        Mistake(
            "The test batch's own statistics hide the loss: an answer depends on its "
            "company now. Save the running ones.",
            {"uses": "batch"},
        ),
        Mistake("The running mean and variance are swapped.", {"uses": "swapped"}),
    ),
)
