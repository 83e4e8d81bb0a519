"""Exercise: the training gradients of (N, D) in one line each.

But: the channels are on the last axis; `_convolutional` is for any axis.
"""

from bnlib.check._exercise import Exercise
from bnlib.check.backward._batches import column_cases
from bnlib.check.backward._mistakes import (
    ALONG_FEATURES,
    CHANGED,
    GAMMA_BY_SAMPLE,
    INPUT,
    PARAMETERS,
    STATISTICS,
)
from bnlib.check.backward._training import columns

simplified = Exercise(
    name="batch_norm_backward",
    outputs=("dx", "dgamma", "dbeta"),
    examine=("dbeta", "dgamma", "dx"),
    formula=columns,
    cases=column_cases,
    section="backward-simplified",
    changed=CHANGED,
    mistakes=(
        *PARAMETERS,
        *INPUT,
        *STATISTICS,
        *ALONG_FEATURES,
        GAMMA_BY_SAMPLE,
    ),
)
