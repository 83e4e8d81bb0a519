# Looks at values with `display` and by writing them last in a cell.
# expect: 20
# rest: right

# %% notes
x = np.arange(12.0).reshape(4, 3)
display(x, "text", {"a": 1})
display(batch_norm_train)
x
