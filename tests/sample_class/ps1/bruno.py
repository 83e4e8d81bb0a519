# Bruno is right, and writes loops for everything.
# expect: 20
# like: farah

# %% train
def batch_norm_train(x, gamma, beta, eps=1e-5):
    N, D = x.shape
    y = np.zeros((N, D))
    mean = np.zeros(D)
    var = np.zeros(D)
    for j in range(D):
        for i in range(N):
            mean[j] += x[i, j] / N
        for i in range(N):
            var[j] += (x[i, j] - mean[j]) ** 2 / N
        for i in range(N):
            y[i, j] = gamma[j] * (x[i, j] - mean[j]) / np.sqrt(var[j] + eps) + beta[j]
    return y, mean, var

# %% running
def update_running(running_mean, running_var, mean, var, count, momentum=0.1):
    D = len(mean)
    new_mean, new_var = np.zeros(D), np.zeros(D)
    for j in range(D):
        unbiased = var[j] * count / (count - 1)
        new_mean[j] = (1 - momentum) * running_mean[j] + momentum * mean[j]
        new_var[j] = (1 - momentum) * running_var[j] + momentum * unbiased
    return new_mean, new_var

# %% evaluate
def batch_norm_eval(x, gamma, beta, running_mean, running_var, eps=1e-5):
    y = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            xhat = (x[i, j] - running_mean[j]) / np.sqrt(running_var[j] + eps)
            y[i, j] = gamma[j] * xhat + beta[j]
    return y

# %% convolution
def batch_norm_nd(x, gamma, beta, axis=1, eps=1e-5):
    C = x.shape[axis]
    y = np.zeros(x.shape)
    mean, var = np.zeros(C), np.zeros(C)
    for c in range(C):
        where = [slice(None)] * x.ndim
        where[axis] = c
        channel = x[tuple(where)]
        mean[c] = channel.mean()
        var[c] = ((channel - mean[c]) ** 2).mean()
        xhat = (channel - mean[c]) / np.sqrt(var[c] + eps)
        y[tuple(where)] = gamma[c] * xhat + beta[c]
    return y, mean, var

# %% moments
def batch_moments(x):
    N, D = x.shape
    mean, var = [0.0] * D, [0.0] * D
    for j in range(D):
        column = [float(value) for value in x[:, j]]
        mean[j] = sum(column) / N
        var[j] = sum((value - mean[j]) ** 2 for value in column) / N
    return np.array(mean), np.array(var)

# %% welford
def welford(rows):
    n = 0
    for row in rows:
        if n == 0:
            mean = [0.0] * len(row)
            m2 = [0.0] * len(row)
        n += 1
        for j in range(len(row)):
            delta = float(row[j]) - mean[j]
            mean[j] += delta / n
            m2[j] += delta * (float(row[j]) - mean[j])
    return np.array(mean), np.array(m2) / n, n

# %% merge
def merge_moments(a, b):
    if a[2] == 0:
        return b
    if b[2] == 0:
        return a
    n = a[2] + b[2]
    mean, var = np.zeros(len(a[0])), np.zeros(len(a[0]))
    for j in range(len(mean)):
        delta = b[0][j] - a[0][j]
        mean[j] = a[0][j] + delta * b[2] / n
        var[j] = (a[2] * a[1][j] + b[2] * b[1][j]) / n
        var[j] += delta**2 * a[2] * b[2] / n**2
    return mean, var, n

# %% fold
def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    w2 = w.copy()
    b2 = np.zeros(len(w))
    for j in range(len(w)):
        s = gamma[j] / np.sqrt(running_var[j] + eps)
        w2[j] = s * w[j]
        b2[j] = beta[j] - s * running_mean[j]
        if b is not None:
            b2[j] += s * b[j]
    return w2, b2
