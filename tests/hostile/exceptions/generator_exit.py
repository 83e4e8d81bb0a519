# Raises the exceptions that end loops and generators.
# expect: 16 test_train=0 test_moments=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    raise GeneratorExit

# %% moments
def batch_moments(x):
    raise StopIteration
