# Prints 50 MB; the answers are right.
# expect: 20
# rest: right

# %% notes
for _ in range(50):
    print("A" * 1_000_000)
