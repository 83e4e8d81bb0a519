# A layer that loops when it is looked at.
# expect: 17 test_layer=0
# says: still running
# rest: right

# %% layer
class BatchNorm:
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        pass

    def __getattr__(self, name):
        while True:
            pass
