# Writes 50 MB to standard error; the answers are right.
# expect: 20
# rest: right

# %% notes
import sys

for _ in range(50):
    sys.stderr.write("A" * 1_000_000 + "\n")
