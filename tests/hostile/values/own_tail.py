# Containers that contain themselves.
# expect: 17 test_train=0
# rest: right

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    ring = [x]
    ring.append(ring)
    table = {"a": ring}
    table["b"] = table
    return ring, table, (ring, table)
