"""Exercise: softmax and cross-entropy, with their gradient."""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.capstone._layers import CHANGED


def _cross_entropy(
    logits,
    y,
    *,
    shift="each row's largest",
    over="classes",
    loss="mean",
    log="natural",
    sign=1.0,
    gradient="over N",
    truth="subtracted",
    logarithm="by algebra",
    clip=0.0,
    clipped=False,
    logged="p of the truth",
    order=(0, 1),
):
    z = np.array(logits, dtype=np.float64)
    n, k = z.shape
    axis = 1 if over == "classes" else 0
    shifts = {
        "each row's largest": z.max(1, keepdims=True),
        "none": 0.0,
        "largest of all": z.max(),
        "mean": z.mean(1, keepdims=True),
    }
    e = np.exp(z - shifts[shift])
    p = e / e.sum(axis, keepdims=True)
    log_p = z - shifts[shift] - np.log(e.sum(axis, keepdims=True))
    if logarithm == "of p":
        log_p = np.log(np.maximum(p, clip) if clipped else p + clip)
    one = np.eye(k)[y]
    if logged == "p of the truth":
        each = -np.where(one > 0, log_p, 0).sum(1)
    elif logged == "all classes":
        each = -(one * np.log(p + 1e-300) + (1 - one) * np.log(1 - p + 1e-300)).sum(1)
    elif logged == "not at all":
        each = -(one * p).sum(1)
    else:  # the squared error
        each = ((p - one) ** 2).sum(1)
    each = sign * each / (np.log(2) if log == "of 2" else 1)
    total = {"mean": each.mean(), "sum": each.sum(), "over N·K": each.sum() / (n * k)}
    d = {"subtracted": p - one, "added": p + one, "missing": p, "reversed": one - p}
    d = d[truth] / {"over N": n, "sum": 1, "over K": k, "over N·K": n * k}[gradient]
    result = total.get(loss, each), d
    return tuple(result[i] for i in order)


def _cases(rng):
    large = "The logits are large there. Subtract each row's largest before `np.exp`."
    cases = [
        Case(
            f"{n} images, {k} classes",
            (rng.normal(size=(n, k)) * 2, rng.integers(0, k, n)),
        )
        for n, k in ((5, 10), (3, 4), (1, 3))
    ]
    logits = rng.normal(size=(4, 5)) * 3
    logits += np.array([[1000.0], [-1000.0], [0.0], [500.0]])
    y = rng.integers(0, 5, 4)
    cases.append(Case("logits of a thousand", (logits, y), hint=large))
    wrong = rng.normal(size=(3, 6))
    y = rng.integers(0, 6, 3)
    wrong[np.arange(3), y] -= 900.0
    wrong[np.arange(3), (y + 1) % 6] += 2000.0
    cases.append(Case("a network that is surely wrong", (wrong, y), hint=large))
    return cases


ALGEBRA = "Take it by algebra: ln p = z − ln Σ exp z, with z already shifted."

loss = Exercise(
    name="cross_entropy",
    outputs=("loss", "dlogits"),
    formula=_cross_entropy,
    cases=_cases,
    section="capstone-loss",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "The loss is a sum over the images. It is their mean.", {"loss": "sum"}
        ),
        Mistake(
            "The loss is divided by the number of classes too. It is the mean over the "
            "images.",
            {"loss": "over N·K"},
        ),
        Mistake(
            "You return a loss for each image. Return one number, their mean.",
            {"loss": "each"},
        ),
        Mistake(
            "dlogits is not divided by N. The loss is a mean over N images, so each "
            "moves it by a share of 1/N.",
            {"gradient": "sum"},
        ),
        Mistake(
            "dlogits is divided by the number of classes. It is N, the number of "
            "images.",
            {"gradient": "over K"},
        ),
        Mistake(
            "dlogits is divided by the number of classes too. It is N alone, the "
            "number of images.",
            {"gradient": "over N·K"},
        ),
        Mistake(
            "dlogits is the probabilities alone. At the right class subtract 1.",
            {"truth": "missing"},
        ),
        Mistake(
            "You add 1 at the right class. Subtract it: each row sums to 0.",
            {"truth": "added"},
        ),
        Mistake(
            "dlogits has the wrong sign: it is p − 1 at the right class, and p "
            "elsewhere.",
            {"truth": "reversed"},
        ),
        Mistake("The loss has the wrong sign: −ln p.", {"sign": -1.0}),
        Mistake(
            "The probabilities sum to 1 over the images. Softmax is over the classes "
            "of each: axis 1, `keepdims=True`.",
            {"over": "images", "shift": "largest of all"},
        ),
        Mistake(
            "The probabilities sum to 1 over the images. Softmax is over the classes "
            "of each: axis 1, `keepdims=True`.",
            {"over": "images"},
        ),
        *(
            Mistake(
                "np.exp overflows where logits are large. Subtract each row's largest "
                "first; p stays the same.",
                {"shift": "none", "logarithm": logarithm},
            )
            for logarithm in ("by algebra", "of p")
        ),
        *(
            Mistake(
                "You subtract the largest of *all* logits. A row that lies far below "
                "it becomes 0/0. Each row has its own largest: axis 1, "
                "`keepdims=True`.",
                {"shift": "largest of all", "logarithm": logarithm},
            )
            for logarithm in ("by algebra", "of p")
        ),
        *(
            Mistake(
                "You subtract each row's mean. What lies far above it still overflows: "
                "subtract the largest.",
                {"shift": "mean", "logarithm": logarithm},
            )
            for logarithm in ("by algebra", "of p")
        ),
        Mistake(
            "You take the logarithm of p, which is rounded to 0 where the network is "
            "surely wrong. " + ALGEBRA,
            {"logarithm": "of p"},
        ),
        *(
            Mistake(
                "You keep p away from 0 by a small number before the logarithm. Where "
                "the network is surely wrong, ln p is −2900 and not −25. " + ALGEBRA,
                {"logarithm": "of p", "clip": clip, "clipped": clipped},
                alone=True,
            )
            for clip in (1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-15, 1e-300)
            for clipped in (False, True)
        ),
        Mistake("The logarithm is of base 2. It is the natural one.", {"log": "of 2"}),
        Mistake(
            "Classes that are not the right one count in the loss: −ln(1 − p) is of a "
            "network with a sigmoid for each class. Here it is −ln p of the right one.",
            {"logged": "all classes"},
        ),
        Mistake(
            "The logarithm is missing: −ln p of the right class.",
            {"logged": "not at all"},
        ),
        Mistake(
            "That is the squared error. Cross-entropy is −ln p of the right class.",
            {"logged": "squared error"},
        ),
        Mistake("The results are swapped: loss first.", {"order": (1, 0)}),
    ),
)
