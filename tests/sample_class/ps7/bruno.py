# Bruno keeps the biased variance, and folds group norm, too.
# expect: 22 test_norm=0 test_folding=0
# like: ada

# %% norm
class Norm:
    def __init__(self, channels, groups=0):
        self.gamma, self.beta = np.ones(channels), np.zeros(channels)
        self.running_mean, self.running_var = np.zeros(channels), np.ones(channels)
        self.groups, self.training, self.grads = groups, True, {}

    def forward(self, x):
        self.x = x
        N, C, H, W = x.shape
        if self.groups > 0:
            return group_norm(x, self.gamma, self.beta, self.groups)
        if self.training:
            y, mean, var = batch_norm_nd(x, self.gamma, self.beta)
            self.running_mean = 0.9 * self.running_mean + 0.1 * mean
            self.running_var = 0.9 * self.running_var + 0.1 * var
            return y
        mean, var = self.running_mean, self.running_var
        s = np.sqrt(var + 1e-5)
        xhat = (x - mean.reshape(1, C, 1, 1)) / s.reshape(1, C, 1, 1)
        return self.gamma.reshape(1, C, 1, 1) * xhat + self.beta.reshape(1, C, 1, 1)

    def backward(self, dy):
        if self.groups > 0:
            dx, dgamma, dbeta = group_norm_backward(dy, self.x, self.gamma, self.groups)
        else:
            dx, dgamma, dbeta = batch_norm_backward_nd(dy, self.x, self.gamma)
        self.grads["gamma"] = dgamma
        self.grads["beta"] = dbeta
        return dx

# %% folding
import copy

def fold(network):
    new = copy.deepcopy(network)
    for chain in new.chains():
        layers = []
        for layer in chain:
            if isinstance(layer, Norm):
                conv = layers[-1]
                s = layer.gamma / np.sqrt(layer.running_var + 1e-5)
                conv.w = conv.w * s[:, None, None, None]
                conv.bias = (conv.bias - layer.running_mean) * s + layer.beta
            else:
                layers.append(layer)
        chain[:] = layers
    return new
