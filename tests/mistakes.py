"""What holds for the exercises of every set."""

import numpy as np
from versions import message


def differ_from_the_truth(exercise, cases=None, rtol=1e-6):
    """Assert that every mistake of an exercise shows on one of its cases.

    Parameters
    ----------
    exercise : bnlib.check.Exercise
        Compares with a formula.
    cases : list of bnlib.check.Case, optional
        By default the exercise's own, drawn with seed 3.
    rtol : float
        Results that agree so far are the same.
    """
    cases = cases or exercise.cases(np.random.default_rng(3))
    truths = [exercise._formula(case, {}) for case in cases]
    for mistake in exercise.mistakes:
        wrong = [exercise._formula(case, mistake.knobs) for case in cases]
        assert any(
            isinstance(w, Exception)
            or any(
                np.shape(a) != np.shape(b)
                or not np.allclose(a, b, rtol=rtol, atol=0, equal_nan=True)
                for a, b in zip(w, t, strict=True)
            )
            for w, t in zip(wrong, truths, strict=True)
        ), mistake
        # A knob that is misspelt would raise everywhere.
        assert not all(isinstance(w, KeyError | TypeError) for w in wrong), mistake


def says_that_it_is_unwritten(exercise):
    """Whether an exercise says so of an answer that was not begun."""

    def unwritten(*args, **options):
        raise NotImplementedError("not answered yet")

    unwritten.__name__ = exercise.name
    return "still to be written" in message(exercise, unwritten)
