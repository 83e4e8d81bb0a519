"""Whether numbers are drawn from a distribution, with a margin for every seed.

The largest distance between the two distribution functions exceeds `margin(n)` with
probability 1e-9 where n numbers are drawn rightly (Dvoretzky, Kiefer, Wolfowitz and
Massart: at most 2 exp(-2 n d²)). A right answer passes with any seed; a wrong
distribution has to differ by more, so whoever asks draws enough.

But: nothing about independence, which is asked by correlations (`_noise`).
"""

from dataclasses import dataclass
from math import erf, log, sqrt

import numpy as np


def margin(n: int) -> float:
    """Return the distance that n right draws exceed once in 10⁹ times."""
    return sqrt(log(2e9) / (2 * n))


@dataclass(frozen=True)
class Uniform:
    """U[low, high]."""

    low: float
    high: float

    def cdf(self, v):
        """Return the distribution function at `v`."""
        return np.clip((v - self.low) / (self.high - self.low), 0.0, 1.0)

    def may_hold(self, v):
        """Whether all of `v` are possible values."""
        slack = 1e-6 * (self.high - self.low)  # float32 is welcome
        return v.min() >= self.low - slack and v.max() <= self.high + slack


@dataclass(frozen=True)
class Normal:
    """N(mean, sd²)."""

    mean: float
    sd: float

    def cdf(self, v):
        """Return the distribution function at `v`, to about 1e-6."""
        return np.interp((v - self.mean) / self.sd, *_STANDARD_NORMAL)

    def may_hold(self, v):
        """Whether all of `v` are possible values."""
        return True


_POINTS = np.linspace(-8, 8, 3201)
_STANDARD_NORMAL = _POINTS, np.array([(1 + erf(z / sqrt(2))) / 2 for z in _POINTS])


def fits(sample: np.ndarray, law: Uniform | Normal) -> bool:
    """Whether the sample may have been drawn from the distribution."""
    values = np.sort(sample, axis=None)
    steps = np.arange(len(values) + 1) / len(values)
    f = law.cdf(values)
    distance = max((steps[1:] - f).max(), (f - steps[:-1]).max())
    return bool(distance <= margin(len(values)) and law.may_hold(values))
