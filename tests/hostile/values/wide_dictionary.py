# A dictionary with a million entries, and keys of every type.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    wide = {n: str(n) for n in range(1_000_000)}
    wide.update({(1, 2): 3, None: 4, "\ud800": 5, frozenset(): 6})
    return wide, wide, wide
