"""Exercise 6: forward with as few bytes moved as there can be.

But: bytes, not time; the emulator knows no clock.
"""

from bnlib.check.kernels._forward import (
    EMPTY,
    LARGE,
    MISTAKES,
    SMALL,
    cases,
    normalise,
    plan,
)
from bnlib.check.kernels._kernel import Kernel

# S is a multiple of 8, so that no sector of 32 bytes holds two channels.
SHAPES = (
    (3, 2, 56, 96, 1.0, 1.0, 3e-5, ""),
    (5, 4, 8, 32, 0.7, 1.0, 3e-5, ""),
    (2, 3, 16, 64, 0.5, 1.0, 3e-5, EMPTY),
    (6, 2, 64, 64, 0.0, 4e-3, 3e-5, SMALL),
    (8, 2, 512, 256, 3000.0, 1.0, 5e-3, LARGE),
)


class _Lean(Kernel):
    """A kernel that is judged by the bytes that it moves."""

    def __call__(self, learner, *, seed=0, at_most=1.05):
        """Check the learner's kernel.

        Parameters
        ----------
        learner : callable
            What the learner wrote; it returns CUDA C++.
        seed : int
            Seed of the inputs.
        at_most : float
            How many times the bytes of x and y it may move, on the largest input.

        Raises
        ------
        CheckFailed
            With a message for the learner.
        """
        drawn, replies = self._run(learner, seed)
        _, after, report, moved = replies[-1]
        large = after[0].nbytes
        of_both = sum(
            traffic[2]
            for k, traffic in enumerate(moved.values())
            if after[k].nbytes == large
        )
        times = of_both / (2 * large)
        if times > at_most:
            raise self._failure(
                f"The numbers are right, but on {drawn[-1].what} x and y move "
                f"{times:.2f} times their bytes; at most {at_most:.2f} here. To read x "
                "once, keep the channel on the chip; and let neighbouring threads read "
                f"neighbouring values.\n{report}"
            )
        print(f"✓ {self.name}: {times:.2f} times the bytes of x and y.\n{report}")


lean = _Lean(
    name="bn_lean",
    outputs=("y", "mean", "var"),
    examine=("mean", "var", "y"),
    formula=normalise,
    cases=lambda rng: cases(rng, SHAPES),
    section="kernels-fits",
    plan=plan,
    places=(3, 4, 5),
    mistakes=MISTAKES,
)
