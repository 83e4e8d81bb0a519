"""Exercise 4: the layer, driven through training, evaluation, and training again."""

from dataclasses import replace

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check._inputs import draw_batch
from bnlib.check.forward._evaluation import USES_MISTAKES, evaluate_formula
from bnlib.check.forward._running import UPDATE_MISTAKES, update_formula
from bnlib.check.forward._shared import (
    CANCELLATION,
    COLUMNS,
    CONSTANT,
    SINGLE,
    VARIANCE_MISTAKES,
    finish_mistakes,
    normalise,
)
from bnlib.check.forward._training import train_formula


def _knobs(knobs, *formulas):
    """Return the knobs that these formulas know."""
    known = {name for formula in formulas for name in formula.__kwdefaults__}
    return {name: value for name, value in knobs.items() if name in known}


def _layer(
    train,
    test,
    more,
    gamma,
    beta,
    *,
    eps=None,
    momentum=None,
    start_mean=0.0,
    start_var=1.0,
    start_gamma=1.0,
    start_beta=0.0,
    starts_training=True,
    own_affine=False,
    updates="in training",
    training_uses="the batch",
    evaluation_uses="running statistics",
    in_training=None,
    in_evaluation=None,
    shared=False,
    crossed_options=False,
    **knobs,
):
    if crossed_options and None not in (eps, momentum):
        eps, momentum = momentum, eps
    d = len(gamma)
    rm, rv = np.full(d, start_mean), np.full(d, start_var)
    new = [np.full(d, v) for v in (start_gamma, start_beta)]
    new += [rm, rv, np.array(float(starts_training))]
    if own_affine:
        gamma, beta = new[0], new[1]
    step = 0

    def call(x, training):
        nonlocal rm, rv, step
        trained = _knobs(knobs, train_formula, normalise) | (in_training or {})
        y, mean, var = train_formula(x, gamma, beta, eps, **trained)
        before = rm, rv
        if updates == "always" or training == (updates == "in training"):
            step += 1
            rm, rv = update_formula(
                rm,
                rv,
                mean,
                var,
                len(x),
                momentum,
                **{"step": step, **_knobs(knobs, update_formula)},
            )
        if training and training_uses == "the batch":
            return y
        mean, var = rm, rv
        if training and training_uses == "old running statistics":
            mean, var = before
        uses = "running statistics" if training else evaluation_uses
        if uses == "corrected":
            m = 0.1 if momentum is None else momentum
            mean, var = (a / (1 - (1 - m) ** step) for a in (mean, var))
            uses = "running statistics"
        options = (
            {"uses": uses}
            | _knobs(knobs, evaluate_formula, normalise)
            | (in_evaluation or {})
        )
        return evaluate_formula(x, gamma, beta, mean, var, eps, **options)[0]

    y_train = np.concatenate([call(x, starts_training) for x in train])
    after = rm, rv
    y_test = np.concatenate([call(x, training=False) for x in test])
    evaluated = rm, rv
    y_more = call(more, training=True)
    final = rm
    second = final if shared else new[2]
    return (*new, y_train, *after, y_test, *evaluated, y_more, final, second)


def _drive(layer_class, train, test, more, gamma, beta, **options):
    """Train, evaluate, and train again; return what is seen on the way."""

    def state(*names):
        return [np.array(getattr(layer, name)) for name in names]

    def call(x):
        y = layer(x)
        return np.array(y.detach() if hasattr(y, "detach") else y) if _numeric(y) else y

    def join(results):
        odd = [y for y in results if not isinstance(y, np.ndarray)]
        return odd[0] if odd else np.concatenate(results)

    positional = ()
    if len(options) == 2:  # the order in the signature is part of it
        positional, options = (options["eps"], options["momentum"]), {}
    layer = layer_class(len(gamma), *positional, **options)
    running = ("running_mean", "running_var")
    new = state("gamma", "beta", *running, "training")
    layer.gamma, layer.beta = gamma, beta
    y_train = join([call(x) for x in train])
    after = state(*running)
    layer.training = False
    y_test = join([call(x) for x in test])
    evaluated = state(*running)
    layer.training = True
    y_more = call(more)
    [final] = state("running_mean")
    second = np.array(layer_class(len(gamma), *positional, **options).running_mean)
    return (*new, y_train, *after, y_test, *evaluated, y_more, final, second)


def _numeric(y):
    return hasattr(y, "shape") and len(y.shape) > 0


def _layer_cases(rng):
    cases = []
    for d, sizes, std, what, options in (
        (5, (8, 6, 7), 2.0, "three batches", {}),
        (
            8,
            (6, 5, 7),
            2.0,
            "three batches, BatchNorm(8, 0.2, 0.4)",
            {"eps": 0.2, "momentum": 0.4},
        ),
        (4, (4, 9, 4, 3), 2.0, "four batches, momentum = 0.3", {"momentum": 0.3}),
        (3, (5, 2, 6), 2.0, "three batches, eps = 0.1", {"eps": 0.1}),
        (6, (7, 6), 1e-3, "two batches, momentum = 1", {"momentum": 1.0}),
        (7, (8, 6), 2.0, "two batches, means about 1e8", {}),
    ):
        *train, more = (draw_batch(rng, (n, d), std=std)[0] for n in (*sizes, 6))
        alone = (1,) if options else ()
        test = [draw_batch(rng, (n, d), std=std)[0] for n in (d, *alone, 6)]
        _, gamma, beta = draw_batch(rng, (2, d))
        tolerance = SINGLE if std > 1 else 1e-3
        hint = ""
        if std < 1:
            for x in (*train, *test, more):
                x[:, 1] = 2.0
            hint = CONSTANT
        if "1e8" in what:
            train, test = ([x + 1e8 for x in xs] for xs in (train, test))
            more, hint = more + 1e8, CANCELLATION
        arguments = (tuple(train), tuple(test), more, gamma, beta)
        cases.append(Case(what, arguments, options, tolerance, hint))
    return cases


def _in_one_mode(mode, mistakes):
    """Return mistakes made in one mode only."""
    return tuple(
        Mistake(
            f"{mode.replace('_', ' ').capitalize()}: {m.message}", {mode: m.knobs}, True
        )
        for m in mistakes
        if m.knobs != COLUMNS
    )


layer = Exercise(
    name="BatchNorm",
    outputs=(
        "gamma of a new layer",
        "beta of a new layer",
        "running_mean of a new layer",
        "running_var of a new layer",
        "training of a new layer",
        "y in training",
        "running_mean after training",
        "running_var after training",
        "y in evaluation",
        "running_mean after evaluation",
        "running_var after evaluation",
        "y back in training",
        "running_mean back in training",
        "running_mean of a second layer",
    ),
    formula=_layer,
    cases=_layer_cases,
    run=_drive,
    section="forward-running",
    mistakes=(
        Mistake(
            "running_mean and running_var are updated in evaluation as well. They "
            "describe the training data: update them only while self.training is True, "
            "or test samples leak into one another.",
            {"updates": "always"},
        ),
        Mistake(
            "The running statistics are updated in evaluation instead of in training. "
            "It is the other way round.",
            {"updates": "in evaluation"},
        ),
        Mistake(
            "The running statistics never change. Perhaps the new values are computed "
            "but not stored: assign them to self.running_mean and self.running_var.",
            {"moved": "none"},
        ),
        Mistake(
            "In training you normalise by the running statistics. In training the "
            "batch's own mean and variance are used; the running ones are only kept "
            "up to date, for evaluation.",
            {"training_uses": "new running statistics"},
        ),
        Mistake(
            "In training you normalise by the running statistics. In training the "
            "batch's own mean and variance are used; the running ones are only kept "
            "up to date, for evaluation.",
            {"training_uses": "old running statistics"},
        ),
        *(
            Mistake(m.message, {"evaluation_uses": m.knobs["uses"]})
            for m in USES_MISTAKES
        ),
        Mistake(
            "In evaluation you divide the running statistics by "
            "1 - (1 - momentum)^t, Adam's bias correction. Batch norm uses them as "
            "they are.",
            {"evaluation_uses": "corrected"},
        ),
        Mistake(
            "running_var starts at zeros. It starts at ones, so that a layer that has "
            "seen nothing leaves its input alone.",
            {"start_var": 0.0},
        ),
        Mistake(
            "running_mean starts at ones. It starts at zeros.", {"start_mean": 1.0}
        ),
        Mistake(
            "gamma starts at zeros, and every output is beta. It starts at ones.",
            {"start_gamma": 0.0},
        ),
        Mistake(
            "beta starts at ones. It starts at zeros: a new layer only normalises.",
            {"start_beta": 1.0},
        ),
        Mistake(
            "A new layer is in evaluation mode. self.training starts as True.",
            {"starts_training": False},
        ),
        Mistake(
            "Changing layer.gamma or layer.beta changes nothing, although an optimiser "
            "will do just that. Use self.gamma and self.beta as they are at each call.",
            {"own_affine": True},
        ),
        Mistake(
            "Two layers share their running statistics: after the first was trained, a "
            "new one does not start at zeros. Make the arrays in __init__, as "
            "self.running_mean = ..., not in the class's body.",
            {"shared": True},
        ),
        *UPDATE_MISTAKES,
        *VARIANCE_MISTAKES,
        *(replace(m, alone=True) for m in finish_mistakes() if m.knobs != COLUMNS),
        *_in_one_mode("in_evaluation", finish_mistakes("running_mean", "running_var")),
        *_in_one_mode("in_training", finish_mistakes()),
        Mistake(
            "eps and momentum are swapped: __init__ takes num_features, eps, momentum, "
            "in this order.",
            {"crossed_options": True},
            alone=True,
        ),
        Mistake(
            "The momentum is 0.1 whatever the caller passes. Use self.momentum.",
            {"fixed_momentum": 0.1},
        ),
    ),
    called={
        "train": "x (in training)",
        "test": "x (in evaluation)",
        "more": "x (back in training)",
        "gamma": "self.gamma",
        "beta": "self.beta",
    },
    changed=(
        "The caller still needs that array. `x = x - mean` makes a new one; "
        "`x -= mean` writes into the old one."
    ),
)
