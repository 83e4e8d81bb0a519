# Whole numbers with more digits than Python writes, and numbers that are not numbers.
# expect: 18 test_welford=0
# rest: right

# %% welford
def welford(rows):
    rows = list(rows)
    return float("nan"), float("-inf"), 10**5000
