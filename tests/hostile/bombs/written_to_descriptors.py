# Writes 50 MB past Python's own streams; the answers are right.
# expect: 20
# rest: right

# %% notes
import os

for _ in range(25):
    os.write(1, b"A" * 1_000_000)
    os.write(2, b"A" * 1_000_000)
