"""What the scripts of the bug hunt are run on, and what they share: running statistics.

But: nothing about any one fault.
"""

import numpy as np


def draw_batches(rng, counts, d, *, mean=2.0):
    """Draw batches of these sizes, whose mean and scale are far from 0 and 1."""
    at, scale = mean + rng.normal(size=d), rng.uniform(1.5, 3.0, size=d)
    return [at + scale * rng.normal(size=(n, d)) for n in counts]


def draw_affine(rng, d):
    """Draw gamma, of both signs, and beta."""
    gamma = rng.uniform(0.5, 2.0, size=d) * np.where(np.arange(d) % 2, -1, 1)
    return gamma, rng.normal(size=d)


def moved(running, x, momentum=0.1, *, stored="unbiased", decay=True, only="both"):
    """Return the running statistics after a batch; momentum weighs the new value."""
    mean, var = running
    count = np.float64(len(x))
    new = x.var(0)
    if stored == "unbiased":
        new = new * count / (count - 1)
    keep = 1 - momentum if decay else 1.0
    return (
        keep * mean + momentum * x.mean(0) if only in ("both", "mean") else mean,
        keep * var + momentum * new if only in ("both", "var") else var,
    )


def fresh(d):
    """Return running statistics that have seen nothing."""
    return np.zeros(d), np.ones(d)
