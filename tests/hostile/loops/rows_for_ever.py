# Asks for rows over and over after the last one.
# expect: 18 test_welford=0
# rest: right

# %% welford
def welford(rows):
    while True:
        next(rows, None)
