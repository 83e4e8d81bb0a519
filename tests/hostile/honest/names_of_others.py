# Overwrites names that other cells use, as one does in a notebook.
# expect: 20
# rest: right

# %% notes
x, y, mean, var, n, seed = 1, 2, 3, 4, 5, 6
list_of_numbers = [1, 2]
print = print
del list_of_numbers
