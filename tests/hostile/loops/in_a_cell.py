# A cell that never comes to an end; the exercises after it are right.
# expect: 17 test_train=0
# says: still running
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    return x, x[0], x[0]


while True:
    pass
