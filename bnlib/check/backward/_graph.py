"""Exercise: the backward pass along the graph, node by node.

The graph is built up in steps: the check stops at the first node that is wrong or
missing, or at the one named `until`.

But: no formula here (`_nodes`).
"""

import numpy as np

from bnlib.check._exercise import CheckFailed, Exercise, Mistake
from bnlib.check.backward._batches import column_cases
from bnlib.check.backward._mistakes import (
    ALONG_FEATURES,
    CHANGED,
    PARAMETERS,
    STATISTICS,
    SWAPPED,
)
from bnlib.check.backward._nodes import NODES, node_gradients

_NODES = (
    ("dxhat", "dy", "dxhat is dy itself. y = gamma·xhat + beta: multiply by gamma."),
    (
        "dxhat",
        "gamma[:, None]",
        "gamma is multiplied as gamma[:, None], one value for each sample. It has one "
        "for each feature: dxhat = gamma·dy broadcasts along the batch by itself.",
    ),
    (
        "dxhat",
        "dy / gamma",
        "dxhat is dy/gamma. Going back through y = gamma·xhat multiplies by the "
        "derivative, gamma; it does not undo the multiplication.",
    ),
    (
        "dxhat",
        "over s",
        "dxhat is divided by s already. That belongs to the next operation, "
        "xhat = c/s; dxhat itself is gamma·dy.",
    ),
    (
        "ds",
        "plus",
        "ds has the wrong sign: xhat = c/s falls as s grows. The derivative of c/s by "
        "s is −c/s².",
    ),
    (
        "ds",
        "mean",
        "ds is a mean. s was broadcast to all N samples, so what comes back from each "
        "adds up: a sum over the batch.",
    ),
    *(
        (
            "ds",
            kind,
            "ds is not summed. One s serves all N samples of a feature, so what comes "
            "back from each adds up: sum −dxhat·c/s² over axis 0, to shape (D,).",
        )
        for kind in ("not summed", "not summed, plus")
    ),
    ("ds", "total", "ds is summed over everything; each feature has its own: axis=0."),
    (
        "ds",
        "over s",
        "ds is divided by s once. The derivative of c/s by s is −c/s² (or −xhat/s).",
    ),
    (
        "ds",
        "xhat over s squared",
        "ds has one division by s too many. The derivative of c/s by s is −c/s², or "
        "−xhat/s: xhat holds one of the two divisions already.",
    ),
    (
        "ds",
        "of 1/s",
        "That is the gradient of 1/s, sum(dxhat·c). For s itself multiply by the "
        "derivative of 1/s, which is −1/s².",
    ),
    ("ds", "no eps", "eps is missing from ds: s² is v + eps, not v."),
    ("ds", "x", "ds uses x where c = x − mu belongs: xhat = c/s."),
    (
        "ds",
        "dy",
        "ds is made of dy. What arrives at xhat = c/s is dxhat = gamma·dy.",
    ),
    (
        "dv",
        "no half",
        "The factor 1/2 is missing from dv: the derivative of sqrt(v + eps) is 1/(2s).",
    ),
    (
        "dv",
        "minus",
        "dv has the wrong sign. s = sqrt(v + eps) grows with v: dv = ds/(2s). The "
        "−1/2·(v + eps)^(−3/2) that one finds in books is the derivative of 1/s.",
    ),
    (
        "dv",
        "minus no half",
        "dv has the wrong sign and lacks the factor 1/2: the derivative of "
        "sqrt(v + eps) is 1/(2s).",
    ),
    (
        "dv",
        "times",
        "dv is ds times 2s; divide by it: the derivative of sqrt(v + eps) is 1/(2s).",
    ),
    ("dv", "half s", "dv is ds·s/2; the derivative of sqrt(v + eps) is 1/(2s)."),
    ("dv", "half", "dv is ds/2; the derivative of sqrt(v + eps) is 1/(2s)."),
    *(
        (
            "dv",
            kind,
            "dv has the factor 1/(2s³), up to sign, which belongs to 1/s. Your node is "
            "s itself, and its derivative by v is 1/(2s).",
        )
        for kind in ("cube", "from 1/s")
    ),
    ("dv", "no eps", "eps is missing from dv: divide by 2s, s = sqrt(v + eps)."),
    (
        "dv",
        "variance",
        "dv is divided by 2(v + eps); the derivative of sqrt(v + eps) is 1/(2s), with "
        "the root.",
    ),
    (
        "dq",
        "no 1/N",
        "The 1/N is missing from dq: v is the mean of q, so each q is an N-th of it.",
    ),
    (
        "dq",
        "1/D",
        "dq is divided by the number of features; v is a mean over N samples.",
    ),
    (
        "dq",
        "N - 1",
        "dq is divided by N − 1. Batch norm normalises by the biased variance, "
        "v = mean(q): divide by N.",
    ),
    (
        "dq",
        "times c",
        "That is what goes on to c. dq itself is dv/N; the factor 2c, the derivative "
        "of q = c², comes in at dc.",
    ),
    (
        "dc",
        "direct",
        "dc lacks the path through the variance. c was used twice, in xhat = c/s and "
        "in q = c²; what comes back from both adds up: dxhat/s + 2·c·dq.",
    ),
    (
        "dc",
        "through q",
        "dc lacks the direct path. c was used twice, in q = c² and in xhat = c/s; what "
        "comes back from both adds up: dxhat/s + 2·c·dq.",
    ),
    ("dc", "no 2", "The 2 is missing from dc: the derivative of q = c² is 2c."),
    (
        "dc",
        "minus",
        "dc subtracts the path through the variance. Paths that meet always add; the "
        "minus sign is in ds already.",
    ),
    ("dc", "x", "dc uses x where c = x − mu belongs: the derivative of q = c² is 2c."),
    (
        "dc",
        "xhat",
        "dc uses xhat where c = x − mu belongs: the derivative of q = c² is 2c.",
    ),
    (
        "dc",
        "no s",
        "The direct path in dc is not divided by s: the derivative of xhat = c/s by c "
        "is 1/s.",
    ),
    ("dc", "no c", "dc has 2·dq without c: the derivative of q = c² is 2c."),
    ("dc", "1/N again", "dc divides by N once more; dq = dv/N has that in it already."),
    (
        "dmu",
        "plus",
        "dmu has the wrong sign: c = x − mu falls as mu grows, dmu = −sum(dc).",
    ),
    *(
        (
            "dmu",
            kind,
            "dmu is a mean. mu was broadcast to all N samples, so what comes back from "
            "each adds up: dmu = −sum(dc). The 1/N comes one step later, at dx.",
        )
        for kind in ("mean", "plus mean")
    ),
    (
        "dmu",
        "not summed",
        "dmu is not summed. One mu serves all N samples of a feature: sum over axis 0, "
        "to shape (D,).",
    ),
    (
        "dmu",
        "total",
        "dmu is summed over everything; each feature has its own: axis=0.",
    ),
    ("dmu", "no s", "dmu is not divided by s: it is −sum(dc), and dc = dxhat/s + ..."),
    (
        "dx",
        "direct",
        "dx lacks the path through the mean. x was used twice, in c = x − mu and in "
        "mu = mean(x): dx = dc + dmu/N.",
    ),
    (
        "dx",
        "through mu",
        "dx lacks the direct path. x was used twice, in mu = mean(x) and in c = x − "
        "mu: dx = dc + dmu/N.",
    ),
    (
        "dx",
        "no 1/N",
        "The 1/N is missing from the mean's path: mu = mean(x), so each x is an N-th "
        "of it: dx = dc + dmu/N.",
    ),
    (
        "dx",
        "minus",
        "dx subtracts dmu/N. Paths that meet always add; the minus sign of c = x − mu "
        "is in dmu already.",
    ),
    ("dx", "1/D", "dmu is divided by the number of features; mu is a mean over N."),
    ("dx", "N - 1", "dmu is divided by N − 1; mu is a plain mean over N samples."),
    (
        "dx",
        "dxhat",
        "dx starts from dxhat/s where dc belongs: the path through the variance is "
        "lost. dx = dc + dmu/N.",
    ),
)


class _Graph(Exercise):
    """An exercise whose outputs come in a dictionary, and may do so in part."""

    def __call__(self, learner, *, seed=0, until="dx"):
        """Check the learner's function down to a node.

        Parameters
        ----------
        learner : callable
            What the learner wrote.
        seed : int
            Seed of the inputs.
        until : str
            Last node to look at.

        Raises
        ------
        CheckFailed
            With a message for the learner.
        """
        cases = self.cases(np.random.default_rng(seed))
        results = [self._observe(learner, case) for case in cases]
        last = self.outputs.index(until)
        for k in range(last + 1):
            try:
                self._examine(k, cases, results)
            except CheckFailed as failed:
                if k == 0:
                    raise
                right = ", ".join(self.outputs[:k])
                head, *rest = str(failed).splitlines()
                lines = (head, f"  Right so far: {right}.", *rest)
                raise CheckFailed("\n".join(lines)) from failed.__cause__
        print(f"✓ {self.name}: right on {len(cases)} inputs, down to {until}")

    def _unpack(self, result, case):
        if not isinstance(result, dict):
            got = "None" if result is None else f"one {type(result).__name__}"
            raise self._failure(
                f"It returns {got}; expected a dictionary of gradients: "
                '{"dbeta": dbeta, "dgamma": dgamma, ...}.'
            )
        unknown = [repr(name) for name in result if name not in self.outputs]
        if unknown:
            raise self._failure(
                f"The dictionary holds {', '.join(unknown)}, which is no node of the "
                f"graph. The names are {', '.join(self.outputs)}."
            )
        nodes = {
            name: self._as_array(name, value, case)
            for name, value in result.items()
            if value is not None
        }
        d = case.arguments[2].size
        if "dq" in nodes and nodes["dq"].shape in ((d,), (1, d), ()):
            nodes["dq"] = np.broadcast_to(nodes["dq"], case.arguments[0].shape)
        return tuple(nodes.get(name, _MISSING) for name in self.outputs)

    def _describe(self, name, got, want, case):
        if got is _MISSING:
            return f"Next: {name}, which the dictionary does not hold yet."
        return super()._describe(name, got, want, case)


_MISSING = np.empty((0, 0))

staged = _Graph(
    name="batch_norm_backward_staged",
    outputs=NODES,
    formula=node_gradients,
    cases=column_cases,
    section="backward-graph",
    changed=CHANGED,
    mistakes=(
        *(m for m in PARAMETERS if "order" not in m.knobs or m is SWAPPED),
        *(Mistake(message, {node: kind}) for node, kind, message in _NODES),
        *STATISTICS,
        *ALONG_FEATURES[1:],
    ),
)
