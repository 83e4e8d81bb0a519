# Calls the check on a wrong function of its own, and catches the failure.
# expect: 20
# rest: right

# %% notes
try:
    check.train(lambda x, gamma, beta, eps=1e-5: (x, x[0], x[0]))
except AssertionError as error:
    print("as expected:", error)
