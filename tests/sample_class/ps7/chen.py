# Chen forgets the skip on the way back; plans ten steps.
# expect: 17 test_block=0 test_training=0 test_reach_batch_64=0
# like: ada

# %% block
class Block:
    def __init__(self, rng, inputs, outputs, stride=1, groups=0):
        rng = np.random.default_rng(rng)
        self.branch = [
            Conv(rng, inputs, outputs, stride=stride),
            Norm(outputs, groups),
            Relu(),
            Conv(rng, outputs, outputs),
            Norm(outputs, groups),
        ]
        self.skip = []
        if stride > 1 or inputs != outputs:
            conv = Conv(rng, inputs, outputs, kernel=1, stride=stride)
            self.skip = [conv, Norm(outputs, groups)]
        self.relu = Relu()
        self.branch[-1].gamma = np.zeros(outputs)

    def forward(self, x):
        F = x
        for layer in self.branch:
            F = layer.forward(F)
        S = x
        for layer in self.skip:
            S = layer.forward(S)
        return self.relu.forward(F + S)

    def backward(self, dy):
        dz = self.relu.backward(dy)
        dF = dz
        for layer in self.branch[::-1]:
            dF = layer.backward(dF)
        dS = dz
        for layer in self.skip[::-1]:
            dS = layer.backward(dS)
        return dF

# %% plan
def plan(groups, batch):
    return 10, 0.3
