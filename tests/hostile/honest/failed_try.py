# Left an experiment in a cell that raises below the function: the function counts.
# expect: 20
# rest: right

# %% notes
batch_norm_train(np.ones((2, 3)), np.ones(4), np.zeros(4))
