# A sum in C that does not let go of the interpreter.
# expect: 17 test_train=0
# says: still running
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    return sum(range(10**15))
