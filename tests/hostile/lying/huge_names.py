# Returns an object whose class name and repr are 20 MB long.
# expect: 17 test_train=0
# rest: right

# %% train
def long(self):
    return "A" * 20_000_000


Long = type("A" * 20_000_000, (), {"__repr__": long, "__str__": long, "__doc__": "A"})


def batch_norm_train(x, gamma, beta, eps=1e-5):
    return Long()
