# Returns the grader's own iterator, and calls it in every way.
# expect: 18 test_welford=0
# rest: right

# %% welford
def welford(rows):
    for use in (
        lambda: rows(),
        lambda: rows(rows),
        lambda: rows._calls.ask("call", 0, (rows,), {}),
        lambda: rows._calls.ask("get", 0, ("__class__",), {}),
        lambda: rows._calls.ask("next", -1, (), {}),
    ):
        try:
            print(use())
        except Exception as error:
            print(error)
    return rows, [rows], 5
