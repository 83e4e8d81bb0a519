"""Exercise: one layer around the learner's batch norm and group norm.

But: the norms themselves are checked where they were written, in PS1, PS2 and PS4.
"""

import numpy as np

from bnlib.check._exercise import Case, Mistake
from bnlib.check.capstone import _network as right
from bnlib.check.capstone._layers import CHANGED, Layers, draw_images, named

OUTPUTS = (
    "y in training",
    "running_mean",
    "running_var",
    "dx",
    "grads['gamma']",
    "grads['beta']",
    "y in evaluation",
    "running_mean after evaluation",
    "running_var after evaluation",
    "y of one image alone, in evaluation",
    "y after evaluation, back in training",
)


def _norm(
    gamma,
    beta,
    groups,
    batches,
    dys,
    x_test,
    *,
    count="all",
    momentum=0.1,
    updates="in training",
    in_training="batch",
    in_evaluation="running",
    group="asked",
    scale="sqrt(v + eps)",
    affine="all",
    backward="whole",
    remembers="the last",
    grads="right",
    statistics="both",
):
    c = len(gamma)
    layer = {"gamma": gamma, "beta": beta, "groups": groups}
    layer |= {"running_mean": np.zeros(c), "running_var": np.ones(c)}
    if groups:
        layer["groups"] = {"asked": groups, "all": 1, "each": c, "batch": 0}.get(
            group, groups
        )
    batch_norm = not layer["groups"]

    def move(x, mean, var):
        n, _, h, w = x.shape
        m = {"all": n * h * w, "N": n, "H·W": h * w, "biased": np.inf, "C": c}[count]
        factor = 1.0 if np.isinf(m) else np.float64(m) / (m - 1)
        if statistics in ("both", "mean"):
            layer["running_mean"] = (1 - momentum) * layer[
                "running_mean"
            ] + momentum * mean
        if statistics in ("both", "var"):
            layer["running_var"] = (1 - momentum) * layer[
                "running_var"
            ] + momentum * var * factor

    def call(x, training):
        y, mean, var = right.norm(x, layer, training=True)
        if batch_norm and updates in ("always", ("not", "in training")[training]):
            before = dict(layer)
            move(x, mean, var)
        else:
            before = layer
        running = (training and in_training != "batch") or (
            not training and in_evaluation == "running"
        )
        if running and batch_norm:
            y = apply(x, before if in_training == "old" else layer)
        if running and groups and group == "running":
            y = apply(x, layer)
        return y

    def apply(x, of):
        g, b = right.along(gamma), right.along(beta)
        v = right.along(of["running_var"])
        s = {
            "sqrt(v + eps)": np.sqrt(v + right.EPS),
            "v + eps": v + right.EPS,
            "sqrt(v)": np.sqrt(v),
            "sqrt(v) + eps": np.sqrt(v) + right.EPS,
            "1e-3": np.sqrt(v + 1e-3),
        }[scale]
        z = (x - right.along(of["running_mean"])) / s
        return {"all": g * z + b, "none": z, "no beta": g * z, "no gamma": z + b}[
            affine
        ]

    if group == "swapped":  # gamma and beta
        layer |= {"gamma": beta, "beta": gamma}
    for x in batches:
        y = call(x, training=True)
    x, dy = batches[-1], dys[-1]
    seen = batches[0] if remembers == "the first" else x
    dx, dgamma, dbeta = right.norm_backward(dy, seen, layer)
    if backward == "constant statistics":
        z, axes = right.split(seen, layer["groups"])
        s = np.sqrt(z.var(axes, keepdims=True) + right.EPS)
        dx = ((right.along(gamma) * dy).reshape(z.shape) / s).reshape(x.shape)
    elif backward == "batch" and groups:
        dx, dgamma, dbeta = right.norm_backward(dy, seen, layer | {"groups": 0})
    elif backward == "dy":
        dx = dy
    if grads == "swapped":
        dgamma, dbeta = dbeta, dgamma
    elif grads == "added up":
        for x0, dy0 in zip(batches[:-1], dys[:-1], strict=True):
            _, more_gamma, more_beta = right.norm_backward(dy0, x0, layer)
            dgamma, dbeta = dgamma + more_gamma, dbeta + more_beta
    elif grads == "mean":
        size = x.size / c
        dgamma, dbeta = dgamma / size, dbeta / size
    trained = layer["running_mean"], layer["running_var"]
    y_test = call(x_test, training=False)
    after = layer["running_mean"], layer["running_var"]
    alone = call(x_test[:1], training=False)
    again = call(x, training=True)
    return (y, *trained, dx, dgamma, dbeta, y_test, *after, alone, again)


def _drive(norm, gamma, beta, groups, batches, dys, x_test):
    """Train, evaluate, and train again; return what is seen on the way."""
    layer = norm(len(gamma), groups)
    layer.gamma, layer.beta = gamma, beta
    for x, dy in zip(batches, dys, strict=True):
        y = layer.forward(x)
        dx = layer.backward(dy)
    grads = layer.grads
    dgamma, dbeta = (named(grads, name, "the norm") for name in ("gamma", "beta"))
    trained = [np.array(getattr(layer, n)) for n in ("running_mean", "running_var")]
    layer.training = False
    y_test = layer.forward(x_test)
    after = [np.array(getattr(layer, n)) for n in ("running_mean", "running_var")]
    alone = layer.forward(x_test[:1].copy())
    layer.training = True
    again = layer.forward(batches[-1])
    return (y, *trained, dx, dgamma, dbeta, y_test, *after, alone, again)


def _cases(rng):
    cases = []
    for groups, c, size in (
        (0, 4, (5, 3)),
        (2, 4, (3, 2)),
        (0, 3, (2, 2)),
        (4, 8, (2, 3)),
    ):
        gamma = rng.uniform(0.5, 2.0, c) * np.where(np.arange(c) % 2, -1, 1)
        batches = [draw_images(rng, (5, c, *size)) for _ in range(2)]
        dys = [rng.normal(size=x.shape) for x in batches]
        kind = f"{groups} groups" if groups else "batch norm"
        x_test = draw_images(rng, (3, c, *size))
        arguments = (gamma, rng.normal(size=c), groups, batches, dys, x_test)
        cases.append(Case(f"{kind}, x of shape {batches[-1].shape}", arguments))
    return cases


norm = Layers(
    name="Norm",
    outputs=OUTPUTS,
    formula=_norm,
    cases=_cases,
    run=_drive,
    section="capstone-block",
    changed=CHANGED,
    mistakes=(
        Mistake(
            "running_var is corrected with the number of *images*, len(x). The "
            "variance is of N·H·W values a channel: that many is the count.",
            {"count": "N"},
        ),
        Mistake(
            "running_var is corrected with H·W. The variance is of N·H·W values a "
            "channel: that many is the count.",
            {"count": "H·W"},
        ),
        Mistake(
            "running_var is corrected with the number of channels. The variance is of "
            "N·H·W values a channel: that many is the count.",
            {"count": "C"},
        ),
        Mistake(
            "running_var takes in the biased variance. It is to be the unbiased one, "
            "which `update_running` makes of it with the count N·H·W.",
            {"count": "biased"},
        ),
        Mistake(
            "The momentum weighs the *old* value in your layer; 0.1 is the weight of "
            "the new one.",
            {"momentum": 0.9},
        ),
        Mistake(
            "The running statistics never move. In training, `forward` has to put the "
            "new ones into `self.running_mean` and `self.running_var`.",
            {"updates": "never"},
        ),
        Mistake(
            "The running statistics move in evaluation too: test data leak into the "
            "layer. They move in training only.",
            {"updates": "always"},
        ),
        Mistake(
            "The running statistics move in evaluation, and stand still in training. "
            "Is the mode the wrong way round?",
            {"updates": "not"},
        ),
        Mistake(
            "Training and evaluation are the wrong way round: in training x is "
            "normalised by its own statistics.",
            {"updates": "not", "in_training": "running", "in_evaluation": "batch"},
        ),
        *(
            Mistake(
                "Training uses the running statistics. It uses those of the batch, and "
                "the gradient goes through them.",
                {"in_training": uses},
            )
            for uses in ("running", "old")
        ),
        Mistake(
            "In evaluation it still uses the batch's own statistics: what is said of "
            "an image depends on its company. Use running_mean and running_var there.",
            {"in_evaluation": "batch"},
        ),
        Mistake(
            "It is in training mode for ever: evaluation uses the batch's statistics, "
            "and moves the running ones. Ask `self.training`.",
            {"in_evaluation": "batch", "updates": "always"},
        ),
        Mistake(
            "Group norm uses running statistics in evaluation. It has none: each image "
            "is normalised by its own, in both modes.",
            {"group": "running"},
        ),
        Mistake(
            "Where groups are asked for, it is batch norm all the same. `self.groups` "
            "says which norm it is: 0 is batch norm.",
            {"group": "batch"},
        ),
        Mistake(
            "All channels are one group, whatever `self.groups` says.",
            {"group": "all"},
        ),
        Mistake(
            "Every channel is its own group, whatever `self.groups` says.",
            {"group": "each"},
        ),
        Mistake(
            "gamma and beta are swapped in the call of a norm.",
            {"group": "swapped"},
        ),
        Mistake(
            "The square root is missing in evaluation: divide by sqrt(running_var + "
            "eps).",
            {"scale": "v + eps"},
        ),
        Mistake(
            "eps is missing in evaluation: divide by sqrt(running_var + eps).",
            {"scale": "sqrt(v)"},
        ),
        Mistake(
            "eps stands outside the root in evaluation: sqrt(running_var + eps).",
            {"scale": "sqrt(v) + eps"},
        ),
        Mistake(
            "eps is 1e-3 in evaluation and 1e-5 in training. It is one layer: 1e-5.",
            {"scale": "1e-3"},
        ),
        Mistake("In evaluation gamma and beta are missing.", {"affine": "none"}),
        Mistake("In evaluation beta is missing.", {"affine": "no beta"}),
        Mistake("In evaluation gamma is missing.", {"affine": "no gamma"}),
        Mistake(
            "dx treats the statistics as constants. They depend on x: your backward "
            "pass of problem set 2 (or 4) has both terms.",
            {"backward": "constant statistics"},
        ),
        Mistake(
            "Backward, group norm gets batch norm's gradient. Ask `self.groups` there "
            "too.",
            {"backward": "batch"},
        ),
        Mistake(
            "dx is dy. `backward` returns what the norm's backward pass says.",
            {"backward": "dy"},
        ),
        Mistake(
            "`backward` uses the first x that the layer ever saw. Each `forward` has "
            "to remember its own.",
            {"remembers": "the first"},
        ),
        Mistake(
            "grads['gamma'] and grads['beta'] are swapped: dgamma is the sum of "
            "dy·xhat, dbeta that of dy.",
            {"grads": "swapped"},
        ),
        Mistake(
            "Gradients add up over calls. Each `backward` makes new ones.",
            {"grads": "added up"},
        ),
        Mistake(
            "The parameters' gradients are means. They are sums: the loss has divided "
            "by N already.",
            {"grads": "mean"},
        ),
        Mistake(
            "Only running_mean moves. running_var has to move with it.",
            {"statistics": "mean"},
        ),
        Mistake(
            "Only running_var moves. running_mean has to move with it.",
            {"statistics": "var"},
        ),
    ),
)
