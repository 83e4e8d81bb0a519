"""How Numba compiles: when first called, without the GIL, kept on disk.

But: not in parallel. Numba's threads are not safe to use from several Python threads,
nor after a fork; `bnlib.cpu.threads` calls compiled functions instead.
"""

from functools import partial

import numba

_compiled = partial(numba.njit, nogil=True, cache=True, error_model="numpy")

# Multiplying and adding may be one instruction; else as written.
mapping = _compiled(fastmath={"contract"})

# Sums may also be reordered, to vectorise. NaN and infinity keep their meaning.
summing = _compiled(fastmath={"contract", "reassoc", "nsz"})
