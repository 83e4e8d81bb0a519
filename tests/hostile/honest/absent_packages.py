# Imports what is not there when graded, and does not need it.
# expect: 20
# rest: right

# %% train
import matplotlib.pyplot as plt
import torch
import torch.nn as nn
from scipy import stats


def batch_norm_train(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta, mean, var


plt.figure(figsize=(4, 3))
plt.plot(np.ones(3))
plt.show()
