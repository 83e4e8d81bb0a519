"""Seeds of hidden tests, which change with the instructor's secret.

But: no secret is kept here; it is the environment variable ``BNLIB_CHECK_SECRET``.
"""

import os
from hashlib import sha256


def hidden_seeds(name: str, count: int = 3) -> list[int]:
    """Return the seeds of a hidden test.

    The same name gives the same seeds until the secret changes, so that nobody can
    prepare for the inputs of last year's course.

    Parameters
    ----------
    name : str
        Name of the test: tests of other names get other seeds.
    count : int
        How many seeds.

    Returns
    -------
    list of int
        Numbers from 0 to 2³² − 1, for ``check.train(answer, seed=seed)``.
    """
    secret = os.environ.get("BNLIB_CHECK_SECRET", "")
    digests = (sha256(f"{secret}\n{name}\n{k}".encode()) for k in range(count))
    return [int.from_bytes(digest.digest()[:4]) for digest in digests]
