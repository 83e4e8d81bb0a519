"""The loss along the gradient, with and without batch normalisation, for a widget.

The networks of the chapter on the critiques, each trained at its tuned rate: on the way
the loss of the next batch after steps of many lengths along minus its gradient.
``python -m experiments.loss_slices`` writes what ``widgets/loss-slice.js`` draws.
"""

import json
from pathlib import Path

import numpy as np
import torch

from experiments import critiques as lab
from experiments.data import digits

WIDTHS = (64, *[32] * 8, 10)
SEEDS = (0, 1, 2)
LOOKS = (0, 10, 20, 50, 100, 150)
ETAS = 2.0 ** np.arange(-7, 1.5, 0.5)
TARGET = Path(__file__).parents[1] / "widgets" / "loss-slice-data.js"


def slices(*, normalised: bool, rate: float, steps: int = max(LOOKS)) -> dict:
    """Train, and walk along the gradient on the way.

    Parameters
    ----------
    normalised : bool
        Whether batch normalisation stands before every ReLU.
    rate : float
        The learning rate.
    steps : int
        How many steps to train.

    Returns
    -------
    dict of str to numpy.ndarray
        First axes: looks, every ten steps, and seeds. "start" : the loss; "slope" : the
        gradient's length; "loss" : after a step of each of `ETAS`.
    """
    etas = torch.tensor(ETAS, dtype=torch.float32)[:, None].expand(-1, len(SEEDS))

    def walk(nets, x, y):
        found = lab.landscape(nets, x, y, etas)
        return {name: found[name] for name in ("start", "slope", "loss")}

    nets = lab.start(WIDTHS, SEEDS, normalised=normalised)
    _, seen = lab.train(
        nets,
        digits(),
        rates=[rate],
        seeds=SEEDS,
        steps=steps,
        watch=walk,
        every=10,
    )
    return seen


def rounded(values: np.ndarray) -> list:
    """Return values to three digits, what overflowed as None."""
    if values.ndim:
        return [rounded(value) for value in values]
    return float(f"{values:.3g}") if np.isfinite(values) else None


def main() -> None:
    """Tune as the chapter does, and write the slices."""
    torch.set_num_threads(1)
    found = {"looks": LOOKS, "etas": ETAS.tolist()}
    for name, normalised in (("plain", False), ("normalised", True)):
        rate = lab.tuned(
            WIDTHS,
            digits(),
            normalised=normalised,
            rates=2.0 ** np.arange(-6, 0.5),
            steps=100,
        )
        seen = slices(normalised=normalised, rate=rate)
        looks = [look // 10 for look in LOOKS]
        found[name] = {"rate": rate}
        found[name] |= {key: rounded(values[looks]) for key, values in seen.items()}
    TARGET.write_text(
        "// Written by python -m experiments.loss_slices.\n"
        f"widget.slices = {json.dumps(found, separators=(',', ':'))};\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
