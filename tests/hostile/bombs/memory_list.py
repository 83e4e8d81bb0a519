# A list that grows until there is no memory.
# expect: 17 test_train=0
# says: (?i)memory
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    kept = []
    while True:
        kept.append(bytearray(10_000_000))
