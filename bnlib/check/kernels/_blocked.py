"""Exercise 1: batch norm in NumPy, block by block, with little memory besides y.

But: bytes in use, not time.
"""

import numpy as np

from bnlib.check._exercise import Case, Exercise, Mistake
from bnlib.check.alternatives._batches import LAYOUT, SMALL
from bnlib.check.alternatives._formula import Sets, affine, standardise, widen
from bnlib.check.alternatives._mistakes import AFFINE, SIGNS, denominators, variances
from bnlib.check.kernels._run_beside import beside

BUDGET = 512 << 10  # bytes besides y
CHANNELS = 64  # of the x with which memory is measured
BLOCKS = (2, 3, 4, 8, 16)  # channels that learners take at a time


def _blocked(
    x,
    gamma,
    beta,
    eps=1e-5,
    *,
    sets="channel",
    affine_kind="gamma xhat + beta",
    left="",
    first_block=0,
    **statistics,
):
    x, gamma, beta = widen(x, gamma, beta)
    n, c, *positions = x.shape
    view = (n, c, *positions)
    kind, _, size = sets.partition(" ")
    if kind == "channels":  # one statistic for all channels of a block
        return (_by_blocks(x, gamma, beta, eps, int(size), 1),)
    if kind == "samples":  # statistics of the samples of a block
        return (_by_blocks(x, gamma, beta, eps, int(size), 0),)
    axes = {"channel": (0, 2, 3), "sample": (2, 3), "batch": (0,), "all": (1, 2, 3)}
    top, s = standardise(x, Sets(view, axes[kind]), eps, **statistics)
    if first_block:
        gamma, beta = (a[np.arange(c) % first_block] for a in (gamma, beta))
    y = affine(top / s, gamma, beta, affine_kind)
    if left:
        done = c // int(left) * int(left)
        y[:, done:] = 0
    return (y,)


def _by_blocks(x, gamma, beta, eps, size, axis):
    y = np.empty_like(x)
    for start in range(0, x.shape[axis], size):
        part = (slice(None),) * axis + (slice(start, start + size),)
        axes = (0, 1, 2, 3) if axis else (0, 2, 3)
        mean = x[part].mean(axes, keepdims=True)
        s = np.sqrt(x[part].var(axes, keepdims=True) + eps)
        y[part] = (x[part] - mean) / s
    return affine(y, gamma, beta)


LARGE = (
    "There the mean is large: mean(x²) − mean(x)² loses its digits, and so do sums in "
    "float32. Take the mean of (x − mu)², with dtype=np.float64 for the means."
)
TAIL = "Is C a multiple of your block there? The last block may be smaller."


def _draw(rng, shape, dtype=np.float64, mean=0.5, std=1.0):
    c = shape[1]
    means = mean + std * rng.normal(size=(1, c, 1, 1))
    scale = std * rng.uniform(0.5, 2.0, (1, c, 1, 1))
    samples = std * rng.normal(size=(shape[0], 1, 1, 1))
    x = means + samples + scale * rng.normal(size=shape)
    gamma = rng.uniform(0.5, 2.0, c) * np.where(np.arange(c) % 2, -1, 1)
    return tuple(a.astype(dtype) for a in (x, gamma, rng.normal(size=c)))


def _cases(rng):
    cases = []
    for shape, dtype, mean, std, tolerance, hint in (
        ((3, 20, 4, 3), np.float64, 0.5, 1.0, 1e-9, ""),
        ((4, 7, 3, 5), np.float64, -1.0, 2.0, 1e-9, TAIL),
        ((2, 1, 6, 5), np.float64, 0.0, 1.0, 1e-9, "There is one channel only."),
        ((5, 3, 1, 1), np.float64, 1.0, 1.0, 1e-9, ""),
        ((3, 5, 4, 2), np.float64, 1e-3, 1e-3, 1e-9, SMALL),
        ((6, 5, 9, 7), np.float32, 3e3, 1.0, 3e-3, LARGE),
    ):
        what = f"x of shape {shape}, {np.dtype(dtype).name}, mean about {mean:g}"
        arguments = _draw(rng, shape, dtype, mean, std)
        cases.append(Case(what, arguments, {}, tolerance, hint))
    cases.append(Case("eps = 0.1", _draw(rng, (3, 4, 5, 2)), {"eps": 0.1}))
    x, gamma, beta = _draw(rng, (3, 4, 5, 2))
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    cases.append(Case("x stored channels last", (last, gamma, beta), hint=LAYOUT))
    return cases


class _Blocked(Exercise):
    """A check that also measures memory, where the learner's function is."""

    def _judge(self, learner, seed):
        text = super()._judge(learner, seed)
        y, extra = self._measure(learner, seed, CHANNELS)
        if y.dtype != np.float32:
            raise self._failure(
                f"y is {y.dtype} where x is float32: twice the bytes. Make y with "
                "`np.empty_like(x)`; sums may still run in float64."
            )
        if extra > BUDGET:
            more = self._measure(learner, seed, 2 * CHANNELS)[1]
            raise self._failure(self._too_much(extra, y, more > 1.5 * extra))
        kib = max(extra, 0) >> 10
        return f"{text}, with {kib:,} KiB besides y ({BUDGET >> 10} are allowed)"

    @staticmethod
    def _measure(learner, seed, channels):
        """Return y and the bytes that are in use besides it."""
        rng = np.random.default_rng(seed)
        arguments = _draw(rng, (8, channels, 32, 32), np.float32)
        y, peak = beside(learner, "traced")(learner, *arguments)
        return y, peak - y.nbytes

    @staticmethod
    def _too_much(extra, y, grows):
        if grows:
            advice = (
                f"That is {extra / y.nbytes:.1f} times x, and it grows with C: whole "
                "arrays of x's size. `x - mean` makes one, (x - mean)**2 another; in "
                "float64 each counts twice. Go through blocks of channels, and write "
                "each block of y in place."
            )
        else:
            channels = extra / (y.nbytes / CHANNELS)
            advice = (
                f"That is {channels:.0f} channels of x. The blocks are there, but too "
                "large, or too many arrays of a block are alive at once: take fewer "
                "channels at a time, or reuse one array (`out=`, `-=`)."
            )
        return (
            f"y is right, but {extra >> 10:,} KiB are in use besides it at once, for x "
            f"of shape {y.shape}, float32; {BUDGET >> 10} are allowed. {advice}"
        )


blocked = _Blocked(
    name="batch_norm_blocked",
    outputs=("y",),
    formula=_blocked,
    cases=_cases,
    section="kernels-blocking",
    mistakes=(
        Mistake(
            "Statistics are each sample's own: that is instance norm. A block may "
            "leave out channels, never samples: a channel's mean needs all of them. "
            "axis=(0, 2, 3).",
            {"sets": "sample"},
        ),
        Mistake(
            "Mean and variance are over the batch only, one for each position. A "
            "channel's positions share them: axis=(0, 2, 3).",
            {"sets": "batch"},
        ),
        Mistake(
            "That is layer norm: statistics of each sample over its channels. Batch "
            "norm's are each channel's: axis=(0, 2, 3).",
            {"sets": "all"},
        ),
        *(
            Mistake(
                f"The blocks are of samples, {size} at a time, each with statistics of "
                "its own. A channel's mean needs all samples: cut x along axis 1, the "
                "channels.",
                {"sets": f"samples {size}"},
                alone=True,
            )
            for size in (2, 3, 4)
        ),
        *(
            Mistake(
                f"The {size} channels of a block share one mean and one variance. Each "
                "channel has its own: axis=(0, 2, 3) within the block.",
                {"sets": f"channels {size}"},
                alone=True,
            )
            for size in BLOCKS
        ),
        *(
            Mistake(
                "The last channels are left out where C is no multiple of the block: "
                "`range(C // size)` forgets the rest. `range(0, C, size)` does not, "
                "and a slice may reach beyond the end.",
                {"left": str(size)},
                alone=True,
            )
            for size in BLOCKS
        ),
        *(
            Mistake(
                "Every block uses the gamma and beta of the first block. Cut them like "
                "x: gamma[start:stop].",
                {"first_block": size},
                alone=True,
            )
            for size in BLOCKS
        ),
        *variances("each channel's", "N·H·W"),
        *SIGNS,
        *AFFINE,
        *denominators("v"),
    ),
)
