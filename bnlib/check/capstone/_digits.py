"""The digits: 1,797 images of 8 × 8 pixels, as scikit-learn has them.

From "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak, UCI
Machine Learning Repository (1998), https://doi.org/10.24432/C50P49, licence CC BY 4.0.
``digits.npz`` holds the test set of the original, pixels from 0 to 16, unchanged.
"""

from functools import cache
from pathlib import Path

import numpy as np

HELD = 397
"""Images that are not trained on."""


@cache
def _file():
    with np.load(Path(__file__).with_name("digits.npz")) as file:
        return file["x"], file["y"]


def digits(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the digits, divided into two parts.

    Parameters
    ----------
    seed : int
        Of the division. Every seed but 0 turns the images about their diagonal and
        renumbers the classes, so that no network knows them that was trained before.

    Returns
    -------
    x : array of shape (1400, 1, 8, 8), float64
        All pixels together have mean 0 and standard deviation 1.
    y : array of shape (1400,), int64
        Classes from 0 to 9.
    x_held, y_held : arrays
        397 others, on the same scale, to judge with.
    """
    x, y = _file()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    x, y = x[order, None].astype(np.float64), y[order].astype(np.int64)
    if seed:
        x, y = x.transpose(0, 1, 3, 2).copy(), rng.permutation(10)[y]
    x = (x - x[HELD:].mean()) / x[HELD:].std()
    return x[HELD:], y[HELD:], x[:HELD], y[:HELD]
