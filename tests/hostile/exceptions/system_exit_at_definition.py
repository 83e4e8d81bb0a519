# Leaves while the cells are run; the exercises after it are right.
# expect: 17 test_train=0
# rest: right

# %% train
raise SystemExit(0)
