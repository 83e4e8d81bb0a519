"""Real data that come with a package."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits


@dataclass(frozen=True)
class Data:
    """Inputs and classes, for training and for testing.

    Attributes
    ----------
    x, x_test : torch.Tensor
        Inputs, float32; the first axis counts examples.
    y, y_test : torch.Tensor
        Classes, int64, shape (N,).
    """

    x: torch.Tensor
    y: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor


def digits(*, images: bool = False, seed: int = 0, test: int = 397) -> Data:
    """Return the 1,797 handwritten digits that come with scikit-learn.

    Parameters
    ----------
    images : bool
        Inputs have shape (N, 1, 8, 8) if so, else (N, 64).
    seed : int
        Of the division into training and test examples.
    test : int
        How many examples to test with.

    Returns
    -------
    Data
        Ten classes. All pixels together have mean 0 and standard deviation 1 over the
        training examples.
    """
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    x = x[order].reshape((-1, 1, 8, 8) if images else (-1, 64))
    x = (x - x[test:].mean()) / x[test:].std()
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y[order])
    return Data(x[test:], y[test:], x[:test], y[:test])
